"""A simulated disk under a node: what commits put there survives a crash, and nothing else.

Written against the store's contract (`trionode.store`), with containers of its own, so that a
mistake in a real store or in the brain's books is not made here as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from trionode.ids import to_runs
from trionode.routing import events
from trionode.routing.model import Spilled
from trionode.routing.records import ProducerRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.ids import Run
    from trionode.routing.records import GivenRecord, KeysRecord, ObjectRecord, TakenRecord
    from trionode.store import Batch

_Key = TypeVar("_Key")
_Record = TypeVar("_Record")

PART = 256
"""Objects in one part of what is read back."""


@attrs.define
class _Producer:
    floor: int
    accepted: dict[int, None]


@attrs.define(eq=False)
class Disk:
    """What is kept. `stamp` is that of the last effect written."""

    objects: dict[int, ObjectRecord] = attrs.field(factory=dict)
    producers: dict[int, _Producer] = attrs.field(factory=dict)
    given: dict[tuple[str, int, int], GivenRecord] = attrs.field(factory=dict)
    taken: dict[tuple[str, int, int], TakenRecord] = attrs.field(factory=dict)
    keys: list[KeysRecord] = attrs.field(factory=list)
    stamp: int = 0

    def write(self, batch: Batch) -> None:
        """Apply a batch; the caller decides whether a crash came first."""
        self.stamp = batch.stamp
        for id_ in batch.gone:
            self.objects.pop(id_, None)
        for id_, record in batch.kept.items():
            self._keep(id_, record)
        for producer, change in batch.producers.items():
            if change is None:
                self.producers.pop(producer, None)
                continue
            if change.anew:
                self.producers.pop(producer, None)
            self._accept(producer, change.accepted, change.floor)
        if batch.given:
            _apply(self.given, batch.given)
        if batch.taken:
            _apply(self.taken, batch.taken)
        if batch.keys_until is not None:
            self.keys = [each for each in self.keys if each.at > batch.keys_until]
        self.keys += batch.keys

    def _keep(self, id_: int, record: ObjectRecord) -> None:
        if isinstance(record.payload, Spilled):
            record = attrs.evolve(record, payload=self.objects[id_].payload)
        self.objects[id_] = record

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        """The payloads of objects; None for one that is not there."""
        found: list[bytes | None] = []
        for id_ in ids:
            record = self.objects.get(id_)
            payload = None if record is None else record.payload
            assert not isinstance(payload, Spilled)
            found.append(payload)
        return found

    def _accept(self, producer: int, runs: list[Run], floor: int) -> None:
        kept = self.producers.setdefault(producer, _Producer(0, {}))
        for first, count in runs:
            kept.accepted.update(dict.fromkeys(range(first, first + count)))
        if floor > kept.floor:
            kept.floor = floor
            kept.accepted = {each: None for each in kept.accepted if each > floor}

    def read(self, offset_s: float) -> Iterator[events.Recovered]:
        """Everything, in parts, with times on a clock that is `offset_s` behind the writer's."""
        producers = [
            ProducerRecord(producer, kept.floor, to_runs(sorted(kept.accepted)))
            for producer, kept in self.producers.items()
        ]
        yield events.Recovered(
            producers=producers,
            given=list(self.given.values()),
            taken=list(self.taken.values()),
            keys=[each.shifted(-offset_s) for each in self.keys],
        )
        records = [record.shifted(-offset_s) for record in self.objects.values()]
        for start in range(0, len(records), PART):
            yield events.Recovered(objects=records[start : start + PART])


def _apply(book: dict[_Key, _Record], changes: dict[_Key, _Record | None]) -> None:
    for key, record in changes.items():
        if record is None:
            book.pop(key, None)
        else:
            book[key] = record
