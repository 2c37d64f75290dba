"""What one node tells of the objects that it holds, and of those that it has met."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

from trionode.ids import SEQUENCE_BITS, SEQUENCE_MASK
from trionode.inspection.reasons import Reasons
from trionode.inspection.views import view_of
from trionode.routing.history import history_of

if TYPE_CHECKING:
    from trionode.ids import ObjectId
    from trionode.inspection.known import KnownNodes
    from trionode.routing import Brain
    from trionode.routing.model import HeldObject


class Looking:
    """Reads a brain's books and never changes them.

    Args:
        brain: of the node.
        known: what nodes are called.
    """

    def __init__(self, brain: Brain, known: KnownNodes) -> None:
        self._brain = brain
        self._known = known
        self._reasons = Reasons(brain, known)

    def at(self, item: HeldObject, now: float) -> dict[str, Any]:
        """An object with why it waits, as a plain JSON value."""
        rows = [
            attrs.evolve(row, node=self._known.get(row.node).name or row.node)
            for row in history_of(item, self._brain.context.node)
        ]
        return view_of(item, self._reasons.of(item, now), rows, now)

    def knowledge(self, id_: ObjectId, left: dict[str, Any] | None, now: float) -> dict[str, Any]:
        """What this node knows of an object.

        Args:
            id_: of the object.
            left: how it left custody here, where the store has kept that.
            now: on the brain's clock.
        """
        brain = self._brain
        item = brain.context.custody.objects.get(id_)
        forward = brain.givings.forwarded.find(id_)
        book = brain.intake.producers.find(id_ >> SEQUENCE_BITS)
        sequence = id_ & SEQUENCE_MASK
        given: dict[str, Any] | None = None
        if forward is not None:
            to = self._known.get(forward.peer)
            given = {
                "to": {"id": to.node, "name": to.name, "address": to.address},
                # Never more than it was: whether it was before something else is decided by it.
                "ago_s": math.floor((now - forward.when) * 1000) / 1000,
            }
        return {
            "held": None if item is None else self.at(item, now),
            "left": left if item is None else None,
            "given": given,
            "accepted": book is not None and sequence > book.floor and sequence in book,
            # Its producer has told that it knows the outcome, which is then remembered no more.
            "resolved": book is not None and sequence <= book.floor,
        }
