"""What a store is to a node. Nothing here assumes that it is on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

from trionode.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trionode.routing.events import Recovered
    from trionode.schema.definition import Definition
    from trionode.store.batch import Batch
    from trionode.store.damage import Damage
    from trionode.store.finding import Finder


NODE_ID_BYTES = 10


class StoreError(Error):
    """The store cannot be opened, read or written; the message says what to do."""


@attrs.frozen
class Identity:
    """Who a node is (R9).

    `node` is its id; `incarnation` is larger than in every earlier life of that id.
    """

    node: str
    incarnation: int


@attrs.frozen
class StoreStatus:
    """For people: `state` is `ok` or says in a word what is wrong; `size_bytes` on disk."""

    kind: str
    path: str
    state: str
    size_bytes: int


class Store(Protocol):
    """Keeps a node's custody.

    Methods may block, but for `status`; the node calls one at a time but for `payloads`, in a
    thread where `blocks`.
    """

    kind: str
    durable: bool
    """What is written survives the node's crash."""
    blocks: bool
    """Calls wait for a disk or a network and belong into a thread."""
    retains: bool
    """Settled objects are kept for queries."""
    last_stamp: int
    """The last stamp that was written; known once it is open."""

    def open(self, now_unix_ms: int) -> Identity:
        """Take the store for this node, and count its incarnation up.

        Raises:
            StoreError: it cannot be used, or another process has it.
        """

    def recover(self, offset_s: float) -> Iterator[Recovered]:
        """What was kept, in parts, the books of offers first, objects in the order they came.

        Args:
            offset_s: Unix time less the brain's clock, in seconds; records come out on the
                brain's clock.
        """

    def definitions(self) -> list[Definition]:
        """The definitions of types that were kept, in the order they were learnt."""

    def damage(self) -> list[Damage]:
        """What `open` and `recover` found damaged, to be logged and accounted for (I8)."""

    def write(self, batch: Batch) -> None:
        """Write all of a batch or nothing; it is kept once this returns.

        Raises:
            StoreError: nothing of it was written.
        """

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        """The payloads of objects that were written; None for one that is not there or damaged.

        The only method that may run while another one does; not for longer than the store is open.

        Raises:
            StoreError: the store cannot be read now.
        """

    def tidying_due(self, now_unix: float) -> bool:
        """Whether a batch with `tidy_at` would free room; does not block."""

    def finder(self, node: str, state_of: Callable[[int], str | None]) -> Finder | None:
        """What answers queries; None: the node's memory has all that there is.

        Args:
            node: the node's id.
            state_of: the state of an object in custody; may be called in a thread.
        """

    def status(self) -> StoreStatus:
        """How it stands; does not block."""

    def close(self) -> None:
        """Give it free; what was written stays."""
