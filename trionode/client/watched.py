"""What a watcher gets: copies of objects, which nobody was given by that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from trionode.client.deliveries import Deliveries, Delivery

if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn

    from trionode.client.consuming import Consuming
    from trionode.client.leases import CopyLease, Lease

T = TypeVar("T")


@attrs.frozen
class Watched:
    """How a copy came: see `Delivery.watched`.

    `how` the node took custody: `accepted` from a producer, `received` from another node, `emitted`
    with an ack, `replaced` by new content. `dropped`: how many copies before this one the node had
    to drop, because they were not taken fast enough.
    """

    how: str
    dropped: int


class Copy(Delivery[T]):
    """A delivery of a subscription with `mode="watch"`: a copy, which cannot be settled.

    As a context manager it gives the object, and nothing else happens.
    """

    __slots__ = ("_watched",)

    def __init__(self, consuming: Consuming, lease: CopyLease, value: T | object) -> None:
        super().__init__(consuming, lease, value)
        self._watched = Watched(lease.how, lease.dropped)

    @property
    def watched(self) -> Watched:
        """How the copy came."""
        return self._watched

    def ack(self, *_: Any, **__: Any) -> NoReturn:
        """Raises RuntimeError, as all ways to settle do."""
        raise RuntimeError(f"{self._lease.name} was only watched: a copy cannot be settled")

    nack = reject = replace = emit = ack

    async def settled(self) -> None:
        """Raises RuntimeError."""
        self.ack()

    def __enter__(self) -> T:
        return self.object

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return


class Copies(Deliveries[T]):
    """A subscription with `mode="watch"`."""

    _kind = Copy

    def _give_back(self, lease: Lease, reason: str) -> None:
        """There is nothing to settle."""
