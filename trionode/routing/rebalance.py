"""The rebalancer's plan: which ready objects to offer to which peer, and when (R2, R3, R6).

Looks at one type at a time, at the front of its queue only, so that a plan costs the same whatever
the backlog. What is not yet allowed sets a timer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing.custody import NEVER
from trionode.routing.model import HeldObject, Shape, State

if TYPE_CHECKING:
    from trionode.routing.context import Context
    from trionode.routing.credit import Credit
    from trionode.routing.custody import TypeTable
    from trionode.routing.interest import Interest
    from trionode.routing.links import Link
    from trionode.routing.offers import Givings

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
        self, context: Context, interest: Interest, credit: Credit, givings: Givings
    ) -> None:
        self._context = context
        self._interest = interest
        self._credit = credit
        self._givings = givings

    def plan(self, table: TypeTable, now: float) -> None:
        """Offer what may be offered of one type now, and tell peers what more there is."""
        context = self._context
        routes = self._interest.routes.get(table.name)
        if not routes:
            table.wished = False
            return
        links = [self._interest.links[handle] for handle in routes]
        links = [link for link in links if self._context.may_give_to(link)]
        links.sort(key=lambda link: (len(routes[link.handle].path), link.peer))
        demand = context.subscriptions.demands.get(table.name)
        local = demand is not None and not context.draining
        surplus: dict[Link, int] = dict.fromkeys(links, 0)
        if table.counts[State.READY] and not (local and demand is not None and demand.free):
            deal = Deal(links, table)
            self._deal(deal, now, overflow=local)
            surplus = deal.surplus
            for link in links:
                self._give(link, table.name, deal.batches[link])
        for link in links:
            self._credit.wish(link, table.name, surplus[link])
        table.wished = any(surplus.values())

    def _deal(self, deal: Deal, now: float, *, overflow: bool) -> None:
        """Deal the front of the queue out to the links, within their credit."""
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
            looked += 1
            item = taken[0]
            allowed_links = deal.links
            allowed = item.since + context.backoff_s(item) if overflow else immediately
            if item.details is not None and not overflow:
                allowed_links, later = self._without_returns(item, deal.links, now)
                wake = min(wake, later)
            if allowed > now:
                wake = min(wake, allowed)
                allowed_links = []
            if not deal.deal(item, allowed_links):
                passed_over.append(item)
        table.ready.put_back(passed_over)
        deal.count_the_rest(table.counts[State.READY] - looked)
        if deal.dealt and deal.left and looked == SCAN_MAX:
            context.stale_plans[table.name] = None
        if wake < table.wake:
            table.wake = wake
            context.timers.set(wake, "plan", table)

    def _without_returns(
        self, item: HeldObject, links: list[Link], now: float
    ) -> tuple[list[Link], float]:
        """R6: the links to which a move now is no hasty return, and when the others are allowed."""
        context = self._context
        allowed = item.since + context.backoff_s(item)
        if allowed <= now:
            return links, float("inf")
        if item.detail("hops", 0) >= context.options.max_hops:
            return [], allowed
        path = item.detail("path", ())
        forward = [link for link in links if link.peer not in path]
        return forward, float("inf") if len(forward) == len(links) else allowed

    def _give(self, link: Link, key: str, objects: list[HeldObject]) -> None:
        account = link.give.get(key)
        if account is None:
            return
        for batch in _batches(objects):
            self._givings.give(link, key, account.epoch, batch)
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
            routes = self._interest.routes.get(table.name, {})
            for link in sorted(links, key=lambda link: link.handle not in routes):
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


class Deal:
    """One plan's hand: what credit the links have left, and what each got.

    `surplus` ends as how many more objects each link could have been offered with more credit.
    """

    def __init__(self, links: list[Link], table: TypeTable) -> None:
        self.links = links
        self.table = table
        self.batches: dict[Link, list[HeldObject]] = {link: [] for link in links}
        self.surplus: dict[Link, int] = dict.fromkeys(links, 0)
        self.dealt = 0
        accounts = {link: account for link in links if (account := link.give.get(table.name))}
        self._credit = {link: account.credit for link, account in accounts.items()}
        self._bytes = {
            link: account.byte_limit - account.offered_bytes for link, account in accounts.items()
        }
        self.left = sum(self._credit.values())
        with_credit = sum(1 for credit in self._credit.values() if credit)
        self._share = -(-table.counts[State.READY] // max(1, with_credit))

    def deal(self, item: HeldObject, links: list[Link]) -> bool:
        """Give an object to the first of `links` with credit, sharing evenly; False: to none."""
        chosen = None
        for link in links:
            if self._credit.get(link, 0) > 0 and (
                chosen is None or len(self.batches[chosen]) >= self._share
            ):
                chosen = link
        if chosen is None:
            for link in links:
                self.surplus[link] += 1
            return False
        self.batches[chosen].append(item)
        self.dealt += 1
        self._bytes[chosen] -= len(item.payload)
        spent = 1 if self._bytes[chosen] > 0 else self._credit[chosen]
        self._credit[chosen] -= spent
        self.left -= spent
        return True

    def count_the_rest(self, unseen: int) -> None:
        """What was not looked at waits as well, for the links that something waits for."""
        for link in self.links:
            if self.surplus[link] or self.batches[link]:
                self.surplus[link] += max(0, unseen)


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
