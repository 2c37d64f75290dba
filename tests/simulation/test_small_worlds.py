"""Every interleaving of small worlds, by preset; and that a break gives the shortest trace.

The larger presets are explored by a step of `.ci/run`, without coverage, which would slow them
down several times.
"""

from __future__ import annotations

import pytest

from tests.simulation import bugs
from trionode.simulation.explorer import explore
from trionode.simulation.presets import PRESETS

QUICK = ("e-gone-for-good", "f-memory", "h-withdrawn", "late-settle", "drain")


@pytest.mark.parametrize("name", QUICK)
def test_a_small_world_holds_in_every_interleaving(name):
    explored = explore(PRESETS[name])
    print(f"{name}: {explored.states} states, {explored.steps} steps")
    assert not explored.broken, "\n".join([explored.broken, *explored.trace])
    assert explored.complete
    assert explored.ends > 0


def test_a_break_comes_with_the_shortest_trace_to_it():
    with bugs.BUGS["repeats recognised by object id"]():
        explored = explore(PRESETS["a-crossing"])
    assert explored.broken == "I1: object 1 is lost"
    assert explored.trace[0] == "push 1"
    assert len(explored.trace) == explored.depth <= 20


def test_exploring_stops_at_the_number_of_states_that_was_asked_for():
    explored = explore(PRESETS["c-commit"], states_max=100)
    assert not explored.complete
    assert explored.states < 1000
