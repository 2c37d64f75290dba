"""Which checker catches which deliberate bug, and how soon; `python -m tests.simulation.mutants`.

Each bug is put in, then simulations of growing seeds run, and small worlds are explored, until one
of them breaks. Nothing caught is a hole in the proof.
"""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import attrs

from tests.simulation.bugs import BUGS
from trionode.simulation.explorer import explore
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.presets import PRESETS
from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SEEDS_MAX = 60
STATES_MAX = 60_000
SETTINGS = Settings(nodes=5, objects=400, every=True)
EXPLORED_FIRST = {
    "repeats recognised by object id": "a-crossing",
    "in doubt for ever": "e-gone-for-good",
    "incarnation dropped from offer numbers": "c-restart",
    "accepted sequences not stored": "c-commit",
    "taken offers not stored": "c-commit",
    "superseding copy not stored": "a-crossing-crash",
    "offer number forgotten with the answer": "a-crossing-crash",
    "results not stored": "i-results",
    "acknowledged before the results that were settled with": "i-results",
    "acknowledged before its key is kept": "i-keys",
    "settles answered before the commit": "i-results",
}
"""Bugs that show in few worlds only: the small world made for each."""
SETTINGS_OF = {
    # Only where nodes and links stay up is it a bug.
    "a key goes on while its head is away": attrs.evolve(
        SETTINGS, faults=("delays", "clocks", "consumers")
    ),
    # Only where nobody is lost is it clear that all must answer, and when the last one has.
    "answers of who is asked later not waited for": attrs.evolve(
        SETTINGS, faults=("consumers", "producers", "churn")
    ),
    "the last answer waited for in vain": attrs.evolve(
        SETTINGS, faults=("consumers", "producers", "churn")
    ),
    # Only in a long queue is anybody starved.
    "low priorities starve": attrs.evolve(SETTINGS, types=1, objects=1500),
}
"""Simulations for bugs that others cannot show."""
SHAPES = ("mesh", "chain", "ring")


@attrs.frozen
class Caught:
    """What caught a bug, and how soon."""

    by: str
    how: str
    soon: str


def catch(bug: str) -> Caught | None:
    """Put a bug in and look what breaks first; None if nothing does."""
    with BUGS[bug]():
        first = EXPLORED_FIRST.get(bug)
        tries = itertools.chain(
            _explore([first] if first else []),
            _seeds(1, SEEDS_MAX, SETTINGS_OF.get(bug, SETTINGS)),
            _explore(PRESETS),
        )
        return next(tries, None)


def _seeds(first: int, last: int, base: Settings = SETTINGS) -> Iterator[Caught]:
    for seed in range(first, last + 1):
        shape = SHAPES[seed % len(SHAPES)]
        settings = attrs.evolve(base, seed=seed, topology=shape)
        simulation = Simulation(settings)
        try:
            simulation.run()
        except InvariantBroken as broken:
            yield Caught("simulator", str(broken), f"seed {seed}, {simulation.turns} events")
        except Exception as error:  # noqa: BLE001  # a bug may crash the brain as well
            how = f"{type(error).__name__}: {error}"
            yield Caught("simulator", how, f"seed {seed}, {simulation.turns} events")


def _explore(names: Iterable[str]) -> Iterator[Caught]:
    for name in names:
        explored = explore(PRESETS[name], STATES_MAX)
        if explored.broken:
            soon = f"{explored.states} states, {explored.depth} steps"
            yield Caught(f"exploring {name}", explored.broken, soon)


def table(only: Iterable[str] | None = None) -> Iterator[str]:
    """The lines of the table, as each bug is caught."""
    yield "| bug | caught by | as | how soon |"
    yield "|---|---|---|---|"
    for bug in BUGS if only is None else only:
        caught = catch(bug)
        if caught is None:
            yield f"| {bug} | **nothing** | | |"
        else:
            yield f"| {bug} | {caught.by} | {caught.how} | {caught.soon} |"


if __name__ == "__main__":
    missed = 0
    for line in table(sys.argv[1:] or None):
        print(line, flush=True)
        missed += "**nothing**" in line
    sys.exit(missed > 0)
