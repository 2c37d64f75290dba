"""The table of pushes' keys: a row for the keys of one commit, the oldest deleted in ranges.

No mirror in memory but the age of each row: a node may remember a million keys, and the brain has
them already.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from trionode.store import sqlite_records as records

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from typing import Any

    from trionode.routing.records import KeysRecord
    from trionode.store.batch import Batch

TABLE = "keys"
_DELETE = f"DELETE FROM {TABLE} WHERE number < ?"  # noqa: S608  # a name of ours
_INSERT = f"INSERT INTO {TABLE} VALUES (?, ?, ?)"  # noqa: S608  # the same


class KeysTable:
    """Which rows there are; changed by `finish` only, once they are on disk."""

    def __init__(self) -> None:
        self.kept: list[KeysRecord] = []
        """What was loaded, oldest first, until it is handed out."""
        self._first = 1
        """The number of the first row there may be."""
        self._ends: deque[float] = deque()
        """When the last key of each row was taken, from that row on."""
        self._planned: tuple[int, float | None] = (1, None)

    def load(self, rows: Iterable[tuple[int, Any]]) -> None:
        """Take in the sound rows, in the order of their numbers; damaged ones may be missing."""
        for number, value in rows:
            if not self._ends:
                self._first = number
            missing = number - self._first - len(self._ends)
            self._ends.extend([value[0]] * (missing + 1))
            self.kept += records.keys_records(value)

    def hand_out(self) -> list[KeysRecord]:
        """What was loaded, once."""
        kept, self.kept = self.kept, []
        return kept

    def carry_out(self, connection: sqlite3.Connection, batch: Batch) -> None:
        """Write what a batch says, within the caller's transaction."""
        first, until = self._first, batch.keys_until
        if until is not None:
            for end in self._ends:
                if end > until:
                    break
                first += 1
            if first > self._first:
                connection.execute(_DELETE, (first,))
        taken_at = None
        if batch.keys:
            value = records.keys_value(batch.keys)
            taken_at = value[0]
            number = self._first + len(self._ends)
            connection.execute(_INSERT, records.book_row(TABLE, number, value))
        self._planned = (first, taken_at)

    def finish(self) -> None:
        """What was carried out is on disk."""
        first, taken_at = self._planned
        for _ in range(first - self._first):
            self._ends.popleft()
        self._first = first
        if taken_at is not None:
            self._ends.append(taken_at)
        self._planned = (first, None)
