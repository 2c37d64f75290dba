"""SQLite's write-ahead log: how long it is, and when it is folded into the database.

Folding while nobody reads lets the log begin again at its start, so its file stays small. A reader
with an old snapshot (a backup, a query) holds that up for as long as it lasts.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from typing import TYPE_CHECKING

from trionode.store.base import StoreError
from trionode.store.sqlite_schema import PAGE_BYTES

if TYPE_CHECKING:
    from pathlib import Path

CHECKPOINT_FRAMES = 1000
"""Folding so many pages takes 2 to 6 ms; four times as many take up to 50 ms and save nothing."""
FRAMES_MAX = 1024 * 1024 * 1024 // PAGE_BYTES
"""Beyond 1 GiB of log nothing more is accepted until it can be folded."""

_FRAMES = struct.Struct("=I")
_FRAMES_AT = 16
"""Where the log's index says how many frames are in use (`mxFrame`, sqlite.org/walformat.html)."""


class Log:
    """The log of one connection, which must have read or written something.

    Args:
        connection: the store's one writer.
        path: of the database.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.failure = ""
        """Why it could not be folded the last time; empty while it can."""
        self._connection = connection
        self._folded = 0
        """How many frames there were when it was folded last; 0 once it began again."""
        self._seen = 0
        # Kept open, since closing it would drop the locks that SQLite holds on it (POSIX).
        self._index = os.open(path.with_name(path.name + "-shm"), os.O_RDONLY | os.O_CLOEXEC)

    def frames(self) -> int:
        """How many pages are in the log."""
        (frames,) = _FRAMES.unpack(os.pread(self._index, _FRAMES.size, _FRAMES_AT))
        return int(frames)

    def require_room(self) -> None:
        """Refuse to let the log grow without bound.

        Raises:
            StoreError: it is too long already.
        """
        if self.frames() > FRAMES_MAX:
            self.fold()
            if self.frames() > FRAMES_MAX:
                why = self.failure or "somebody has been reading from it for long"
                raise StoreError(f"the write-ahead log has outgrown its bound of 1 GiB: {why}")

    def tend(self) -> None:
        """Fold the log if enough was written since the last time; never fails."""
        frames = self.frames()
        if frames < self._seen:
            self._folded = 0  # it began again from its start
        self._seen = frames
        if frames - self._folded >= CHECKPOINT_FRAMES:
            self.fold()

    def fold(self) -> None:
        """Bring all of the log that no reader needs into the database; never fails.

        What is in the log is on disk, so a failure costs nothing but room.
        """
        self._folded = self._seen = self.frames()
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self.failure = ""
        except sqlite3.Error as error:
            self.failure = f"cannot fold the log: {error}"

    def close(self) -> None:
        """To be called after the connection was closed."""
        os.close(self._index)
