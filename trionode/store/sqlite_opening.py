"""Opening a database: a new one is made, a sound one is opened, any other is repaired first.

What is checked before SQLite may touch the files: the constants of the header, and whether the log
ends before its last transaction. Then, by SQLite: the schema, and the structure of all trees. What
records say is for recovery to judge.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

from trionode.store import sqlite_schema as schema
from trionode.store.sqlite_repair import finish_repair, repair
from trionode.store.sqlite_wal import read_log

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trionode.store.damage import Damage

_HEADER_BYTES = 100
_VERSION_AT = 60
_CONSTANTS = {
    0: b"SQLite format 3\0",
    16: schema.PAGE_BYTES.to_bytes(2, "big"),
    18: b"\2\2",  # a write-ahead log
    20: b"\0\x40\x20\x20",  # no bytes reserved; fractions that never change
    52: bytes(4),  # no automatic vacuum
    56: b"\0\0\0\1",  # UTF-8
    64: bytes(4),  # no automatic vacuum
    68: schema.APPLICATION_ID.to_bytes(4, "big"),
}
"""Fields of the file's header that are alike in every store (sqlite.org/fileformat.html)."""


class _Unsound(Exception):  # noqa: N818  # a verdict, caught in this module
    """The database must be repaired before it is used; says what is wrong."""


def open_sound(path: Path, now_unix_ms: int) -> tuple[sqlite3.Connection, list[Damage]]:
    """A connection to a database whose structure is sound, and what a repair had to give up.

    Raises:
        StoreError: a newer trionode wrote it, or it is no store of ours.
    """
    finish_repair(path)
    if not path.exists():
        made = path.with_name(path.name + ".making")
        schema.create(made).close()
        schema.put_in_place(made, path)
    try:
        return _open(path), []
    except (_Unsound, sqlite3.DatabaseError) as error:
        if isinstance(error, sqlite3.OperationalError) and not _means_damage(error):
            raise
        damage = repair(path, str(error), now_unix_ms)
    return _open(path), damage


def _means_damage(error: sqlite3.Error) -> bool:
    """Whether an error is about the content of the file, and not about the disk or a lock."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    return code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


def _open(path: Path) -> sqlite3.Connection:
    _require_none(check_files(path))
    connection = schema.connect(path)
    try:
        if schema.migrate(connection) == schema.SCHEMA_VERSION:
            _require_none(check_structure(connection))
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.close()
        raise
    return connection


def _require_none(reasons: Iterator[str]) -> None:
    for reason in reasons:
        raise _Unsound(reason)


def check_files(path: Path) -> Iterator[str]:
    """What is wrong with the files of a store that nobody has open, as far as bytes can say."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    for at, constant in _CONSTANTS.items():
        if header[at : at + len(constant)] != constant:
            yield f"its header is damaged at byte {at}"
    # A newer version may be true: then the repair finds who wrote it, and refuses.
    if (
        not 0
        < int.from_bytes(header[_VERSION_AT : _VERSION_AT + 4], "big")
        <= schema.SCHEMA_VERSION
    ):
        yield "the version in its header is damaged"
    log = path.with_name(path.name + "-wal")
    if log.exists() and read_log(log.read_bytes()).damaged:
        yield "its write-ahead log is damaged"


def check_structure(connection: sqlite3.Connection) -> Iterator[str]:
    """What is wrong with the schema and the trees, as SQLite sees them."""
    if _statements(connection) != _expected_statements():
        yield "its schema is damaged"
    verdicts = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdicts != [(b"ok",)]:
        yield verdicts[0][0].decode("utf-8", "replace") if verdicts else "unreadable"


def _statements(connection: sqlite3.Connection) -> list[tuple[bytes, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid"
    return connection.execute(query).fetchall()


def _expected_statements() -> list[tuple[bytes, ...]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        schema.migrate(connection)
        return _statements(connection)
