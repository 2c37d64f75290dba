"""The brain's front door: one event in, the effects it causes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.routing import events
from trionode.routing.consumers import Consumers
from trionode.routing.context import Context
from trionode.routing.credit import Credit
from trionode.routing.dead_letters import DeadLetters
from trionode.routing.failures import Failures
from trionode.routing.intake import Intake
from trionode.routing.interest import Interest
from trionode.routing.key_order import KeyOrder
from trionode.routing.leases import Leases
from trionode.routing.links import Link
from trionode.routing.model import HeldObject, State, Step
from trionode.routing.offers import Givings, Offer, Takings
from trionode.routing.options import RoutingOptions
from trionode.routing.rebalance import Rebalancer
from trionode.routing.recovery import Recovery
from trionode.routing.residency import Residency

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.custody import TypeTable
    from trionode.routing.effects import Effect


_MAY_EXPIRE = (State.READY, State.DELAYED, State.LEASED, State.BLOCKED)


class Brain:
    """All routing decisions of one node.

    `handle` is the only way to change it. Whoever runs it must carry the effects out in order, hold
    those with `after_commit` back until the store confirms, send a `Tick` whenever `work_flagged`
    is true (once per pass of its loop is enough: that is what coalesces news to peers), and one at
    `wake_at`.

    Args:
        node: this node's id, unique in the mesh.
        incarnation: larger than in any earlier life of this node id.
        durable: the node's store survives its crash.
        options: timings and bounds.
    """

    def __init__(
        self, node: str, incarnation: int, *, durable: bool, options: RoutingOptions | None = None
    ) -> None:
        self._context = context = Context(node, incarnation, durable, options or RoutingOptions())
        self._watching = context.custody.watching
        self._residency = Residency(context)
        failures = Failures(context)
        self._leases = Leases(context, self._residency, failures)
        self._consumers = Consumers(context, self._leases, failures)
        self._intake = Intake(context, self._leases)
        self._leases.take_results = self._intake.emitted
        self._interest = Interest(context)
        self._credit = Credit(context, self._interest)
        self._givings = Givings(context)
        self._takings = Takings(context)
        self._rebalancer = Rebalancer(
            context, self._interest, self._credit, self._givings, self._residency
        )
        self._keys = KeyOrder(context, self._interest, self._leases)
        self._recovery = Recovery(
            context, self._intake, self._givings, self._takings, self._residency
        )
        self._dead_letters = DeadLetters(context, self._leases)
        self._handlers: dict[type, Callable[[Any, float], None]] = {
            events.Recovered: self._recovery.recovered,
            events.Pushed: self._intake.pushed,
            events.ConsumerCame: self._consumers.came,
            events.ConsumerGone: self._consumer_gone,
            events.Subscribed: self._consumers.subscribe,
            events.Unsubscribed: self._consumers.unsubscribe,
            events.WatchBegan: lambda event, _now: self._watching.begin(
                (event.stream, event.subscription), event.keys
            ),
            events.WatchEnded: lambda event, _now: self._watching.end(
                (event.stream, event.subscription)
            ),
            events.Started: self._consumers.started,
            events.Heard: lambda event, _now: self._consumers.heard(event),
            events.Settled: self._leases.settle,
            events.LinkUp: self._link_up,
            events.LinkDown: self._link_down,
            events.NeighboursTold: lambda event, _now: self._interest.neighbours_told(event),
            events.InterestTold: lambda event, _now: self._interest.told(event),
            events.CreditGranted: lambda event, _now: self._credit.granted(event),
            events.BacklogTold: lambda event, _now: self._credit.backlog_told(event),
            events.OfferCame: self._offer_came,
            events.OfferAnswered: self._offer_answered,
            events.OffersClosed: self._offers_closed,
            events.OffersAsked: self._offers_asked,
            events.KeysSettled: lambda event, _now: self._keys.settled(event),
            events.KeysAsked: lambda event, _now: self._keys.asked(event),
            events.Written: lambda event, _now: self._residency.written(event),
            events.Fetched: lambda event, _now: self._fetched(event),
            events.Tick: self._tick,
            events.DrainStarted: self._drain,
            events.DrainEnding: self._end_drain,
            events.Retried: self._dead_letters.retried,
            events.Discarded: lambda event, _now: self._dead_letters.discarded(event),
            events.NodeForgotten: self._node_forgotten,
        }
        self._wakers: dict[str, Callable[[Any, float], object]] = {
            "due": self._due,
            "plan": self._plan_due,
            "credit": self._credit.withdraw,
            "doubt": self._doubt_due,
            "giver": self._takings.away_due,
            "overdue": self._leases.overdue,
            "away": self._consumers.away_too_long,
            "keys": self._intake.keys_due,
            "order": self._keys.due,
        }

    @property
    def context(self) -> Context:
        """The books, for reading: status, invariants, recovery."""
        return self._context

    @property
    def interest(self) -> Interest:
        """Links and routes, for reading."""
        return self._interest

    @property
    def givings(self) -> Givings:
        """Open offers of ours, for reading."""
        return self._givings

    @property
    def takings(self) -> Takings:
        """Offers of others not yet closed, for reading."""
        return self._takings

    @property
    def intake(self) -> Intake:
        """Producers' books, for reading."""
        return self._intake

    @property
    def work_flagged(self) -> bool:
        """Whether a tick has something to do now."""
        context = self._context
        stale = context.stale_plans or context.stale_interest or context.stale_grants
        return bool(stale or context.fresh_credit or context.leftover)

    @property
    def wake_at(self) -> float | None:
        """When the next timer is due."""
        return self._context.timers.next()

    def handle(self, event: object, now: float) -> list[Effect]:
        """Take one event at monotonic time `now` (seconds) and return what is to be done."""
        context = self._context
        context.now = now
        context.leftover = context.draining and not context.durable
        self._handlers[type(event)](event, now)
        if context.custody.ordering.at_work:
            self._keys.end_turn(now)
        out = context.out
        context.out = []
        if self._watching.out:
            out += self._watching.out
            self._watching.out = []
        return out

    def _consumer_gone(self, event: events.ConsumerGone, now: float) -> None:
        self._watching.gone(event.stream)
        self._consumers.gone(event, now)

    @property
    def memory_short(self) -> bool:
        """Whether payloads should leave memory: say what was written (`events.Written`)."""
        return self._residency.short

    # --- links ---------------------------------------------------------------------------------

    def _link_up(self, event: events.LinkUp, _now: float) -> None:
        assert all(link.peer != event.peer for link in self._interest.links.values()), (
            "the old link of a peer goes down before the new one comes up"
        )
        link = Link(
            event.link, event.peer, event.incarnation, event.durable, event.max_object_bytes
        )
        self._interest.link_up(link)
        self._givings.link_up(link)
        self._keys.link_up(link)
        self._takings.link_up(link)
        self._interest.flush()

    def _link_down(self, event: events.LinkDown, now: float) -> None:
        link = self._interest.links.get(event.link)
        if link is None:
            return
        self._context.stale_grants.update(dict.fromkeys(link.take))
        self._interest.link_down(link)
        self._givings.link_down(link.peer, now)
        self._keys.link_down(link.peer, now)
        self._takings.link_down(link, now)

    # --- custody between nodes -----------------------------------------------------------------

    def _offer_came(self, event: events.OfferCame, now: float) -> None:
        link = self._interest.links.get(event.link)
        if link is None:
            return
        taken = self._takings.came(event, link, self._credit.room(event, link), now)
        self._credit.received(event, link, now)
        table = self._context.custody.tables.get(event.type)
        if taken and table is not None:
            self._leases.match(table)

    def _offer_answered(self, event: events.OfferAnswered, now: float) -> None:
        link = self._interest.links.get(event.link)
        if link is None:
            return
        kept = self._givings.answered(event, link, now)
        if event.refused and self._context.draining:
            link.refusing = True
        self._match_all(kept)

    def _offers_closed(self, event: events.OffersClosed, _now: float) -> None:
        link = self._interest.links.get(event.link)
        if link is not None:
            self._takings.closed(event, link)

    def _offers_asked(self, event: events.OffersAsked, _now: float) -> None:
        link = self._interest.links.get(event.link)
        if link is not None:
            self._takings.asked(event, link)

    # --- payloads that the store keeps ---------------------------------------------------------

    def _fetched(self, event: events.Fetched) -> None:
        table = self._residency.fetched(event)
        if table is not None:
            self._leases.match(table)

    def _node_forgotten(self, event: events.NodeForgotten, now: float) -> None:
        """R8: what was in doubt with a node that is gone for good is decided now."""
        assert all(link.peer != event.node for link in self._interest.links.values()), (
            "a node that is linked is not gone"
        )
        self._takings.forget_giver(event.node)
        self._context.custody.ordering.give_up(event.node, 0.0, now)
        self._match_all(self._givings.give_up(event.node, now))

    # --- time ----------------------------------------------------------------------------------

    def _tick(self, _event: events.Tick, now: float) -> None:
        context = self._context
        fired = context.timers.due(now)
        if fired:
            self._fire(fired, now)
        if context.custody.ordering.at_work:
            self._keys.end_turn(now)  # what these freed comes before what peers are granted
        if context.stale_interest:
            self._interest.flush()
        self._plan_transfers(now)
        if context.leftover:
            self._rebalancer.hand_over()
            context.leftover = False
        if context.stale_grants:
            self._credit.flush(now)

    def _plan_transfers(self, now: float) -> None:
        """Offer what may be offered; who waits for credit comes before what came meanwhile."""
        context = self._context
        fresh_credit, context.fresh_credit = context.fresh_credit, {}
        for handle, pattern in fresh_credit:
            self._rebalancer.serve(handle, pattern, now)
        plans = list(context.stale_plans)
        context.stale_plans.clear()
        for name in plans:
            table = context.custody.tables.get(name)
            if table is None:
                continue
            if table.unused and self._wanted_nowhere(table, now):
                context.custody.forget(table)
            else:
                self._rebalancer.plan(table, now)

    def _fire(self, timers: list[tuple[float, str, Any]], now: float) -> None:
        """Wake those whose time has come; deadlines first, all at once."""
        self._expire([key for _when, kind, key in timers if kind == "deadline"], now)
        for _when, kind, key in timers:
            if kind != "deadline":
                self._wakers[kind](key, now)

    def _wanted_nowhere(self, table: TypeTable, now: float) -> bool:
        """I7: whether there is no interest in a type left to remember."""
        context = self._context
        gone = table.local_gone + context.options.transfer_after_s <= now
        return (
            gone
            and table.name not in context.subscriptions.demands
            and table.name not in self._interest.routes
        )

    def _due(self, item: HeldObject, now: float) -> None:
        context = self._context
        if item.state != State.DELAYED or item.detail("due", now) > now:
            return
        context.custody.move([item], Step.DUE)
        item.amend(due=None)
        item.since = now
        item.table.ready.append([item])
        self._leases.match(item.table)

    def _expire(self, items: list[HeldObject], now: float) -> None:
        """G2: an object leaves at the deadline its producer set, whatever it waits for.

        One that is on offer leaves when the offer ends; a dead letter waits for a person.
        """
        # An object whose place a copy took may have got another deadline since the timer was set.
        over = [
            item
            for item in dict.fromkeys(items)
            if item.state in _MAY_EXPIRE and item.detail("deadline", float("inf")) <= now
        ]
        if over:
            self._leases.expire(over, now)

    def _plan_due(self, table: TypeTable, _now: float) -> None:
        table.wake = float("inf")
        self._context.stale_plans[table.name] = None

    def _doubt_due(self, offer: Offer, now: float) -> None:
        self._match_all(self._givings.doubt_due(offer, now))

    def _match_all(self, items: list[HeldObject]) -> None:
        for table in {item.table.name: item.table for item in items}.values():
            self._leases.match(table)

    def _drain(self, _event: events.DrainStarted, now: float) -> None:
        """R10: no new leases, no objects in, no interest out; what is ready goes to peers."""
        context = self._context
        context.draining = True
        self._consumers.drain(now)
        context.leftover = not context.durable
        context.stale_interest.update(dict.fromkeys(context.subscriptions.demands))
        context.stale_interest.update(dict.fromkeys(self._interest.routes))
        context.stale_plans.update(dict.fromkeys(context.custody.tables))

    def _end_drain(self, _event: events.DrainEnding, now: float) -> None:
        """R10: who may not come back for what it was offered finds nothing here later."""
        context = self._context
        assert context.draining, "a node that stays waits for its peers"
        assert not context.durable, "what a durable node holds waits in its store"
        context.doubt_s = 0.0
        self._match_all(self._givings.give_up_doubted(now))
