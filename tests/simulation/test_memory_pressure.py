"""Every invariant under every fault, in nodes whose memory is nearly always full (G7, trace j)."""

from __future__ import annotations

import pytest

from trionode.routing import RoutingOptions
from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("objects", [10, 60])
def test_nodes_that_have_room_for_few_objects_lose_and_strand_none(seed, objects):
    options = RoutingOptions(in_doubt_timeout_s=15.0, max_held_bytes=500 * objects)
    Simulation(Settings(nodes=5, seed=seed, objects=600, options=options)).run()
