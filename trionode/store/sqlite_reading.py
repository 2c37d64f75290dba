"""A second connection to a store's database that only reads, for use while the node writes.

Each read is short: an open one keeps the log from beginning again at its start. Reads run one at a
time in a thread of their own kind, so that they never wait for a commit, nor a commit for them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, TypeVar

import trio

from trionode.store import sqlite_schema as schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

CACHE_KIB = 4 * 1024
MMAP_BYTES = 0
BUSY_TIMEOUT_S = 1.0


class ReadConnection:
    """See the top of the file; opened at the first read.

    Args:
        path: of the database, which its store has open.
        prepare: adds functions to a new connection.
    """

    def __init__(
        self, path: Path, prepare: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        self._path = path
        self._prepare = prepare
        self._connection: sqlite3.Connection | None = None
        self._limiter = trio.CapacityLimiter(1)

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run one short read in the thread; when it is cancelled it is interrupted.

        Raises:
            StoreError: the database cannot be read.
        """
        try:
            return await trio.to_thread.run_sync(
                self._run, read, abandon_on_cancel=True, limiter=self._limiter
            )
        except trio.Cancelled:
            # The thread ends soon, and until then nobody else gets it.
            if self._connection is not None:
                self._connection.interrupt()
            raise

    def _run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        with schema.errors_translated(self._path):
            if self._connection is None:
                self._connection = self._open()
            return read(self._connection)

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self._path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
        )
        try:
            connection.text_factory = bytes
            for pragma in (
                f"cache_size = -{CACHE_KIB}",
                "query_only = ON",
                "trusted_schema = OFF",
                "temp_store = MEMORY",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if self._prepare is not None:
                self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    async def aclose(self) -> None:
        """Close it, once a read that was abandoned has ended."""
        with trio.CancelScope(shield=True):
            async with self._limiter:
                if self._connection is not None:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.close()
                    self._connection = None
