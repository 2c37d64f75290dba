"""Deliberate bugs of delays, deadlines, and of windows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced
from trionode.routing import brain, events, queues, subscriptions

if TYPE_CHECKING:
    from collections.abc import Callable


def _told(change: Callable[[Any], Any]) -> Any:
    """Change the events that a brain takes."""

    def make(old: Any) -> Any:
        return lambda self, event, now: old(self, change(event), now)

    return replaced(brain.Brain, "handle", make)


def delay_of_a_push_ignored() -> Any:
    """An object that was pushed for later is ready at once."""

    def change(event: Any) -> Any:
        if type(event) is not events.Pushed:
            return event
        rest = {
            index: {name: value for name, value in each.items() if name != "due"}
            for index, each in event.details.items()
        }
        return attrs.evolve(event, details={index: each for index, each in rest.items() if each})

    return _told(change)


def delay_of_a_nack_halved() -> Any:
    """A failed object is tried again too soon."""

    def change(event: Any) -> Any:
        if type(event) is events.Settled and event.delay_s:
            return attrs.evolve(event, delay_s=event.delay_s / 2)
        return event

    return _told(change)


def backoff_of_retries_forgotten() -> Any:
    """An object whose consumer named no delay is tried again at once."""

    def change(event: Any) -> Any:
        if type(event) is events.Settled and event.delay_s is None:
            return attrs.evolve(event, delay_s=0.0)
        return event

    return _told(change)


def deadline_noticed_late() -> Any:
    """What has a deadline is there, and delivered, for five seconds more."""

    def make(old: Any) -> Any:
        def set_(self: Any, when: float, kind: str, key: Any) -> None:
            old(self, when + 5.0 if kind == "deadline" else when, kind, key)

        return set_

    return replaced(queues.Timers, "set", make)


def windows_bytes_ignored() -> Any:
    """A window is full by its number of objects only."""

    def make(old: Any) -> Any:
        def refresh(self: Any) -> None:
            self.credit_bytes = 1 << 30 if self.credit_bytes else 0
            old(self)

        return refresh

    return replaced(subscriptions.Subscription, "refresh", make)


def window_one_too_wide() -> Any:
    """A consumer gets one delivery more than its credit."""
    old = subscriptions.Subscription.refresh

    def refresh(self: Any) -> None:
        self.credit += 1
        old(self)
        self.credit -= 1

    return patch.object(subscriptions.Subscription, "refresh", refresh)


def kept_objects_expire() -> Any:
    """What was to become a dead letter at its deadline is gone."""

    def change(event: Any) -> Any:
        if type(event) is not events.Pushed:
            return event
        rest = {
            index: {name: value for name, value in each.items() if name != "keep_expired"}
            for index, each in event.details.items()
        }
        return attrs.evolve(event, details=rest)

    return _told(change)


def payloads_read_for_others() -> Any:
    """What was left to the store comes back under the id of its neighbour."""

    def change(event: Any) -> Any:
        if type(event) is events.Fetched:
            return attrs.evolve(event, payloads=event.payloads[1:] + event.payloads[:1])
        return event

    return _told(change)
