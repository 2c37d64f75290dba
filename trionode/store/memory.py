"""The store that keeps nothing: an acknowledged object lives as long as its node does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.store.base import NODE_ID_BYTES, Identity, StoreStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trionode.routing.events import Recovered
    from trionode.schema.definition import Definition
    from trionode.store.batch import Batch
    from trionode.store.damage import Damage


class MemoryStore:
    """See `Store`. What the brain holds in memory is all there is.

    Args:
        random_bytes: gives so many random bytes; a memory node gets a new id each start (R9).
    """

    kind = "memory"
    durable = False
    blocks = False
    retains = False
    last_stamp = 0

    def __init__(self, random_bytes: Callable[[int], bytes]) -> None:
        self._random_bytes = random_bytes

    def open(self, now_unix_ms: int) -> Identity:
        """Be somebody new."""
        return Identity(self._random_bytes(NODE_ID_BYTES).hex(), now_unix_ms)

    def recover(self, offset_s: float) -> Iterator[Recovered]:  # noqa: ARG002  # see Store
        """Nothing."""
        return iter(())

    def definitions(self) -> list[Definition]:
        """None."""
        return []

    def damage(self) -> list[Damage]:
        """None."""
        return []

    def write(self, batch: Batch) -> None:
        """Nothing to do: what is in memory is kept."""

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        """None."""
        return [None] * len(ids)

    def tidying_due(self, now_unix: float) -> bool:  # noqa: ARG002  # see Store
        """Never."""
        return False

    def finder(self, node: str, state_of: Callable[[int], str | None]) -> None:
        """None: the node's memory has all that there is."""

    def status(self) -> StoreStatus:
        """Always well."""
        return StoreStatus(self.kind, "", "ok", 0)

    def close(self) -> None:
        """Nothing to do."""
