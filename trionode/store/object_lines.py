"""What a store holds as JSON lines, for export and import: objects, settled ones, keys of pushes.

An object's line has its properties and its payload: text as it is where it is text, else base64.
The line of a settled object has that of the object within it, a line of keys those that were taken
at one time, so that no line passes for one of another kind. Times are Unix seconds.
"""

from __future__ import annotations

import base64
from typing import Any

import attrs
import orjson

from trionode.ids import format_id, parse_id
from trionode.routing.keys import DIGEST_BYTES
from trionode.routing.records import KeysRecord, ObjectRecord
from trionode.store.sqlite_records import pack, unpack


@attrs.frozen
class SettledRecord:
    """An object that left custody at the Unix time `settled` and is kept for queries."""

    object: ObjectRecord
    settled: float
    outcome: str


Exported = ObjectRecord | SettledRecord | KeysRecord


def line_of(record: Exported) -> bytes:
    """What stands on one line."""
    if isinstance(record, SettledRecord):
        value: dict[str, Any] = {
            "settled": record.settled,
            "outcome": record.outcome,
            "object": _object_value(record.object),
        }
    elif isinstance(record, KeysRecord):
        keys = {digest.hex(): format_id(id_) for digest, id_ in record.keys}
        value = {"keys_at": record.at, "keys": keys}
    else:
        value = _object_value(record)
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def _object_value(record: ObjectRecord) -> dict[str, Any]:
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
    return line


def record_of_line(line: bytes, stamp: int) -> Exported:
    """What is on a line; objects get the stamp.

    Raises:
        ValueError: the line is none of `line_of`.
    """
    value = orjson.loads(line)
    try:
        if "object" in value:
            object_ = _object_of(value["object"], stamp)
            return SettledRecord(object_, float(value["settled"]), _text(value["outcome"]))
        if "keys" in value:
            keys = tuple((_digest(key), parse_id(id_)) for key, id_ in value["keys"].items())
            return KeysRecord(float(value["keys_at"]), keys)
        return _object_of(value, stamp)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"neither an exported object nor keys: {error}") from error


def _object_of(value: dict[str, Any], stamp: int) -> ObjectRecord:
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


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _digest(text: str) -> bytes:
    digest = bytes.fromhex(text)
    if len(digest) != DIGEST_BYTES:
        raise ValueError(f"{text!r} stands for no key")
    return digest
