"""The database file of the SQLite store: tables, version, migrations, and how it is opened.

Objects, and those that were settled, have columns, so that they can be queried. All other tables
are books: a number, a body in MessagePack, a checksum. Every table is keyed by its rowid and has no
index: rows are found by numbers that the store remembers, a commit appends to one end of one tree,
and a damaged page costs what is on it only. `sqlite_pages` reads this layout without SQLite: change
both together.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

from trionode.store.base import StoreError
from trionode.store.lock import why_not_writable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DATABASE_FILE = "store.sqlite"
PAGE_BYTES = 4096
"""Smaller ones cost more levels, larger ones more log per small commit; measured."""
APPLICATION_ID = 0x7472696F
"""`trio`, in the file's header: `file(1)` and this module tell the file by it."""
SCHEMA_VERSION = 3
SETTLED_SINCE = 2
"""The first version that has the table `settled`."""
CACHE_KIB = 16 * 1024
WAL_RETAINED_BYTES = 16 * 1024 * 1024
"""What stays of the log's file after a checkpoint: overwriting is cheaper to fsync than growing."""
BUSY_TIMEOUT_S = 10.0
"""How long to wait for another connection's short lock: a backup, a verification."""

OBJECT_COLUMNS = (
    "seq", "id", "type", "encoding", "fingerprint", "created", "attempt", "stamp", "crc",
    "details", "payload",
)  # fmt: skip
SETTLED_COLUMNS = ("number", *OBJECT_COLUMNS[1:], "settled", "outcome", "mark")
"""Of objects that left custody and are kept for queries; the first ones as in `objects`."""
FIRST_BOOKS = ("identity", "state", "definitions", "producers", "given", "taken", "damaged")
BOOKS = (*FIRST_BOOKS, "keys")

_OBJECTS = """CREATE TABLE objects (
    seq INTEGER PRIMARY KEY, id BLOB, type TEXT, encoding TEXT, fingerprint TEXT, created REAL,
    attempt INTEGER, stamp INTEGER, crc INTEGER, details BLOB, payload BLOB
)"""


_SETTLED = """CREATE TABLE settled (
    number INTEGER PRIMARY KEY, id BLOB, type TEXT, encoding TEXT, fingerprint TEXT, created REAL,
    attempt INTEGER, stamp INTEGER, crc INTEGER, details BLOB, payload BLOB, settled REAL,
    outcome TEXT, mark INTEGER
)"""


def _book(name: str) -> str:
    return f"CREATE TABLE {name} (number INTEGER PRIMARY KEY, body BLOB, crc INTEGER)"


def _first(connection: sqlite3.Connection) -> None:
    connection.execute(_OBJECTS)
    for name in FIRST_BOOKS:
        connection.execute(_book(name))


def _second(connection: sqlite3.Connection) -> None:
    connection.execute(_SETTLED)


def _third(connection: sqlite3.Connection) -> None:
    connection.execute(_book("keys"))


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first, _second, _third)
"""The step to each version from the one before it; never changed once released."""


def connect(path: Path) -> sqlite3.Connection:
    """Open a database file for the one writer of a store.

    Text comes back as bytes: damaged text must not stop a query. The caller runs one call at a
    time, in whatever thread.
    """
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S
    )
    try:
        connection.text_factory = bytes
        for pragma in (
            f"page_size = {PAGE_BYTES}",
            f"cache_size = -{CACHE_KIB}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "wal_autocheckpoint = 0",  # `SqliteStore` decides when
            f"journal_size_limit = {WAL_RETAINED_BYTES}",
            "secure_delete = OFF",  # some builds zero what is deleted: as much writing again
            "temp_store = MEMORY",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


def user_version(connection: sqlite3.Connection) -> int:
    """The schema's version as the file's header has it."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(
    connection: sqlite3.Connection,
    migrations: tuple[Callable[[sqlite3.Connection], None], ...] = MIGRATIONS,
) -> int:
    """Bring the schema to the newest version in one transaction; returns the one it had."""
    version = user_version(connection)
    if version > len(migrations):
        raise newer_schema(version, len(migrations))
    if version < len(migrations):
        with transaction(connection):
            for step in migrations[version:]:
                step(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {len(migrations)}")
    return version


def newer_schema(found: int, known: int = SCHEMA_VERSION) -> StoreError:
    """What to raise for a store that a later trionode wrote."""
    return StoreError(
        f"the store has schema {found}, and this version of trionode knows schemas up to {known};"
        " install a newer trionode, or choose another directory with --data-dir"
    )


def create(path: Path) -> sqlite3.Connection:
    """Make a new database with the newest schema; over a file of that name, if there is one."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    # SQLite gives its other files the mode of this one.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    connection = connect(path)
    try:
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def put_in_place(made: Path, path: Path) -> None:
    """Rename a finished and closed database; afterwards it is there even if the power fails."""
    made.rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Write a directory's entries to disk."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing, and on disk when it ends."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Some errors roll back by themselves. A rollback that fails leaves the error that matters.
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def errors_translated(path: Path) -> Iterator[None]:
    """The one place where SQLite's errors become ours."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}{_advice(error)}") from error
    except PermissionError as error:
        raise StoreError(f"cannot write {path}: {why_not_writable(path)}") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error


def _advice(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None) or 0
    match code & 0xFF:
        case sqlite3.SQLITE_FULL:
            return "; make room on the disk"
        case sqlite3.SQLITE_IOERR:
            return "; the disk is full or failing"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "; restart the node, which repairs what can be repaired"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "; make the file and its directory writable for this user"
        case _:
            return ""
