"""Figures of a run for its report, gathered from events and effects as they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects

if TYPE_CHECKING:
    from trionode.routing.effects import Effect


@attrs.define(eq=False)
class Figures:
    """Counts only; what they mean is written where the report is made."""

    effects: dict[str, int] = attrs.field(factory=dict)
    interest_updates: int = 0
    fault_free_from: float = 0.0
    drained_at: float = 0.0

    def observe(self, _event: object, out: list[Effect]) -> None:
        """A brain took an event and answered with these effects."""
        for effect in out:
            if type(effect) is effects.SendInterest:
                self.interest_updates += len(effect.updates)
