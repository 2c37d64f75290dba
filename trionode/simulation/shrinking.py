"""From a run that broke an invariant to a smaller one that does: the shortest trace it can give.

Tries fewer faults, fewer objects and nodes, one after another, and keeps what still breaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.simulation.fates import InvariantBroken
from trionode.simulation.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.simulation.settings import Settings

TRIES_MAX = 60
LINES_KEPT = 20_000


@attrs.frozen
class Break:
    """A run that broke: `error` is an InvariantBroken or any exception a brain raised."""

    settings: Settings
    error: Exception
    brain_events: int
    lines: list[str]

    @property
    def kind(self) -> str:
        """What broke, by its name: an invariant, or the class of an error."""
        return (
            self.error.name
            if isinstance(self.error, InvariantBroken)
            else type(self.error).__name__
        )

    @property
    def text(self) -> str:
        """What broke, in a line."""
        if isinstance(self.error, InvariantBroken):
            return str(self.error)
        return f"{type(self.error).__name__}: {self.error}"


def broken_run(settings: Settings) -> Break | None:
    """Run; None if nothing breaks."""
    simulation = Simulation(attrs.evolve(settings, keep_trace=LINES_KEPT))
    try:
        simulation.run()
    except Exception as error:  # noqa: BLE001  # whatever a brain raises is what is looked for
        id_ = getattr(error, "object_id", 0)
        return Break(settings, error, simulation.turns, simulation.trace.tail(id_))
    return None


def shrink(first: Break, tries: int = TRIES_MAX) -> Break:
    """The smallest run found that breaks the same: another invariant would be another fault."""
    best = first
    left = tries
    progress = True
    while progress and left > 0:
        progress = False
        for smaller in _smaller(best.settings):
            if left <= 0:
                break
            left -= 1
            found = broken_run(smaller)
            if found is not None and found.kind == first.kind:
                best, progress = found, True
                break
    return best


def _smaller(settings: Settings) -> Iterator[Settings]:
    for fault in settings.faults:
        yield attrs.evolve(
            settings, faults=tuple(each for each in settings.faults if each != fault)
        )
    if settings.objects > 1:
        yield attrs.evolve(settings, objects=settings.objects // 2)
    if settings.nodes > 2:
        yield attrs.evolve(settings, nodes=settings.nodes - 1)
    if settings.types > 1:
        yield attrs.evolve(settings, types=settings.types - 1)
