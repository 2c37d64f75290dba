"""Answers queries out of a SQLite store: a window of rows at a time, each a short read of its own.

First only the places of objects are found, then those that make up a page are read and checked.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from trionode.ids import OBJECT_ID_BYTES, format_id
from trionode.query.expressions import detail
from trionode.query.selection import EVERY_TYPE, RETAINED, STATES, Place
from trionode.routing.patterns import is_pattern, matches
from trionode.store.finding import Found, Row, Window
from trionode.store.sqlite_conditions import (
    DETAIL_FUNCTION,
    ID_FUNCTION,
    STATE_FUNCTION,
    Conditions,
    Sql,
    behind,
)
from trionode.store.sqlite_reading import ReadConnection
from trionode.store.sqlite_records import Shapes, settled_of, unpack
from trionode.store.sqlite_schema import OBJECT_COLUMNS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from trionode.query.selection import Selection

WINDOW_ROWS = 2_000
"""How many numbers one read covers: some milliseconds, unless payloads are large."""
READ_S = 0.005
"""How long a read should take at most; windows grow and shrink accordingly."""
WINDOW_ROWS_MIN, WINDOW_ROWS_MAX = 100, 100_000
_PARTS = (("objects", "seq", False), ("settled", "number", True))
"""(table, key, whether its rows have left custody), in the order in which they are gone through."""
_MATCHES_FUNCTION = "trionode_matches"
"""(pattern, type as a blob) -> whether the type belongs to the pattern."""
_ID_MAX = (1 << 8 * OBJECT_ID_BYTES) - 1
_COLUMNS = ", ".join(OBJECT_COLUMNS[1:])


class SqliteQueries:
    """Reads of one store, for queries.

    Args:
        path: of the database.
        node: the id of the node that has it.
        state_of: the state of an object in custody by its id, or None; called in a thread.
    """

    def __init__(self, path: Path, node: str, state_of: Callable[[int], str | None]) -> None:
        self._node = node
        self._state_of = state_of
        self._shapes = Shapes()
        self._reader = ReadConnection(path, self._prepare)

    async def aclose(self) -> None:
        """Let go of the database."""
        await self._reader.aclose()

    async def windows(self, selection: Selection) -> AsyncGenerator[Window]:
        """See `Finder`."""
        for part, (_, _, settled) in enumerate(_PARTS):
            if not _wants(selection, settled=settled):
                continue
            scan = _Scan(part, selection, self._node)
            rows = WINDOW_ROWS
            while scan.low is not None:
                began = time.monotonic()
                found = await self._reader.run(lambda c, scan=scan, rows=rows: scan.read(c, rows))  # type: ignore[misc]  # the values of now
                rows = _adapted(rows, time.monotonic() - began)
                yield Window(found, scan.upto)

    async def rows(self, found: list[Found], bytes_max: int) -> list[Row | None]:
        """See `Finder`; an object whose record is damaged counts as gone: recovery tells of it."""
        return await self._reader.run(lambda connection: self._read(connection, found, bytes_max))

    def _read(
        self, connection: sqlite3.Connection, found: list[Found], bytes_max: int
    ) -> list[Row | None]:
        rows: list[Row | None] = []
        size_bytes = 0
        for each in found:
            table, key, settled = _PARTS[each.part]
            more = ", settled, outcome, mark" if settled else ""
            query = f"SELECT {key}, {_COLUMNS}{more} FROM {table} WHERE {key} = ?"  # noqa: S608  # names of ours
            values = connection.execute(query, (each.number,)).fetchone()
            row = None if values is None else self._row(each, values)
            if row is not None:
                size_bytes += len(row.record.payload)
            rows.append(row)
            if size_bytes >= bytes_max:
                break
        return rows

    def _row(self, found: Found, values: tuple[Any, ...]) -> Row | None:
        width = len(OBJECT_COLUMNS)
        record = self._shapes.record(values[:width], 0.0)
        if record is None or record.id != found.place.id:
            return None
        if not values[width:]:
            return Row(record)
        left = settled_of(values[width:])
        return None if left is None else Row(record, left)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.create_function(DETAIL_FUNCTION, 2, _detail, deterministic=True)
        connection.create_function(ID_FUNCTION, 1, _id_text, deterministic=True)
        connection.create_function(STATE_FUNCTION, 1, self._state)
        connection.create_function(_MATCHES_FUNCTION, 2, _matches, deterministic=True)

    def _state(self, id_: Any) -> str | None:
        return self._state_of(int.from_bytes(id_, "big")) if isinstance(id_, bytes) else None


class _Scan:
    """Goes through one table in the order of its numbers."""

    def __init__(self, part: int, selection: Selection, node: str) -> None:
        self._part = part
        self._selection = selection
        self._node = node
        self._table, self._key, settled = _PARTS[part]
        conditions = Conditions(settled=settled)
        parts: list[Sql] = []
        if selection.type != EVERY_TYPE:
            parts.append(_of_type(selection.type))
        order = selection.order
        rank: Sql = (str(part), [])
        value: Sql = (self._key, [])
        self.low: int | None = 0
        if order is not None:
            rank, value = conditions.order(order.operand)
            if selection.after is not None:
                parts.append(behind(selection.after, rank, value, descending=order.descending))
        elif selection.after is not None and selection.after.node == node:
            at = (selection.after.rank, int(selection.after.value))
            self.low = None if at[0] > part else at[1] if at[0] == part else 0
        elif selection.after is not None and selection.after.node > node:
            self.low = None
        if selection.condition is not None:
            parts.append(conditions.condition(selection.condition))
        where = "".join([f" AND {text}" for text, _ in parts])
        direction = " DESC" if order is not None and order.descending else ""
        self.upto: Place | None = None
        """All up to here was looked at, where the order is that of the numbers."""
        self._query = (
            f"SELECT {rank[0]} AS rank, {value[0]} AS value, id, {self._key} FROM {self._table}"  # noqa: S608  # texts of ours, see sqlite_conditions
            f" WHERE {self._key} > ? AND {self._key} <= ?{where}"
            f" ORDER BY rank{direction}, value{direction}, id LIMIT ?"
        )
        self._head = [*rank[1], *value[1]]
        self._tail = [each for _, values in parts for each in values]

    def read(self, connection: sqlite3.Connection, rows: int) -> list[Found]:
        """The next window of so many numbers; afterwards `low` is None where there is no more."""
        assert self.low is not None
        (first, last) = connection.execute(
            f"SELECT (SELECT min({self._key}) FROM {self._table} WHERE {self._key} > ?),"  # noqa: S608  # names of ours
            f" (SELECT max({self._key}) FROM {self._table})",
            (self.low,),
        ).fetchone()
        if first is None:
            self.low = None
            return []
        low, high = first - 1, first - 1 + rows
        limit = self._selection.limit
        values = [*self._head, low, high, *self._tail, limit]
        found = [
            Found(self._place(*row[:3]), self._part, row[3])
            for row in connection.execute(self._query, values)
            if isinstance(row[2], bytes) and len(row[2]) == OBJECT_ID_BYTES
        ]
        if self._selection.order is None and len(found) == limit:
            high = found[-1].number
        self.low = high if high < last else None
        if self._selection.order is None:
            self.upto = Place(self._node, self._part, high, _ID_MAX)
        return found

    def _place(self, rank: int, value: Any, id_: bytes) -> Place:
        text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
        return Place(self._node, rank, text, int.from_bytes(id_, "big"))


def _of_type(name: str) -> Sql:
    if is_pattern(name):
        return f"{_MATCHES_FUNCTION}(?, CAST(type AS BLOB))", [name]
    return "type = ?", [name]


def _wants(selection: Selection, *, settled: bool) -> bool:
    return any(selection.wants(state) for state in STATES if (state in RETAINED) == settled)


def _adapted(rows: int, took_s: float) -> int:
    if took_s > READ_S:
        return max(WINDOW_ROWS_MIN, rows // 2)
    return min(WINDOW_ROWS_MAX, rows * 2) if took_s < READ_S / 4 else rows


@lru_cache(maxsize=4096)
def _matches(pattern: str, name: bytes | None) -> bool:
    # A damaged name may be anything.
    return name is not None and matches(pattern, name.decode("utf-8", "replace"))


def _detail(details: Any, name: str) -> Any:
    try:
        return detail(unpack(details), name.decode() if isinstance(name, bytes) else name)
    except (ValueError, TypeError, AttributeError):
        return None  # a damaged record


def _id_text(id_: Any) -> str | None:
    return format_id(int.from_bytes(id_, "big")) if isinstance(id_, bytes) else None
