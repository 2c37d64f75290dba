"""Checks of what a node may offer to whom, by the giver's own knowledge (I3, I4, R2, R6).

Keeps accounts of credit and interest of its own, from the frames that a node was sent.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects, events
from trionode.routing.model import State
from trionode.routing.patterns import is_pattern, matches
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trionode.routing.effects import Effect
    from trionode.routing.model import HeldObject
    from trionode.simulation.host import Host

GIVING_UP = (events.Tick, events.DrainEnding)
"""When offers without an answer end."""

ROUNDING = 1e-6
"""Seconds that sums of floats may be off."""


@attrs.define(eq=False)
class Account:
    """What a peer told of one key, and what it was offered since (epoch)."""

    epoch: int
    limit: int = 0
    byte_limit: int = 0
    offered: int = 0
    offered_bytes: int = 0

    @property
    def left(self) -> int:
        """How much more may be offered."""
        full = self.offered_bytes >= self.byte_limit
        return 0 if full else max(0, self.limit - self.offered)


@attrs.define(eq=False)
class Peer:
    """What a node knows of the other end of one link."""

    node: str
    durable: bool
    accounts: dict[str, Account] = attrs.field(factory=dict)


@attrs.frozen
class Journey:
    """How an object came to a node: when (on its clock), after how many moves, by which nodes."""

    arrived: float
    hops: int
    path: tuple[str, ...]


@attrs.define(eq=False)
class _Node:
    began: float
    links: dict[int, Peer] = attrs.field(factory=dict)
    gone: dict[str, float] = attrs.field(factory=dict)
    """Since when a peer is not linked."""
    journeys: dict[int, Journey] = attrs.field(factory=dict)
    patience_s: float = math.inf
    """How long it waits for peers that are away, if less than usual."""


def wants(key: str, type_: str) -> bool:
    """Whether interest in a key is interest in a type."""
    return key == type_ or matches(key, type_)


class Moves:
    """Watches all nodes' offers."""

    def __init__(self) -> None:
        self.returns = 0
        """Moves back to a node on the path, or beyond `max_hops` (I4)."""
        self.returned: list[int] = []
        """The objects of those of the last event."""
        self.hops: dict[int, int] = {}
        """How many arrivals there were after so many moves."""
        self._nodes: dict[int, _Node] = {}
        self._by_name: dict[str, _Node] = {}
        self._seen: dict[type, Callable[[Host, _Node, Any, float], None]] = {
            events.LinkUp: self._link_up,
            events.LinkDown: lambda _host, node, event, now: self._link_down(node, event, now),
            events.InterestTold: self._told,
            events.CreditGranted: lambda _host, node, event, _now: self._granted(node, event),
            events.DrainEnding: lambda _host, node, _event, _now: self._hurry(node),
        }

    def node_started(self, host: Host, now: float) -> None:
        """A new life: links are gone; what it holds has lost its place in the clock."""
        old = self._nodes.get(host.index, _Node(now))
        journeys = {
            id_: attrs.evolve(journey, arrived=now) for id_, journey in old.journeys.items()
        }
        self._nodes[host.index] = self._by_name[host.node] = _Node(now, journeys=journeys)

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """A brain took an event and answered with these effects."""
        node = self._nodes[host.index]
        if self.returned:
            self.returned = []
        handler = self._seen.get(type(event))
        if handler is not None:
            handler(host, node, event, now)
        elif type(event) is events.OfferCame:
            self._came(host, node, event, out, now)
        for effect in out:
            if type(effect) is effects.SendOffer:
                self._offered(host, node, effect, now)
            elif type(effect) is effects.Forget:
                for id_ in effect.ids:
                    node.journeys.pop(id_, None)
            elif type(effect) is effects.SendBacklog:
                self._check_hint(host, node, effect, out)
            elif type(effect) is effects.UnmarkOffered and type(event) in GIVING_UP:
                self._gave_up(host, node, effect.peer, now)

    def leads_on(self, host: Host, link: int, key: str) -> bool:
        """Whether a node knows of interest in a key that does not come from this link's peer."""
        links = self._nodes[host.index].links
        return any(key in peer.accounts for handle, peer in links.items() if handle != link)

    def ways(self, host: Host, type_: str) -> list[tuple[Peer, Account]]:
        """Who has told a node of interest in a type, with what is known of each key of theirs."""
        return [
            (peer, account)
            for peer in self._nodes[host.index].links.values()
            for key, account in peer.accounts.items()
            if wants(key, type_)
        ]

    def _link_up(self, _host: Host, node: _Node, event: events.LinkUp, _now: float) -> None:
        node.links[event.link] = Peer(event.peer, event.durable)

    @staticmethod
    def _link_down(node: _Node, event: events.LinkDown, now: float) -> None:
        peer = node.links.pop(event.link, None)
        if peer is not None:
            node.gone[peer.node] = now

    @staticmethod
    def _hurry(node: _Node) -> None:
        """R10: without a disk it takes along what nobody else has."""
        node.patience_s = 0.0

    @staticmethod
    def _gave_up(host: Host, node: _Node, peer: str, now: float) -> None:
        """R8: an offer is given up only after its peer stayed away for long enough."""
        linked = any(each.node == peer for each in node.links.values())
        away_s = now - node.gone.get(peer, node.began)
        patience_s = min(node.patience_s, host.options.in_doubt_timeout_s)
        if linked or away_s < patience_s - ROUNDING:
            raise InvariantBroken("R8", f"an offer to {peer} was given up after {away_s:.3f} s")

    @staticmethod
    def _told(host: Host, node: _Node, event: events.InterestTold, _now: float) -> None:
        peer = node.links.get(event.link)
        if peer is None:
            return
        if event.full:
            named = {update.key for update in event.updates}
            for key in [key for key in peer.accounts if key not in named]:
                del peer.accounts[key]
        for update in event.updates:
            if not update.path or host.node in update.path:
                peer.accounts.pop(update.key, None)
            elif update.key not in peer.accounts or (
                peer.accounts[update.key].epoch != update.epoch
            ):
                peer.accounts[update.key] = Account(update.epoch)

    @staticmethod
    def _granted(node: _Node, event: events.CreditGranted) -> None:
        peer = node.links.get(event.link)
        if peer is None:
            return
        for key, epoch, limit, byte_limit in event.grants:
            account = peer.accounts.get(key)
            if account is not None and account.epoch == epoch:
                account.limit, account.byte_limit = limit, byte_limit

    def _came(
        self, host: Host, node: _Node, event: events.OfferCame, out: list[Effect], now: float
    ) -> None:
        peer = node.links.get(event.link)
        if peer is None or host.brain is None:
            return
        giver = self._by_name.get(peer.node)
        held = host.brain.context.custody.objects
        kept = [each for each in out if type(each) is effects.Keep and each.fresh]
        fresh = {item.id for each in kept for item in each.objects}
        for id_ in event.ids:
            if id_ not in held:
                continue
            if id_ not in fresh or id_ in node.journeys:
                # A copy of what is here: which of both the node goes by is its own affair.
                node.journeys[id_] = Journey(float("-inf"), 0, ())
                continue
            before = giver.journeys.get(id_) if giver is not None else None
            hops, path = (before.hops, before.path) if before is not None else (0, ())
            node.journeys[id_] = Journey(now, hops + 1, (*path, peer.node)[-32:])
            self.hops[hops + 1] = self.hops.get(hops + 1, 0) + 1

    # --- offers --------------------------------------------------------------------------------

    def _offered(self, host: Host, node: _Node, effect: effects.SendOffer, now: float) -> None:
        assert host.brain is not None
        context = host.brain.context
        peer = node.links.get(effect.link)
        first = effect.objects[0]
        if peer is None:
            raise InvariantBroken("I3", "offered on a link that is down", first.id)
        if not effect.draining:
            self._check_credit(peer, effect, first)
            demands = context.subscriptions.demands
            free = sum([each.free for key, each in demands.items() if wants(key, effect.type)])
            if free and not context.draining:
                alone = all(item.suspect for item in effect.objects)
                if not alone:
                    raise InvariantBroken("I3", "offered while a consumer here is free", first.id)
            if host.disk is not None and not peer.durable and not host.options.allow_volatile:
                raise InvariantBroken("R2", "offered to a peer of lesser durability", first.id)
        if not context.draining:
            for item in effect.objects:
                self._check_return(host, node, peer, item, now)

    def _check_credit(self, peer: Peer, effect: effects.SendOffer, first: HeldObject) -> None:
        account = peer.accounts.get(effect.key)
        if account is None or not wants(effect.key, effect.type):
            raise InvariantBroken("I3", "offered to a peer without interest", first.id)
        if account.offered_bytes >= account.byte_limit:
            raise InvariantBroken("I3", "offered beyond the credit in bytes", first.id)
        account.offered += len(effect.objects)
        account.offered_bytes += sum(len(item.payload) for item in effect.objects)
        if account.epoch != effect.epoch or account.offered > account.limit:
            raise InvariantBroken("I3", "offered beyond credit", first.id)

    @staticmethod
    def _check_hint(
        host: Host, node: _Node, effect: effects.SendBacklog, out: list[Effect]
    ) -> None:
        """R4: what a node says waits for a peer is here; hints of others are not passed on."""
        assert host.brain is not None
        for key, epoch, wanted in effect.wishes:
            peer = node.links.get(effect.link)
            account = peer.accounts.get(key) if peer is not None else None
            if account is None or account.epoch != epoch:
                raise InvariantBroken("R4", f"told of a backlog of {key} that nobody asked for")
            tables = host.brain.context.custody.tables
            ready = sum(
                [each.counts[State.READY] for each in tables.values() if wants(key, each.name)]
            )
            # In the same turn, some of it may have been offered on other links.
            ready += sum([len(e.objects) for e in out if type(e) is effects.SendOffer])
            if wanted > account.offered + ready and not is_pattern(key):
                text = f"told {wanted} of {key}: {account.offered} offered, {ready} are ready"
                raise InvariantBroken("R4", text)

    def _check_return(
        self, host: Host, node: _Node, peer: Peer, item: HeldObject, now: float
    ) -> None:
        """I4: a return, or a move beyond `max_hops`, only after the back-off of its hops."""
        journey = node.journeys.get(item.id)
        if journey is None:
            return
        options = host.options
        if peer.node not in journey.path and journey.hops < options.max_hops:
            return
        self.returns += 1
        self.returned.append(item.id)
        backoff = min(
            options.overflow_after_s * float(2 ** min(journey.hops, 32)), options.overflow_cap_s
        )
        if now - journey.arrived < backoff - ROUNDING:
            raise InvariantBroken("I4", f"moved back after {now - journey.arrived:.3f} s", item.id)
