"""Simulated worlds with the SQLite store under their nodes keep all promises, crashes and all."""

from __future__ import annotations

import pytest

from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_a_world_on_the_sqlite_store_keeps_its_promises(seed, disks):
    settings = Settings(nodes=4, seed=seed, minutes=3.0, objects=1000, memory_nodes=1)
    Simulation(settings).run()
    assert sum(disk.crashes for disk in disks.made) > 0, "no node came back from a crash"
    assert sum(disk.stamp for disk in disks.made) > 300, "hardly anything was written"
