"""Consumer streams and subscriptions as they come, go and say how far they are.

Never decides who gets an object; what a stream leaves behind goes back through `Leases`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, history
from trionode.routing.failures import died
from trionode.routing.model import State
from trionode.routing.overdue import note_start
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

    def came(self, event: events.ConsumerCame) -> None:
        """A consumer stream opened."""
        stream = ConsumerStream(event.stream, event.label, event.confirms)
        self._context.subscriptions.streams[event.stream] = stream

    def gone(self, event: events.ConsumerGone, now: float) -> None:
        """A consumer stream ended: all its leases return, those begun by a dead one counted."""
        stream = self._context.subscriptions.streams.pop(event.stream, None)
        if stream is None:
            return
        self._end(list(stream.subscriptions.values()), now, dead=event.died)

    def subscribe(self, event: events.Subscribed) -> None:
        """Open a subscription or set its window and terms again."""
        context = self._context
        stream = context.subscriptions.streams.get(event.stream)
        if stream is None:
            return
        subscription = stream.subscriptions.get(event.subscription)
        if subscription is None:
            fresh = context.subscriptions.open(stream, event.subscription, event.keys)
            context.stale_interest.update(dict.fromkeys(fresh))
            for key in fresh:
                context.custody.patterns.open(key)
            subscription = stream.subscriptions[event.subscription]
        subscription.terms = Terms.of(event.wishes, context.options)
        subscription.credit = event.credit
        subscription.credit_bytes = event.credit_bytes
        subscription.refresh()
        self._leases.credit_freed([subscription])

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
        if stream.silent and stream.heard >= stream.told:
            stream.silent = False
            subscriptions = list(stream.subscriptions.values())
            for subscription in subscriptions:
                subscription.refresh()
            self._leases.credit_freed(subscriptions)

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
