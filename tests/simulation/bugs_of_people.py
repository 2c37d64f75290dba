"""Deliberate bugs of what people do with dead letters, and of what they see."""

from __future__ import annotations

from typing import Any

import attrs

from tests.simulation.patching import replaced
from trionode.routing import dead_letters, watching
from trionode.routing.model import State, Step

LIVE = (State.READY, State.LEASED)


def retried_keep_attempts() -> Any:
    """A dead letter that is tried again has used up its attempts already."""

    def make(old: Any) -> Any:
        def retried(self: Any, event: Any, now: float) -> None:
            objects = self._context.custody.objects
            before = {id_: objects[id_].attempt for id_ in event.ids if id_ in objects}
            old(self, event, now)
            for id_, attempt in before.items():
                if id_ in objects and objects[id_].state in LIVE:
                    objects[id_].attempt = attempt

        return retried

    return replaced(dead_letters.DeadLetters, "retried", make)


def anything_discarded() -> Any:
    """A person who means dead letters discards the first object that there is as well."""

    def make(old: Any) -> Any:
        def discarded(self: Any, event: Any) -> None:
            held = self._context.custody.objects.values()
            more = [item.id for item in held if item.state == State.READY][:1]
            old(self, event)
            if more:
                self._context.custody.move([self._context.custody.objects[more[0]]], Step.BURY)
                old(self, attrs.evolve(event, ids=more))

        return discarded

    return replaced(dead_letters.DeadLetters, "discarded", make)


def received_not_copied() -> Any:
    """Who watches sees only what is pushed here."""

    def make(old: Any) -> Any:
        def copy(self: Any, table: Any, objects: Any, how: str) -> None:
            if how != "received":
                old(self, table, objects, how)

        return copy

    return replaced(watching.Watching, "copy", make)
