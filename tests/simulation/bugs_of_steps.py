"""Deliberate bugs of results that come with an ack, of keys, and of deadlines that keep."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced
from trionode.routing import context, effects, intake, keys
from trionode.store import batch


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


def kept_at_deadline_dropped() -> Any:
    """What is to be kept at its deadline is dropped like the rest."""

    def make(old: Any) -> Any:
        def end_at_deadline(self: Any, items: Any, *more: Any) -> None:
            for item in items:
                item.amend(keep_expired=None)
            old(self, items, *more)

        return end_at_deadline

    return replaced(context.Context, "end_at_deadline", make)
