"""Deliberate bugs of results that come with an ack, of keys, and of deadlines that keep."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import in_effects, replaced
from trionode.routing import context, effects, events, intake, keys
from trionode.store import batch
from trionode.store.waiting import Waiting


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


def acknowledged_before_results() -> Any:
    """A push is acknowledged when its object is settled, also if results wait for the commit."""

    def make(old: Any) -> Any:
        return lambda self, effect, batch: old(self, attrs.evolve(effect, plain=True), batch)

    return replaced(Waiting, "settled", make)


def acknowledged_before_keys() -> Any:
    """The same of pushes whose keys wait for it."""

    def change(event: Any, out: list[Any]) -> list[Any]:
        if type(event) is not events.Pushed:
            return out
        new = tuple(id_ for e in out if type(e) is effects.Keep for id_ in map(_id_of, e.objects))
        return [
            attrs.evolve(e, new=new) if type(e) is effects.AcknowledgePush and new else e
            for e in out
        ]

    return in_effects(change)


def _id_of(item: Any) -> int:
    return int(item.id)
