"""The rebalancer's plan: which ready objects to offer to which peer, and when (R2, R3, R6).

Looks at one type at a time and at a bounded part of its queue, so that a plan costs the same
whatever the backlog. What is not yet allowed sets a timer, and is stepped over until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing.lines import AWAKE
from trionode.routing.model import HeldObject, Shape, Spilled, State
from trionode.routing.queues import Scan

if TYPE_CHECKING:
    from trionode.routing.context import Context
    from trionode.routing.credit import Credit
    from trionode.routing.custody import TypeTable
    from trionode.routing.effects import Handle
    from trionode.routing.interest import Interest
    from trionode.routing.lines import Way
    from trionode.routing.links import GiveAccount, Link
    from trionode.routing.offers import Givings
    from trionode.routing.residency import Residency

SCAN_MAX = 1024
"""Objects of a type looked at in one plan; the rest has its turn in the next tick."""

PEEK = 16
"""Objects found that lack only a link's credit, after which its peer may be asked for more."""

OFFER_MAX = 1024
"""Objects in one offer: an offer is three frames, which cost as much as a hundred objects."""

OFFER_BYTES_MAX = 1 << 20
"""Bytes of payloads and properties in one offer, unless its only object is larger."""

DETAIL_BYTES = 4
"""Bytes in a frame per character of properties written out: none takes more in UTF-8."""

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

    def serve(self, handle: Handle, pattern: str, now: float) -> None:
        """A peer stated what it accepts of a pattern: types that wait for it take turns.

        Looks at no more of them than can use it, and at one at least, which tells the peer what
        more there is.
        """
        link = self._interest.links.get(handle)
        account = None if link is None else link.give.get(pattern)
        if account is None:
            return
        for _ in range(len(account.surplus)):
            self.plan(self._context.custody.tables[account.next_type()], now)
            if not account.credit or not account.surplus:
                break

    def plan(self, table: TypeTable, now: float) -> None:
        """Offer what may be offered of one type now, and tell peers what more there is."""
        context = self._context
        table.ready.sweep(table.counts[State.READY])
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
        """Deal objects out to the lanes in lease order, within their credit.

        Until no lane has credit and it is known for each that more is waiting. What may not be
        moved before some time rests until then, so that it hides nothing behind it.
        """
        context, table = self._context, deal.table
        situation = (tuple(lane.way for lane in deal.lanes), overflow, context.draining)
        if situation != table.planned_for:
            table.planned_for = situation
            table.ready.rouse()
        since_gone = table.local_gone + context.options.transfer_after_s
        if since_gone > now and not overflow and not context.draining:
            self._wake(table, since_gone)
            return
        scan = Scan(table.ready, now, deal.credited)
        looked = 0
        absent: HeldObject | None = None
        while deal.wants_more and looked < SCAN_MAX and (item := scan.next()) is not None:
            looked += 1
            allowed = self._lanes_now(deal, scan, item, now, overflow=overflow)
            if allowed is None:
                scan.end_line(item)
                continue
            lanes = deal.fitting(item, allowed) if deal.limited else allowed
            if isinstance(item.payload, Spilled) and any(lane.credit for lane in lanes):
                absent = item
                scan.pass_over(item, AWAKE)
                break
            if lanes and deal.deal(item, lanes):
                scan.took()
            elif len(lanes) == len(deal.lanes):
                scan.pass_over(item, AWAKE)
            else:
                # Not to be met again before it may go anywhere, or where it may go has credit: else
                # it would hide what stands behind it. What is too large never may.
                by_time = len(allowed) < len(deal.lanes)
                until = item.since + context.backoff_s(item) if by_time else float("inf")
                scan.pass_over(item, until, [lane.way for lane in lanes])
        scan.leave()
        self._wake(table, scan.until)
        if table.spilled:
            self._residency.took(table, deal.dealt, absent)
        deal.count_the_rest(table.counts[State.READY] - looked - scan.resting, scan)
        if looked == SCAN_MAX and deal.wants_more:
            context.stale_plans[table.name] = None

    def _lanes_now(
        self, deal: Deal, scan: Scan, item: HeldObject, now: float, *, overflow: bool
    ) -> list[Lane] | None:
        """The lanes by which an object may go now; None: neither it nor what stands behind it."""
        if not overflow and item.details is None:
            return deal.lanes
        until = item.since + self._context.backoff_s(item)
        if until <= now:
            return deal.lanes
        lanes: list[Lane] | None = []
        if not overflow:
            lanes = deal.without_returns(item, self._context.options.max_hops)
        elif scan.appended and not item.detail("hops", 0):
            lanes = None  # what stands behind it became ready later, and waits at least as long
        if lanes != deal.lanes:
            self._wake(deal.table, until)
        return lanes

    def _wake(self, table: TypeTable, when: float) -> None:
        """Plan again at that time."""
        if when < table.wake:
            table.wake = when
            self._context.timers.set(when, "plan", table)

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
                    batch = self._ready_batch(table, link)
                    if not batch and table in waiting:
                        batch = _pop_fitting(waiting[table], link)
                    if not batch:
                        break
                    self._givings.give(link, table.name, 0, batch, draining=True)

    def _may_open_more(self, link: Link) -> bool:
        open_offers = self._givings.open.get(link.peer, ())
        return not link.refusing and len(open_offers) < DRAIN_OFFERS_OPEN

    @staticmethod
    def _ready_batch(table: TypeTable, link: Link) -> list[HeldObject]:
        """Ready objects of a type that a link takes, to hand over, taken off the queue."""
        batch: list[HeldObject] = []
        back: list[HeldObject] = []
        while not batch and (ready := table.ready.take(OFFER_MAX, OFFER_BYTES_MAX)):
            fitting = [item for item in ready if link.fits(item)]
            if fitting:
                batch = _batches(fitting)[0]
            taken = set(map(id, batch))
            back += [item for item in ready if id(item) not in taken]
        table.ready.put_back(back)
        return batch

    def _waiting(self) -> dict[TypeTable, list[list[HeldObject]]]:
        """All that waits and is not in the ready queue, in offers; that of a key in its order."""
        custody = self._context.custody
        states = (State.DELAYED, State.DEAD, State.BLOCKED)
        if not any(table.counts[state] for table in custody.tables.values() for state in states):
            return {}
        found: dict[TypeTable, dict[HeldObject, None]] = {}
        for item in custody.objects.values():
            if item.state in states:
                line = [each for each in custody.ordering.in_order(item) if each.state in states]
                found.setdefault(item.table, {}).update(dict.fromkeys(line))
        return {table: _batches(list(items)) for table, items in found.items()}


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

    @property
    def way(self) -> Way:
        """What names the lane in all plans."""
        return (self.link.handle, self.key)

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
        self.credited = frozenset(lane.way for lane in lanes if lane.credit)
        with_credit = sum(1 for lane in lanes if lane.credit)
        self._share = -(-table.counts[State.READY] // max(1, with_credit))
        self.limited = any(lane.link.max_object_bytes for lane in lanes)
        """Whether some of the objects may be too large for some of the peers."""
        self._answered_for: dict[str, Any] | None = None
        self._onward = lanes

    def without_returns(self, item: HeldObject, max_hops: int) -> list[Lane]:
        """R6: the lanes by which a move before the object's back-off is over is no return.

        Objects that came together share their properties, and so the answer.
        """
        if item.details is not self._answered_for:
            self._answered_for = item.details
            path = item.detail("path", ())
            onward = [lane for lane in self.lanes if lane.link.peer not in path]
            if item.detail("hops", 0) >= max_hops:
                onward = []
            self._onward = self.lanes if len(onward) == len(self.lanes) else onward
        return self._onward

    @property
    def wants_more(self) -> bool:
        """Whether it is of use to look further: something could go, or a wish could be known."""
        return self.left > 0 or min(lane.surplus for lane in self.lanes) < PEEK

    @staticmethod
    def fitting(item: HeldObject, lanes: list[Lane]) -> list[Lane]:
        """The lanes whose peers take an object of that size."""
        if all(lane.link.fits(item) for lane in lanes):
            return lanes
        return [lane for lane in lanes if lane.link.fits(item)]

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

    def count_the_rest(self, unseen: int, scan: Scan) -> None:
        """What was not looked at waits as well, for the lanes that something waits for.

        Some of what rests may have left since it was counted: no lane lacks more than is ready.
        """
        ready = self.table.counts[State.READY] - self.dealt
        for lane in self.lanes:
            lane.surplus += scan.wishes(lane.way)
            if lane.surplus or lane.batch:
                lane.surplus += max(0, unseen)
            lane.surplus = min(lane.surplus, ready)


def weight_of(details: dict[str, Any] | None) -> int:
    """About how many bytes properties take in a frame, rather more than less."""
    return 0 if details is None else DETAIL_BYTES * len(repr(details))


def _batches(objects: list[HeldObject]) -> list[list[HeldObject]]:
    """Cut objects into offers: one shape each, bounded in count and bytes."""
    batches: list[list[HeldObject]] = []
    shape: Shape | None = None
    size_bytes = weight_bytes = 0
    details: dict[str, Any] | None = None
    for item in objects:
        full = not batches or len(batches[-1]) >= OFFER_MAX
        if item.details is not details:
            details = item.details
            weight_bytes = weight_of(details)
        weight = len(item.payload) + weight_bytes
        if full or item.shape != shape or size_bytes + weight > OFFER_BYTES_MAX:
            batches.append([])
            shape, size_bytes = item.shape, 0
        batches[-1].append(item)
        size_bytes += weight
    return batches


def _pop_fitting(batches: list[list[HeldObject]], link: Link) -> list[HeldObject]:
    """Remove from batches, and return, the first objects that a link takes."""
    for index, batch in enumerate(batches):
        fitting = [item for item in batch if link.fits(item)]
        if fitting:
            rest = [item for item in batch if not link.fits(item)]
            batches[index : index + 1] = [rest] if rest else []
            return fitting
    return []
