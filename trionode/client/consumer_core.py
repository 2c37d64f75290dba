"""The consumer's half of the client, without I/O: subscriptions, deliveries, settles, lost leases.

Theory of operation. A `Subscription` is what the user wants and lives as long as the user wants it;
a `ConsumerStream` is one Consume call and ends with its connection; a `Window` is one subscription
on one stream. While a client moves from a draining node to another there are two streams: the new
one carries the subscriptions on, the old one only the settles of what came on it.

A delivery is a `Lease`: in a `Batch` (columns, as it came) until the user takes it, held until the
user settles it, then settling until the node has answered. It is lost with its stream, because a
lease is named by its connection.

Started reports. A node counts an attempt against an object only when its consumer died having
started it, so `Started` should leave before the handler begins. One flush per object would cost
most of the throughput; so only the first `CAREFUL_DELIVERIES` of a window, and no more than it has
credit, are reported one by one (`is_urgent`), and later ones with the next flush. A process that
an object kills at once comes back with a new window, gets the same objects first, of which there
were no more than its credit, and is careful with them: the object is counted from its second victim
on, however fast the handlers are.

Frames in, frames out; no trio, no clock, no randomness. Only the core changes what is in it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from trionode.client import resuming
from trionode.client.consumer_stream import EMIT, ConsumerStream, Way
from trionode.client.emitting import Emitter
from trionode.client.leases import HELD, SETTLING, Batch, Lease, LeaseState, Window
from trionode.client.news import Confirmed, Ended, Event
from trionode.client.terms import Terms
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionode.client.emitting import Result
    from trionode.client.resuming import Deferred
    from trionode.errors import Error

CAREFUL_DELIVERIES = 256
"""Deliveries of a window that are reported as started one by one; see the theory of operation."""
CREDIT_MAX = 1_000_000
"""Largest window of a subscription, as for nodes; beyond, it is a mistake."""

LEFT = "the subscription was left"


class Subscription:
    """What the user wants to get; the core alone changes it.

    Attributes:
        number: its number at this client.
        types: names or patterns.
        credit: how many unsettled deliveries it may have.
        credit_bytes: about how many bytes of payload they may have.
        terms: what else the node is asked for.
        wanted: whether the user still wants it.
        closed: whether nothing of it is left at any node.
        error: why it cannot go on, if it cannot.
        dropped: copies that nodes said they dropped.
        owner: whatever the driver wants to find again.
    """

    __slots__ = (
        "abandoned",
        "answered",
        "asked",
        "batches",
        "closed",
        "credit",
        "credit_bytes",
        "dropped",
        "error",
        "number",
        "owner",
        "refusals",
        "terms",
        "types",
        "wanted",
        "windows",
    )

    def __init__(  # noqa: PLR0913, PLR0917  # made in one place, by the core
        self,
        number: int,
        types: Sequence[str],
        credit: int,
        credit_bytes: int,
        owner: object,
        terms: Terms,
    ) -> None:
        self.number = number
        self.types = list(types)
        self.credit = credit
        self.credit_bytes = credit_bytes
        self.terms = terms
        self.owner = owner
        self.dropped = 0
        self.wanted = True
        self.closed = False
        self.error: Error | None = None
        self.asked = 1
        """The version of the wish: one more with each change."""
        self.answered = 0
        """The newest version that a node has answered."""
        self.refusals: dict[int, Error] = {}
        """Changes that were refused: version -> why."""
        self.batches: deque[Batch] = deque()
        self.windows: list[Window] = []
        """The same subscription on each stream, oldest first."""
        self.abandoned: list[Lease] = []
        """Held deliveries whose handlers were cancelled."""

    @property
    def lasts(self) -> bool:
        """Whether its leases outlive a broken stream."""
        return bool(self.terms.reconnect_grace) and self.wanted and self.error is None


class ConsumerCore:
    """Every subscription of a client, over any number of streams.

    Attributes:
        hello: what every Consume stream begins with.
        emitter: gives the results that are sent with acks their sequences.
        streams: those that are open, oldest first.
    """

    def __init__(
        self, *, name: str = "", version: str = "", producer: bytes = b"", secret: bytes = b""
    ) -> None:
        self.hello = frames.ClientHello(
            name=name, version=version, producer=producer, confirms=True
        )
        self.emitter = Emitter(producer)
        self.results: dict[Lease, list[Result]] = {}
        """What goes with acks that are not answered yet."""
        self.streams: list[ConsumerStream] = []
        self._subscriptions: dict[int, Subscription] = {}
        self._last_number = 0
        self._secret = secret
        self._opened = 0
        self._broken: bytes | None = None
        """The secret of the last stream that left something to go on with."""

    @property
    def wants_stream(self) -> bool:
        """Whether there is a subscription that only a Consume stream can serve."""
        return any(each.wanted and each.error is None for each in self._subscriptions.values())

    # --- the user's side --------------------------------------------------------------------------

    def subscribe(
        self,
        types: Sequence[str],
        credit: int,
        credit_bytes: int,
        owner: object = None,
        terms: Terms | None = None,
    ) -> Subscription:
        """A new subscription; it goes to the stream there is, and to each later one.

        Raises:
            ValueError: no types, or a window that cannot be.
        """
        if not types:
            raise ValueError("a subscription needs at least one type")
        _check_window(credit, credit_bytes)
        self._last_number += 1
        subscription = Subscription(
            self._last_number, types, credit, credit_bytes, owner, terms or Terms()
        )
        self._subscriptions[subscription.number] = subscription
        if self.streams and not self.streams[-1].leaving:
            self.streams[-1].add(subscription)
        return subscription

    def set_credit(
        self, subscription: Subscription, credit: int, credit_bytes: int | None = None
    ) -> int:
        """Change a window; returns the version of the wish, which the node will answer.

        It reaches the node before any settle that is queued after it.

        Raises:
            ValueError: a window that cannot be.
        """
        credit_bytes = subscription.credit_bytes if credit_bytes is None else credit_bytes
        _check_window(credit, credit_bytes)
        subscription.credit = credit
        subscription.credit_bytes = credit_bytes
        subscription.asked += 1
        if subscription.windows:
            newest = subscription.windows[-1]
            newest.stream.wish(newest)
        return subscription.asked

    def take(self, subscription: Subscription) -> Lease | None:
        """The next delivery, which counts as started from now on; None when there is none."""
        batches = subscription.batches
        while batches:
            batch = batches[0]
            lease = batch.take()
            window = batch.window
            window.started = batch.base + batch.position
            if lease is None:
                batches.popleft()
                continue
            window.buffered -= 1
            if lease.state is HELD:
                window.held[lease.id] = lease
            if not window.unreported:
                window.stream.report(window)
            return lease
        return None

    @staticmethod
    def is_urgent(lease: Lease) -> bool:
        """Of the delivery taken last: should the node be told before its handler begins?"""
        window = lease.window
        started = window.started
        return started <= CAREFUL_DELIVERIES and started <= window.subscription.credit

    def settle(self, lease: Lease, way: Way) -> None:
        """Settle a held delivery; the node hears of it with the stream's next frames.

        Raises:
            LeaseLost: the lease is known to be gone.
            ConnectionLost: it was settled, and what became of that is not known.
            RuntimeError: it has been settled already, a mistake of the caller.
        """
        if lease.state is not HELD:
            raise lease.error or RuntimeError(f"{lease.name} has been settled already")
        lease.state = SETTLING
        window = lease.window
        del window.held[lease.id]
        window.settling += 1
        if window.deferred is None:
            window.stream.settle(lease, way)
        else:
            window.deferred.append((lease, way, False))

    def emit(self, lease: Lease, results: list[Result]) -> None:
        """Ack a held delivery with results; raises as `settle` does."""
        self.settle(lease, EMIT)
        self.results[lease] = results

    def replace(self, lease: Lease, content: bytes, encoding: str) -> None:
        """Settle a held delivery by new content for the object; raises as `settle` does."""
        self.settle(lease, ("replace", None, "", encoding))
        lease.content = content

    def abandon(self, lease: Lease) -> None:
        """The handler of a held delivery was cancelled.

        Whether only that one or everything was is not known yet: if the subscription goes on,
        `nack_abandoned` counts the attempt; if it is closed, `close` decides.
        """
        if lease.state is LeaseState.HELD:
            lease.window.subscription.abandoned.append(lease)

    def nack_abandoned(self, subscription: Subscription) -> None:
        """The subscription goes on: nack what was abandoned."""
        abandoned, subscription.abandoned = subscription.abandoned, []
        for lease in abandoned:
            if lease.state is LeaseState.HELD:
                self.settle(lease, ("nack", None, "its handler was cancelled", "json"))

    def close(self, subscription: Subscription, failure: str = "") -> list[Event]:
        """The user is done: what is held is nacked with the `failure`, or returns uncounted."""
        if not subscription.wanted:
            return []
        subscription.wanted = False
        subscription.batches.clear()
        subscription.abandoned.clear()
        returned: list[Lease] = []
        for window in list(subscription.windows):
            window.buffered = 0
            if window.away:
                ended = self.over(resuming.end(window, LEFT))
                returned += [each for each in ended if each.waiter is not None]
                subscription.windows.remove(window)
                continue
            held = list(window.held.values())
            if failure:
                for lease in held:
                    self.settle(lease, ("nack", None, failure, "json"))
            else:
                for lease in held:
                    lease.end(LeaseState.LOST, LEFT)
                returned += [lease for lease in held if lease.waiter is not None]
                window.held.clear()
            window.stream.end(window)
        self.judge_closed(subscription)
        return [Ended(returned)] if returned else []

    # --- the streams' side ------------------------------------------------------------------------

    def open_stream(self) -> ConsumerStream:
        """A new Consume stream, which carries every subscription on from now on."""
        for older in self.streams:
            older.leaving = True
        stream = ConsumerStream(self, self._next_secret())
        self.streams.append(stream)
        for subscription in self._subscriptions.values():
            if subscription.wanted and subscription.error is None:
                away = [window for window in subscription.windows if window.away]
                if away:
                    stream.adopt(away[0])
                else:
                    stream.add(subscription)
        return stream

    def _next_secret(self) -> bytes:
        """That of the stream that broke, if one did; else one that no stream had before.

        A stream that still lives has its own: at its node another one with the same would end it.
        """
        secret, self._broken = self._broken, None
        if secret is None and self._secret:
            self._opened += 1
            secret = self._secret + self._opened.to_bytes(4, "big")
        return secret or b""

    def fail_all(self, error: Error) -> list[Event]:
        """The client is over: every subscription fails."""
        events: list[Event] = []
        for stream in list(self.streams):
            events += stream.lose(str(error))
        for subscription in list(self._subscriptions.values()):
            for window in list(subscription.windows):
                events += self.give_up(window, str(error))
        for subscription in self._subscriptions.values():
            subscription.error = subscription.error or error
            events.append(Confirmed(subscription))
        return events

    def forget(self, stream: ConsumerStream) -> None:
        """The stream is over; called by itself."""
        if stream in self.streams:
            self.streams.remove(stream)

    def set_aside(self, window: Window, secret: bytes, unsettled: Deferred) -> None:
        """A window outlives its stream; the next one goes on with it."""
        resuming.set_aside(window, unsettled)
        self._broken = secret

    def give_up(self, window: Window, reason: str) -> list[Event]:
        """No stream has gone on with a window in time: everything in it is lost, if it is so."""
        if not window.away:
            return []
        ended = self.over(resuming.end(window, reason))
        events: list[Event] = [Ended(ended)] if ended else []
        if self.drop(window):
            events.append(Confirmed(window.subscription))
        return events

    def over(self, leases: list[Lease]) -> list[Lease]:
        """These will not be settled any more; returns them."""
        if self.results:
            for lease in leases:
                self.results.pop(lease, None)
        return leases

    def drop(self, window: Window) -> bool:
        """The window is over with its stream; whether its subscription is closed by that."""
        subscription = window.subscription
        window.settling = 0
        subscription.windows.remove(window)
        subscription.batches = deque(
            [batch for batch in subscription.batches if batch.window is not window]
        )
        if subscription.windows:
            newest = subscription.windows[-1]
            newest.stream.wish(newest)
        return self.judge_closed(subscription)

    @staticmethod
    def freed(window: Window) -> None:
        """A delivery on an older stream has ended: the newest may fill its place."""
        newest = window.subscription.windows[-1]
        if newest is not window:
            newest.stream.wish(newest)

    def judge_closed(self, subscription: Subscription) -> bool:
        """Close a subscription that is not wanted once everything of it is answered."""
        if subscription.wanted or subscription.closed:
            return False
        if all(window.ended and not window.settling for window in subscription.windows):
            subscription.closed = True
            del self._subscriptions[subscription.number]
            for window in subscription.windows:
                window.stream.windows.pop(subscription.number, None)
        return subscription.closed


def _check_window(credit: int, credit_bytes: int) -> None:
    if not 0 <= credit <= CREDIT_MAX:
        raise ValueError(f"credit must be from 0 to {CREDIT_MAX}, not {credit}")
    if credit_bytes < 1:
        raise ValueError(f"credit_bytes must be at least 1, not {credit_bytes}")
