"""Objects that were settled, kept for a while so that they can be queried.

They lie in a table of their own in the order in which they left. An object that leaves is copied
there within the commit that deletes it; in the same commit as many of the oldest go as the bounds
ask for, at most some times as many as came, so that no commit takes long. Numbers count up without
gaps, since only the oldest are ever deleted: the first and the last say how many there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.ids import to_runs
from trionode.store.sqlite_records import ObjectRow, left_mark
from trionode.store.sqlite_schema import OBJECT_COLUMNS

if TYPE_CHECKING:
    import sqlite3

    from trionode.store.batch import Batch
    from trionode.store.sqlite_records import Shapes

TRIM_LEAST = 64
TRIM_FACTOR = 4
"""A commit deletes at most so many times as many as it adds, or `TRIM_LEAST`."""
TRIM_IDLE = 5000
"""How many one commit deletes that has nothing else to do; some ten milliseconds."""

_COPIED = ", ".join(OBJECT_COLUMNS[1:])
_COPY = (
    f"INSERT INTO settled SELECT NULL, {_COPIED}, ?, ?, ? FROM objects WHERE seq BETWEEN ? AND ?"  # noqa: S608  # names of ours
)
_INSERT = f"INSERT INTO settled VALUES (NULL, {', '.join('?' * (len(OBJECT_COLUMNS) + 2))})"  # noqa: S608  # marks only
_ADDED = "SELECT max(number), sum(length(payload)) FROM settled WHERE number > ?"
_OLDEST = "SELECT number, settled, length(payload) FROM settled ORDER BY number LIMIT ?"


@attrs.frozen
class Retention:
    """How long settled objects are kept: all three bounds hold. No age: they are not kept."""

    age_s: float = 0.0
    objects: int = 0
    size_bytes: int = 0

    @property
    def on(self) -> bool:
        """Whether anything is kept."""
        return self.age_s > 0


@attrs.define
class _Shelf:
    """What is in the table; `oldest` is when the first of it was settled."""

    first: int = 1
    last: int = 0
    size_bytes: int = 0
    oldest: float = float("inf")

    @property
    def count(self) -> int:
        return self.last - self.first + 1


class Retained:
    """The table of one store; changed by `finish` only, once what was written is on disk."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._shelf = _Shelf()
        self._next: _Shelf | None = None

    def load(self, connection: sqlite3.Connection) -> None:
        """Learn what there is."""
        query = "SELECT min(number), max(number), sum(length(payload)) FROM settled"
        first, last, size_bytes = connection.execute(query).fetchone()
        if first is not None:
            oldest = connection.execute(_OLDEST, (1,)).fetchone()[1]
            self._shelf = _Shelf(first, last, size_bytes or 0, _time(oldest))

    def ids(self, connection: sqlite3.Connection) -> set[int]:
        """Of what objects there are some."""
        rows = connection.execute("SELECT id FROM settled")
        return {int.from_bytes(id_, "big") for (id_,) in rows if isinstance(id_, bytes)}

    def is_due(self, now_unix: float) -> bool:
        """Whether something must go although nothing comes."""
        return self._surplus(self._shelf, now_unix)

    def carry_out(
        self,
        connection: sqlite3.Connection,
        batch: Batch,
        leaving: dict[int, int],
        shapes: Shapes,
    ) -> None:
        """Within the caller's transaction, before it deletes `leaving` (id -> number)."""
        self._next = None
        if not batch.retired and batch.tidy_at is None:
            return
        shelf = attrs.evolve(self._shelf)
        added = 0
        if batch.retired:
            _add(connection, batch, leaving, shapes)
            last, size_bytes = connection.execute(_ADDED, (shelf.last,)).fetchone()
            if last is not None:
                added = last - shelf.last
                shelf.last = last
                shelf.size_bytes += size_bytes or 0
                came = min(each.settled for each in batch.retired.values())
                shelf.oldest = min(shelf.oldest, came)
        now_unix = batch.tidy_at or max(each.settled for each in batch.retired.values())
        most = TRIM_IDLE if batch.tidy_at else max(TRIM_LEAST, TRIM_FACTOR * added)
        if self._surplus(shelf, now_unix):
            self._trim(connection, shelf, now_unix, most)
        self._next = shelf

    def finish(self) -> None:
        """What was carried out is on disk."""
        if self._next is not None:
            self._shelf, self._next = self._next, None

    def _surplus(self, shelf: _Shelf, now_unix: float) -> bool:
        bounds = self._retention
        return shelf.count > 0 and (
            not bounds.on
            or shelf.oldest < now_unix - bounds.age_s
            or shelf.count > bounds.objects
            or shelf.size_bytes > bounds.size_bytes
        )

    def _trim(
        self, connection: sqlite3.Connection, shelf: _Shelf, now_unix: float, most: int
    ) -> None:
        gone = 0
        for number, settled, size_bytes in connection.execute(_OLDEST, (most + 1,)).fetchall():
            shelf.first, shelf.oldest = number, _time(settled)
            if gone == most or not self._surplus(shelf, now_unix):
                break
            shelf.size_bytes -= size_bytes or 0
            gone += 1
        else:
            shelf.first, shelf.oldest = shelf.first + 1, float("inf")
        if gone:
            connection.execute("DELETE FROM settled WHERE number < ?", (shelf.first,))
        if shelf.count <= 0:
            # Numbers begin again at 1 in a table that is empty.
            shelf.first, shelf.last, shelf.size_bytes = 1, 0, 0


def _add(
    connection: sqlite3.Connection, batch: Batch, leaving: dict[int, int], shapes: Shapes
) -> None:
    copied: dict[tuple[float, str], list[int]] = {}
    written: list[tuple[Any, ...]] = []
    for id_, each in batch.retired.items():
        number = leaving.get(id_)
        if each.record is not None:
            row: ObjectRow = next(shapes.rows([(0, each.record)]))
            written.append(
                (*row[1:], each.settled, each.outcome, left_mark(each.settled, each.outcome))
            )
        elif number is not None:
            copied.setdefault((each.settled, each.outcome), []).append(number)
    connection.executemany(
        _COPY,
        [
            (settled, outcome, left_mark(settled, outcome), first, first + count - 1)
            for (settled, outcome), numbers in copied.items()
            for first, count in to_runs(sorted(numbers))
        ],
    )
    connection.executemany(_INSERT, written)


def _time(value: Any) -> float:
    """A time as it was read; one that is damaged is of long ago, so that it goes first."""
    return value if isinstance(value, float) else 0.0
