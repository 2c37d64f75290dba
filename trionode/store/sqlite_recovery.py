"""Reading back all that a database has: records that are believed go out, others are set aside."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any

from trionode.ids import OBJECT_ID_BYTES
from trionode.routing.events import Recovered
from trionode.store.damage import Damage
from trionode.store.sqlite_records import (
    CHECKSUM_DIFFERS,
    Shapes,
    book_row,
    is_sound,
    unpack,
)
from trionode.store.sqlite_schema import OBJECT_COLUMNS, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.routing.records import ObjectRecord
    from trionode.store.sqlite_books import Books

CHUNK_OBJECTS = 1000
"""How many objects come in one part: enough to cost little each, and little memory together."""
CHUNK_BYTES = 2 << 20
"""The same in bytes of payload; the last object may reach beyond it."""

SELECT_OBJECTS = f"SELECT {', '.join(OBJECT_COLUMNS)} FROM objects ORDER BY seq"  # noqa: S608  # names of ours
_ID, _TYPE, _PAYLOAD = (OBJECT_COLUMNS.index(name) for name in ("id", "type", "payload"))


class Recovery:
    """One reading of a database, before anything is written to it.

    Args:
        connection: the store's one writer.
        books: empty ones, to be filled.
        shapes: the store's.
        now_unix_ms: when damage is noticed.
        accept_all: have every object that is there among those accepted from its producer, as when
            the producers' books were lost.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        books: Books,
        shapes: Shapes,
        now_unix_ms: int,
        *,
        accept_all: bool,
    ) -> None:
        self.numbers: dict[int, int] = {}
        """Object id -> its number, of all that was believed."""
        self.next_number = 1
        self.stamp = 0
        self.expected: int | None = None
        """How many objects there must be; None where that is not known."""
        self.damage: list[Damage] = []
        self._connection = connection
        self._books = books
        self._shapes = shapes
        self._now_unix_ms = now_unix_ms
        self._accept_all = accept_all
        self._aside: list[tuple[str, int, tuple[Any, ...]]] = []
        """(table, number, row) of what is not believed."""

    def begin(self) -> None:
        """Read the books, so that definitions and the last stamp are known."""
        self.damage += self._books.load(self._connection)
        self._load_state()
        self.stamp = max(self.stamp, self._books.stamp)

    def parts(self, offset_s: float) -> Iterator[Recovered]:
        """Everything in parts, the books of offers first; times `offset_s` earlier."""
        books = self._books
        if self._accept_all or any(each.table == "producers" for each in self.damage):
            plan = books.accept(self._ids(), self.stamp)
            self._save(plan.carry_out)
            plan.finish()
        self._set_books_aside()
        yield Recovered(
            producers=books.producers,
            given=books.given,
            taken=books.taken,
            keys=[each.shifted(-offset_s) for each in books.hand_out_keys()],
        )
        cursor = self._connection.execute(SELECT_OBJECTS)
        for rows in _chunks(cursor):
            if objects := self._believed(rows, offset_s):
                yield Recovered(objects=objects)
        self._finish()

    def judge(self) -> None:
        """Find what is damaged and change nothing; instead of `parts`."""
        cursor = self._connection.execute(SELECT_OBJECTS)
        for rows in _chunks(cursor):
            self._believed(rows, 0)
        self._count_lost()

    def _ids(self) -> Iterator[int]:
        for (id_,) in self._connection.execute("SELECT id FROM objects"):
            if isinstance(id_, bytes) and len(id_) == OBJECT_ID_BYTES:
                yield int.from_bytes(id_, "big")

    def _load_state(self) -> None:
        row = self._connection.execute("SELECT * FROM state").fetchone()
        if row is not None and is_sound("state", row):
            self.stamp, self.expected = unpack(row[1])
        elif row is not None:
            self.damage.append(Damage("state", row[0], CHECKSUM_DIFFERS, kept=False))
            (stamp,) = self._connection.execute("SELECT max(stamp) FROM objects").fetchone()
            self.stamp = stamp if isinstance(stamp, int) else 0

    def _believed(self, rows: list[tuple[Any, ...]], offset_s: float) -> list[ObjectRecord]:
        record_of, numbers, stamp = self._shapes.record, self.numbers, self.stamp
        objects = []
        for row in rows:
            record = record_of(row, offset_s)
            if record is None or record.id in numbers:
                self._disbelieve(row, CHECKSUM_DIFFERS if record is None else "it is there twice")
                continue
            stamp = max(stamp, record.stamp)
            numbers[record.id] = row[0]
            objects.append(record)
        self.stamp = stamp
        self.next_number = rows[-1][0] + 1
        return objects

    def _disbelieve(self, row: tuple[Any, ...], reason: str) -> None:
        type_, payload = row[_TYPE], row[_PAYLOAD]
        name = type_.decode("utf-8", "replace") if isinstance(type_, bytes) else ""
        size_bytes = len(payload) if isinstance(payload, bytes) else 0
        self.damage.append(Damage("objects", row[0], reason, name, size_bytes))
        self._aside.append(("objects", row[0], row))

    def _set_books_aside(self) -> None:
        for each in self.damage:
            if each.kept and each.table != "objects":
                query = f"SELECT * FROM {each.table} WHERE number = ?"  # noqa: S608  # a name of ours
                row = self._connection.execute(query, (each.number,)).fetchone()
                self._aside.append((each.table, each.number, row))

    def _count_lost(self) -> None:
        found = len(self.numbers) + sum(table == "objects" for table, _, _ in self._aside)
        if self.expected is not None and self.expected > found:
            lost = self.expected - found
            self.damage.append(Damage("objects", 0, "lost without a trace", count=lost, kept=False))

    def _finish(self) -> None:
        self._count_lost()
        if self.damage:
            self._save(self._set_aside)

    def _set_aside(self, connection: sqlite3.Connection) -> None:
        (last,) = connection.execute("SELECT max(number) FROM damaged").fetchone()
        for at, (table, number, row) in enumerate(self._aside, (last or 0) + 1):
            reason = CHECKSUM_DIFFERS
            value = (table, number, reason, self._now_unix_ms, row)
            connection.execute(
                "INSERT INTO damaged VALUES (?, ?, ?)", book_row("damaged", at, value)
            )
            key = "seq" if table == "objects" else "number"
            connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (number,))  # noqa: S608  # a name of ours
        write_state(connection, self.stamp, len(self.numbers))

    def _save(self, change: Any) -> None:
        # On a full disk what is damaged stays where it is, and is found again the next time.
        with contextlib.suppress(sqlite3.Error), transaction(self._connection):
            change(self._connection)


def _chunks(cursor: sqlite3.Cursor) -> Iterator[list[tuple[Any, ...]]]:
    """The rows of objects in parts that take little memory, whatever their payloads."""
    rows: list[tuple[Any, ...]] = []
    left_bytes = CHUNK_BYTES
    for row in cursor:
        rows.append(row)
        payload = row[_PAYLOAD]
        left_bytes -= len(payload) if isinstance(payload, bytes) else 0
        if left_bytes <= 0 or len(rows) >= CHUNK_OBJECTS:
            yield rows
            rows, left_bytes = [], CHUNK_BYTES
    if rows:
        yield rows


def write_state(connection: sqlite3.Connection, stamp: int, objects: int) -> None:
    """Note, within the caller's transaction, the last stamp and how many objects there are."""
    row = book_row("state", 1, (stamp, objects))
    connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?, ?)", row)
