"""Deliberate bugs of results that come with an ack, and of keys of pushes."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced
from trionode.routing import effects, intake, keys
from trionode.store import batch


def results_of_any_lease_taken() -> Any:
    """Results are taken whether or not the lease was valid."""

    def make(old: Any) -> Any:
        return lambda self, event, _settled, now: old(self, event, range(len(event.ids)), now)

    return replaced(intake.Intake, "emitted", make)


def only_first_results_taken() -> Any:
    """The results of one parent are taken, those of the others of the same settle not."""

    def make(old: Any) -> Any:
        def emitted(self: Any, event: Any, settled: list[int], now: float) -> None:
            old(self, attrs.evolve(event, emitted=event.emitted[:1]), settled, now)

        return emitted

    return replaced(intake.Intake, "emitted", make)


def results_not_stored() -> Any:
    """What came with an ack is in memory only."""
    right = batch._ADDERS[effects.Keep]

    def keep(made: Any, effect: Any) -> None:
        stays = [item for item in effect.objects if item.detail("parent") is None]
        right(made, attrs.evolve(effect, objects=stays))

    return patch.dict(batch._ADDERS, {effects.Keep: keep})


def keys_not_looked_up() -> Any:
    """A key that was used means nothing to who takes pushes."""
    return patch.object(keys.Keys, "find", lambda _self, _digest, _now: None)
