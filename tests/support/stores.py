"""What tests of stores share: records, batches of them, and a model of what a store must hold."""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING

import attrs

from trionode.ids import object_id
from trionode.routing.producers import AcceptedSequences
from trionode.routing.records import (
    GivenRecord,
    KeysRecord,
    ObjectRecord,
    ProducerRecord,
    TakenRecord,
)
from trionode.schema.definition import Definition
from trionode.store.batch import Batch, OfferKey, ProducerChange
from trionode.store.sqlite import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from trionode.store.damage import Damage

NOW_MS = 1_700_000_000_000

QUICK_FOLDER = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""Where many fsyncs cost nothing: what is tested there does not depend on them."""


class InlineSqliteStore(SqliteStore):
    """Writes within the turn of the event loop, so that a clock that jumps waits for it."""

    blocks = False


def random_bytes(count: int) -> bytes:
    """A node id that is the same each time."""
    return bytes(range(count))


def opened(directory: Path, now_unix_ms: int = NOW_MS) -> SqliteStore:
    """A store that has been opened and not yet recovered."""
    store = SqliteStore(directory, "n1", random_bytes)
    store.open(now_unix_ms)
    return store


def record(id_: int, stamp: int = 1, payload: bytes = b"{}", **changes: object) -> ObjectRecord:
    """An object as a batch has it."""
    made = ObjectRecord(id_, "Order", payload, "json", "f" * 24, 1.7e9, 1, None, stamp)
    return attrs.evolve(made, **changes)


def batch(*records: ObjectRecord, stamp: int = 1, gone: tuple[int, ...] = ()) -> Batch:
    """A batch that keeps and forgets objects."""
    made = Batch(stamp, 0.0)
    made.kept.update((each.id, each) for each in records)
    made.gone.update(dict.fromkeys(gone))
    return made


def keys_at(at: float, *digests: bytes) -> KeysRecord:
    """Keys of pushes that were taken at one time."""
    return KeysRecord(at, tuple((digest, object_id(1, 1)) for digest in digests))


def with_keys(change: Batch, at: float, *digests: bytes) -> Batch:
    """A batch that remembers these keys too."""
    change.keys.append(keys_at(at, *digests))
    return change


@attrs.define
class Contents:
    """All that a store holds, in its order."""

    objects: dict[int, ObjectRecord] = attrs.field(factory=dict)
    producers: dict[int, AcceptedSequences] = attrs.field(factory=dict)
    given: dict[OfferKey, GivenRecord] = attrs.field(factory=dict)
    taken: dict[OfferKey, TakenRecord] = attrs.field(factory=dict)
    definitions: dict[tuple[str, str], Definition] = attrs.field(factory=dict)
    keys: list[KeysRecord] = attrs.field(factory=list)

    def apply(self, change: Batch) -> None:
        """What a batch means, in the plainest words."""
        for id_ in change.gone:
            self.objects.pop(id_, None)
        self.objects.update(change.kept)
        for producer, accepted in change.producers.items():
            if accepted is None:
                self.producers.pop(producer, None)
                continue
            self._accept(producer, accepted)
        for book, changes in ((self.given, change.given), (self.taken, change.taken)):
            for key, value in changes.items():
                book.pop(key, None)
                if value is not None:
                    book[key] = value  # type: ignore[assignment]  # the two books in one loop
        for definition in change.definitions:
            self.definitions.setdefault((definition.type, definition.fingerprint), definition)
        if change.keys_until is not None:
            self.keys = [each for each in self.keys if each.at > change.keys_until]
        self.keys += change.keys

    def _accept(self, producer: int, change: ProducerChange) -> None:
        book = self.producers.pop(producer, None)
        if book is None or change.anew:
            book = AcceptedSequences()
        self.producers[producer] = book
        for run in change.accepted:
            for part in book.missing(*run):
                book.add(*part)
        book.raise_floor(change.floor)


def contents(store: SqliteStore, offset_s: float = 0.0) -> Contents:
    """Read a store that was opened."""
    found = Contents()
    objects_began = False
    for part in store.recover(offset_s):
        assert not (objects_began and (part.given or part.taken or part.producers or part.keys))
        objects_began = objects_began or bool(part.objects)
        found.objects.update((each.id, each) for each in part.objects)
        found.producers.update((each.producer, _book(each)) for each in part.producers)
        found.given.update(
            ((each.peer, each.incarnation, each.sequence), each) for each in part.given
        )
        found.keys += part.keys
        found.taken.update(
            ((each.giver, each.incarnation, each.sequence), each) for each in part.taken
        )
    found.definitions = {(each.type, each.fingerprint): each for each in store.definitions()}
    return found


def _book(producer: ProducerRecord) -> AcceptedSequences:
    starts = [first for first, _ in producer.accepted]
    return AcceptedSequences(producer.floor, starts, [sum(run) for run in producer.accepted])


def read(directory: Path) -> tuple[Contents, list[Damage]]:
    """Open a store, read it and close it."""
    store = opened(directory)
    try:
        return contents(store), store.damage()
    finally:
        store.close()


def varied_batches(count: int, seed: int = 1) -> list[Batch]:
    """Batches with everything in them: small and large objects, retries, offers, definitions."""
    draw = random.Random(seed)
    made = []
    held: list[int] = []
    sequences = itertools.count(1)
    for stamp in range(1, count + 1):
        size = draw.randrange(1, 12)
        numbers = list(itertools.islice(sequences, size))
        producer = draw.randrange(3) + 1
        fresh = [
            record(
                object_id(producer, number),
                stamp,
                draw.randbytes(draw.choice([0, 40, 200, 5000, 20_000 if number % 50 == 0 else 9])),
                details={"due": 1.8e9, "path": ["a", "b"]} if draw.random() < 0.2 else None,
                attempt=draw.randrange(1, 4),
                type=draw.choice(["Order", "billing.Invoice"]),
            )
            for number in numbers
        ]
        change = batch(*fresh, stamp=stamp)
        change.producers[producer] = ProducerChange([(numbers[0], size)])
        if len(held) > 10:
            change.gone.update(dict.fromkeys(draw.sample(held, 3)))
            held = [each for each in held if each not in change.gone]
        held += [each.id for each in fresh]
        key = ("peer", 7, stamp)
        change.given[key] = GivenRecord(*key, tuple(each.id for each in fresh), stamp)
        change.taken[key] = TakenRecord(*key, (0, 3))
        if stamp % 3 == 0:
            change.given["peer", 7, stamp - 2] = None
            change.taken["peer", 7, stamp - 1] = None
            change.definitions.append(Definition("Order", f"{stamp:024x}", '{"type": "object"}'))
        if stamp % 2:
            change.keys.append(
                KeysRecord(float(stamp), ((stamp.to_bytes(16, "big"), fresh[0].id),))
            )
        if stamp % 7 == 0:
            change.keys_until = stamp - 5.0
        made.append(change)
    return made
