"""A run that broke is made smaller, and still shows the same fault."""

from __future__ import annotations

from trionode.simulation import shrinking
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.settings import Settings
from trionode.simulation.shrinking import Break, shrink


def test_a_smaller_run_that_breaks_something_else_is_not_taken(monkeypatch) -> None:
    def broken_run(settings: Settings) -> Break | None:
        if settings.nodes < 4:
            error: Exception = InvariantBroken("I6", "another fault")
        elif settings.objects < 100:
            error = KeyError("a third")
        else:
            error = InvariantBroken("I4", "the fault that is looked for")
        return Break(settings, error, 0, [])

    monkeypatch.setattr(shrinking, "broken_run", broken_run)
    first = broken_run(Settings(nodes=9, objects=1000))
    assert first is not None
    found = shrink(first)
    assert found.text == "I4: the fault that is looked for"
    assert (found.settings.nodes, found.settings.objects, found.settings.faults) == (4, 125, ())
