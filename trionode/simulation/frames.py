"""What travels between two brains: effects of one become events of the other, as nodes do it.

A frame is a tuple that begins with its kind. Times in it are elapsed or remaining seconds (R7),
never a point on somebody's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.routing import effects, events, history

if TYPE_CHECKING:
    from collections.abc import Callable

Frame = tuple[Any, ...]
Details = dict[str, Any]

_TIMES = ("due", "deadline")


def to_remaining(details: Details | None, now: float) -> Details | None:
    """Rare properties with points in time made into what remains until then."""
    return None if details is None else _moved(details, -now)


def to_absolute(details: Details, now: float) -> Details:
    """The opposite, at whoever received them."""
    return _moved(details, now)


def _moved(details: Details, offset_s: float) -> Details:
    found = [name for name in _TIMES if name in details]
    if not found and "history" not in details:
        return details
    moved = {name: max(0.0, details[name] + offset_s) for name in found}
    return {**details, **moved, **history.moved(details, offset_s)}


# --- out --------------------------------------------------------------------------------------


def _offer(effect: effects.SendOffer, now: float) -> Frame:
    objects = effect.objects
    return (
        "offer",
        effect.sequence,
        effect.key,
        effect.epoch,
        effect.type,
        objects[0].shape,
        tuple(item.id for item in objects),
        tuple(item.payload for item in objects),
        tuple(now - item.created for item in objects),
        tuple(item.attempt for item in objects),
        tuple(to_remaining(item.details, now) for item in objects),
        effect.draining,
    )


_OUT: dict[type, Callable[[Any, float], Frame]] = {
    effects.SendInterest: lambda e, _now: ("interest", e.full, tuple(e.updates)),
    effects.SendCredit: lambda e, _now: ("credit", tuple(e.grants)),
    effects.SendBacklog: lambda e, _now: ("backlog", tuple(e.wishes)),
    effects.SendOffer: _offer,
    effects.SendAnswer: lambda e, _now: ("answer", e.incarnation, e.sequence, e.known, e.refused),
    effects.SendClose: lambda e, _now: ("close", tuple(e.numbers)),
    effects.SendKeysSettled: lambda e, _now: ("keys settled", tuple(e.ids)),
    effects.SendKeysAsked: lambda e, _now: ("keys asked", tuple(e.ids)),
    effects.SendAsk: lambda e, _now: ("ask", e.incarnation, e.next_sequence, tuple(e.numbers)),
}

TO_PEERS = frozenset(_OUT)
"""The effects that are frames on a link; each has the `link` it goes to."""


def frame_of(effect: Any, now: float) -> Frame:
    """What one of `TO_PEERS` puts on the wire; to be asked at once, since objects change."""
    return _OUT[type(effect)](effect, now)


def neighbours(peers: list[str]) -> Frame:
    """A node tells whom it is linked to."""
    return ("neighbours", tuple(peers))


# --- in ---------------------------------------------------------------------------------------


def _offer_came(frame: Frame, link: int, now: float) -> events.OfferCame:
    _, sequence, key, epoch, type_, shape, ids, payloads, ages, attempts, details, draining = frame
    return events.OfferCame(
        link,
        sequence,
        key,
        epoch,
        type_,
        shape,
        list(ids),
        list(payloads),
        list(ages),
        list(attempts) if any(attempt != 1 for attempt in attempts) else None,
        {i: to_absolute(each, now) for i, each in enumerate(details) if each is not None},
        draining,
    )


_IN: dict[str, Callable[[Frame, int, float], object]] = {
    "interest": lambda f, link, _now: events.InterestTold(link, f[1], list(f[2])),
    "credit": lambda f, link, _now: events.CreditGranted(link, list(f[1])),
    "backlog": lambda f, link, _now: events.BacklogTold(link, list(f[1])),
    "offer": _offer_came,
    "answer": lambda f, link, _now: events.OfferAnswered(link, f[1], f[2], f[3], f[4]),
    "close": lambda f, link, _now: events.OffersClosed(link, list(f[1])),
    "ask": lambda f, link, _now: events.OffersAsked(link, f[1], f[2], list(f[3])),
    "keys settled": lambda f, link, _now: events.KeysSettled(link, list(f[1])),
    "keys asked": lambda f, link, _now: events.KeysAsked(link, list(f[1])),
    "neighbours": lambda f, link, _now: events.NeighboursTold(link, frozenset(f[1])),
}


def event_of(frame: Frame, link: int, now: float) -> object:
    """What a frame is to the brain that receives it."""
    return _IN[frame[0]](frame, link, now)
