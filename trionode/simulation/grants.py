"""Checks of what a node lets its peers offer (R4): not twice, not unasked, not for long.

Keeps accounts of its own, from what the node told its peers and what came of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing import effects, events
from trionode.routing.credit import RELAY_BYTES
from trionode.routing.model import State
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.moves import wants

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.simulation.host import Host
    from trionode.simulation.moves import Moves

ROUNDING = 1e-6
"""Seconds that sums of floats may be off."""

_MOVING = (State.READY, State.LEASED, State.TRANSFERRING)


@attrs.define(eq=False)
class Granted:
    """What one link may offer of one key, since `epoch` began; `used`: raised or drawn on last."""

    epoch: int
    limit: int = 0
    byte_limit: int = 0
    received: int = 0
    received_bytes: int = 0
    wanted: int = 0
    used: float = 0.0

    @property
    def unspent(self) -> int:
        """Objects that may still come on it."""
        used_up = self.received_bytes >= self.byte_limit
        return 0 if used_up else max(0, self.limit - self.received)

    @property
    def unspent_bytes(self) -> int:
        """Bytes that may still come on it."""
        return self.byte_limit - self.received_bytes if self.unspent else 0


Book = dict[str, dict[int, Granted]]
"""By key and link."""


class Grants:
    """Watches the credit that all nodes grant; `moves` knows who has told what interest."""

    def __init__(self, moves: Moves) -> None:
        self._moves = moves
        self._books: dict[int, Book] = {}
        self._seen: dict[type, Callable[[Book, Any, float], None]] = {
            events.LinkDown: lambda book, event, _now: _link_down(book, event),
            events.BacklogTold: lambda book, event, _now: _wished(book, event),
            events.OfferCame: _came,
        }

    def node_started(self, host: Host) -> None:
        """A life of a node begins, without links."""
        self._books[host.index] = {}

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """A brain took an event and answered with these effects."""
        book = self._books[host.index]
        handler = self._seen.get(type(event))
        if handler is not None:
            handler(book, event, now)
        raised: dict[str, int] | None = None
        for effect in out:
            kind = type(effect)
            if kind is effects.SendInterest:
                _advertised(book, effect)
            elif kind is effects.SendCredit:
                raised = raised or {}
                for grant in effect.grants:  # type: ignore[attr-defined]  # its field
                    if _state(book, effect.link, grant, now):  # type: ignore[attr-defined]  # the same
                        raised[grant[0]] = effect.link  # type: ignore[attr-defined]  # the same
        for key, link in raised.items() if raised else ():
            self._check_room(host, book, key, link)

    def check_withdrawn(self, host: Host, now: float) -> None:
        """Credit that lies unused is taken back; to be asked after a tick."""
        latest = now - host.options.credit_withdraw_after_s - ROUNDING
        for key, links in self._books[host.index].items():
            for granted in links.values():
                if granted.used < latest and granted.unspent:
                    text = f"credit for {key} has lain unused for {now - granted.used:.3f} s"
                    raise InvariantBroken("R4", text)

    def _check_room(self, host: Host, book: Book, key: str, link: int) -> None:
        """All that is granted and not drawn on fits what is free here, or the relay's window."""
        brain = host.brain
        assert brain is not None
        context, options = brain.context, host.options
        if context.draining:
            raise InvariantBroken("R10", f"credit for {key} granted while draining")
        demand = context.subscriptions.demands.get(key)
        tables = [each for each in context.custody.tables.values() if wants(key, each.name)]
        ready = sum([table.counts[State.READY] for table in tables])
        room = demand.free - ready if demand is not None else 0
        room_bytes = demand.free_bytes if demand is not None else 0
        granted = list(book[key].values())
        unspent = sum(each.unspent for each in granted)
        unspent_bytes = sum(each.unspent_bytes for each in granted)
        # A share is rounded up, so that each link may be a byte above its part.
        if unspent <= room and unspent_bytes <= room_bytes + len(granted):
            return
        held = sum([table.counts[state] for table in tables for state in _MOVING])
        window = options.relay_window - held
        fits = unspent <= window and unspent_bytes <= RELAY_BYTES + len(granted)
        if not fits or not self._moves.leads_on(host, link, key):
            text = f"{unspent} of {key} granted ({unspent_bytes} B); {room} ({room_bytes} B) free"
            raise InvariantBroken("R4", text)


def _link_down(book: Book, event: events.LinkDown) -> None:
    for granted in book.values():
        granted.pop(event.link, None)


def _wished(book: Book, event: events.BacklogTold) -> None:
    for key, epoch, wanted in event.wishes:
        granted = book.get(key, {}).get(event.link)
        if granted is not None and granted.epoch == epoch:
            granted.wanted = wanted


def _came(book: Book, event: events.OfferCame, now: float) -> None:
    granted = book.get(event.key, {}).get(event.link)
    if granted is not None and granted.epoch == event.epoch:
        granted.received += len(event.ids)
        granted.received_bytes += sum(map(len, event.payloads))
        granted.used = now


def _advertised(book: Book, effect: Any) -> None:
    for update in effect.updates:
        if update.path:
            book.setdefault(update.key, {})[effect.link] = Granted(update.epoch)
        else:
            book.get(update.key, {}).pop(effect.link, None)


def _state(book: Book, link: int, grant: tuple[str, int, int, int], now: float) -> bool:
    """A node states what it accepts; returns whether that is more than before."""
    key, epoch, limit, byte_limit = grant
    granted = book.get(key, {}).get(link)
    if granted is None or granted.epoch != epoch:
        raise InvariantBroken("R4", f"credit for {key} on a link that was told no interest in it")
    before = granted.unspent
    granted.limit, granted.byte_limit = limit, byte_limit
    more = granted.unspent > before
    if more and limit > granted.wanted:
        raise InvariantBroken("R4", f"{limit} of {key} granted, {granted.wanted} asked for")
    if more:
        granted.used = now
    elif limit <= granted.received:
        granted.wanted = granted.received
    return more
