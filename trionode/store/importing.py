"""Taking exported lines into a store whose node does not run.

What the store has already stays as it is: objects, settled ones, and what a key stands for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.ids import SEQUENCE_BITS, SEQUENCE_MASK
from trionode.routing.records import KeysRecord, ObjectRecord
from trionode.store.base import StoreError
from trionode.store.batch import Batch, ProducerChange, Retired
from trionode.store.object_lines import SettledRecord, record_of_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.store.sqlite import SqliteStore

BATCH_LINES = 1000


@attrs.define
class Taken:
    """How much of each an import took.

    `known`: the store had it; `unkept`: settled objects, of which this store keeps none.
    """

    objects: int = 0
    settled: int = 0
    keys: int = 0
    known: int = 0
    unkept: int = 0


class Import:
    """One import, within the life of one process.

    Args:
        store: opened, and not yet recovered.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._held: set[int] = set()
        self._keys: set[bytes] = set()
        self._keys_at = 0.0
        for part in store.recover(0):
            self._held.update(record.id for record in part.objects)
            for record in part.keys:
                self._note_keys(record)
        self._settled = store.settled_ids()
        self.taken = Taken()

    def _note_keys(self, record: KeysRecord) -> None:
        self._keys.update(digest for digest, _ in record.keys)
        self._keys_at = max(self._keys_at, record.at)

    def take(self, lines: Iterable[bytes]) -> None:
        """Write what stands on lines.

        Raises:
            StoreError: a line is none of an export; what came before it is written.
        """
        batch = self._batch(self._store.last_stamp)
        added = 0
        try:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    record = record_of_line(line, batch.stamp)
                except ValueError as error:
                    raise StoreError(f"line {number}: {error}") from error
                self._add(batch, record)
                added += 1
                if added == BATCH_LINES:
                    full, batch, added = batch, self._batch(batch.stamp), 0
                    self._store.write(full)
        finally:
            self._store.write(batch)

    def _batch(self, stamp: int) -> Batch:
        return Batch(stamp + 1, 0.0, retains=self._store.retains)

    def _add(self, batch: Batch, record: ObjectRecord | SettledRecord | KeysRecord) -> None:
        if isinstance(record, KeysRecord):
            self._add_keys(batch, record)
        elif isinstance(record, SettledRecord):
            self._add_settled(batch, record)
        elif record.id in self._held:
            self.taken.known += 1
        else:
            self._held.add(record.id)
            self.taken.objects += 1
            batch.kept[record.id] = record
            # One that is pushed again is a repeat.
            change = batch.producers.setdefault(record.id >> SEQUENCE_BITS, ProducerChange())
            assert change is not None, "this batch forgets no producer"
            change.accepted.append((record.id & SEQUENCE_MASK, 1))

    def _add_settled(self, batch: Batch, record: SettledRecord) -> None:
        id_ = record.object.id
        if not self._store.retains:
            self.taken.unkept += 1
        elif id_ in self._settled or id_ in self._held:
            self.taken.known += 1
        else:
            self._settled.add(id_)
            self.taken.settled += 1
            batch.retired[id_] = Retired(record.settled, record.outcome, record.object)

    def _add_keys(self, batch: Batch, record: KeysRecord) -> None:
        new = tuple(each for each in record.keys if each[0] not in self._keys)
        self.taken.known += len(record.keys) - len(new)
        if new:
            self.taken.keys += len(new)
            # A store has keys in the order of their times: later than they were taken is no harm.
            batch.keys.append(KeysRecord(max(record.at, self._keys_at), new))
            self._note_keys(batch.keys[-1])
