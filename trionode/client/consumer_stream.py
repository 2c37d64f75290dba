"""One Consume call of the consumer core: what the node has to be told on it, and what it says.

Frames in, frames out; no I/O. See `trionode.client.consumer_core` for how it fits together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import attrs

from trionode.client.emitting import EmittingAcks
from trionode.client.leases import (
    SETTLED,
    SETTLING,
    Batch,
    CopyBatch,
    Lease,
    LeaseState,
    Window,
)
from trionode.client.news import Arrived, Confirmed, Ended, Event
from trionode.client.resuming import confirm, resume, unsettled_of
from trionode.client.resuming import end as end_window
from trionode.client.settle_frames import SETTLE_OBJECTS_MAX, parts_of, refused_of, settle_frame
from trionode.errors import ProtocolError, Refused, Status
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trionode.client.consumer_core import ConsumerCore, Subscription

Way: TypeAlias = tuple[str, int | None, str, str]
"""How leases are settled: action, delay in ms, reason, encoding of new content."""

FromConsumer: TypeAlias = (
    frames.Subscribe
    | frames.Watch
    | frames.Started
    | frames.Settle
    | frames.Unsubscribe
    | frames.Heard
)
"""What a consumer says on its stream after the hello."""

ACK: Final[Way] = ("ack", None, "", "json")
EMIT: Final[Way] = ("emit", None, "", "json")
"""An ack with results."""
_ALONE = {"replace": "its new content", "emit": "its results"}
"""Ways that bring content: where the node does not take it, only its own lease is to suffer."""


class ConsumerStream:
    """One Consume call; made by `ConsumerCore.open_stream`.

    Attributes:
        hello: what it begins with.
        leaving: whether only settles go on it any more.
        max_object_bytes: the largest payload that the node takes; 0: not known yet.
        windows: the subscriptions on it, by their numbers.
        on_work: called when there is something to tell, once until `next_frames`.
    """

    def __init__(self, core: ConsumerCore, secret: bytes = b"") -> None:
        self.hello = attrs.evolve(core.hello, secret=secret)
        self.leaving = False
        self.max_object_bytes = 0
        self.windows: dict[int, Window] = {}
        self.on_work: Callable[[], None] = _nobody
        self._core = core
        self._quiet = True
        """Whether there was nothing to tell since `next_frames`."""
        self._last_number = 0
        self._lost = 0
        """How many Lost frames have come,"""
        self._lost_heard = 0
        """and how many of them the node was told of."""
        self._wishes: dict[Window, None] = {}
        self._unreported: dict[Window, None] = {}
        self._acks: list[Lease] = []
        self._settles: dict[Way, list[Lease]] = {}
        self._ends: dict[Window, None] = {}
        self._asked: dict[int, tuple[Window, int]] = {}
        """Subscribes without an answer: number -> window and version of the wish."""
        self._settling: dict[int, tuple[Way, list[Lease]]] = {}
        self._ending: dict[int, Window] = {}
        self._emitting = EmittingAcks(core.emitter, core.results)
        self._on_frame: Mapping[type, Callable[[Any], list[Event]]] = {
            frames.NodeHello: self._on_hello,
            frames.Deliver: self._on_deliver,
            frames.Copies: self._on_copies,
            frames.Answered: self._on_answered,
            frames.Lost: self._on_lost,
        }

    @property
    def idle(self) -> bool:
        """Whether nothing is outstanding: the stream can be ended without losing anything."""
        waiting = self._acks or self._settles or self._ends or self._settling or self._ending
        return not waiting and not any(window.outstanding for window in self.windows.values())

    @property
    def has_frames(self) -> bool:
        """Whether `next_frames` would give something."""
        if self._lost_heard != self._lost:
            return True
        return bool(self._acks or self._unreported or self._wishes or self._settles or self._ends)

    # --- what the core asks for -------------------------------------------------------------------

    def add(self, subscription: Subscription) -> None:
        """Carry a subscription."""
        window = self.windows[subscription.number] = Window(subscription, self)
        subscription.windows.append(window)
        self.wish(window)

    def adopt(self, window: Window) -> None:
        """Go on with what another stream left; see `resuming`."""
        window.stream = self
        window.away = False
        window.reported = 0
        self.windows[window.subscription.number] = window
        self.wish(window)
        self.report(window)

    def wish(self, window: Window) -> None:
        """Tell the node the subscription's wish, as it is when the frame is made."""
        if not self.leaving:
            self._wishes[window] = None
            self._has_work()

    def report(self, window: Window) -> None:
        """Tell the node how far the handlers are, with the next frames."""
        window.unreported = True
        self._unreported[window] = None
        self._has_work()

    def settle(self, lease: Lease, way: Way) -> None:
        """Settle a lease of this stream."""
        if way is ACK:
            self._acks.append(lease)
        else:
            self._settles.setdefault(way, []).append(lease)
        if self._quiet:
            self._has_work()

    def end(self, window: Window) -> None:
        """End a subscription, after all that was settled before."""
        if window.deferred is not None:
            return  # its settles have to wait, and it with them
        self._wishes.pop(window, None)
        self._unreported.pop(window, None)
        self._ends[window] = None
        self._has_work()

    def _has_work(self) -> None:
        if self._quiet:
            self._quiet = False
            self.on_work()

    # --- frames out -------------------------------------------------------------------------------

    def next_frames(
        self,
    ) -> list[FromConsumer]:
        """What the node has to be told now: wishes, then starts, settles and ends.

        Wishes go first, so that a window that shrinks does so before a settle frees a place in it.
        """
        made: list[FromConsumer] = []
        self._quiet = True
        if self._wishes:
            made += [self._make_wish(window) for window in self._wishes]
            self._wishes.clear()
        if self._unreported:
            for window in self._unreported:
                window.unreported = False
                if window.reported != window.started:
                    window.reported = window.started
                    made.append(frames.Started(window.subscription.number, window.started))
            self._unreported.clear()
        if self._acks:
            acks, self._acks = self._acks, []
            made += [self._make_settle(ACK, part) for part in parts_of(acks, SETTLE_OBJECTS_MAX)]
        if self._settles:
            for way, leases in self._settles.items():
                most = 1 if way[0] in _ALONE else SETTLE_OBJECTS_MAX
                made += [self._make_settle(way, part) for part in parts_of(leases, most)]
            self._settles = {}
        for window in self._ends:
            number = self._next_number()
            self._ending[number] = window
            made.append(frames.Unsubscribe(number, window.subscription.number))
        self._ends.clear()
        if self._lost_heard != self._lost:
            # After every settle that was made before the losses were known: the node takes what
            # comes later to be about later leases, which may have the same names.
            self._lost_heard = self._lost
            made.append(frames.Heard(self._lost))
        return made

    def _make_wish(self, window: Window) -> frames.Subscribe | frames.Watch:
        subscription = window.subscription
        number = self._next_number()
        self._asked[number] = window, subscription.asked
        elsewhere = sum([each.outstanding for each in subscription.windows if each is not window])
        wish = subscription.terms.frame(
            number,
            subscription.number,
            subscription.types,
            max(0, subscription.credit - elsewhere),
            subscription.credit_bytes,
        )
        resumes = window.deferred is not None and window.resuming is None
        if isinstance(wish, frames.Watch) or not resumes:
            return wish
        return resume(window, wish)

    def _make_settle(self, way: Way, leases: list[Lease]) -> frames.Settle:
        number = self._next_number()
        self._settling[number] = way, leases
        if way is EMIT:
            return self._emitting.frame(number, leases[0])
        return settle_frame(number, way, leases)

    def _next_number(self) -> int:
        self._last_number += 1
        return self._last_number

    # --- frames in --------------------------------------------------------------------------------

    def receive(self, frame: object) -> list[Event]:
        """Take in a frame of the node.

        Raises:
            ProtocolError: nodes do not say that on a Consume stream.
        """
        handler = self._on_frame.get(type(frame))
        if handler is None:
            raise ProtocolError(f"{type(frame).__name__} has no place on a Consume stream")
        return handler(frame)

    def lose(self, reason: str, *, coming_back: bool = False) -> list[Event]:
        """The stream is over: its leases are lost, and settles without an answer are in doubt.

        If the client is `coming_back`, subscriptions that have a time of grace keep theirs.
        """
        unsettled = unsettled_of(
            list(self._settling.values()), [(ACK, self._acks), *self._settles.items()]
        )
        ended: list[Lease] = []
        confirmed: list[Event] = []
        carried = list(self.windows.values())
        self.windows.clear()
        for window in carried:
            waiting = unsettled.pop(window, [])
            if coming_back and not self.leaving and window.subscription.lasts:
                self._core.set_aside(window, self.hello.secret, waiting)
                continue
            window.deferred = [*(window.deferred or ()), *waiting]
            ended += end_window(window, reason)
            if self._core.drop(window):
                confirmed.append(Confirmed(window.subscription))
        for waiting in unsettled.values():
            for lease, _, in_doubt in waiting:
                lease.end(LeaseState.UNKNOWN if in_doubt else LeaseState.REFUSED, reason)
                ended.append(lease)
        self._core.over(ended)
        self._acks.clear()
        self._settles.clear()
        self._emitting.lose()
        for window in self._unreported:
            window.unreported = False
        for windows in (self._wishes, self._unreported, self._ends):
            windows.clear()
        self._asked.clear()
        self._settling.clear()
        self._ending.clear()
        self.leaving = True
        self._core.forget(self)
        return [Ended(ended), *confirmed] if ended else confirmed

    def _on_hello(self, hello: frames.NodeHello) -> list[Event]:
        self.max_object_bytes = hello.max_object_bytes
        return []

    def _on_deliver(self, frame: frames.Deliver) -> list[Event]:
        window = self.windows.get(frame.subscription)
        if window is None or not window.subscription.wanted:
            # It crossed our Unsubscribe, by which the node takes it back.
            return []
        return self._add(window, Batch(frame, window, window.delivered))

    def _on_copies(self, frame: frames.Copies) -> list[Event]:
        window = self.windows.get(frame.subscription)
        if window is None or not window.subscription.wanted:
            return []
        window.dropped += frame.dropped
        window.subscription.dropped += frame.dropped
        if not frame.ids:
            return [Arrived(window.subscription)]
        return self._add(window, CopyBatch(frame, window, window.delivered))

    @staticmethod
    def _add(window: Window, batch: Batch) -> list[Event]:
        window.delivered += len(batch.ids)
        window.buffered += len(batch.ids)
        window.subscription.batches.append(batch)
        return [Arrived(window.subscription)]

    def _on_answered(self, frame: frames.Answered) -> list[Event]:
        settled = self._settling.pop(frame.number, None)
        if settled is not None:
            if settled[0] is EMIT:
                self._emitting.answered(frame.number)
                self._core.over(settled[1])
            return self._on_settled(*settled, frame)
        asked = self._asked.pop(frame.number, None)
        if asked is not None:
            return self._on_wish_answered(*asked, frame)
        window = self._ending.pop(frame.number, None)
        if window is None:
            raise ProtocolError(f"an answer to number {frame.number}, which waits for none")
        window.ended = True
        closed = self._core.judge_closed(window.subscription)
        return [Confirmed(window.subscription)] if closed else []

    def _on_settled(self, way: Way, leases: list[Lease], frame: frames.Answered) -> list[Event]:
        if frame.status is not Status.OK:
            return self._on_settle_refused(way, leases, frame)
        refused = refused_of(frame)
        ended: list[Lease] = []
        windows: dict[Window, None] = {}
        for lease in leases:
            window = lease.window
            window.settling -= 1
            windows[window] = None
            if refused and (reason := refused.get((lease.id, lease.attempt))) is not None:
                lease.end(LeaseState.REFUSED, reason)
            else:
                lease.state = SETTLED
                if lease.waiter is None:
                    continue
            ended.append(lease)
        return [*([Ended(ended)] if ended else []), *self._freed(windows)]

    def _on_settle_refused(
        self, way: Way, leases: list[Lease], frame: frames.Answered
    ) -> list[Event]:
        """The node would not do it, but the leases are valid: content that it does not take.

        They are nacked, or they would stay leased for as long as the stream lives.
        """
        error = Refused(frame.status, frame.message, frame.hint)
        if way is EMIT:
            self._emitting.define_again()  # what is wrong may be one of them
        for lease in leases:
            again = lease.reject_settle(error)
            if way[0] in _ALONE:
                again.state = SETTLING
                self.settle(again, ("nack", None, f"{_ALONE[way[0]]}: {error}", "json"))
            else:
                lease.window.settling -= 1
        return [Ended(leases), *self._freed({lease.window: None for lease in leases})]

    def _freed(self, windows: Iterable[Window]) -> list[Event]:
        """Places in these windows are free, which may also have been the last of a subscription."""
        closed: list[Event] = []
        for window in windows:
            self._core.freed(window)
            if self._core.judge_closed(window.subscription):
                closed.append(Confirmed(window.subscription))
        return closed

    def _on_wish_answered(
        self, window: Window, version: int, frame: frames.Answered
    ) -> list[Event]:
        subscription = window.subscription
        if window.resuming is not None and window.resuming[0] == frame.number:
            return self._on_resumed(window, version, frame)
        if frame.status is Status.OK:
            window.confirmed = True
        else:
            error = Refused(frame.status, frame.message, frame.hint)
            if window.confirmed:
                subscription.refusals[version] = error
            else:
                subscription.error = error
        subscription.answered = max(subscription.answered, version)
        return [Confirmed(subscription)]

    def _on_resumed(self, window: Window, version: int, frame: frames.Answered) -> list[Event]:
        """The node goes on with a subscription, or does not know it: what is left of its leases."""
        subscription = window.subscription
        if frame.status is Status.OK:
            window.confirmed = True
            ended, going = confirm(window, refused_of(frame))
            self._core.over(ended)
            for lease, way, _ in going:
                self.settle(lease, way)
        else:
            ended = self._core.over(end_window(window, frame.message))
            subscription.error = Refused(frame.status, frame.message, frame.hint)
        if not subscription.wanted:
            self.end(window)
        subscription.answered = max(subscription.answered, version)
        events: list[Event] = [Ended(ended)] if ended else []
        return [*events, Arrived(subscription), *self._freed([window])]

    def _on_lost(self, frame: frames.Lost) -> list[Event]:
        self._lost += 1
        self._has_work()
        ended: list[Lease] = []
        windows: dict[Window, None] = {}
        attempts = None if frame.attempts is None else iter(frame.attempts)
        for first, count in frame.ids:
            for value in range(first, first + count):
                lease = self._find(value, 1 if attempts is None else next(attempts))
                if lease is not None:
                    del lease.window.held[value]
                    lease.end(LeaseState.LOST, frame.reason)
                    ended.append(lease)
                    windows[lease.window] = None
        for window in windows:
            self._core.freed(window)
        return [Ended(ended)] if ended else []

    def _find(self, value: int, attempt: int) -> Lease | None:
        """The held lease of that name; one that is still in a batch is dropped from it."""
        for window in self.windows.values():
            lease = window.held.get(value)
            if lease is not None and lease.attempt == attempt:
                return lease
        for window in self.windows.values():
            for batch in window.subscription.batches:
                if batch.window is window and batch.drop(value, attempt):
                    window.buffered -= 1
                    self._core.freed(window)
                    return None
        return None


def _nobody() -> None:
    """The stream has no driver yet, which will ask by itself."""
