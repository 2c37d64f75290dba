"""Rebuilding a database whose structure is damaged, out of all records that can still be believed.

The damaged files are kept beside the new one. The new one takes the old one's place in one step, so
a crash in between costs nothing: it is begun again, or finished.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

from trionode.store import sqlite_schema as schema
from trionode.store.base import StoreError
from trionode.store.damage import Damage
from trionode.store.sqlite_identity import stored_identity
from trionode.store.sqlite_image import Image
from trionode.store.sqlite_pages import Reader
from trionode.store.sqlite_records import Shapes, book_of, book_row, settled_of, unpack
from trionode.store.sqlite_recovery import write_state
from trionode.store.sqlite_wal import read_log

if TYPE_CHECKING:
    from pathlib import Path

    from trionode.store.sqlite_pages import Cell, Row

_OBJECT = len(schema.OBJECT_COLUMNS)
_SETTLED = len(schema.SETTLED_COLUMNS)
_BOOK = 3
_ID, _STAMP = (schema.OBJECT_COLUMNS.index(name) for name in ("id", "stamp"))
_OUTCOME = schema.SETTLED_COLUMNS.index("outcome")
_TEXT = slice(schema.OBJECT_COLUMNS.index("type"), schema.OBJECT_COLUMNS.index("created"))


def repair(path: Path, reason: str, now_unix_ms: int) -> list[Damage]:
    """Put a sound database in the place of a damaged one; returns what was given up.

    Nobody may have the database open.

    Raises:
        StoreError: there is nothing of ours in it, or a newer trionode wrote it.
    """
    made = path.with_name(path.name + ".making")
    wal = _beside(path, "-wal")
    with path.open("rb") as file, contextlib.closing(_Salvage(made, now_unix_ms)) as salvage:
        size_bytes = os.fstat(file.fileno()).st_size
        pages: Any = contextlib.nullcontext(b"")
        if size_bytes:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with pages as content:
            frames = read_log(wal.read_bytes()).frames if wal.exists() else []
            salvage.run(Image(content, frames), path)
        damage = salvage.finish(reason)
    schema.put_in_place(made, _beside(path, ".repaired"))
    finish_repair(path)
    return damage


def finish_repair(path: Path) -> None:
    """Give a repaired database its place; does nothing where there is none."""
    repaired = _beside(path, ".repaired")
    if not repaired.exists():
        return
    kept = next(
        name
        for name in (_beside(path, f".damaged-{number}") for number in itertools.count(1))
        if not name.exists()
    )
    if path.exists():
        try:
            os.link(path, kept)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, kept)
    # A log that stayed would be taken for the new database's.
    wal = _beside(path, "-wal")
    if wal.exists():
        wal.rename(_beside(kept, "-wal"))
    _beside(path, "-shm").unlink(missing_ok=True)
    schema.sync_directory(path.parent)
    schema.put_in_place(repaired, path)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class _Salvage:
    """Fills a new database with what an image still has."""

    def __init__(self, made: Path, now_unix_ms: int) -> None:
        schema.create(made).close()
        self._connection = sqlite3.connect(made, isolation_level=None)
        # Until it is finished it may be lost; it is made again then.
        for pragma in ("journal_mode = OFF", "synchronous = OFF"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute("BEGIN")
        self._made = made
        self._now_unix_ms = now_unix_ms
        self._shapes = Shapes()
        self._objects: dict[bytes, tuple[int, int]] = {}
        """Object id -> (stamp, number) of what was taken over."""
        self._taken: set[int] = set()
        """The numbers of objects in use."""
        self._unplaced: list[Row] = []
        self._settled = 0
        """How many were taken over of what is kept for queries."""
        self._books: dict[tuple[str, int], Row] = {}
        self._broken: list[Cell] = []

    def run(self, image: Image, path: Path) -> None:
        """Take over all that can be believed.

        Raises:
            StoreError: there is nothing of ours, or a newer trionode wrote it.
        """
        for cell in Reader(image.page, self._is_believed).cells(image.pages()):
            if not cell.believed:
                self._broken.append(cell)
            elif cell.row is not None and len(cell.row) == _OBJECT:
                self._take_object(cell.number, cell.row)
            elif cell.row is not None and len(cell.row) == _SETTLED:
                self._take_settled(cell.row)
            elif cell.row is not None:
                self._take_book(cell.number, cell.row)
        identity = stored_identity(
            row for (table, _), row in self._books.items() if table == "identity"
        )
        if identity is not None and identity[2] > schema.SCHEMA_VERSION:
            raise schema.newer_schema(identity[2])
        if not self._books and not self._objects and not self._settled:
            version = int.from_bytes(image.page(1)[60:64], "big")
            if image.page(1)[68:72] == schema.APPLICATION_ID.to_bytes(4, "big") and version:
                raise schema.newer_schema(version)
            raise StoreError(
                f"{path} is not a store of trionode, or nothing is left of it;"
                " restore it from a backup, or move it away to begin with an empty one"
            )

    def _is_believed(self, row: Row) -> bool:
        if len(row) == _OBJECT:
            return self._shapes.record(row, 0) is not None
        if len(row) == _SETTLED:
            sound = self._shapes.record(row[:_OBJECT], 0) is not None
            return sound and settled_of(row[_OBJECT:]) is not None
        return len(row) == _BOOK and book_of(row) is not None

    def _take_object(self, number: int | None, row: Row) -> None:
        id_, stamp = row[_ID], row[_STAMP]
        known = self._objects.get(id_)
        if known is not None:
            if stamp < known[0]:
                return
            if known[1]:
                self._connection.execute("DELETE FROM objects WHERE seq = ?", (known[1],))
                self._taken.discard(known[1])
                number = known[1]
        if number is None or number <= 0 or number in self._taken:
            self._objects[id_] = (stamp, 0)
            self._unplaced.append(row)
        else:
            self._objects[id_] = (stamp, number)
            self._insert(number, row)

    def _insert(self, number: int, row: Row) -> None:
        text = [column.decode() for column in row[_TEXT]]
        values = [number, row[_ID], *text, *row[_TEXT.stop :]]
        marks = ", ".join("?" * _OBJECT)
        self._connection.execute(f"INSERT INTO objects VALUES ({marks})", values)  # noqa: S608  # marks only
        self._taken.add(number)

    def _take_settled(self, row: Row) -> None:
        values = list(row)
        for at in (*range(_TEXT.start, _TEXT.stop), _OUTCOME):
            values[at] = values[at].decode()
        # In the order in which they are found; their numbers must have no gaps.
        marks = ", ".join("?" * (_SETTLED - 1))
        self._connection.execute(f"INSERT INTO settled VALUES (NULL, {marks})", values[1:])  # noqa: S608  # marks only
        self._settled += 1

    def _take_book(self, number: int | None, row: Row) -> None:
        table = book_of(row)
        assert table is not None, "it was believed"
        if number is None:
            number = 1 + max((each for name, each in self._books if name == table), default=0)
        known = self._books.get((table, number))
        if known is None or _age(table, known) <= _age(table, row):
            self._books[table, number] = row

    def finish(self, reason: str) -> list[Damage]:
        """Write the rest, and close; returns what was given up."""
        last = max(self._taken, default=0)
        for row in self._unplaced:
            if self._objects[row[_ID]] == (row[_STAMP], 0):
                last += 1
                self._objects[row[_ID]] = (row[_STAMP], last)
                self._insert(last, row)
        state = self._books.pop(("state", 1), None)
        stamp, expected = unpack(state[1]) if state else (0, None)
        stamp = max([stamp, *(stamp for stamp, _ in self._objects.values())])
        self._set_aside(reason)
        for (table, number), (_, body, crc) in self._books.items():
            self._connection.execute(
                f"INSERT INTO {table} VALUES (?, ?, ?)",  # noqa: S608  # a name of ours
                (number, body, crc),
            )
        write_state(self._connection, stamp, len(self._objects))
        self._connection.execute("COMMIT")
        self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
        self.close()
        with self._made.open("rb") as file:
            os.fsync(file.fileno())
        return [Damage("structure", 0, reason), *self._given_up(expected)]

    def _set_aside(self, reason: str) -> None:
        number = max((each for name, each in self._books if name == "damaged"), default=0)
        for cell in self._broken:
            number += 1
            value = (_table(cell), cell.number or 0, reason, self._now_unix_ms, cell.raw)
            self._books["damaged", number] = book_row("damaged", number, value)

    def _given_up(self, expected: int | None) -> list[Damage]:
        lost = 0 if expected is None else max(0, expected - len(self._objects))
        lost -= sum(_table(cell) == "objects" for cell in self._broken)
        damage = []
        for cell in self._broken:
            table = _table(cell)
            if table == "unknown" and lost > 0:
                table, lost = "objects", lost - 1  # one of those that are missing
            damage.append(Damage(table, cell.number or 0, "it cannot be read"))
        if lost > 0:
            damage.append(Damage("objects", 0, "lost", count=lost, kept=False))
        return damage

    def close(self) -> None:
        """Let go of the new file."""
        self._connection.close()


def _table(cell: Cell) -> str:
    if cell.row is None:
        return "unknown"
    return {_OBJECT: "objects", _SETTLED: "settled"}.get(len(cell.row), "books")


def _age(table: str, row: Row) -> Any:
    """What is larger in the newer of two rows of one number."""
    value = unpack(row[1])
    match table:
        case "state":
            return value[0]
        case "identity":
            return value[1]
        case "producers":
            return value[3]
        case "keys":
            return value[0]
        case _:
            return 0
