"""What an offer's columns are once they have arrived: objects that have come one hop further."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from trionode.routing import history
from trionode.routing.model import HeldObject, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.routing import events
    from trionode.routing.custody import TypeTable


def arriving(
    event: events.OfferCame, count: int, table: TypeTable, ends: tuple[str, str], now: float
) -> Iterator[HeldObject]:
    """The first objects of an offer as they are at its receiver; `ends`: giver and receiver.

    Neighbours share their properties nearly always: what is made of these is made once.
    """
    giver, receiver = ends
    shape, rare = event.shape, event.details
    came = (now, history.RECEIVED, receiver, "", 1, f"from node {giver}")
    last: dict[str, Any] | None = None
    last_attempt = 1
    details = _travelled({}, giver, came)
    state = State.READY
    columns = zip(
        event.ids[:count],
        event.payloads,
        event.ages_s,
        event.attempts or itertools.repeat(1),
        strict=False,
    )
    for index, (id_, payload, age_s, attempt) in enumerate(columns):
        own = rare.get(index) if rare else None
        if own is not last or attempt != last_attempt:
            last, last_attempt = own, attempt
            details = _travelled(own or {}, giver, (*came[:4], attempt, came[5]))
            state = _arrival_state(details, now)
        yield HeldObject(
            id_, table, payload, shape, now - age_s, now, state, attempt, None, 0, details
        )


PATH_KEPT = 32
"""Nodes of an object's path that are remembered: the first and the last ones. Those between no
longer delay a return."""


def _travelled(details: dict[str, Any], giver: str, came: history.Entry) -> dict[str, Any]:
    """The details of an object after one more hop."""
    path = (*details.get("path", ()), giver)
    if len(path) > PATH_KEPT:
        path = (path[0], *path[2:])  # the first one is where the object was accepted
    details = {**details, "hops": int(details.get("hops", 0)) + 1, "path": path}
    return history.extended(details, came)


def _arrival_state(details: dict[str, Any] | None, now: float) -> State:
    if details is None:
        return State.READY
    if "dead" in details:
        return State.DEAD
    return State.DELAYED if details.get("due", now) > now else State.READY
