"""Looking at what is held without touching it: a page of the objects that somebody asks for.

A page is a walk over a part of all objects, in the order in which they came into custody, so that
it costs the same whatever is held. The place to go on from is how many were passed over, less those
that have left since: nothing that stays is missed, and little is shown twice.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import attrs

from trionode.routing.model import HELD_STATES, HeldObject, State

if TYPE_CHECKING:
    from trionode.routing.custody import Custody

SCAN_MAX = 20_000
"""Objects looked at for one page: a few milliseconds in which nothing else is done."""

_DEPARTURES = ("settled", "transferred", "expired", "discarded")


@attrs.frozen
class Selection:
    """Which objects are meant.

    Attributes:
        type: their type.
        states: the states that they may be in; all by default.
        reason: a part of why it is a dead letter, or of its last failure; capitals don't matter.
        older_than_s: the least age since they were made.
    """

    type: str
    states: frozenset[State] = frozenset(HELD_STATES)
    reason: str = ""
    older_than_s: float = 0.0

    def picks(self, item: HeldObject, now: float) -> bool:
        """Whether an object is meant."""
        return (
            item.state in self.states
            and item.table.name == self.type
            and now - item.created >= self.older_than_s
            and (not self.reason or self.reason.lower() in self._said_of(item))
        )

    @staticmethod
    def _said_of(item: HeldObject) -> str:
        return f"{item.detail('dead', '')}\n{item.detail('failure', '')}".lower()


@attrs.frozen
class Place:
    """Where a page ended: objects passed over, and how many had ever left custody by then."""

    passed: int = 0
    departed: int = 0


def page(
    custody: Custody, selection: Selection, place: Place, limit: int, now: float
) -> tuple[list[HeldObject], Place | None]:
    """Up to `limit` of the objects that are meant, and where to go on; None at the end.

    A page may be empty and not the last.
    """
    table = custody.tables.get(selection.type)
    if table is None or not any(table.counts[state] for state in selection.states):
        return [], None
    departed = sum(
        flow.count
        for each in custody.tables.values()
        for name, flow in each.flows.items()
        if name in _DEPARTURES
    )
    passed = max(0, place.passed - (departed - place.departed)) if place.passed else 0
    found: list[HeldObject] = []
    for item in islice(custody.objects.values(), passed, passed + SCAN_MAX):
        if len(found) >= limit:
            break
        passed += 1
        if selection.picks(item, now):
            found.append(item)
    return found, Place(passed, departed) if passed < len(custody.objects) else None
