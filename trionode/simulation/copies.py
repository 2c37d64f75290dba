"""Checks of single objects that came from elsewhere: from a disk, or from a peer (R7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing.model import Spilled
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.model import HeldObject
    from trionode.routing.records import ObjectRecord


def check_recovered(record: ObjectRecord, item: HeldObject) -> None:
    """What comes back from a disk is what was written there."""
    as_written = (record.type, record.attempt)
    same = isinstance(item.payload, Spilled) or item.payload == record.payload
    if (item.table.name, item.attempt) != as_written or not same:
        raise InvariantBroken("I1", "another object came back from the disk", item.id)
    if record.details is item.details is None:
        return
    written, found = record.details or {}, item.details or {}
    for name in ("due", "deadline", "dead"):
        if (written.get(name) is None) != (found.get(name) is None):
            raise InvariantBroken("I1", f"its {name} did not survive a restart", item.id)


def check_arrival(event: events.OfferCame, item: HeldObject) -> None:
    """R7: what came is what was offered; nothing is reset on the way."""
    index = event.ids.index(item.id)
    offered = event.details.get(index, {})
    attempt = 1 if event.attempts is None else event.attempts[index]
    if item.attempt != attempt or item.payload != event.payloads[index]:
        raise InvariantBroken("R7", "attempts or content changed by a transfer", item.id)
    for name in ("deadline", "due"):
        if offered.get(name) != item.detail(name):
            raise InvariantBroken("R7", f"its {name} changed by a transfer", item.id)
