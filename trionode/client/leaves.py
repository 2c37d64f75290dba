"""The single values of the value model, from Python to JSON and back, without any coercion.

Each pair of functions is strict in both directions: what one writes the other reads as an equal
value, and nothing else passes. The wording of errors says what was expected and what came.
"""

from __future__ import annotations

import binascii
import datetime as dt
import decimal
import enum
import functools
import math
import re
import uuid
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import attrs

from trionode.schema.formats import is_decimal

if TYPE_CHECKING:
    from collections.abc import Callable

INT_MIN, INT_MAX = -(2**63), 2**64 - 1
"""Integers within: what JSON libraries of other languages hold, signed or unsigned."""
FLOAT_INT_MAX = 2**53
"""Up to here every integer has a double of its own, so 3.0 can be read as 3 (it is one number in
JSON and in JSON Schema) without a guess."""
MAX_PLAIN_NESTING = 250
"""Deepest nesting of plain JSON values, as for payloads."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = r"\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)"
_FULL_TIME = re.compile(_TIME, re.ASCII)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]" + _TIME, re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)


@attrs.frozen
class Leaf:
    """How one Python type travels: `to_json` and `from_json` raise TypeError or ValueError."""

    to_json: Callable[[Any], Any]
    from_json: Callable[[Any, Any], Any]


def unexpected(words: str, value: Any) -> TypeError:
    """The error for a value of the wrong type."""
    return TypeError(f"expected {words}, got {type(value).__name__}")


def _text(value: Any, _: Any = None) -> str:
    if type(value) is not str:
        raise unexpected("a text", value)
    return value


def _flag(value: Any, _: Any = None) -> bool:
    if type(value) is not bool:
        raise unexpected("true or false", value)
    return value


def _nothing(value: Any, _: Any = None) -> None:
    if value is not None:
        raise unexpected("null", value)


def _int_to_json(value: Any) -> int:
    if type(value) is not int:
        raise unexpected("an integer", value)
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError("an integer beyond 64 bits cannot be written")
    return value


def _int_from_json(value: Any, _: Any) -> int:
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer() and abs(value) <= FLOAT_INT_MAX:
        return int(value)
    raise unexpected("an integer", value)


def _float_to_json(value: Any) -> float:
    if type(value) is not float and type(value) is not int:
        raise unexpected("a number", value)
    if not math.isfinite(value):
        raise ValueError(f"{value} has no form in JSON")
    return float(value)


def _float_from_json(value: Any, _: Any) -> float:
    if type(value) is float or type(value) is int:
        return float(value)
    raise unexpected("a number", value)


def _bytes_to_json(value: Any) -> str:
    if type(value) is not bytes:
        raise unexpected("bytes", value)
    return binascii.b2a_base64(value, newline=False).decode("ascii")


def _bytes_from_json(value: Any, _: Any) -> bytes:
    try:
        return binascii.a2b_base64(_text(value), strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"expected base64 (RFC 4648): {error}") from None


def _decimal_to_json(value: Any) -> str:
    if type(value) is not decimal.Decimal:
        raise unexpected("a Decimal", value)
    if not value.is_finite():
        raise ValueError(f"{value} has no form in JSON")
    return str(value)


def _decimal_from_json(value: Any, _: Any) -> decimal.Decimal:
    if not is_decimal(_text(value)):
        raise ValueError("expected a decimal number as a text")
    try:
        return decimal.Decimal(value)
    except decimal.InvalidOperation:
        raise ValueError("expected a decimal number within Decimal's range") from None


def _uuid_to_json(value: Any) -> str:
    if type(value) is not uuid.UUID:
        raise unexpected("a UUID", value)
    return str(value)


def _uuid_from_json(value: Any, _: Any) -> uuid.UUID:
    if _UUID.fullmatch(_text(value)) is None:
        raise ValueError("expected a UUID (RFC 9562)")
    return uuid.UUID(value)


def _date_to_json(value: Any) -> str:
    if not isinstance(value, dt.date) or isinstance(value, dt.datetime):
        raise unexpected("a date", value)
    return value.isoformat()


def _date_from_json(value: Any, _: Any) -> dt.date:
    if _DATE.fullmatch(_text(value)) is None:
        raise ValueError("expected a date as YYYY-MM-DD (RFC 3339)")
    return dt.date.fromisoformat(value)


def _datetime_to_json(given: Any) -> str:
    if not isinstance(given, dt.datetime):
        raise unexpected("a datetime", given)
    value: dt.datetime = given
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a naive datetime names no instant; give it a time zone")
    if offset % dt.timedelta(minutes=1):
        # RFC 3339 has no seconds in offsets, as zones of before 1900 have them.
        value = value.astimezone(dt.UTC)
    return value.isoformat()


def _datetime_from_json(value: Any, _: Any) -> dt.datetime:
    if _DATE_TIME.fullmatch(_text(value)) is None:
        raise ValueError("expected a date and time with a time zone (RFC 3339)")
    return dt.datetime.fromisoformat(value.upper())


def _time_to_json(value: Any) -> str:
    if type(value) is not dt.time:
        raise unexpected("a time", value)
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a naive time names no instant; give it a fixed offset")
    if offset % dt.timedelta(minutes=1):
        raise ValueError("an offset with seconds has no form in RFC 3339")
    return value.isoformat()


def _time_from_json(value: Any, _: Any) -> dt.time:
    if _FULL_TIME.fullmatch(_text(value)) is None:
        raise ValueError("expected a time with a time zone (RFC 3339)")
    return dt.time.fromisoformat(value.upper())


LEAVES: dict[type, Leaf] = {
    str: Leaf(_text, _text),
    bool: Leaf(_flag, _flag),
    int: Leaf(_int_to_json, _int_from_json),
    float: Leaf(_float_to_json, _float_from_json),
    type(None): Leaf(_nothing, _nothing),
    bytes: Leaf(_bytes_to_json, _bytes_from_json),
    decimal.Decimal: Leaf(_decimal_to_json, _decimal_from_json),
    uuid.UUID: Leaf(_uuid_to_json, _uuid_from_json),
    dt.date: Leaf(_date_to_json, _date_from_json),
    dt.datetime: Leaf(_datetime_to_json, _datetime_from_json),
    dt.time: Leaf(_time_to_json, _time_from_json),
}
"""Every single value of the model, by the exact Python type."""


def is_enum(kind: Any) -> bool:
    """Whether a type is an enumeration with a form in JSON; flags combine, so they have none."""
    return (
        isinstance(kind, type) and issubclass(kind, enum.Enum) and not issubclass(kind, enum.Flag)
    )


def is_literal(kind: Any) -> bool:
    """Whether a type is a `Literal[...]`."""
    return get_origin(kind) is Literal


@functools.cache
def enum_leaf(kind: Any) -> Leaf:
    """How members of one enumeration travel: as their value, and its type counts (1 is not True).

    Raises:
        TypeError: values other than texts and integers.
    """
    members = {(type(member.value), member.value): member for member in kind}
    if not {str, int}.issuperset(found for found, _ in members):
        raise TypeError(f"{kind.__qualname__}: values of an enumeration must be texts or integers")

    def to_json(value: Any) -> Any:
        if type(value) is not kind:
            raise unexpected(f"a member of {kind.__qualname__}", value)
        return value.value

    def from_json(value: Any, _: Any) -> Any:
        try:
            return members[type(value), value]
        except (KeyError, TypeError):
            raise ValueError(f"expected {_listed(kind.__qualname__, members)}") from None

    return Leaf(to_json, from_json)


def literal_leaf(kind: Any) -> Leaf:
    """How the values of a `Literal` travel."""
    values = {(type(value), value): value for value in get_args(kind)}

    def exact(value: Any, _: Any = None) -> Any:
        try:
            return values[type(value), value]
        except (KeyError, TypeError):
            raise ValueError(f"expected {_listed('value', values)}") from None

    return Leaf(exact, exact)


def _listed(what: str, values: dict[tuple[type, Any], Any]) -> str:
    return f"one {what} of " + ", ".join(repr(value) for _, value in list(values)[:10])


def check_plain(value: Any, depth: int = MAX_PLAIN_NESTING) -> Any:
    """A value of plain JSON, as it is.

    Raises:
        TypeError: something that JSON has no form for; a richer type belongs in a class.
        ValueError: NaN, an integer beyond 64 bits, nesting deeper than `MAX_PLAIN_NESTING`.
    """
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return value
    if kind is int:
        return _int_to_json(value)
    if kind is float:
        return _float_to_json(value)
    if depth == 0:
        raise ValueError(f"nested deeper than {MAX_PLAIN_NESTING}")
    if kind is list:
        for item in value:
            check_plain(item, depth - 1)
        return value
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise unexpected("a text as key", key)
            check_plain(item, depth - 1)
        return value
    raise unexpected("plain JSON", value)


def as_it_is(value: Any, _: Any) -> Any:
    """What a JSON parser returned is plain JSON."""
    return value
