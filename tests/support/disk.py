"""A disk for brains in tests: what is staged is lost in a crash, what is committed is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.events import Recovered
from trionode.routing.model import Spilled
from trionode.routing.records import (
    GivenRecord,
    KeysRecord,
    ObjectRecord,
    ProducerRecord,
    TakenRecord,
)
from trionode.store.batch import Batch

if TYPE_CHECKING:
    from trionode.routing.effects import StoreEffect


class Disk:
    """Applies batches as a store would."""

    def __init__(self) -> None:
        self._batch = Batch(0, 0.0)
        self.objects: dict[int, ObjectRecord] = {}
        self.producers: dict[int, tuple[int, list[tuple[int, int]]]] = {}
        self.given: dict[tuple[str, int, int], GivenRecord] = {}
        self.taken: dict[tuple[str, int, int], TakenRecord] = {}
        self.keys: list[KeysRecord] = []

    @property
    def staged(self) -> bool:
        """Whether anything waits for a commit."""
        return bool(self._batch)

    def stage(self, effect: StoreEffect) -> None:
        self._batch.add(effect)

    def lose_staged(self) -> None:
        self._batch = Batch(self._batch.stamp, 0.0)

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        return [self.objects[id_].payload if id_ in self.objects else None for id_ in ids]

    def commit(self) -> list[int]:
        """Write what was staged; returns the ids of the objects written."""
        batch, self._batch = self._batch, Batch(self._batch.stamp, 0.0)
        for id_ in batch.gone:
            self.objects.pop(id_, None)
        for id_, record in batch.kept.items():
            whole = not isinstance(record.payload, Spilled)
            kept = record if whole else attrs.evolve(record, payload=self.objects[id_].payload)
            self.objects[id_] = kept
        for producer, change in batch.producers.items():
            floor, accepted = self.producers.pop(producer, (0, []))
            if change is not None:
                before = [] if change.anew else accepted
                self.producers[producer] = (
                    max(0 if change.anew else floor, change.floor),
                    before + change.accepted,
                )
        for book, changes in ((self.given, batch.given), (self.taken, batch.taken)):
            for key, record in changes.items():
                book.pop(key, None)  # type: ignore[attr-defined]  # two kinds of book
                if record is not None:
                    book[key] = record  # type: ignore[index]  # the same
        if batch.keys_until is not None:
            self.keys = [each for each in self.keys if each.at > batch.keys_until]
        self.keys += batch.keys
        return list(batch.kept)

    def recover(self) -> list[Recovered]:
        """The events that bring a brain back."""
        producers = [
            ProducerRecord(producer, floor, _above(floor, accepted))
            for producer, (floor, accepted) in self.producers.items()
        ]
        books = Recovered(
            producers=producers,
            given=list(self.given.values()),
            taken=list(self.taken.values()),
            keys=self.keys,
        )
        return [books, *(Recovered(objects=[each]) for each in self.objects.values())]


def _above(floor: int, runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The parts of runs above a floor."""
    parts = ((max(first, floor + 1), first + count) for first, count in runs)
    return [(first, end - first) for first, end in parts if end > first]
