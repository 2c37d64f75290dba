"""Payloads as the commands read and print them. Pure, no I/O."""

from __future__ import annotations

import base64
import re

import orjson

from trionode.ids import format_id

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**64 - 1
_LONG_NUMBER = re.compile(rb"[0-9]{19}")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9]+(?![0-9.eE])|-?[0-9][0-9.eE+-]*', re.DOTALL)
_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


def check_json(payload: bytes) -> None:
    """Check that these bytes are one JSON document of the value model that nodes accept.

    Raises:
        ValueError: they are not; the message says where and why.
    """
    try:
        orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno} column" if error.lineno > 1 else "column"
        raise ValueError(f"{error.msg} (at {where} {error.colno})") from None
    if _LONG_NUMBER.search(payload):
        _check_integers(payload)


def _check_integers(payload: bytes) -> None:
    # orjson reads a longer integer as a float and so changes it; only long digit runs come here.
    for token in _TOKEN.finditer(payload):
        text = token[0]
        if len(text) >= 19 and text.lstrip(b"-").isdigit():
            fits = len(text) <= 21 and INTEGER_MIN <= int(text) <= INTEGER_MAX
            if not fits:
                raise ValueError(f"an integer beyond 64 bits (at byte {token.start() + 1})")


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
