"""Care of a SQLite store from outside of its node: what it holds, if it is sound, copies of it.

All but `compact` only read, and may run while the node does; what they read is one moment of it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Any

import attrs

from trionode.store import sqlite_schema as schema
from trionode.store.base import StoreError
from trionode.store.damage import Damage
from trionode.store.lock import DirectoryLock, holder
from trionode.store.object_lines import SettledRecord
from trionode.store.sqlite_books import Books
from trionode.store.sqlite_identity import stored_identity
from trionode.store.sqlite_keys import TABLE as KEYS
from trionode.store.sqlite_opening import check_files, check_structure
from trionode.store.sqlite_records import (
    CHECKSUM_DIFFERS,
    Shapes,
    is_sound,
    settled_of,
    unpack,
)
from trionode.store.sqlite_recovery import CHUNK_OBJECTS, SELECT_OBJECTS, Recovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trionode.store.object_lines import Exported

_SELECT_SETTLED = "SELECT * FROM settled ORDER BY number"


@attrs.frozen
class StoreInfo:
    """What a store holds. `types`: name -> (objects, payload bytes)."""

    path: str
    used_by: str
    schema: int
    node: str
    incarnation: int
    size_bytes: int
    log_bytes: int
    free_bytes: int
    objects: int
    types: dict[str, tuple[int, int]]
    producers: int
    definitions: int
    offers_given: int
    offers_taken: int
    set_aside: int
    settled: int
    keys: int


@contextlib.contextmanager
def reading(directory: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees one moment of a store and changes nothing.

    Raises:
        StoreError: there is no store there, or it cannot be read.
    """
    path = directory / schema.DATABASE_FILE
    if not path.exists():
        raise StoreError(f"there is no store in {directory}: name its directory with --data-dir")
    with schema.errors_translated(path):
        # Only readers never fold the log: what is damaged in it stays for the repair to see.
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, isolation_level=None, timeout=schema.BUSY_TIMEOUT_S)
        ) as connection:
            connection.text_factory = bytes
            version = schema.user_version(connection)
            if version > schema.SCHEMA_VERSION:
                raise schema.newer_schema(version)
            connection.execute("BEGIN")
            yield connection


def info(directory: Path) -> StoreInfo:
    """Count what a store holds."""
    path = directory / schema.DATABASE_FILE
    with reading(directory) as connection:
        books = Books()
        books.load(connection)
        node, incarnation, version = stored_identity(
            connection.execute("SELECT * FROM identity")
        ) or ("", 0, schema.user_version(connection))
        counts = connection.execute(
            "SELECT type, count(*), sum(length(payload)) FROM objects GROUP BY type ORDER BY type"
        ).fetchall()
        types = {
            name.decode("utf-8", "replace"): (count, size or 0) for name, count, size in counts
        }
        (free_pages,) = connection.execute("PRAGMA freelist_count").fetchone()
        (set_aside,) = connection.execute("SELECT count(*) FROM damaged").fetchone()
        log = path.with_name(path.name + "-wal")
        return StoreInfo(
            path=str(path),
            used_by=holder(directory),
            schema=version,
            node=node,
            incarnation=incarnation,
            size_bytes=path.stat().st_size,
            log_bytes=log.stat().st_size if log.exists() else 0,
            free_bytes=free_pages * schema.PAGE_BYTES,
            objects=sum(count for count, _ in types.values()),
            types=types,
            producers=len(books.producers),
            definitions=len(books.definitions),
            offers_given=len(books.given),
            offers_taken=len(books.taken),
            set_aside=set_aside,
            settled=_settled(connection),
            keys=sum(len(each.keys) for each in books.hand_out_keys()),
        )


def _settled(connection: sqlite3.Connection) -> int:
    """How many settled objects are kept; a store from before there were any has no table."""
    if schema.user_version(connection) < schema.SETTLED_SINCE:
        return 0
    (count,) = connection.execute("SELECT count(*) FROM settled").fetchone()
    return int(count)


def _damaged_settled(connection: sqlite3.Connection) -> Iterator[Damage]:
    if schema.user_version(connection) < schema.SETTLED_SINCE:
        return
    shapes, width = Shapes(), len(schema.OBJECT_COLUMNS)
    for row in connection.execute(_SELECT_SETTLED):
        if shapes.record(row[:width], 0) is None or settled_of(row[width:]) is None:
            yield Damage("settled", row[0], CHECKSUM_DIFFERS, kept=False)


def verify(directory: Path) -> tuple[list[Damage], list[str]]:
    """Read everything; returns what is damaged, and what was set aside earlier."""
    path = directory / schema.DATABASE_FILE
    damage: list[Damage] = []
    if path.exists() and not holder(directory):
        # The log of a node at work changes while it is read; SQLite judges that one.
        damage += [Damage("structure", 0, reason) for reason in check_files(path)]
    try:
        with reading(directory) as connection:
            damage += [Damage("structure", 0, reason) for reason in check_structure(connection)]
            recovery = Recovery(connection, Books(), Shapes(), 0, accept_all=False)
            recovery.begin()
            recovery.judge()
            aside = [
                _describe(body)
                for number, body, crc in connection.execute("SELECT * FROM damaged")
                if is_sound("damaged", (number, body, crc))
            ]
            return [*damage, *recovery.damage, *_damaged_settled(connection)], aside
    except StoreError as error:
        if not isinstance(error.__cause__, sqlite3.DatabaseError):
            raise
        return [*damage, Damage("structure", 0, str(error.__cause__))], []


def _describe(body: bytes) -> str:
    table, number, reason, noticed_ms, _ = unpack(body)
    return f"record {number} of {table}, set aside at {noticed_ms / 1000:.0f}: {reason}"


def exported(directory: Path, skipped: list[str]) -> Iterator[Exported]:
    """What can be believed of one moment, with Unix times; what cannot is named in `skipped`.

    Objects in the order they came, those settled that are kept, and the keys of pushes.
    """
    shapes, width = Shapes(), len(schema.OBJECT_COLUMNS)
    with reading(directory) as connection:
        for row in _rows(connection, SELECT_OBJECTS):
            record = shapes.record(row, 0)
            if record is None:
                skipped.append(f"record {row[0]} of objects")
            else:
                yield record
        if schema.user_version(connection) >= schema.SETTLED_SINCE:
            for row in _rows(connection, _SELECT_SETTLED):
                record, left = shapes.record(row[:width], 0), settled_of(row[width:])
                if record is None or left is None:
                    skipped.append(f"record {row[0]} of settled")
                else:
                    yield SettledRecord(record, *left)
        books = Books()
        damage = books.load(connection)
        skipped += [f"record {each.number} of keys" for each in damage if each.table == KEYS]
        yield from books.hand_out_keys()


def _rows(connection: sqlite3.Connection, query: str) -> Iterator[tuple[Any, ...]]:
    cursor = connection.execute(query)
    while rows := cursor.fetchmany(CHUNK_OBJECTS):
        yield from rows


def backup(directory: Path, target: Path) -> None:
    """Copy one moment of a store into a new file, compacted; on disk when this returns.

    Raises:
        StoreError: the file is there already, or the copy failed.
    """
    with schema.errors_translated(target):
        # Nobody else may read it, and nothing may be overwritten.
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            with reading(directory) as connection:
                connection.execute("COMMIT")  # a copy begins its own transaction
                connection.execute("VACUUM INTO ?", (str(target),))
            schema.connect(target).close()
            with target.open("rb") as file:
                os.fsync(file.fileno())
            schema.sync_directory(target.absolute().parent)
        except BaseException:
            target.unlink()
            raise


def compact(directory: Path) -> tuple[int, int]:
    """Give the room of settled objects back to the disk; returns the size before and after.

    Raises:
        StoreError: a node has the store, or there is no room for the copy that this makes.
    """
    path = directory / schema.DATABASE_FILE
    if not path.exists():
        raise StoreError(f"there is no store in {directory}: name its directory with --data-dir")
    lock = DirectoryLock(directory, "that is being compacted")
    try:
        reasons = [*check_files(path)]
        with schema.errors_translated(path):
            before = path.stat().st_size
            if not reasons:
                with contextlib.closing(schema.connect(path)) as connection:
                    reasons += check_structure(connection)
                    if not reasons:
                        connection.execute("VACUUM")
        if reasons:
            raise StoreError(f"{path} is damaged: {reasons[0]}; start its node, which repairs it")
        return before, path.stat().st_size
    finally:
        lock.release()
