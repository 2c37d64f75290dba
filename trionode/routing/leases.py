"""Leases: handing ready objects to local subscriptions (R1) and ending leases in every way.

Never talks to peers; whatever changes here only flags work for the next tick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, history
from trionode.routing.model import HeldObject, Shape, State, Step, jitter
from trionode.routing.patterns import is_pattern
from trionode.routing.subscriptions import ConsumerStream, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.residency import Residency

NOT_HELD = "this node has no such object: it was settled, transferred or never here"
NOT_LEASED = "the lease ended: the object is not leased now"
OTHER_LEASE = "the lease ended: the object is leased under another attempt"
OTHER_CONSUMER = "the lease ended: the object is leased to another consumer"
NAMED_TWICE = "the same settle names this lease twice"
TERMINAL_TEXT_MAX = 1000
"""Characters of a failure's text that are kept."""


class Leases:
    """Mutates objects' leases and the subscriptions' windows."""

    def __init__(self, context: Context, residency: Residency) -> None:
        self._context = context
        self._residency = residency
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
            turns = passed = 0  # left in this round of the line; in vain since the last lease
            while counts[State.READY] and (subscription := demand.next()) is not None:
                turns = turns or demand.turns
                share = min(-(-counts[State.READY] // turns), subscription.free)
                turns -= 1
                suspects = 0 if subscription.stream.suspects else 1
                batch = table.ready.take(share, subscription.free_bytes, suspects)
                if batch and table.spilled:
                    batch = self._residency.in_memory(table, batch)
                    if not batch:
                        break
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
        subscription.stream.suspects += batch[0].suspect  # only the first one can be
        subscription.delivered = mark
        subscription.leased_bytes += size_bytes
        subscription.refresh()
        context.out.append(
            effects.Deliver(
                subscription.stream.handle, subscription.number, batch[0].table.name, batch
            )
        )

    # --- streams and subscriptions -------------------------------------------------------------

    def came(self, event: events.ConsumerCame) -> None:
        """A consumer stream opened."""
        self._context.subscriptions.streams[event.stream] = ConsumerStream(
            event.stream, event.label
        )

    def gone(self, event: events.ConsumerGone, now: float) -> None:
        """A consumer stream ended: all its leases return, those begun by a dead one counted."""
        stream = self._context.subscriptions.streams.pop(event.stream, None)
        if stream is None:
            return
        self._end(list(stream.subscriptions.values()), now, died=event.died)

    def subscribe(self, event: events.Subscribed) -> None:
        """Open a subscription or set its window again."""
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
        subscription.credit = event.credit
        subscription.credit_bytes = event.credit_bytes
        subscription.refresh()
        self._credit_freed([subscription])

    def unsubscribe(self, event: events.Unsubscribed, now: float) -> None:
        """End a subscription; its leases return uncounted."""
        stream = self._context.subscriptions.streams.get(event.stream)
        if stream is not None and event.subscription in stream.subscriptions:
            self._end([stream.subscriptions[event.subscription]], now, died=False)

    def started(self, event: events.Started) -> None:
        """Note how far a subscription's handlers have come."""
        stream = self._context.subscriptions.streams.get(event.stream)
        if stream is not None and event.subscription in stream.subscriptions:
            subscription = stream.subscriptions[event.subscription]
            count = min(event.count, subscription.delivered)
            subscription.started = max(subscription.started, count)

    def _end(self, subscriptions: list[Subscription], now: float, *, died: bool) -> None:
        context = self._context
        leased = [item for each in subscriptions for item in each.leases.values()]
        counted = [
            item
            for each in subscriptions
            for item in each.leases.values()
            if died and item.mark < each.started
        ]
        others = dict.fromkeys(self._release(leased))
        for subscription in subscriptions:
            others.pop(subscription, None)
            for key in context.subscriptions.close(subscription):
                self._local_gone(key, now)
            for demand in subscription.demands:
                context.stale_grants[demand.key] = None
        uncounted = [item for item in leased if not died or item.mark >= item.holder.started]  # type: ignore[union-attr]  # a leased object's holder is a subscription
        self._note(uncounted, history.RETURNED, "its consumer left" if not died else "unstarted")
        self._count_failure(counted, history.DIED, "its consumer died while processing it")
        for item in counted:
            item.amend(suspect=True)
        returned = [item for item in leased if item.state == State.LEASED]
        context.custody.move(returned, Step.RETURN)
        context.requeue(returned, now)
        if counted:
            context.out.append(effects.Keep(counted))
        for table in {item.table.name: item.table for item in returned}.values():
            self.match(table)
        self._credit_freed(list(others))

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
        subscriptions = self._release(valid)
        self._actions[event.action](event, valid, indexes, now)
        context.out.append(
            effects.AnswerSettle(
                event.stream, event.number, refused, after_commit=event.action != "ack"
            )
        )
        self._credit_freed(subscriptions)

    def _ack(
        self, _event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        context = self._context
        ids = context.custody.remove(items, Step.SETTLE, "settled")
        if ids:
            context.out.append(effects.Forget(ids, "settled", now))

    def _nack(
        self, event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        context = self._context
        self._count_failure(items, history.FAILED, event.reason)
        _acquit(items)
        at_once: list[HeldObject] = []
        for item in items:
            if item.state != State.LEASED:
                continue
            delay_s = self._retry_delay_s(item) if event.delay_s is None else event.delay_s
            if delay_s > 0:
                context.delay([item], now + delay_s)
            else:
                at_once.append(item)
        if items:
            context.out.append(effects.Keep(items))
        self._ready_again(at_once, now)

    def _reject(
        self, event: events.Settled, items: list[HeldObject], _indexes: list[int], _now: float
    ) -> None:
        _acquit(items)
        self._note(items, history.REJECTED, event.reason)
        self._bury(items, event.reason or "rejected by its consumer")
        if items:
            self._context.out.append(effects.Keep(items))

    def _return(
        self, _event: events.Settled, items: list[HeldObject], _indexes: list[int], now: float
    ) -> None:
        self._note(items, history.RETURNED, "given back")
        self._ready_again(items, now)

    def _ready_again(self, items: list[HeldObject], now: float) -> None:
        self._context.custody.move(items, Step.RETURN)
        self._context.requeue(items, now)
        for table in {item.table.name: item.table for item in items}.values():
            self.match(table)

    def _replace(
        self, event: events.Settled, items: list[HeldObject], indexes: list[int], now: float
    ) -> None:
        context = self._context
        self._note(items, history.REPLACED)
        context.custody.move(items, Step.REPLACE)
        for item, index in zip(items, indexes, strict=True):
            context.custody.replace(item, event.payloads[index])
            item.shape = event.shape or Shape()
            item.attempt = 1
            item.holder = None
            item.since = now
            item.amend(version=item.detail("version", 1) + 1, failure=None, suspect=None)
            item.table.ready.append([item])
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
        lost: dict[int, list[tuple[int, int]]] = {}
        for item in leased:
            assert isinstance(item.holder, Subscription)
            lost.setdefault(item.holder.stream.handle, []).append((item.id, item.attempt))
        subscriptions = self._release(leased)
        for table in dict.fromkeys([item.table for item in items]):
            context.regrant(table)
        context.end_at_deadline(items, now)
        for stream, leases in lost.items():
            context.out.append(effects.LoseLeases(stream, leases, "its deadline passed"))
        self._credit_freed(subscriptions)

    def _release(self, items: Iterable[HeldObject]) -> list[Subscription]:
        """Take objects out of their subscriptions' windows; their state is moved by the caller.

        Returns the subscriptions that may be leased more now.
        """
        touched: dict[Subscription, None] = {}
        for item in items:
            subscription = item.holder
            assert isinstance(subscription, Subscription)
            del subscription.leases[item.id]
            subscription.leased_bytes -= len(item.payload)
            touched[subscription] = None
            if item.suspect:
                subscription.stream.suspects -= 1
                touched.update(dict.fromkeys(subscription.stream.subscriptions.values()))
        for subscription in touched:
            subscription.refresh()
        return list(touched)

    def _credit_freed(self, subscriptions: list[Subscription]) -> None:
        """Lease more to subscriptions; of several keys, the one served last is served last."""
        context = self._context
        for subscription in subscriptions:
            for demand in list(subscription.demands):
                context.stale_grants[demand.key] = None
                delivered = subscription.delivered
                table = context.custody.tables.get(demand.key)
                if table is None:
                    self._credit_freed_by_pattern(subscription, demand.key)
                elif table.counts[State.READY]:
                    self.match(table)
                if subscription.delivered != delivered:
                    subscription.served(demand)

    def _credit_freed_by_pattern(self, subscription: Subscription, key: str) -> None:
        """Lease what waits of the types that belong to a pattern, while there is credit."""
        pattern = self._context.custody.patterns.open_ones.get(key)
        if pattern is None or not pattern.waiting or not subscription.free:
            return
        for table in pattern.backlog():
            self.match(table)
            if not subscription.free:
                break

    def _note(self, items: list[HeldObject], what: str, why: str = "") -> None:
        """Write down what became of leases that a consumer had."""
        if items:
            consumer = items[0].holder.stream.label  # type: ignore[union-attr]  # its lease's subscription
            self._context.note(items, what, consumer=consumer, why=why)

    def _count_failure(self, items: list[HeldObject], what: str, text: str) -> None:
        """Count an attempt of each; those that used up theirs become dead letters."""
        exhausted = []
        self._note(items, what, text)
        for item in items:
            if text:
                item.amend(failure=text[:TERMINAL_TEXT_MAX])
            if item.attempt >= self._context.options.max_attempts:
                exhausted.append(item)
            else:
                item.attempt += 1
        self._bury(exhausted, f"failed {self._context.options.max_attempts} times")

    def _bury(self, items: list[HeldObject], reason: str) -> None:
        context = self._context
        context.custody.move(items, Step.BURY)
        for item in items:
            item.holder = None
            item.since = context.now
            item.amend(dead=reason[:TERMINAL_TEXT_MAX])

    def _retry_delay_s(self, item: HeldObject) -> float:
        """Exponential back-off with up to 20 % of jitter taken off, so that retries spread."""
        options = self._context.options
        doublings = min(max(0, item.attempt - 2), 32)
        delay_s = min(options.retry_base_s * float(2**doublings), options.retry_cap_s)
        return delay_s * (1 - 0.2 * jitter(item.id, item.attempt))


def _acquit(items: list[HeldObject]) -> None:
    """The consumer has survived these: they are suspects no more."""
    for item in items:
        if item.suspect:
            item.amend(suspect=None)


def _why_invalid(item: HeldObject | None, attempt: int) -> str:
    if item is None:
        return NOT_HELD
    if item.state != State.LEASED:
        return NOT_LEASED
    if item.attempt == attempt:
        return OTHER_CONSUMER
    return f"{OTHER_LEASE} (attempt {item.attempt}, not {attempt})"
