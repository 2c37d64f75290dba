"""Records as rows: what is written of each, its checksum, and what is believed when it is read.

A checksum (CRC-32) covers the whole record but for its number, which only says in what order
records came. Each kind of record starts from a checksum of its own, so that a row never passes for
one of another table.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import msgpack  # type: ignore[import-untyped]  # it has no types

from trionode.ids import OBJECT_ID_BYTES
from trionode.routing.keys import DIGEST_BYTES
from trionode.routing.records import (
    GivenRecord,
    KeysRecord,
    ObjectRecord,
    ProducerRecord,
    TakenRecord,
)
from trionode.schema.definition import Definition
from trionode.store.sqlite_schema import BOOKS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ObjectRow = tuple[
    int, bytes, str, str, str, float, int, int, int, bytes | None, bytes
]  # in the order of OBJECT_COLUMNS

_pack_head = struct.Struct(">16sdqqqq").pack
CHECKSUM_DIFFERS = "its checksum differs"
_NO_DETAILS = -1
_SHAPES_MAX = 10_000
"""How many (type, encoding, fingerprint) are remembered with their checksums."""

_packer = msgpack.Packer(unicode_errors="surrogatepass")


def pack(value: Any) -> bytes:
    """A value as the body of a record."""
    packed: bytes = _packer.pack(value)
    return packed


def unpack(body: bytes) -> Any:
    """The value in a body.

    Raises:
        ValueError: there is none.
    """
    return msgpack.unpackb(body, strict_map_key=False, unicode_errors="surrogatepass")


# --- objects ----------------------------------------------------------------------------------


class Shapes:
    """What objects have in common: their type, encoding and fingerprint, and its checksum."""

    def __init__(self) -> None:
        self._seeds: dict[tuple[str, str, str], int] = {}
        self._known: dict[tuple[bytes, bytes, bytes], tuple[str, str, str, int]] = {}

    def rows(self, records: Iterable[tuple[int, ObjectRecord]]) -> Iterator[ObjectRow]:
        """Rows for numbered records."""
        pack_head = _pack_head
        last, shape_seed = ("", "", ""), self._seed(("", "", ""))
        packed_of: dict[str, Any] | None = None
        packed = b""
        for seq, record in records:
            shape = (record.type, record.encoding, record.fingerprint)
            if shape != last:
                last, shape_seed = shape, self._seed(shape)
            seed = shape_seed
            id_ = record.id.to_bytes(OBJECT_ID_BYTES, "big")
            payload: bytes = record.payload  # type: ignore[assignment]  # completed by the store
            details = None
            # Not -0.0, which comes back as 0.0 and would make the checksum differ.
            size, created = _NO_DETAILS, record.created + 0.0
            if record.details is not None:
                if record.details is not packed_of:  # objects of one batch often share theirs
                    packed_of, packed = record.details, pack(record.details)
                details = packed
                size = len(details)
                seed = crc32(details, seed)
            head = pack_head(id_, created, record.attempt, record.stamp, size, len(payload))
            crc = crc32(payload, crc32(head, seed))
            yield (
                seq, id_, *shape, created, record.attempt, record.stamp, crc, details, payload,
            )  # fmt: skip

    def _seed(self, shape: tuple[str, str, str]) -> int:
        seed = self._seeds.get(shape)
        if seed is None:
            if len(self._seeds) >= _SHAPES_MAX:
                self._seeds.clear()
            seed = self._seeds[shape] = crc32(pack(("objects", *shape)))
        return seed

    def record(self, row: tuple[Any, ...], offset_s: float) -> ObjectRecord | None:
        """The record of a row that was read, its times `offset_s` earlier; None: damaged."""
        _, id_, _, _, _, created, attempt, stamp, _, details, payload = row
        try:
            known = self._known_if_sound(row)
            if known is None:
                return None
            type_, encoding, fingerprint, _ = known
            values = None if details is None else unpack(details)
            record = ObjectRecord(
                int.from_bytes(id_, "big"),
                type_,
                payload,
                encoding,
                fingerprint,
                created if values else created - offset_s,
                attempt,
                values,
                stamp,
            )
            return record.shifted(-offset_s) if values else record
        except (ValueError, TypeError, AttributeError, struct.error):
            return None  # a column of another type than it was written with

    def payload(self, row: tuple[Any, ...]) -> tuple[bytes, bytes] | None:
        """Of a row that was read only the object's id and its payload; None: damaged."""
        try:
            return None if self._known_if_sound(row) is None else (row[1], row[-1])
        except (ValueError, TypeError, AttributeError, struct.error):
            return None  # a column of another type than it was written with

    def _known_if_sound(self, row: tuple[Any, ...]) -> tuple[str, str, str, int] | None:
        """What is known of the row's shape, if the row is as it was written; may raise if not."""
        _, id_, type_, encoding, fingerprint, created, attempt, stamp, crc, details, payload = row
        known = self._known.get((type_, encoding, fingerprint))
        if known is None:
            known = self._learn((type_, encoding, fingerprint))
        seed = known[3]
        size = _NO_DETAILS
        if details is not None:
            size = len(details)
            seed = crc32(details, seed)
        head = _pack_head(id_, created, attempt, stamp, size, len(payload))
        if crc32(payload, crc32(head, seed)) != crc or len(id_) != OBJECT_ID_BYTES:
            return None
        return known

    def _learn(self, shape: tuple[bytes, bytes, bytes]) -> tuple[str, str, str, int]:
        type_, encoding, fingerprint = (text.decode() for text in shape)
        if len(self._known) >= _SHAPES_MAX:
            self._known.clear()
        seed = self._seed((type_, encoding, fingerprint))
        known = self._known[shape] = (type_, encoding, fingerprint, seed)
        return known


_LEFT_SEED = crc32(b"settled")


def left_mark(settled: float, outcome: str) -> int:
    """The checksum of when and how an object left, beside that of the object itself."""
    return crc32(struct.pack(">d", settled), crc32(outcome.encode(), _LEFT_SEED))


def settled_of(columns: tuple[Any, ...]) -> tuple[float, str] | None:
    """When and how an object left, out of (settled, outcome, mark); None: damaged."""
    settled, outcome, mark = columns
    try:
        text = outcome.decode()
        return (settled, text) if left_mark(settled, text) == mark else None
    except (ValueError, TypeError, AttributeError, struct.error):
        return None


# --- books ------------------------------------------------------------------------------------

_BOOK_SEEDS = {name: crc32(name.encode()) for name in BOOKS}


class BookRow(NamedTuple):
    """A row of any table but `objects`."""

    number: int
    body: bytes
    crc: int


def book_row(table: str, number: int, value: Any) -> BookRow:
    """The row of a value in a book."""
    body = pack(value)
    return BookRow(number, body, crc32(body, _BOOK_SEEDS[table]))


def is_sound(table: str, row: tuple[Any, ...]) -> bool:
    """Whether a row is as it was written into that book."""
    _, body, crc = row
    return isinstance(body, bytes) and crc32(body, _BOOK_SEEDS[table]) == crc


def book_of(row: tuple[Any, ...]) -> str | None:
    """The book that a row was written into, if any."""
    return next((table for table in BOOKS if is_sound(table, row)), None)


def given_value(record: GivenRecord) -> Any:
    """What is written of an offer of ours; ids are wider than MessagePack's integers."""
    ids = b"".join([id_.to_bytes(OBJECT_ID_BYTES, "big") for id_ in record.ids])
    return (record.peer, record.incarnation, record.sequence, ids, record.stamp)


def given_record(value: Any) -> GivenRecord:
    """The offer of ours in a body."""
    peer, incarnation, sequence, joined, stamp = value
    ids = tuple(
        int.from_bytes(joined[at : at + OBJECT_ID_BYTES], "big")
        for at in range(0, len(joined), OBJECT_ID_BYTES)
    )
    return GivenRecord(peer, incarnation, sequence, ids, stamp)


def taken_value(record: TakenRecord) -> Any:
    """What is written of a peer's offer; that the giver is durable goes without saying."""
    value = (record.giver, record.incarnation, record.sequence, record.refused)
    return value if record.durable else (*value, False)


def taken_record(value: Any) -> TakenRecord:
    """The peer's offer in a body."""
    giver, incarnation, sequence, refused, *durable = value
    return TakenRecord(giver, incarnation, sequence, tuple(refused), *durable)


def producer_value(record: ProducerRecord, stamp: int, place: int) -> Any:
    """What is written of a producer's book, and when: at which stamp, and which of that commit."""
    flat = [number for run in record.accepted for number in run]
    return (record.producer.to_bytes(OBJECT_ID_BYTES, "big"), record.floor, flat, stamp, place)


def producer_record(value: Any) -> tuple[ProducerRecord, tuple[int, int]]:
    """A producer's book, and when it was last written: stamp and place."""
    producer, floor, flat, stamp, place = value
    runs = list(zip(flat[::2], flat[1::2], strict=True))
    return ProducerRecord(int.from_bytes(producer, "big"), floor, runs), (stamp, place)


_KEY_BYTES = DIGEST_BYTES + OBJECT_ID_BYTES


def keys_value(parts: list[KeysRecord]) -> Any:
    """What is written of the keys of one commit: the time of the last, then each part."""
    written = [
        (
            part.at,
            b"".join([digest + id_.to_bytes(OBJECT_ID_BYTES, "big") for digest, id_ in part.keys]),
        )
        for part in parts
    ]
    return (max(part.at for part in parts), written)


def keys_records(value: Any) -> list[KeysRecord]:
    """The keys in a body."""
    return [
        KeysRecord(
            at,
            tuple(
                (
                    joined[start : start + DIGEST_BYTES],
                    int.from_bytes(joined[start + DIGEST_BYTES : start + _KEY_BYTES], "big"),
                )
                for start in range(0, len(joined), _KEY_BYTES)
            ),
        )
        for at, joined in value[1]
    ]


def definition_value(definition: Definition) -> Any:
    """What is written of a definition."""
    return (definition.type, definition.fingerprint, definition.schema)


def definition_of(value: Any) -> Definition:
    """The definition in a body."""
    return Definition(*value)
