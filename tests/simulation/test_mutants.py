"""The proof of the proof: every deliberate bug is caught, the quick ones in every check."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation import mutants
from tests.simulation.bugs import BUGS
from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation

TABLE = Path(__file__).parents[2] / "docs" / "proof.md"


@pytest.mark.parametrize("bug", BUGS)
def test_a_deliberate_bug_is_caught(bug):
    caught = mutants.catch(bug)
    assert caught is not None
    assert caught.how


def test_without_a_bug_what_catches_them_holds():
    for seed in range(1, 6):
        Simulation(Settings(seed=seed, nodes=5, objects=400, every=True)).run()


def test_the_documentation_names_every_bug():
    text = TABLE.read_text()
    assert [bug for bug in BUGS if f"| {bug} |" not in text] == []
