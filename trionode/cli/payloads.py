"""Payloads as the commands read and print them. Pure, no I/O."""

from __future__ import annotations

import base64

import orjson

from trionode.errors import Refused
from trionode.ids import format_id
from trionode.schema.strict_json import parse_json

_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def check_json(payload: bytes) -> None:
    """Check that these bytes are one JSON document that nodes accept.

    Raises:
        ValueError: they are not; the message says why, and where.
    """
    try:
        parse_json(payload)
    except Refused as refusal:
        raise ValueError(refusal.message.removeprefix("not JSON: ")) from None


def on_one_line(payload: bytes) -> bytes:
    """JSON text without line ends: outside strings they are blanks, inside they cannot be."""
    if b"\n" in payload or b"\r" in payload:
        return payload.translate(_LINE_ENDS)
    return payload


def object_line(type_name: str, value: int, attempt: int, encoding: str, payload: bytes) -> bytes:
    """The line that `trionode subscribe` prints for a delivery.

    JSON payloads are embedded as they are, byte for byte; others as a base64 string.
    """
    name = orjson.dumps(type_name)
    shown = on_one_line(payload) if encoding == "json" else b'"' + base64.b64encode(payload) + b'"'
    return b'{"id":"%s","type":%s,"attempt":%d,"encoding":%s,"object":%s}\n' % (
        format_id(value).encode(),
        name,
        attempt,
        orjson.dumps(encoding),
        shown,
    )
