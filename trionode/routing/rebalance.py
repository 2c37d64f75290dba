"""The rebalancer's plan: which ready objects to offer to which peer, and when (R2, R3, R6).

Looks at one type at a time, at the front of its queue only, so that a plan costs the same whatever
the backlog. What is not yet allowed sets a timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.custody import NEVER
from trionode.routing.model import HeldObject, Shape, State

if TYPE_CHECKING:
    from trionode.routing.context import Context
    from trionode.routing.credit import Credit
    from trionode.routing.custody import TypeTable
    from trionode.routing.interest import Interest
    from trionode.routing.links import GiveAccount, Link
    from trionode.routing.offers import Givings
    from trionode.routing.residency import Residency

SCAN_MAX = 1024
"""Objects of a type looked at in one plan; the rest has its turn in the next tick."""

PEEK = 16
"""Objects looked at beyond the credit there is, to know whether to ask for more."""

OFFER_MAX = 256
"""Objects in one offer: beyond this a frame gains no speed and only adds latency."""

OFFER_BYTES_MAX = 1 << 20
"""Payload bytes in one offer, unless its only object is larger."""

DRAIN_OFFERS_OPEN = 4
"""Offers beyond credit that a draining node has open with one peer."""


class Rebalancer:
    """Plans transfers; the offers it makes change custody through `Givings`."""

    def __init__(
        self,
        context: Context,
        interest: Interest,
        credit: Credit,
        givings: Givings,
        residency: Residency,
    ) -> None:
        self._context = context
        self._interest = interest
        self._credit = credit
        self._givings = givings
        self._residency = residency

    def plan(self, table: TypeTable, now: float) -> None:
        """Offer what may be offered of one type now, and tell peers what more there is."""
        context = self._context
        lanes = self._lanes(table)
        if not lanes:
            table.wished = False
            return
        demand = None if context.draining else context.subscriptions.line(table)
        if table.counts[State.READY] and not (demand is not None and demand.free):
            deal = Deal(lanes, table)
            self._deal(deal, now, overflow=demand is not None)
            for lane in lanes:
                self._give(lane)
        for lane in lanes:
            self._credit.wish(lane.link, lane.key, table, lane.surplus)
        table.wished = any(lane.surplus for lane in lanes)

    def _lanes(self, table: TypeTable) -> list[Lane]:
        """The ways that objects of a type may take from here, the best first."""
        interest = self._interest
        ways = [
            (len(route.path), link.peer, key, link)
            for key, handle, route in interest.ways(table)
            if self._context.may_give_to(link := interest.links[handle])
        ]
        ways.sort(key=lambda way: way[:3])
        return [
            Lane(link, key, account)
            for _hops, _peer, key, link in ways
            if (account := link.give.get(key)) is not None
        ]

    def _deal(self, deal: Deal, now: float, *, overflow: bool) -> None:
        """Deal the front of the queue out to the lanes, within their credit."""
        context, table = self._context, deal.table
        since_gone = table.local_gone + context.options.transfer_after_s
        immediately = NEVER if overflow or context.draining else since_gone
        passed_over: list[HeldObject] = []
        wake = float("inf")
        looked = 0
        while looked < min(SCAN_MAX, deal.dealt + deal.left + PEEK):
            taken = table.ready.take(1, 1)
            if not taken:
                break
            if table.spilled and deal.left and not self._residency.in_memory(table, taken):
                break
            looked += 1
            item = taken[0]
            allowed_lanes = deal.lanes
            allowed = item.since + context.backoff_s(item) if overflow else immediately
            if item.details is not None and not overflow:
                allowed_lanes, later = self._without_returns(item, deal.lanes, now)
                wake = min(wake, later)
            if allowed > now:
                wake = min(wake, allowed)
                allowed_lanes = []
            if not deal.deal(item, allowed_lanes):
                passed_over.append(item)
        table.ready.put_back(passed_over)
        deal.count_the_rest(table.counts[State.READY] - looked)
        if deal.dealt and deal.left and looked == SCAN_MAX:
            context.stale_plans[table.name] = None
        if wake < table.wake:
            table.wake = wake
            context.timers.set(wake, "plan", table)

    def _without_returns(
        self, item: HeldObject, lanes: list[Lane], now: float
    ) -> tuple[list[Lane], float]:
        """R6: the lanes by which a move now is no hasty return, and when the others are allowed."""
        context = self._context
        allowed = item.since + context.backoff_s(item)
        if allowed <= now:
            return lanes, float("inf")
        if item.detail("hops", 0) >= context.options.max_hops:
            return [], allowed
        path = item.detail("path", ())
        forward = [lane for lane in lanes if lane.link.peer not in path]
        return forward, float("inf") if len(forward) == len(lanes) else allowed

    def _give(self, lane: Lane) -> None:
        account = lane.account
        for batch in _batches(lane.batch):
            self._givings.give(lane.link, lane.key, account.epoch, batch)
            self._credit.spend(account, len(batch), sum(len(item.payload) for item in batch))

    # --- leaving -------------------------------------------------------------------------------

    def hand_over(self) -> None:
        """R10: a leaving node without a durable store gives everything unleased to any peer.

        Those with interest in a type come first.
        """
        links = [link for link in self._interest.links.values() if self._may_open_more(link)]
        if not links:
            return
        waiting = self._waiting()
        for table in self._context.custody.tables.values():
            wanting = {handle for _key, handle, _route in self._interest.ways(table)}
            for link in sorted(links, key=lambda link: link.handle not in wanting):
                while self._may_open_more(link):
                    batch = self._ready_batch(table)
                    if not batch and table in waiting:
                        batch = waiting[table].pop()
                        if not waiting[table]:
                            del waiting[table]
                    if not batch:
                        break
                    self._givings.give(link, table.name, 0, batch, draining=True)

    def _may_open_more(self, link: Link) -> bool:
        open_offers = self._givings.open.get(link.peer, ())
        return not link.refusing and len(open_offers) < DRAIN_OFFERS_OPEN

    @staticmethod
    def _ready_batch(table: TypeTable) -> list[HeldObject]:
        """Ready objects of a type to hand over, taken off the queue."""
        ready = table.ready.take(OFFER_MAX, OFFER_BYTES_MAX)
        if not ready:
            return []
        batch, *rest = _batches(ready)
        table.ready.put_back([item for each in rest for item in each])
        return batch

    def _waiting(self) -> dict[TypeTable, list[list[HeldObject]]]:
        """All delayed objects and dead letters, in offers."""
        custody = self._context.custody
        states = (State.DELAYED, State.DEAD)
        if not any(table.counts[state] for table in custody.tables.values() for state in states):
            return {}
        found: dict[TypeTable, list[HeldObject]] = {}
        for item in custody.objects.values():
            if item.state in states:
                found.setdefault(item.table, []).append(item)
        return {table: _batches(items) for table, items in found.items()}


@attrs.define(eq=False)
class Lane:
    """A link and the key under which objects of a type may be offered on it, in one plan.

    `credit` and `credit_bytes` are what is left of the account, `batch` is what the lane got,
    `surplus` how many more objects it could have been given with more credit.
    """

    link: Link
    key: str
    account: GiveAccount
    credit: int = 0
    credit_bytes: int = 0
    batch: list[HeldObject] = attrs.field(factory=list)
    surplus: int = 0

    def __attrs_post_init__(self) -> None:
        self.credit = self.account.credit
        self.credit_bytes = self.account.byte_limit - self.account.offered_bytes


class Deal:
    """One plan's hand: the lanes in the order of preference, and what credit is left in all."""

    def __init__(self, lanes: list[Lane], table: TypeTable) -> None:
        self.lanes = lanes
        self.table = table
        self.dealt = 0
        self.left = sum(lane.credit for lane in lanes)
        with_credit = sum(1 for lane in lanes if lane.credit)
        self._share = -(-table.counts[State.READY] // max(1, with_credit))

    def deal(self, item: HeldObject, lanes: list[Lane]) -> bool:
        """Give an object to the first of `lanes` with credit, sharing evenly; False: to none."""
        chosen: Lane | None = None
        for lane in lanes:
            if lane.credit > 0 and (chosen is None or len(chosen.batch) >= self._share):
                chosen = lane
        if chosen is None:
            for lane in lanes:
                lane.surplus += 1
            return False
        chosen.batch.append(item)
        self.dealt += 1
        chosen.credit_bytes -= len(item.payload)
        spent = 1 if chosen.credit_bytes > 0 else chosen.credit
        chosen.credit -= spent
        self.left -= spent
        return True

    def count_the_rest(self, unseen: int) -> None:
        """What was not looked at waits as well, for the lanes that something waits for."""
        for lane in self.lanes:
            if lane.surplus or lane.batch:
                lane.surplus += max(0, unseen)


def _batches(objects: list[HeldObject]) -> list[list[HeldObject]]:
    """Cut objects into offers: one shape each, bounded in count and bytes."""
    batches: list[list[HeldObject]] = []
    shape: Shape | None = None
    size_bytes = 0
    for item in objects:
        full = not batches or len(batches[-1]) >= OFFER_MAX
        if full or item.shape != shape or size_bytes + len(item.payload) > OFFER_BYTES_MAX:
            batches.append([])
            shape, size_bytes = item.shape, 0
        batches[-1].append(item)
        size_bytes += len(item.payload)
    return batches
