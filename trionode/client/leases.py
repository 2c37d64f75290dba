"""Deliveries as the consumer core knows them: leases, batches that they come in, windows. Pure.

Only `trionode.client.consumer_core` and `consumer_stream` change what is here.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from trionode.errors import ConnectionLost, LeaseLost
from trionode.ids import ObjectId, format_id, from_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trionode.client.consumer_core import Subscription
    from trionode.client.consumer_stream import ConsumerStream
    from trionode.client.resuming import Deferred
    from trionode.errors import Error
    from trionode.wire import frames


class LeaseState(enum.Enum):
    """Where a delivery is in its life."""

    HELD = "held"
    """The user has it."""
    SETTLING = "settling"
    """The user has settled it; the node has not answered."""
    SETTLED = "settled"
    """The node has done what the user said."""
    LOST = "lost"
    """It was taken back before the user had settled it."""
    REFUSED = "refused"
    """The user settled it, but too late: nothing was done."""
    UNKNOWN = "unknown"
    """The connection was lost after the settle was sent and before it was answered."""
    WATCHED = "watched"
    """It is a copy: there is no lease, and nothing to settle."""


HELD, SETTLING, SETTLED = LeaseState.HELD, LeaseState.SETTLING, LeaseState.SETTLED
"""What each object passes: to find a member of an enumeration costs half of what a `Lease` does."""


class Lease:
    """One delivery.

    Attributes:
        id: the object's id.
        attempt: which attempt it is; with the id it names the lease.
        type: the object's type.
        payload: its bytes.
        encoding: what they are, `json` or `raw`.
        details: the object's rare properties.
        window: the subscription and stream that it came on.
        state: where it is in its life.
        content: new content; there once it is settled by that.
        reason: why it was lost; there once it is over in another way than by a settle.
        error: the same as what the user gets raised.
        owner: whatever the driver wants to find again.
        waiter: set by the driver when somebody waits for the end.
    """

    __slots__ = (
        "attempt",
        "content",
        "details",
        "encoding",
        "error",
        "id",
        "owner",
        "payload",
        "reason",
        "state",
        "type",
        "waiter",
        "window",
    )
    content: bytes
    reason: str

    def __init__(  # noqa: PLR0913, PLR0917  # the columns of a Deliver frame
        self,
        value: ObjectId,
        attempt: int,
        type_name: str,
        payload: bytes,
        encoding: str,
        details: Mapping[str, Any],
        window: Window,
    ) -> None:
        self.id = value
        self.attempt = attempt
        self.type = type_name
        self.payload = payload
        self.encoding = encoding
        self.details = details
        self.window = window
        self.state = HELD
        self.error: Error | None = None
        self.owner: Any = None
        self.waiter: Any = None

    def end(self, state: LeaseState, reason: str) -> None:
        """It is over in another way than by a settle that was done."""
        self.state = state
        self.reason = reason
        if state is LeaseState.UNKNOWN:
            self.error = ConnectionLost(
                f"whether the settle of {self.name} was done is not known: {reason}"
            )
        else:
            self.error = LeaseLost(f"{self.name}: {reason}")

    def reject_settle(self, error: Error) -> Lease:
        """The node would not do what the user said; returns the lease, which is ours still."""
        self.state = LeaseState.REFUSED
        self.error = error
        return Lease(
            self.id, self.attempt, self.type, b"", self.encoding, self.details, self.window
        )

    @property
    def name(self) -> str:
        """The lease's name for people: the id, `#` and the attempt."""
        return f"{format_id(self.id)}#{self.attempt}"


class CopyLease(Lease):
    """A copy that a watcher was shown, in the place of a lease.

    Attributes:
        how: how the object came: `accepted`, `received`, `emitted`, `replaced`.
        dropped: how many copies were dropped just before it.
    """

    __slots__ = ("dropped", "how")
    dropped: int
    how: str

    @classmethod
    def of(cls, lease: Lease, how: str, dropped: int) -> CopyLease:
        """The copy that came in the place of a lease."""
        copy = cls(
            lease.id,
            lease.attempt,
            lease.type,
            lease.payload,
            lease.encoding,
            lease.details,
            lease.window,
        )
        copy.state = LeaseState.WATCHED
        copy.how, copy.dropped = how, dropped
        return copy


_NO_DETAILS: Mapping[str, Any] = {}


class Batch:
    """The deliveries of one Deliver frame that the user has not taken yet; columns, as they came.

    Attributes:
        window: the subscription and stream that it came on.
        base: how many deliveries of the window came before it.
        ids: the objects' ids.
        position: how many of them were taken or skipped.
    """

    __slots__ = ("_dropped", "_frame", "base", "ids", "position", "window")

    def __init__(self, frame: frames.Deliver | frames.Copies, window: Window, base: int) -> None:
        self.window = window
        self.base = base
        self.ids: list[ObjectId] = from_runs(frame.ids)
        self.position = 0
        self._frame = frame
        self._dropped: set[int] = set()

    def take(self) -> Lease | None:
        """The next delivery; None at the end."""
        index = self.position
        if self._dropped:
            while index in self._dropped:
                index += 1
        if index >= len(self.ids):
            self.position = len(self.ids)
            return None
        self.position = index + 1
        frame = self._frame
        return Lease(
            self.ids[index],
            1 if frame.attempts is None else frame.attempts[index],
            frame.type,
            frame.payloads[index],
            frame.encoding,
            frame.details.get(index, _NO_DETAILS) if frame.details else _NO_DETAILS,
            self.window,
        )

    def names(self) -> list[tuple[int, int]]:
        """The deliveries that are still to be taken, as (id, attempt)."""
        attempts = self._frame.attempts
        return [
            (self.ids[index], 1 if attempts is None else attempts[index])
            for index in range(self.position, len(self.ids))
            if index not in self._dropped
        ]

    def drop(self, value: int, attempt: int) -> bool:
        """Skip a delivery whose lease is lost; whether it is here."""
        frame = self._frame
        for index in range(self.position, len(self.ids)):
            mine = 1 if frame.attempts is None else frame.attempts[index]
            if self.ids[index] == value and mine == attempt and index not in self._dropped:
                self._dropped.add(index)
                return True
        return False


class CopyBatch(Batch):
    """The copies of one Copies frame; what was dropped before it is told by its first."""

    __slots__ = ("_dropped_before", "_how")

    def __init__(self, frame: frames.Copies, window: Window, base: int) -> None:
        super().__init__(frame, window, base)
        self._how = frame.how
        self._dropped_before = window.take_dropped()

    def take(self) -> Lease | None:
        """The next copy; None at the end."""
        lease = super().take()
        if lease is None:
            return None
        dropped, self._dropped_before = self._dropped_before, 0
        return CopyLease.of(lease, self._how, dropped)


class Window:
    """One subscription on one stream; the core alone changes it."""

    __slots__ = (
        "away",
        "buffered",
        "confirmed",
        "deferred",
        "delivered",
        "dropped",
        "ended",
        "held",
        "reported",
        "resuming",
        "settling",
        "started",
        "stream",
        "subscription",
        "unreported",
    )

    def __init__(self, subscription: Subscription, stream: ConsumerStream) -> None:
        self.subscription = subscription
        self.stream = stream
        self.buffered = 0
        """How many are in batches."""
        self.held: dict[int, Lease] = {}
        """Taken and unsettled, by object id."""
        self.settling = 0
        """How many are settled and not answered yet."""
        self.delivered = 0
        self.dropped = 0
        """Copies that the node dropped since the last one that came."""
        self.started = 0
        """How many, in the order delivered, the user has taken or skipped."""
        self.reported = 0
        """How many of them the node was told of."""
        self.unreported = False
        """Whether the stream has it among those that have started more."""
        self.confirmed = False
        """Whether the node has accepted the subscription."""
        self.ended = False
        """Whether the node has confirmed its end."""
        self.away = False
        """Whether its stream is lost and no other carries it yet; see `resuming`."""
        self.resuming: tuple[int, frozenset[tuple[int, int]]] | None = None
        """The number of the Subscribe by which it goes on, and the (id, attempt) of the leases
        named in it, until that is answered."""
        self.deferred: Deferred | None = None
        """Settles that wait until then; None: it is neither away nor resuming."""

    def take_dropped(self) -> int:
        """How many copies were dropped since this was last asked."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    @property
    def outstanding(self) -> int:
        """Deliveries that take up credit, as far as is known here."""
        return self.buffered + len(self.held) + self.settling
