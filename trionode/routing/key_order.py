"""Ordering keys in a brain's turns: what goes on at the end of each, and what peers say of keys.

`ordering` has the theory and the books; this is where events, timers and effects meet them.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from trionode.routing import effects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.interest import Interest
    from trionode.routing.leases import Leases
    from trionode.routing.links import Link

IDS_MAX = 10_000
"""Objects that one frame about keys names: with ids that make no runs, about 300 kB."""


class KeyOrder:
    """Lets keys go on, and talks with peers about what they have of them."""

    def __init__(self, context: Context, interest: Interest, leases: Leases) -> None:
        self._context = context
        self._interest = interest
        self._leases = leases
        self._ordering = context.custody.ordering

    def end_turn(self, now: float) -> None:
        """Queue the objects whose turn has come, and tell peers what they wait for.

        Told after the commit: what is reported settled must not come back after a crash.
        """
        ordering = self._ordering
        ready = ordering.next()
        tables = {item.table.name: item.table for item in ready}
        for item in ready:
            item.since = now
            item.table.ready.append([item])
        for table in tables.values():
            self._leases.match(table)
        reports = ordering.take_reports()
        links = {link.peer: link for link in self._interest.links.values()} if reports else {}
        for peer, ids in reports.items():
            if peer in links:  # else it asks when it is back
                for part in _parts(ids):
                    self._context.out.append(
                        effects.SendKeysSettled(links[peer].handle, part, after_commit=True)
                    )

    def link_up(self, link: Link) -> None:
        """Ask a peer that is back about what it has; what it reported meanwhile is lost."""
        for ids in _parts(self._ordering.link_up(link.peer)):
            self._context.out.append(effects.SendKeysAsked(link.handle, ids))

    def link_down(self, peer: str, now: float) -> None:
        """Wait for a peer's return, but not for ever."""
        if self._ordering.link_down(peer, now):
            timeout_s = self._context.options.in_doubt_timeout_s
            self._context.timers.set(now + timeout_s, "order", peer)

    def due(self, peer: str, now: float) -> None:
        """The timer fired."""
        self._ordering.give_up(peer, self._context.options.in_doubt_timeout_s, now)

    def settled(self, event: events.KeysSettled) -> None:
        """A peer reports what has ended there."""
        link = self._interest.links.get(event.link)
        if link is not None:
            self._ordering.reported(link.peer, event.ids)

    def asked(self, event: events.KeysAsked) -> None:
        """A peer asks about what it gave."""
        link = self._interest.links.get(event.link)
        if link is not None:
            self._ordering.asked(link.peer, event.ids, self._context.custody.objects)


def _parts(ids: Iterable[int]) -> Iterable[list[int]]:
    left = iter(ids)
    while part := list(itertools.islice(left, IDS_MAX)):
        yield part
