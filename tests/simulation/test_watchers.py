"""The simulator's watchers see that a node shows them what comes, and does nothing for them."""

from __future__ import annotations

import pytest

from trionode.routing.custody import Custody
from trionode.routing.watching import Watching
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.settings import Settings
from trionode.simulation.simulation import Simulation

SMALL = Settings(nodes=3, seed=4, minutes=0.3, objects=200)


def test_with_watchers_every_rule_holds():
    simulation = Simulation(SMALL)
    simulation.run()
    up = [node.host.brain for node in simulation.nodes if node.up]
    assert any(len(brain.context.custody.watching) for brain in up)


def test_what_is_not_shown_is_noticed(monkeypatch):
    monkeypatch.setattr(Watching, "copy", lambda *_: None)
    with pytest.raises(InvariantBroken, match="was not shown"):
        Simulation(SMALL).run()


def test_what_is_shown_again_is_noticed(monkeypatch):
    move = Custody.move

    def show_and_move(self, objects, step):
        found = list(objects)
        for item in found:
            if item.table.watchers:
                self.watching.copy(item.table, [item], "accepted")
        return move(self, found, step)

    monkeypatch.setattr(Custody, "move", show_and_move)
    with pytest.raises(InvariantBroken, match="what was here"):
        Simulation(SMALL).run()
