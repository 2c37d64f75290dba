"""What the lives of consumers' streams do to leases: who keeps them over a broken one (G4).

Derived from what nodes are told, and from what they answer to consumers that come back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.routing import effects, events
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.simulation.leases import Ended, Lease, LeaseBook

    Count = Callable[[str, int], None]
    """Adds to a figure of the report."""


def took(
    book: LeaseBook, event: object, out: list[Effect], now: float, count: Count
) -> list[Lease]:
    """A node took an event of a consumer's stream, or one that ends leases of broken ones.

    Returns the leases that have ended as failures by that.
    """
    handler = _SEEN.get(type(event))
    return [] if handler is None else handler(book, event, out, now, count)


def _begun(ended: Ended) -> list[Lease]:
    """A consumer that died had begun these."""
    return [lease for lease, begun in ended if begun]


def _came(
    book: LeaseBook, event: events.ConsumerCame, _out: list[Effect], now: float, _count: Count
) -> list[Lease]:
    return _begun(book.came(event.stream, event.secret, now)) if event.secret else []


def _gone(
    book: LeaseBook, event: events.ConsumerGone, _out: list[Effect], now: float, _count: Count
) -> list[Lease]:
    if event.died:
        return _begun(book.broken(event.stream, now))
    book.end_stream(event.stream, None)
    return []


def _unsubscribed(
    book: LeaseBook, event: events.Unsubscribed, _out: list[Effect], _now: float, _count: Count
) -> list[Lease]:
    book.end_stream(event.stream, event.subscription)
    return []


def _started(
    book: LeaseBook, event: events.Started, _out: list[Effect], _now: float, _count: Count
) -> list[Lease]:
    book.started(event.stream, event.subscription, event.count)
    return []


def _subscribed(
    book: LeaseBook, event: events.Subscribed, out: list[Effect], _now: float, count: Count
) -> list[Lease]:
    failed = _begun(book.replaced(event))
    book.subscribed(event)
    if event.resumed is not None:
        refused = book.resumed(event, event.resumed)
        told = [
            (id_, attempt)
            for effect in out
            if type(effect) is effects.AnswerSettle and effect.number == event.resumed.number
            for id_, attempt, _ in effect.refused
        ]
        if sorted(told) != sorted(refused):
            wrong = next(iter({*told} ^ {*refused}), (0, 0))
            raise InvariantBroken("G4", "who came back was told wrongly what is its own", wrong[0])
        count("subscriptions resumed", 1)
        count("leases kept over a broken stream", len(event.resumed.held) - len(refused))
    return failed


def _drained(
    book: LeaseBook, _event: object, _out: list[Effect], _now: float, _count: Count
) -> list[Lease]:
    """Nobody can come back to a node that is leaving, which is not the consumers' doing."""
    book.draining = True
    for key in list(book.away):
        book.end_stream(*key)
    return []


def _ticked(
    book: LeaseBook, _event: object, _out: list[Effect], now: float, count: Count
) -> list[Lease]:
    if book.ended:
        book.ended.clear()
    if not book.away:
        return []
    failed = []
    for key in [key for key, until in book.away.items() if until <= now]:
        ended = book.end_stream(*key)
        book.ended.update({lease.id: lease for lease, _ in ended})
        failed += _begun(ended)
        count("consumers away for too long", 1)
    return failed


_SEEN: dict[type, Callable[[LeaseBook, Any, list[Effect], float, Count], list[Lease]]] = {
    events.ConsumerCame: _came,
    events.ConsumerGone: _gone,
    events.Subscribed: _subscribed,
    events.Unsubscribed: _unsubscribed,
    events.Started: _started,
    events.DrainStarted: _drained,
    events.Tick: _ticked,
}
