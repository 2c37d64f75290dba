"""Objects as JSON lines, for export and import: each line is one object with its properties.

Payloads are text as they are where they are text, else base64; times are Unix seconds.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from trionode.ids import SEQUENCE_BITS, SEQUENCE_MASK, format_id, parse_id
from trionode.routing.records import ObjectRecord
from trionode.store.base import StoreError
from trionode.store.batch import Batch, ProducerChange
from trionode.store.sqlite_records import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trionode.store.sqlite import SqliteStore

IMPORT_BATCH_OBJECTS = 1000


def line_of(record: ObjectRecord) -> bytes:
    """One object as a line."""
    assert isinstance(record.payload, bytes), "what is read back has its payload"
    line: dict[str, Any] = {
        "id": format_id(record.id),
        "type": record.type,
        "encoding": record.encoding,
        "fingerprint": record.fingerprint,
        "created": record.created,
        "attempt": record.attempt,
    }
    try:
        line["payload"] = record.payload.decode()
    except UnicodeDecodeError:
        line["payload_base64"] = base64.b64encode(record.payload).decode()
    if record.details is not None:
        try:
            orjson.dumps(record.details)
            line["details"] = record.details
        except TypeError:  # properties of the future, which JSON cannot say
            line["details_msgpack"] = base64.b64encode(pack(record.details)).decode()
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def record_of_line(line: bytes, stamp: int) -> ObjectRecord:
    """The object on a line.

    Raises:
        ValueError: the line is none of `line_of`.
    """
    try:
        value = orjson.loads(line)
        payload = value.get("payload")
        details = value.get("details")
        if "details_msgpack" in value:
            details = unpack(base64.b64decode(value["details_msgpack"], validate=True))
        return ObjectRecord(
            parse_id(value["id"]),
            _text(value["type"]),
            base64.b64decode(value["payload_base64"], validate=True)
            if payload is None
            else payload.encode(),
            _text(value["encoding"]),
            _text(value["fingerprint"]),
            float(value["created"]),
            int(value["attempt"]),
            details,
            stamp,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not an exported object: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def import_lines(store: SqliteStore, lines: Iterable[bytes], held: set[int]) -> tuple[int, int]:
    """Write objects into a store that was recovered; returns how many, and how many it had.

    Raises:
        StoreError: a line holds no object; what came before it is written.
    """
    written = known = 0
    for batch, repeated in _batches(lines, held, store.last_stamp):
        store.write(batch)
        written += len(batch.kept)
        known += repeated
    return written, known


def _batches(lines: Iterable[bytes], held: set[int], stamp: int) -> Iterator[tuple[Batch, int]]:
    batch, repeated = Batch(stamp + 1, 0.0), 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = record_of_line(line, batch.stamp)
        except ValueError as error:
            yield batch, repeated
            raise StoreError(f"line {number}: {error}") from error
        if record.id in held:
            repeated += 1
            continue
        held.add(record.id)
        batch.kept[record.id] = record
        # One that is pushed again is a repeat.
        change = batch.producers.setdefault(record.id >> SEQUENCE_BITS, ProducerChange())
        assert change is not None, "this batch forgets no producer"
        change.accepted.append((record.id & SEQUENCE_MASK, 1))
        if len(batch.kept) == IMPORT_BATCH_OBJECTS:
            yield batch, repeated
            batch, repeated = Batch(batch.stamp + 1, 0.0), 0
    yield batch, repeated
