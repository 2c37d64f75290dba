"""Leases: handing ready objects to local subscriptions (R1) and ending leases in every way.

Never talks to peers; whatever changes here only flags work for the next tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from trionode.routing import effects, history
from trionode.routing.failures import acquit, lessee
from trionode.routing.model import HeldObject, Shape, State, Step
from trionode.routing.overdue import counts, overdue, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.failures import Failures
    from trionode.routing.residency import Residency
    from trionode.routing.subscriptions import ConsumerStream, Subscription

NOT_HELD = "this node has no such object: it was settled, transferred or never here"
NOT_LEASED = "the lease ended: the object is not leased now"
OTHER_LEASE = "the lease ended: the object is leased under another attempt"
OTHER_CONSUMER = "the lease ended: the object is leased to another consumer"
DEADLINE_PASSED = "its deadline passed"
NAMED_TWICE = "the same settle names this lease twice"

SPILLED_SHARE = 256
"""The most of one share where payloads are on disk: what is taken off the queue and is not in
memory yet goes back, each time."""


class Leases:
    """Mutates objects' leases and the subscriptions' windows."""

    def __init__(self, context: Context, residency: Residency, failures: Failures) -> None:
        self._context = context
        self._failures = failures
        self._residency = residency
        self.take_results: Callable[[events.Settled, list[int], float], None] = _none_taken
        """Takes custody of what comes with the acks at these indexes; the brain says who does."""
        self._actions = {
            "ack": self._ack,
            "nack": self._nack,
            "reject": self._reject,
            "return": self._return,
            "replace": self._replace,
        }

    # --- handing out ---------------------------------------------------------------------------

    def match(self, table: TypeTable) -> None:
        """R1: lease ready objects of a type to local subscriptions, a fair share to each."""
        context = self._context
        demand = context.subscriptions.line(table)
        counts = table.counts
        if demand is not None and not context.draining:
            most = SPILLED_SHARE if table.spilled else counts[State.READY]
            turns = passed = 0  # left in this round of the line; in vain since the last lease
            while counts[State.READY] and (subscription := demand.next()) is not None:
                turns = turns or demand.turns
                share = min(-(-counts[State.READY] // turns), subscription.free, most)
                turns -= 1
                suspects = 0 if subscription.stream.suspects else 1
                stream = subscription.stream
                free_bytes = min(subscription.free_bytes, stream.free_bytes)
                batch = table.ready.take(share, free_bytes, suspects)
                if batch and table.spilled:
                    batch = self._residency.in_memory(table, batch)
                    if not batch:
                        break
                if batch and table.held_bytes > stream.free_bytes:
                    batch = self._fitting(table, batch, stream)
                    if not batch:
                        continue
                if batch:
                    self._lease(batch, subscription)
                    passed = 0
                    continue
                passed += 1  # only suspects are left, and this stream has one
                if passed >= demand.turns:
                    break
        if counts[State.READY] or table.wished:
            context.stale_plans[table.name] = None
            context.custody.patterns.wait(table)

    @staticmethod
    def _fitting(
        table: TypeTable, batch: list[HeldObject], stream: ConsumerStream
    ) -> list[HeldObject]:
        """What a stream has room for of objects just taken off the queue; the rest goes back."""
        count = stream.fitting(batch)
        if count < len(batch):
            table.ready.give_back(batch[count:])
            stream.fill()
        return batch[:count]

    def _lease(self, batch: list[HeldObject], subscription: Subscription) -> None:
        context = self._context
        context.custody.move(batch, Step.LEASE)
        leases, mark = subscription.leases, subscription.delivered
        size_bytes, now = 0, context.now
        for item in batch:
            item.holder = subscription
            item.mark = mark
            item.since = now
            mark += 1
            leases[item.id] = item
            size_bytes += len(item.payload)
        stream = subscription.stream
        stream.suspects += batch[0].suspect  # only the first one can be
        stream.free_bytes -= size_bytes
        subscription.delivered = mark
        subscription.leased_bytes += size_bytes
        if stream.free_bytes <= 0:
            stream.fill()
        if stream.full:
            stream.turn(subscription)
        subscription.refresh()
        if subscription.terms.max_processing_s:
            watch(context, subscription, now)
        context.out.append(
            effects.Deliver(stream.handle, subscription.number, batch[0].table.name, batch)
        )

    # --- settling ------------------------------------------------------------------------------

    def settle(self, event: events.Settled, now: float) -> None:
        """Settle leases in one of five ways; a lease that is not valid is refused alone (G3)."""
        context = self._context
        objects = context.custody.objects
        attempts = event.attempts or [1] * len(event.ids)
        valid: list[HeldObject] = []
        indexes: list[int] = []
        refused: list[tuple[int, int, str]] = []
        seen: set[int] = set()
        for index, (id_, attempt) in enumerate(zip(event.ids, attempts, strict=True)):
            item = objects.get(id_)
            if (
                item is not None
                and item.state == State.LEASED
                and item.attempt == attempt
                and item.holder.stream.handle == event.stream  # type: ignore[union-attr]  # a leased object's holder is a subscription
                and id_ not in seen
            ):
                seen.add(id_)
                valid.append(item)
                indexes.append(index)
            else:
                reason = NAMED_TWICE if id_ in seen else _why_invalid(item, attempt)
                refused.append((id_, attempt, reason))
        subscriptions = self.release(valid)
        self._actions[event.action](event, valid, indexes, now)
        if event.emitted:
            self.take_results(event, indexes, now)
        # Who is told that an ack was done relies on nothing new; all else is to be in the store.
        after_commit = event.action != "ack" or bool(event.emitted)
        context.out.append(
            effects.AnswerSettle(event.stream, event.number, refused, after_commit=after_commit)
        )
        self.credit_freed(subscriptions)

    def _ack(
        self, event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        context = self._context
        ids = context.custody.remove(items, Step.SETTLE, "settled")
        if ids:
            context.out.append(effects.Forget(ids, "settled", now, plain=not event.emitted))

    def _nack(
        self, event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        self._failures.count(items, history.FAILED, event.reason)
        acquit(items)
        self._again(items, now, event.delay_s)

    def _again(self, items: list[HeldObject], now: float, delay_s: float | None) -> None:
        """Have those that failed, and are no dead letters by that, tried again."""
        alive = [item for item in items if item.state == State.LEASED]
        at_once = self._failures.put_off(alive, now, delay_s)
        if items:
            self._context.out.append(effects.Keep(items))
        self.ready_again(at_once, now)

    def _reject(
        self, event: events.Settled, items: list[HeldObject], _indexes: list[int], _now: float
    ) -> None:
        acquit(items)
        self._failures.note(items, history.REJECTED, event.reason)
        self._failures.bury(items, event.reason or "rejected by its consumer")
        if items:
            self._context.out.append(effects.Keep(items))

    def _return(
        self, _event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        self._failures.note(items, history.RETURNED, "given back")
        self.ready_again(items, now)

    def ready_again(self, items: list[HeldObject], now: float) -> None:
        """Lease objects that were released anew, those first that came first."""
        self._context.custody.move(items, Step.RETURN)
        self._context.requeue(items, now)
        for table in {item.table.name: item.table for item in items}.values():
            self.match(table)

    def _replace(
        self, event: events.Settled, items: list[HeldObject], indexes: list[int], now: float
    ) -> None:
        context = self._context
        self._failures.note(items, history.REPLACED)
        context.custody.move(items, Step.REPLACE)
        for item, index in zip(items, indexes, strict=True):
            context.custody.replace(item, event.payloads[index])
            item.shape = event.shape or Shape()
            item.attempt = 1
            item.holder = None
            item.since = now
            item.amend(version=item.detail("version", 1) + 1, failure=None, suspect=None)
            item.table.ready.append([item])
            if item.table.watchers:
                context.custody.watching.copy(item.table, [item], "replaced")
        if items:
            context.out.append(effects.Keep(items))
        for table in {item.table.name: item.table for item in items}.values():
            self.match(table)

    # --- shared --------------------------------------------------------------------------------

    def expire(self, items: list[HeldObject], now: float) -> None:
        """End objects whose deadline passed; those who lease some are told.

        All at once: what is freed must not go to one that is about to end as well.
        """
        context = self._context
        leased = [item for item in items if item.state == State.LEASED]
        lost = _by_stream(leased)
        subscriptions = self.release(leased)
        for table in dict.fromkeys([item.table for item in items]):
            context.regrant(table)
        context.end_at_deadline(items, now)
        self._tell_lost(lost, DEADLINE_PASSED)
        self.credit_freed(subscriptions)

    def overdue(self, subscription: Subscription, now: float) -> None:
        """Take back what a consumer has had for too long, and try it again.

        The stream gets nothing more until the consumer has said that it knows: one that is frozen
        would only hold up more, and a settle that it sent before it knew could not be told from one
        of a later lease of the same name (id, attempt).
        """
        items = overdue(self._context, subscription, now)
        if not items:
            return
        stream = subscription.stream
        stream.silent = stream.silent or stream.confirms
        text = f"it was not settled within {subscription.terms.max_processing_s:g} s"
        lost = _by_stream(items)
        subscriptions = self.release(items)
        stream.refresh()
        self._tell_lost(lost, text)
        counted = [item for item in items if counts(item, subscription)]
        unstarted = [item for item in items if not counts(item, subscription)]
        self._failures.note(unstarted, history.RETURNED, text)
        self._failures.count(counted, history.OVERDUE, text)
        self._again(counted, now, None)
        self.ready_again(unstarted, now)
        self.credit_freed(subscriptions)

    def _tell_lost(self, lost: dict[ConsumerStream, _Lost], reason: str) -> None:
        for stream, (leases, size_bytes) in lost.items():
            stream.told += 1
            if stream.confirms:
                stream.lose(size_bytes)
            self._context.out.append(effects.LoseLeases(stream.handle, leases, reason))

    def release(self, items: Iterable[HeldObject]) -> list[Subscription]:
        """Take objects out of their subscriptions' windows; their state is moved by the caller.

        Returns the subscriptions that may be leased more now.
        """
        before: dict[Subscription, int] = {}
        eased: dict[ConsumerStream, None] = {}
        for item in items:
            subscription = lessee(item)
            if subscription not in before:
                before[subscription] = subscription.leased_bytes
            del subscription.leases[item.id]
            subscription.leased_bytes -= len(item.payload)
            if item.suspect:
                subscription.stream.suspects -= 1
                eased[subscription.stream] = None
        for subscription, leased_bytes in before.items():
            stream = subscription.stream
            stream.free_bytes += leased_bytes - subscription.leased_bytes
            if stream.full and stream.empty():
                eased[stream] = None
        touched: dict[Subscription, object] = {}
        for stream in eased:  # they have their turn, whichever of them it was
            touched.update(dict.fromkeys(stream.subscriptions.values()))
        touched.update(before)
        for subscription in touched:
            subscription.refresh()
        return list(touched)

    def credit_freed(self, subscriptions: list[Subscription]) -> None:
        """Lease more to subscriptions; of several keys, the one served last is served last."""
        context = self._context
        tables = context.custody.tables
        for subscription in subscriptions:
            if context.hungry:
                context.stale_grants.update([(each.key, None) for each in subscription.demands])
            for demand in list(subscription.demands):
                if not subscription.free:
                    break
                delivered = subscription.delivered
                table = tables.get(demand.key)
                if table is None:
                    self._credit_freed_by_pattern(subscription, demand.key)
                elif table.counts[State.READY]:
                    self.match(table)
                if subscription.delivered != delivered:
                    subscription.served(demand)

    def _credit_freed_by_pattern(self, subscription: Subscription, key: str) -> None:
        """Lease what waits of the types that belong to a pattern, while there is credit."""
        pattern = self._context.custody.patterns.open_ones.get(key)
        if pattern is None or not pattern.waiting:
            return
        for table in pattern.backlog():
            self.match(table)
            if not subscription.free:
                break


def _none_taken(event: events.Settled, _settled: list[int], _now: float) -> None:
    raise AssertionError(f"nobody takes the results of settle {event.number}")


_Lost: TypeAlias = tuple[list[tuple[int, int]], int]
"""The names of leases, and the bytes of their objects."""


def _by_stream(items: list[HeldObject]) -> dict[ConsumerStream, _Lost]:
    """Leases by the stream that has them."""
    found: dict[ConsumerStream, _Lost] = {}
    for item in items:
        stream = lessee(item).stream
        names, size_bytes = found.get(stream, ([], 0))
        names.append((item.id, item.attempt))
        found[stream] = names, size_bytes + len(item.payload)
    return found


def _why_invalid(item: HeldObject | None, attempt: int) -> str:
    if item is None:
        return NOT_HELD
    if item.state != State.LEASED:
        return NOT_LEASED
    if item.attempt == attempt:
        return OTHER_CONSUMER
    return f"{OTHER_LEASE} (attempt {item.attempt}, not {attempt})"
