"""The small tables of a SQLite store, mirrored in memory: a change writes one row by its number.

Changed by `Plan.finish` only, once what a batch says is on disk.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from trionode.ids import SEQUENCE_BITS, SEQUENCE_MASK, to_runs
from trionode.routing.producers import AcceptedSequences
from trionode.routing.records import ProducerRecord
from trionode.store import sqlite_records as records
from trionode.store.damage import Damage
from trionode.store.sqlite_keys import TABLE as KEYS
from trionode.store.sqlite_keys import KeysTable

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

    from trionode.ids import Run
    from trionode.routing.records import GivenRecord, KeysRecord, TakenRecord
    from trionode.schema.definition import Definition
    from trionode.store.batch import Batch, ProducerChange

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@attrs.define
class Plan:
    """The rows that a batch changes, by table."""

    written: dict[str, list[records.BookRow]] = attrs.field(factory=dict)
    deleted: dict[str, list[tuple[int]]] = attrs.field(factory=dict)
    changes: list[Callable[[], None]] = attrs.field(factory=list)
    writes: list[Callable[[sqlite3.Connection], None]] = attrs.field(factory=list)

    def carry_out(self, connection: sqlite3.Connection) -> None:
        """Write it, within the caller's transaction."""
        for table, numbers in self.deleted.items():
            connection.executemany(f"DELETE FROM {table} WHERE number = ?", numbers)  # noqa: S608  # a name of ours
        for table, rows in self.written.items():
            connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608  # the same
        for write in self.writes:
            write(connection)

    def finish(self) -> None:
        """Bring the mirror up to what was written."""
        for change in self.changes:
            change()


class _Book(Generic[_Key, _Value]):
    """One table: what it holds, and in which row."""

    def __init__(self, table: str) -> None:
        self.table = table
        self.values: dict[_Key, _Value] = {}
        """In the order in which they were last written."""
        self._numbers: dict[_Key, int] = {}
        self.next = 1

    def write(self, plan: Plan, key: _Key, value: _Value, body: Any) -> None:
        number = self._numbers.get(key)
        if number is None:
            number, self.next = self.next, self.next + 1
        row = records.book_row(self.table, number, body)
        plan.written.setdefault(self.table, []).append(row)
        plan.changes.append(partial(self.took, key, value, number))

    def delete(self, plan: Plan, key: _Key) -> None:
        number = self._numbers.get(key)
        if number is not None:
            plan.deleted.setdefault(self.table, []).append((number,))
            plan.changes.append(partial(self._dropped, key))

    def took(self, key: _Key, value: _Value, number: int) -> None:
        self.values.pop(key, None)
        self.values[key] = value
        self._numbers[key] = number

    def _dropped(self, key: _Key) -> None:
        del self.values[key], self._numbers[key]


class Books:
    """What the tables of definitions, producers, offers and keys hold."""

    def __init__(self) -> None:
        self._definitions: _Book[tuple[str, str], Definition] = _Book("definitions")
        self._producers: _Book[int, AcceptedSequences] = _Book("producers")
        self._given: _Book[tuple[str, int, int], GivenRecord] = _Book("given")
        self._taken: _Book[tuple[str, int, int], TakenRecord] = _Book("taken")
        self._keys = KeysTable()
        self.stamp = 0
        """The highest stamp found in the tables."""

    @property
    def definitions(self) -> list[Definition]:
        """Every definition, in the order they were learnt."""
        return list(self._definitions.values.values())

    @property
    def producers(self) -> list[ProducerRecord]:
        """Every producer's book, those that were written last at the end."""
        return [_record(*item) for item in self._producers.values.items()]

    @property
    def given(self) -> list[GivenRecord]:
        """Our open offers."""
        return list(self._given.values.values())

    @property
    def taken(self) -> list[TakenRecord]:
        """Peers' offers that may come again."""
        return list(self._taken.values.values())

    def hand_out_keys(self) -> list[KeysRecord]:
        """The keys of pushes as they were loaded, oldest first; empty the next time."""
        return self._keys.hand_out()

    def load(self, connection: sqlite3.Connection) -> list[Damage]:
        """Fill the mirror; returns what is damaged, which stays where it is."""
        damage: list[Damage] = []
        for number, value in _values(connection, self._definitions, damage):
            definition = records.definition_of(value)
            self._definitions.took((definition.type, definition.fingerprint), definition, number)
        for number, value in _values(connection, self._given, damage):
            given = records.given_record(value)
            self._given.took((given.peer, given.incarnation, given.sequence), given, number)
            self.stamp = max(self.stamp, given.stamp)
        for number, value in _values(connection, self._taken, damage):
            taken = records.taken_record(value)
            self._taken.took((taken.giver, taken.incarnation, taken.sequence), taken, number)
        producers = [
            (*records.producer_record(value), number)
            for number, value in _values(connection, self._producers, damage)
        ]
        for record, when, number in sorted(producers, key=lambda each: each[1]):
            self._producers.took(record.producer, _sequences(record), number)
            self.stamp = max(self.stamp, when[0])
        self._keys.load(_sound(connection, KEYS, damage))
        return damage

    def plan(self, batch: Batch) -> Plan:
        """What a batch changes here."""
        plan = Plan()
        for producer, change in batch.producers.items():
            if change is None:
                self._producers.delete(plan, producer)
            else:
                known = None if change.anew else self._producers.values.get(producer)
                self._write_producer(plan, producer, _changed(known, change), batch.stamp)
        for key, given in batch.given.items():
            if given is None:
                self._given.delete(plan, key)
            else:
                self._given.write(plan, key, given, records.given_value(given))
        for key, taken in batch.taken.items():
            if taken is None:
                self._taken.delete(plan, key)
            else:
                self._taken.write(plan, key, taken, records.taken_value(taken))
        if batch.keys or batch.keys_until is not None:
            plan.writes.append(partial(self._keys.carry_out, batch=batch))
            plan.changes.append(self._keys.finish)
        fresh = {(each.type, each.fingerprint): each for each in batch.definitions}
        for name, definition in fresh.items():
            if name not in self._definitions.values:
                value = records.definition_value(definition)
                self._definitions.write(plan, name, definition, value)
        return plan

    def accept(self, ids: Iterable[int], stamp: int) -> Plan:
        """Have these objects among what their producers had accepted.

        After damage to the producers' books: an object that is held and pushed again is a repeat,
        even where the book that said so is lost.
        """
        by_producer: dict[int, list[Run]] = {}
        for first, count in to_runs(sorted(ids)):
            run = (first & SEQUENCE_MASK, count)
            by_producer.setdefault(first >> SEQUENCE_BITS, []).append(run)
        plan = Plan()
        for producer, runs in by_producer.items():
            book = _copied(self._producers.values.get(producer))
            for run in runs:
                for part in book.missing(*run):
                    book.add(*part)
            self._write_producer(plan, producer, book, stamp)
        return plan

    def _write_producer(
        self, plan: Plan, producer: int, book: AcceptedSequences, stamp: int
    ) -> None:
        place = len(plan.written.get(self._producers.table, ()))
        value = records.producer_value(_record(producer, book), stamp, place)
        self._producers.write(plan, producer, book, value)


def _values(
    connection: sqlite3.Connection, book: _Book[Any, Any], damage: list[Damage]
) -> Iterable[tuple[int, Any]]:
    """The sound records of a book, which is told which numbers are in use."""
    for number, value in _sound(connection, book.table, damage):
        book.next = number + 1
        yield number, value
    (last,) = connection.execute(f"SELECT max(number) FROM {book.table}").fetchone()  # noqa: S608  # a name of ours
    book.next = (last or 0) + 1


def _sound(
    connection: sqlite3.Connection, table: str, damage: list[Damage]
) -> Iterable[tuple[int, Any]]:
    """The sound records of a table, while others are added to `damage`."""
    for row in connection.execute(f"SELECT * FROM {table} ORDER BY number"):  # noqa: S608  # a name of ours
        if records.is_sound(table, row):
            yield row[0], records.unpack(row[1])
        else:
            damage.append(Damage(table, row[0], records.CHECKSUM_DIFFERS))


def _record(producer: int, book: AcceptedSequences) -> ProducerRecord:
    runs = [(first, end - first) for first, end in zip(book.starts, book.ends, strict=True)]
    return ProducerRecord(producer, book.floor, runs)


def _sequences(record: ProducerRecord) -> AcceptedSequences:
    starts = [first for first, _ in record.accepted]
    return AcceptedSequences(record.floor, starts, [sum(run) for run in record.accepted])


def _copied(book: AcceptedSequences | None) -> AcceptedSequences:
    if book is None:
        return AcceptedSequences()
    return AcceptedSequences(book.floor, list(book.starts), list(book.ends))


def _changed(known: AcceptedSequences | None, change: ProducerChange) -> AcceptedSequences:
    book = _copied(known)
    for run in change.accepted:
        for part in book.missing(*run):
            book.add(*part)
    book.raise_floor(change.floor)
    return book
