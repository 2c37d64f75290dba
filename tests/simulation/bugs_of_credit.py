"""Deliberate bugs of interest, of credit, and of when objects move."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import in_effects, replaced, together
from trionode.routing import context, credit, effects, interest, leases, links, patterns, rebalance


def interest_as_increments() -> Any:
    """A peer's news are counted up and down instead of replacing what it said before."""

    def make(old: Any) -> Any:
        def apply(self: Any, link: Any, update: Any) -> None:
            counts = self.__dict__.setdefault("counts", {})
            place = (link.handle, update.key)
            counts[place] = counts.get(place, 0) + (1 if update.path else -1)
            if update.path or counts[place] <= 0:
                old(self, link, update)

        return apply

    return replaced(interest.Interest, "_apply", make)


def no_snapshot() -> Any:
    """A new link is told news only."""

    def make(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            old(self, link)
            link.snapshot_due = False

        return link_up

    return replaced(interest.Interest, "link_up", make)


def old_incarnation_kept() -> Any:
    """What a peer's earlier life told counts for the next one."""

    def down(old: Any) -> Any:
        def link_down(self: Any, link: Any) -> None:
            kept = {k: r[link.handle] for k, r in self.routes.items() if link.handle in r}
            self.__dict__.setdefault("ghosts", {})[link.peer] = (kept, dict(link.give))
            old(self, link)

        return link_down

    def up(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            old(self, link)
            kept, give = self.__dict__.setdefault("ghosts", {}).pop(link.peer, ({}, {}))
            link.give.update(give)
            for key, route in kept.items():
                self.routes.setdefault(key, {})[link.handle] = route

        return link_up

    def told(old: Any) -> Any:
        return lambda self, event: old(self, attrs.evolve(event, full=False))

    return together(
        replaced(interest.Interest, "link_down", down),
        replaced(interest.Interest, "link_up", up),
        replaced(interest.Interest, "told", told),
    )


def withdrawals_forgotten() -> Any:
    """Nobody is told that a subscription ended."""

    def change(_event: Any, out: list[Any]) -> list[Any]:
        return [
            attrs.evolve(e, updates=[u for u in e.updates if u.path])
            if type(e) is effects.SendInterest
            else e
            for e in out
        ]

    return in_effects(change)


def path_not_checked() -> Any:
    """Interest goes round in circles."""

    def make(_old: Any) -> Any:
        def way_on(self: Any, link: Any, key: str) -> Any:
            routes = [r for h, r in self.routes.get(key, {}).items() if h != link.handle]
            longest = self._context.options.max_hops
            routes = [route for route in routes if len(route.path) < longest]
            return min(routes, key=lambda route: len(route.path), default=None)

        return way_on

    def accept(old: Any) -> Any:
        def apply(self: Any, link: Any, update: Any) -> None:
            if self._context.node in update.path:
                path = tuple(f"{n}'" if n == self._context.node else n for n in update.path)
                update = attrs.evolve(update, path=path)
            old(self, link, update)

        return apply

    return together(
        replaced(interest.Interest, "_way_on", make),
        replaced(interest.Interest, "_apply", accept),
    )


def credit_off_by_one() -> Any:
    """One more is offered than the peer accepts."""
    old = links.GiveAccount.credit
    more = property(lambda self: old.fget(self) + (1 if self.limit else 0))
    return patch.object(links.GiveAccount, "credit", more)


def credit_granted_twice() -> Any:
    """What is granted to one link is granted to the others as well."""

    def make(old: Any) -> Any:
        def room(self: Any, key: str) -> tuple[int, int]:
            free, free_bytes = old(self, key)
            accounts = [
                each.take[key] for each in self._interest.links.values() if key in each.take
            ]
            granted = sum(each.outstanding for each in accounts)
            return free + granted, free_bytes + sum(each.outstanding_bytes for each in accounts)

        return room

    return replaced(credit.Credit, "_local_room", make)


def local_last() -> Any:
    """Objects are given away while a consumer here is free."""

    def make(old: Any) -> Any:
        def plan(self: Any, table: Any, now: float) -> None:
            demands = self._context.subscriptions.demands
            hidden = demands.pop(table.name, None)
            old(self, table, now)
            if hidden is not None:
                demands[table.name] = hidden

        return plan

    def never(_old: Any) -> Any:
        return lambda self, table: self._context.stale_plans.update({table.name: None})

    return together(
        replaced(rebalance.Rebalancer, "plan", make), replaced(leases.Leases, "match", never)
    )


def no_backoff() -> Any:
    """Returns and moves beyond `max_hops` don't wait."""
    return patch.object(context.Context, "backoff_s", lambda _self, _item: 0.0)


def credit_never_withdrawn() -> Any:
    """What is granted and not used stays granted."""
    return patch.object(credit.Credit, "withdraw", lambda _self, account, _now: None)


def credit_beyond_the_wish() -> Any:
    """A peer is granted more than it has to offer."""

    def make(old: Any) -> Any:
        def told(self: Any, event: Any) -> None:
            wishes = [(key, epoch, wanted + 1) for key, epoch, wanted in event.wishes]
            old(self, attrs.evolve(event, wishes=wishes))

        return told

    return replaced(credit.Credit, "backlog_told", make)


def types_unknown_to_patterns() -> Any:
    """A type that is met after a pattern was opened does not belong to it."""
    return patch.object(patterns.Patterns, "came", lambda _self, _table: None)


def backlog_of_others_told() -> Any:
    """What peers say waits at them is passed on as if it waited here."""

    def make(old: Any) -> Any:
        def wish(self: Any, link: Any, key: str, table: Any, surplus: int) -> None:
            links = self._interest.links.values()
            takes = [each.take.get(key) for each in links if each is not link]
            more = sum(max(0, each.wanted - each.received) for each in takes if each is not None)
            old(self, link, key, table, surplus + more)

        return wish

    return replaced(credit.Credit, "wish", make)
