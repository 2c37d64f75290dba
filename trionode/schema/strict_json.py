"""JSON as trionode means it: strict, and only numbers that every language can hold.

Of two equal keys in one object the last counts, as in every parser that consumers are likely to
use; refusing them would cost a slower parser on every push.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from trionode.errors import Refused, Status

MAX_NESTING = 250
"""Deepest nesting of arrays and objects in a payload; libraries of other languages give up soon
after, and the check for numbers (orjson) stops at 254."""


def parse_json(data: bytes) -> Any:
    """The value that a JSON text stands for.

    Raises:
        Refused: INVALID_ARGUMENT. Not one JSON text in UTF-8 (RFC 8259; no NaN, no infinity), a
            number beyond 64 bits or the range of a double, nesting deeper than `MAX_NESTING`.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(Status.INVALID_ARGUMENT, f"not JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if len(data) < _SHORTEST_BIG_INTEGER and data.count(b"[") + data.count(b"{") <= MAX_NESTING:
        return value
    try:
        # The decoder reads any integer, the encoder refuses those beyond 64 bits: cheaper than a
        # search for long digits.
        orjson.dumps(value)
    except TypeError as error:
        if "64-bit" in str(error):
            raise Refused(
                Status.INVALID_ARGUMENT,
                "an integer beyond 64 bits",
                "write it as a string, which every reader takes unharmed",
            ) from None
        raise _too_deep() from None
    return value


_SHORTEST_BIG_INTEGER = len(str(2**63))


def _too_deep() -> Refused:
    return Refused(Status.INVALID_ARGUMENT, f"JSON nested deeper than {MAX_NESTING}")
