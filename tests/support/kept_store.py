"""A durable store in memory that a test can make fail or hold its writes back."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from trionode.store import Identity, StoreStatus

if TYPE_CHECKING:
    from trionode.store import Batch


class KeptStore:
    """See `trionode.store.Store`. It says that it is durable, and keeps its batches.

    Attributes:
        failure: raised by every write while it is set.
        unreadable: raised by every reading of payloads while it is set.
        batches: what was written.
        node: the id of the node.
    """

    kind = "kept"
    durable = True
    last_stamp = 0

    def __init__(self, node: str = "kept", incarnation: int = 1) -> None:
        self.identity = Identity(node, incarnation)
        self.failure: Exception | None = None
        self.unreadable: Exception | None = None
        self.batches: list[Batch] = []
        self.blocks = False
        self.retains = False
        self._may_write = threading.Event()
        self._may_write.set()

    def hold(self) -> None:
        """Writes take until `release`, in a thread: no test with a clock that jumps may do so."""
        self.blocks = True
        self._may_write.clear()

    def release(self) -> None:
        """Writes go on."""
        self._may_write.set()

    @property
    def kept(self) -> set[int]:
        """The ids of the objects that are in the store."""
        ids: set[int] = set()
        for batch in self.batches:
            ids = (ids - set(batch.gone)) | set(batch.kept)
        return ids

    def open(self, now_unix_ms: int) -> Identity:
        return self.identity

    def recover(self, offset_s: float):
        return iter(())

    def definitions(self) -> list:
        return []

    def damage(self) -> list:
        return []

    def write(self, batch: Batch) -> None:
        self._may_write.wait()
        if self.failure is not None:
            raise self.failure
        self.batches.append(batch)

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        if self.unreadable is not None:
            raise self.unreadable
        payloads = {}
        for batch in self.batches:
            payloads.update((each.id, each.payload) for each in batch.kept.values())
        return [payloads.get(id_) for id_ in ids]

    def finder(self, node: str, state_of) -> None:
        return None

    def tidying_due(self, now_unix: float) -> bool:
        return False

    def status(self) -> StoreStatus:
        return StoreStatus(self.kind, "", "ok", 0)

    def close(self) -> None:
        self.release()
