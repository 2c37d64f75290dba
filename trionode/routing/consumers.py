"""Consumer streams and subscriptions as they come, go and say how far they are.

Never decides who gets an object; what a stream leaves behind goes back through `Leases`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, history, resuming
from trionode.routing.failures import died
from trionode.routing.model import State
from trionode.routing.overdue import note_start, watch
from trionode.routing.patterns import is_pattern
from trionode.routing.subscriptions import ConsumerStream, Terms

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.failures import Failures
    from trionode.routing.leases import Leases
    from trionode.routing.model import HeldObject
    from trionode.routing.subscriptions import Subscription


class Consumers:
    """Opens and ends streams and subscriptions."""

    def __init__(self, context: Context, leases: Leases, failures: Failures) -> None:
        self._context = context
        self._leases = leases
        self._failures = failures

    def came(self, event: events.ConsumerCame, now: float) -> None:
        """A consumer stream opened, maybe in the place of one that broke."""
        book = self._context.subscriptions
        before = book.secrets.get(event.secret) if event.secret else None
        if before is not None and before.handle in book.streams:
            # The consumer has noticed earlier than this node that the old stream is broken.
            self._broken(book.streams.pop(before.handle), now)
            before = book.secrets.get(event.secret)
        stream = before or ConsumerStream(
            event.stream, secret=event.secret, limit_bytes=self._context.options.stream_bytes
        )
        stream.handle, stream.label, stream.confirms = event.stream, event.label, event.confirms
        stream.told, stream.heard = 0, 0
        stream.hear()
        book.streams[event.stream] = stream
        if event.secret:
            book.secrets[event.secret] = stream

    def gone(self, event: events.ConsumerGone, now: float) -> None:
        """A consumer stream ended: all its leases return, those begun by a dead one counted."""
        stream = self._context.subscriptions.streams.pop(event.stream, None)
        if stream is None:
            return
        if event.died:
            self._broken(stream, now)
            return
        self._end(list(stream.subscriptions.values()), now, dead=False)
        self._context.subscriptions.secrets.pop(stream.secret, None)

    def _broken(self, stream: ConsumerStream, now: float) -> None:
        """A stream ended without a word; what has a `reconnect_grace` keeps its leases for that."""
        resuming.set_aside(self._context, stream, now)
        ended = [each for each in stream.subscriptions.values() if each.away_until is None]
        self._end(ended, now, dead=True)
        self._forget_empty(stream)

    def _forget_empty(self, stream: ConsumerStream) -> None:
        book = self._context.subscriptions
        if not stream.subscriptions and stream.handle not in book.streams:
            book.secrets.pop(stream.secret, None)

    def away_too_long(self, subscription: Subscription, now: float) -> None:
        """A timer: unless the consumer has come back in time, it has died."""
        until, stream = subscription.away_until, subscription.stream
        if until is not None and until <= now and subscription.number in stream.subscriptions:
            self._end([subscription], now, dead=True)
            self._forget_empty(stream)

    def drain(self, now: float) -> None:
        """The node is leaving: who is away can't come back to it, which is not their doing."""
        for stream in list(self._context.subscriptions.secrets.values()):
            away = [each for each in stream.subscriptions.values() if each.away_until is not None]
            self._end(away, now, dead=False)
            self._forget_empty(stream)

    def subscribe(self, event: events.Subscribed, now: float) -> None:
        """Open a subscription, set its window and terms again, or have it go on where it was."""
        context = self._context
        stream = context.subscriptions.streams.get(event.stream)
        if stream is None:
            return
        subscription = stream.subscriptions.get(event.subscription)
        if subscription is not None and resuming.is_another(subscription, event):
            self._end([subscription], now, dead=True)
            subscription = None
        if subscription is None:
            fresh = context.subscriptions.open(stream, event.subscription, event.keys)
            context.stale_interest.update(dict.fromkeys(fresh))
            for key in fresh:
                context.custody.patterns.open(key)
            subscription = stream.subscriptions[event.subscription]
        subscription.away_until = None
        undelivered: list[HeldObject] = []
        if event.resumed is not None:
            undelivered, refused = resuming.resume(subscription, event.resumed)
            self._leases.release(undelivered)
            context.out.append(effects.AnswerSettle(event.stream, event.resumed.number, refused))
        subscription.terms = Terms.of(event.wishes, context.options)
        subscription.credit = event.credit
        subscription.credit_bytes = event.credit_bytes
        subscription.refresh()
        self._failures.note(undelivered, history.RETURNED, "it did not reach its consumer")
        self._leases.ready_again(undelivered, now)
        self._leases.credit_freed([subscription])
        if subscription.terms.max_processing_s:
            watch(context, subscription, now)

    def unsubscribe(self, event: events.Unsubscribed, now: float) -> None:
        """End a subscription; its leases return uncounted."""
        subscription = self._context.subscriptions.find(event.stream, event.subscription)
        if subscription is not None:
            self._end([subscription], now, dead=False)

    def started(self, event: events.Started, now: float) -> None:
        """Note how far a subscription's handlers have come."""
        subscription = self._context.subscriptions.find(event.stream, event.subscription)
        if subscription is not None:
            count = min(event.count, subscription.delivered)
            subscription.started = max(subscription.started, count)
            if subscription.terms.max_processing_s:
                note_start(subscription, now)

    def heard(self, event: events.Heard) -> None:
        """A consumer has taken in how many times leases were taken back; see `ConsumerStream`."""
        stream = self._context.subscriptions.streams.get(event.stream)
        if stream is None:
            return
        stream.heard = max(stream.heard, event.count)
        if (stream.silent or stream.lost_bytes) and stream.heard >= stream.told:
            stream.hear()
            self._leases.credit_freed(list(stream.subscriptions.values()))

    def _end(self, subscriptions: list[Subscription], now: float, *, dead: bool) -> None:
        context, leases = self._context, self._leases
        leased = [item for each in subscriptions for item in each.leases.values()]
        counted: list[HeldObject] = []
        uncounted: list[HeldObject] = []
        for each in subscriptions:
            for item in each.leases.values():
                (counted if dead and item.mark < each.started else uncounted).append(item)
        others = dict.fromkeys(leases.release(leased))
        for subscription in subscriptions:
            others.pop(subscription, None)
            for key in context.subscriptions.close(subscription):
                self._local_gone(key, now)
            for demand in subscription.demands:
                context.stale_grants[demand.key] = None
        why = "its consumer died before it was started" if dead else "its consumer left"
        self._failures.note(uncounted, history.RETURNED, why)
        died(self._failures, counted)
        if counted:
            context.out.append(effects.Keep(counted))
        leases.ready_again([item for item in leased if item.state == State.LEASED], now)
        leases.credit_freed(list(others))

    def _local_gone(self, key: str, now: float) -> None:
        """Nobody here wants a key any more; its types' objects stay for a while (R2).

        A type that is first met after the last subscription for a pattern went has none to keep.
        """
        context = self._context
        context.stale_interest[key] = None
        patterns = context.custody.patterns
        for table in patterns.tables_of(key) if is_pattern(key) else (context.custody.table(key),):
            table.local_gone = now
            context.timers.set(now + context.options.transfer_after_s, "plan", table)
        patterns.close(key)
