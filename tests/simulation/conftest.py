"""What tests of simulations share."""

from __future__ import annotations

import pytest

from tests.support.real_disk import RealDisks
from trionode.simulation import node as simulated_node


@pytest.fixture
def disks(monkeypatch):
    """SQLite stores under the nodes of a simulation."""
    made = RealDisks()
    monkeypatch.setattr(simulated_node, "Disk", made)
    yield made
    made.close()


@pytest.fixture(params=["simulated", "sqlite"])
def each_disk(request):
    """Runs a test once with each kind of store under its simulated nodes."""
    if request.param == "sqlite":
        request.getfixturevalue("disks")
