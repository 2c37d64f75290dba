"""Who can process what: own subscriptions and what the links told, advertised on (R4, R5).

A path-vector scheme. Per link and key only the shortest path that does not contain the peer is
advertised, and nothing is relayed to a peer that is itself linked to the origin. Every
advertisement is absolute; changes of one tick are told once. A withdrawal names what is gone
(origin, incarnation, version), so that alternatives by other paths to the same dead subscription
are dropped at once instead of being explored one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects
from trionode.routing.links import GiveAccount, Link, TakeAccount

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.effects import Handle, RouteUpdate


VERSIONS_END = (1 << 63) - 1
"""Beyond every version that an origin mints."""


@attrs.frozen
class Route:
    """A way to a key: node ids from the link's peer to the origin of the interest."""

    path: tuple[str, ...]
    incarnation: int
    version: int

    @property
    def origin(self) -> str:
        """The node that has the subscription."""
        return self.path[-1]


_NO_ROUTES: dict[Handle, Route] = {}


class Interest:
    """Mutates the routes, and the links' `advertised` with the credit accounts that hang on it."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.links: dict[Handle, Link] = {}
        self.routes: dict[str, dict[Handle, Route]] = {}
        self._own: dict[str, int] = {}
        self._versions = 0
        self._epochs = 0
        self._gone: dict[str, tuple[str, int, int]] = {}

    def ways(self, table: TypeTable) -> list[tuple[str, Handle, Route]]:
        """The routes of a type, by each key that it belongs to."""
        return [
            (key, handle, route)
            for key in table.keys
            for handle, route in self.routes.get(key, _NO_ROUTES).items()
        ]

    # --- what others told ----------------------------------------------------------------------

    def link_up(self, link: Link) -> None:
        """Begin to tell a new link everything."""
        self.links[link.handle] = link

    def link_down(self, link: Link) -> None:
        """Drop everything learned from a link."""
        del self.links[link.handle]
        for key in [key for key, routes in self.routes.items() if link.handle in routes]:
            self._drop(key, link.handle)

    def neighbours_told(self, event: events.NeighboursTold) -> None:
        """A peer's own links changed: what is relayed to it may change for every relayed key."""
        link = self.links.get(event.link)
        if link is not None and link.neighbours != event.nodes:
            link.neighbours = event.nodes
            self._context.stale_interest.update(dict.fromkeys(self.routes))

    def told(self, event: events.InterestTold) -> None:
        """A peer told what it can process."""
        link = self.links.get(event.link)
        if link is None:
            return
        if event.full:
            named = {update.key for update in event.updates if update.path}
            for key in [key for key, routes in self.routes.items() if event.link in routes]:
                if key not in named:
                    self._drop(key, event.link)
        for update in event.updates:
            self._apply(link, update)

    def _apply(self, link: Link, update: RouteUpdate) -> None:
        key, path = update.key, update.path
        usable = (
            bool(path)
            and path[0] == link.peer
            and self._context.node not in path
            and len(path) <= self._context.options.max_hops
        )
        if not usable:
            # First what is gone by name: who is told next must hear that name as well.
            if not path and update.version:
                self._purge(key, update.origin, update.incarnation, update.version)
            self._drop(key, link.handle)
            return
        self._purge(key, path[-1], update.incarnation - 1, VERSIONS_END)
        if key not in self.routes:
            self.routes[key] = {}
            self._context.custody.patterns.open(key)
        self.routes[key][link.handle] = Route(path, update.incarnation, update.version)
        account = link.give.get(key)
        if account is None or account.epoch != update.epoch:
            link.give[key] = GiveAccount(update.epoch)
        self._changed(key)

    def _purge(self, key: str, origin: str, incarnation: int, version: int) -> None:
        """Drop every route to a subscription that is known to be gone."""
        gone = (incarnation, version)
        for handle, route in list(self.routes.get(key, _NO_ROUTES).items()):
            if route.origin == origin and (route.incarnation, route.version) <= gone:
                self._drop(key, handle)
                self._gone[key] = (origin, incarnation, version)

    def _drop(self, key: str, handle: Handle) -> None:
        routes = self.routes.get(key)
        if routes is None or handle not in routes:
            return
        del routes[handle]
        link = self.links.get(handle)
        if link is not None:
            link.give.pop(key, None)
        self._changed(key)
        if not routes:
            del self.routes[key]
            self._context.custody.patterns.close(key)

    def _changed(self, key: str) -> None:
        context = self._context
        context.stale_interest[key] = None
        context.replan(context.custody.patterns.tables_of(key))
        context.stale_grants[key] = None

    # --- what we tell --------------------------------------------------------------------------

    def flush(self) -> None:
        """Tell each link what changed for it since the last flush."""
        context = self._context
        stale = list(context.stale_interest)
        context.stale_interest.clear()
        for key in stale:
            self._mint(key)
        for link in self.links.values():
            keys = self._every_key() if link.snapshot_due else stale
            updates = [update for key in keys if (update := self._update(link, key))]
            if updates or link.snapshot_due:
                context.out.append(effects.SendInterest(link.handle, link.snapshot_due, updates))
            link.snapshot_due = False
        self._gone.clear()

    def _every_key(self) -> list[str]:
        return list(dict.fromkeys((*self._own, *self.routes)))

    def _mint(self, key: str) -> None:
        """Note the start or end of our own interest in a key, with a new version."""
        context = self._context
        wanted = key in context.subscriptions.demands and not context.draining
        if wanted and key not in self._own:
            self._versions += 1
            self._own[key] = self._versions
        elif not wanted and key in self._own:
            self._gone[key] = (context.node, context.incarnation, self._own.pop(key))

    def _update(self, link: Link, key: str) -> RouteUpdate | None:
        """What has to be told to a link about a key, if anything."""
        told = link.advertised.get(key)
        best = self._best(link, key)
        if best is None:
            if told is None:
                return None
            del link.advertised[key]
            link.take.pop(key, None)
            origin, incarnation, version = self._gone.get(key, ("", 0, 0))
            return effects.RouteUpdate(key, (), origin, incarnation, version, told.epoch)
        path = (self._context.node, *best.path)
        news = (path, best.incarnation, best.version)
        if told is not None and news == (told.path, told.incarnation, told.version):
            return None
        # The peer may have dropped what it was told, and its account of credit with it, as soon as
        # it heard of a newer version elsewhere: every advertisement opens a new account.
        self._epochs += 1
        link.take[key] = TakeAccount(link, key, self._epochs)
        self._context.stale_grants[key] = None
        update = effects.RouteUpdate(
            key, path, path[-1], best.incarnation, best.version, self._epochs
        )
        link.advertised[key] = update
        return update

    def _best(self, link: Link, key: str) -> Route | None:
        """The shortest way to a key that may be advertised on a link; own interest has no path."""
        context = self._context
        if context.draining:
            return None
        if key in self._own:
            return Route((), context.incarnation, self._own[key])
        return self._way_on(link, key)

    def leads_on(self, link: Link, key: str) -> bool:
        """Whether objects of a key from this link could go on to another one (R5)."""
        return self._way_on(link, key) is not None

    def _way_on(self, link: Link, key: str) -> Route | None:
        """The shortest of the routes of others that may be advertised on a link."""
        best: Route | None = None
        here, peer, neighbours = link.handle, link.peer, link.neighbours
        shortest = self._context.options.max_hops - 1
        # Asked for each key and link that news is told of: what is dearest is looked at last.
        for handle, route in self.routes.get(key, _NO_ROUTES).items():
            path = route.path
            if (
                len(path) <= shortest
                and handle != here
                and peer not in path
                and path[-1] not in neighbours
                and (best is None or len(path) < shortest or path < best.path)
                # What may not be passed on must not be asked for: it would go to and fro for ever.
                and self._context.may_give_to(self.links[handle])
            ):
                best, shortest = route, len(path)
        return best
