"""Who the node is, as its database has it (R9): two equal rows, so that one may be damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.store.base import NODE_ID_BYTES, Identity
from trionode.store.damage import Damage
from trionode.store.sqlite_records import CHECKSUM_DIFFERS, book_row, is_sound, unpack
from trionode.store.sqlite_schema import SCHEMA_VERSION, transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable

_COPIES = (1, 2)


def take_identity(
    connection: sqlite3.Connection, now_unix_ms: int, random_bytes: Callable[[int], bytes]
) -> tuple[Identity, list[Damage]]:
    """Begin a new life of the node of this database, or of a new node, on disk."""
    rows = connection.execute("SELECT * FROM identity").fetchall()
    damage = [
        Damage("identity", row[0], CHECKSUM_DIFFERS, kept=False)
        for row in rows
        if not is_sound("identity", row)
    ]
    known = stored_identity(rows)
    if known is None:
        identity = Identity(random_bytes(NODE_ID_BYTES).hex(), now_unix_ms)
    else:
        identity = Identity(known[0], max(known[1] + 1, now_unix_ms))
    value = (identity.node, identity.incarnation, SCHEMA_VERSION)
    with transaction(connection):
        connection.execute("DELETE FROM identity")
        connection.executemany(
            "INSERT INTO identity VALUES (?, ?, ?)",
            [book_row("identity", copy, value) for copy in _COPIES],
        )
    return identity, damage


def stored_identity(rows: Iterable[tuple[Any, ...]]) -> tuple[str, int, int] | None:
    """(node id, incarnation, version of the schema) by the newest of these rows that is sound."""
    found = [unpack(row[1]) for row in rows if is_sound("identity", row)]
    if not found:
        return None
    node, incarnation, version = max(found, key=lambda value: value[1])
    return node, incarnation, version
