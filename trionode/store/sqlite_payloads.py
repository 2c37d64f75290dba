"""Payloads read back one by one while the store is written to.

A connection of its own, that only reads: SQLite's log gives it a consistent view beside the writer,
and each look is short, so that it never keeps the log from being folded into the database.
"""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

from trionode.ids import to_runs
from trionode.store.sqlite_records import Shapes
from trionode.store.sqlite_schema import BUSY_TIMEOUT_S, OBJECT_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


_SELECT = f"SELECT {', '.join(OBJECT_COLUMNS)} FROM objects WHERE seq BETWEEN ? AND ?"  # noqa: S608  # names of ours


class PayloadReader:
    """Reads objects by their numbers, one caller at a time.

    Args:
        path: the database, whose writer is open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shapes = Shapes()
        self._connection: sqlite3.Connection | None = None
        self._one = threading.Lock()

    def read(self, numbers: dict[int, int]) -> dict[int, bytes]:
        """Payloads by object id, of what is there and undamaged.

        Args:
            numbers: object id -> its number.
        """
        with self._one:
            if self._connection is None:
                self._connection = _connect(self._path)
            found = rows_of(self._connection, numbers.values())
            return {
                int.from_bytes(sound[0], "big"): sound[1]
                for row in found
                if (sound := self._shapes.payload(row)) is not None
            }

    def close(self) -> None:
        """Give the file free."""
        with self._one:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


def rows_of(connection: sqlite3.Connection, numbers: Iterable[int]) -> Iterator[tuple[Any, ...]]:
    """The rows of objects by their numbers; neighbours, as nearly all are, in one go."""
    for first, count in to_runs(sorted(numbers)):
        yield from connection.execute(_SELECT, (first, first + count - 1))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_TIMEOUT_S,
    )
    connection.text_factory = bytes  # as the writer's: damaged text must not stop a query
    return connection
