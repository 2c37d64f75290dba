"""The durable store: one SQLite database in the node's data directory.

Theory of operation. A batch is one transaction and one fsync: the log of SQLite (WAL, with
`synchronous=FULL`) is on disk when COMMIT returns. Objects lie in one tree in the order in which
they came, keyed by a number that counts up; the numbers of what is held are remembered in memory,
so there is no index to write: a commit of new objects appends to the end of the log and of the
tree, and settled objects go in ranges. Beside the objects each commit writes one row of state:
its stamp, and how many objects there are, so that a loss is noticed and counted even where nothing
is left of what was lost.

Deleted rows leave free pages that the next objects fill, so a queue at work neither grows nor
moves pages about; the file keeps the size of its largest backlog until it is compacted. SQLite's
automatic vacuum would shrink it, at the price of a map of all pages written along with each commit.

The log is folded into the database after each thousand pages, which takes some milliseconds; in the
same thread, since a log to which another thread writes never becomes empty and so never starts
again from its beginning.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from typing import TYPE_CHECKING

import attrs

from trionode.ids import to_runs
from trionode.routing.model import Spilled
from trionode.store import sqlite_schema as schema
from trionode.store.base import Identity, StoreError, StoreStatus
from trionode.store.lock import DirectoryLock, make_directory
from trionode.store.sqlite_books import Books
from trionode.store.sqlite_identity import take_identity
from trionode.store.sqlite_inserts import insert_objects
from trionode.store.sqlite_log import Log
from trionode.store.sqlite_opening import open_sound
from trionode.store.sqlite_payloads import PayloadReader, rows_of
from trionode.store.sqlite_query import SqliteQueries
from trionode.store.sqlite_records import Shapes
from trionode.store.sqlite_recovery import Recovery, write_state
from trionode.store.sqlite_retention import Retained, Retention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from trionode.routing.events import Recovered
    from trionode.routing.records import ObjectRecord
    from trionode.schema.definition import Definition
    from trionode.store.batch import Batch
    from trionode.store.damage import Damage
    from trionode.store.finding import Finder

_DELETE = "DELETE FROM objects WHERE seq BETWEEN ? AND ?"
_FILES = ("", "-wal")


class SqliteStore:
    """See `Store`.

    Args:
        directory: the node's data directory, made where it is missing.
        name: the node's name, for whoever finds the directory taken.
        random_bytes: gives so many random bytes, for the id of a new node.
        retention: how long settled objects are kept for queries.
    """

    kind = "sqlite"
    durable = True
    blocks = True

    def __init__(
        self,
        directory: Path,
        name: str,
        random_bytes: Callable[[int], bytes],
        retention: Retention | None = None,
    ) -> None:
        self.path = directory / schema.DATABASE_FILE
        self._name = name
        self._random_bytes = random_bytes
        self.last_stamp = 0
        self._failure = ""
        self._lock: DirectoryLock | None = None
        self._connection: sqlite3.Connection | None = None
        self._shapes = Shapes()
        self._reader = PayloadReader(self.path)
        retention = retention or Retention()
        self.retains = retention.on
        self._retained = Retained(retention)

    def tidying_due(self, now_unix: float) -> bool:
        """See `Store`."""
        return self._retained.is_due(now_unix)

    def open(self, now_unix_ms: int) -> Identity:
        """Take the directory, check the database and repair it where it must be."""
        make_directory(self.path.parent)
        self._lock = DirectoryLock(self.path.parent, self._name)
        try:
            with schema.errors_translated(self.path):
                return self._open(now_unix_ms)
        except BaseException:
            self.close()
            raise

    def _open(self, now_unix_ms: int) -> Identity:
        connection, self._damage = open_sound(self.path, now_unix_ms)
        try:
            self._log = Log(connection, self.path)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        identity, damage = take_identity(connection, now_unix_ms, self._random_bytes)
        self._books = Books()
        self._retained.load(connection)
        self._recovery = Recovery(
            connection,
            self._books,
            self._shapes,
            now_unix_ms,
            accept_all=bool(self._damage),
        )
        self._recovery.begin()
        self._recovered = False
        self._damage += damage
        self._numbers = self._recovery.numbers
        self.last_stamp = self._recovery.stamp
        return identity

    def recover(self, offset_s: float) -> Iterator[Recovered]:
        """See `Store`; to be read to its end, once, before anything is written."""
        with schema.errors_translated(self.path):
            yield from self._recovery.parts(offset_s)
        self.last_stamp = max(self.last_stamp, self._recovery.stamp)
        self._next_number = self._recovery.next_number
        self._recovered = True

    def damage(self) -> list[Damage]:
        """What opening and recovery found damaged."""
        return [*self._damage, *self._recovery.damage]

    def definitions(self) -> list[Definition]:
        """See `Store`."""
        return self._books.definitions

    def write(self, batch: Batch) -> None:
        """See `Store`."""
        if not self._recovered:
            for _ in self.recover(0):
                pass
        try:
            with schema.errors_translated(self.path):
                self._log.require_room()
                self._write(batch)
                self._log.tend()
        except StoreError as error:
            self._failure = str(error)
            raise
        self._failure = ""

    def _write(self, batch: Batch) -> None:
        assert self._connection is not None, "the store is open"
        connection, numbers, gone = self._connection, self._numbers, batch.gone
        if batch.partial:
            batch = self._whole(connection, batch)
        kept = batch.kept
        leaving = {id_: numbers[id_] for id_ in gone if id_ in numbers}
        first = self._next_number
        # Nearly always all are new; then counting is all there is to do.
        written = dict(zip(kept, itertools.count(first)))  # one has no end
        staying = [id_ for id_ in written.keys() & numbers.keys() if id_ not in leaving]
        for id_ in staying:
            written[id_] = numbers[id_]
        count = len(numbers) - len(leaving) + len(written) - len(staying)
        books = self._books.plan(batch)
        with schema.transaction(connection):
            self._retained.carry_out(connection, batch, leaving, self._shapes)
            if leaving:
                runs = to_runs(sorted(leaving.values()))
                connection.executemany(_DELETE, [(run[0], sum(run) - 1) for run in runs])
            if written:
                rows = self._shapes.rows(zip(written.values(), kept.values(), strict=True))
                insert_objects(connection, rows)
            books.carry_out(connection)
            write_state(connection, batch.stamp, count)
        for id_ in leaving:
            del numbers[id_]
        numbers.update(written)
        self._next_number = first + len(written)
        self.last_stamp = max(self.last_stamp, batch.stamp)
        books.finish()
        self._retained.finish()

    def _whole(self, connection: sqlite3.Connection, batch: Batch) -> Batch:
        """A batch with the payloads that the database has of what is in it."""
        changed = {id_: each.record for id_, each in batch.retired.items() if each.record}
        completed = self._completed(connection, changed)
        retired = {
            # One that is damaged goes as it is, like any other.
            id_: attrs.evolve(each, record=completed.get(id_))
            for id_, each in batch.retired.items()
        }
        return attrs.evolve(batch, kept=self._completed(connection, batch.kept), retired=retired)

    def _completed(
        self, connection: sqlite3.Connection, kept: dict[int, ObjectRecord]
    ) -> dict[int, ObjectRecord]:
        """Records with the payloads that the database has of them.

        One whose row is damaged is left out: the row stays as it is, to be noticed when it is read.
        """
        lacking = [id_ for id_, each in kept.items() if isinstance(each.payload, Spilled)]
        rows = rows_of(connection, [self._numbers[id_] for id_ in lacking if id_ in self._numbers])
        found = {each.id: each for row in rows if (each := self._shapes.record(row, 0.0))}
        complete = {}
        for id_, record in kept.items():
            if not isinstance(record.payload, Spilled):
                complete[id_] = record
            elif id_ in found:
                complete[id_] = attrs.evolve(record, payload=found[id_].payload)
        return complete

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        """See `Store`."""
        # Each number is looked up at once: the writer's thread changes the others meanwhile.
        numbers = {id_: number for id_ in ids if (number := self._numbers.get(id_)) is not None}
        with schema.errors_translated(self.path):
            found = self._reader.read(numbers)
        return [found.get(id_) for id_ in ids]

    def settled_ids(self) -> set[int]:
        """Which settled objects are kept."""
        assert self._connection is not None, "the store is open"
        with schema.errors_translated(self.path):
            return self._retained.ids(self._connection)

    def finder(self, node: str, state_of: Callable[[int], str | None]) -> Finder:
        """See `Store`."""
        return SqliteQueries(self.path, node, state_of)

    def status(self) -> StoreStatus:
        """See `Store`."""
        size_bytes = 0
        for suffix in _FILES:
            with contextlib.suppress(OSError):
                size_bytes += self.path.with_name(self.path.name + suffix).stat().st_size
        state = self._failure
        if not state and self._connection is not None:
            state = self._log.failure
        return StoreStatus(self.kind, str(self.path), state or "ok", size_bytes)

    def close(self) -> None:
        """See `Store`."""
        self._reader.close()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):  # what was written is in the log
                self._connection.close()
            self._connection = None
            self._log.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
