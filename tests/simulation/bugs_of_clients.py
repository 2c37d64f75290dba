"""Deliberate bugs of leases, of pushes, and of what a restart brings back."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced, together
from trionode.routing import brain, consumers, custody, effects, intake, leases, producers, recovery
from trionode.routing.model import State, Step


def lease_token_ignored() -> Any:
    """A settle is taken from anybody who knows the object's id."""

    def make(old: Any) -> Any:
        def settle(self: Any, event: Any, now: float) -> None:
            held = [self._context.custody.objects.get(id_) for id_ in event.ids]
            leased = [item for item in held if item is not None and item.state == State.LEASED]
            streams = [item.holder.stream.handle for item in leased]
            attempts = [0 if item is None else item.attempt for item in held]
            stream = streams[0] if streams else event.stream
            mark = len(self._context.out)
            old(self, attrs.evolve(event, attempts=attempts, stream=stream), now)
            self._context.out[mark:] = [
                attrs.evolve(e, stream=event.stream) if type(e) is effects.AnswerSettle else e
                for e in self._context.out[mark:]
            ]

        return settle

    return replaced(leases.Leases, "settle", make)


def dead_consumers_keep_leases() -> Any:
    """The end of a stream gives nothing back."""
    return patch.object(consumers.Consumers, "gone", lambda _self, _event, _now: None)


def overdue_counts_nothing() -> Any:
    """What a consumer has had for too long comes back as if it had not been tried."""
    return patch.object(leases, "counts", lambda _item, _subscription: False)


def drain_forgets_leases() -> Any:
    """A leaving node drops what is leased."""

    def make(old: Any) -> Any:
        def drain(self: Any, event: Any, now: float) -> None:
            old(self, event, now)
            custody = self._context.custody
            leased = [i for i in custody.objects.values() if i.state == State.LEASED]
            if leased:
                self._leases.release(leased)
                self._context.out.append(
                    effects.Forget(custody.remove(leased, Step.SETTLE, "settled"))
                )

        return drain

    return replaced(brain.Brain, "_drain", make)


def repeats_taken_again() -> Any:
    """Pushes that are repeated are taken as new once they left."""

    def make(_old: Any) -> Any:
        return lambda self, first, count: [(first, count)] if first > self.floor else []

    return together(
        replaced(producers.AcceptedSequences, "missing", make),
        patch.object(producers.AcceptedSequences, "add", lambda *_args: None),
    )


def floor_too_high() -> Any:
    """One sequence more than the producer said counts as resolved."""

    def make(old: Any) -> Any:
        def pushed(self: Any, event: Any, now: float) -> None:
            old(self, attrs.evolve(event, acknowledged=event.acknowledged + 1), now)

        return pushed

    return replaced(intake.Intake, "pushed", make)


def bytes_not_given_back() -> Any:
    """A settle frees the count of an object, not its bytes."""

    def make(old: Any) -> Any:
        def remove(self: Any, objects: Any, step: Any, door: str) -> list[int]:
            objects = list(objects)
            more = sum(len(item.payload) for item in objects) if door == "settled" else 0
            ids = old(self, objects, step, door)
            self.held_bytes += more
            return ids

        return remove

    return replaced(custody.Custody, "remove", make)


def recovered_delay_lost() -> Any:
    """What waited for a time before a restart is ready after it, and its attempts are gone."""

    def make(old: Any) -> Any:
        def restore(self: Any, record: Any, now: float) -> Any:
            return old(self, attrs.evolve(record, attempt=1), now)

        return restore

    return replaced(recovery.Recovery, "_object", make)
