"""Values and payloads: how a Python object becomes the JSON bytes that travel, and back.

One value model: bytes are base64, date and datetime RFC 3339 (naive ones refused), Decimal and UUID
texts, NaN and integers beyond 64 bits refused, nothing is coerced ("5" is not 5, True is not 1).
`schema_of` states the same model as a JSON Schema. What one class's `encode` writes, `decode` reads
as an equal value.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import cattrs
import orjson

from trionode.client.containers import structure_hook
from trionode.client.conversion import is_record, make_converter
from trionode.client.leaves import check_plain
from trionode.client.locating import place_of
from trionode.client.schemas import derived_schema
from trionode.client.unions import is_struct
from trionode.errors import DecodeError, EncodeError, Refused
from trionode.schema.strict_json import parse_json

if TYPE_CHECKING:
    from trionode.client.containers import Structure, Unstructure

T = TypeVar("T")

JSON = "json"
RAW = "raw"

MAX_ERROR_CHARACTERS = 500
"""Longest account of what does not fit; it travels as the reason of a nack."""

_fast = make_converter(detailed=False)
_detailed = make_converter(detailed=True)


def encode(value: Any) -> bytes:
    """The JSON of an object of a class, or of a plain JSON value.

    Raises:
        EncodeError: the value has no form in the value model; the message has the path inside it.
        TypeError: its class has none.
    """
    cls: type = type(value)
    write = _writer_of(cls)
    try:
        return orjson.dumps(write(value))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        place = place_of(value, _fast) if is_class(cls) else "$"
        raise EncodeError(f"{cls.__qualname__}: {_short(str(error))} @ {place}") from None


def decode(cls: type[T], data: bytes) -> T:
    """The object of a class that JSON bytes stand for; `object` or Any gives plain JSON values.

    Raises:
        DecodeError: not JSON, or not what the class says; the message has the path of each fault.
        TypeError: the class has no form in the value model.
    """
    try:
        value = parse_json(data)
    except Refused as error:
        raise DecodeError(error.message) from None
    if cls is object or cls is Any:
        return value  # type: ignore[no-any-return]  # plain JSON is what was asked for
    kind: type = cls
    read = _reader_of(kind)
    try:
        result: T = read(value, cls)
    except Exception as error:  # noqa: BLE001  # validators of the class raise whatever they like
        raise DecodeError(_account(value, cls, error)) from None
    return result


@functools.cache
def _writer_of(cls: type) -> Unstructure:
    """What makes plain JSON of a class's objects; asking cattrs each time costs as much as it."""
    return _fast.get_unstructure_hook(cls) if is_class(cls) else check_plain


@functools.cache
def _reader_of(cls: type) -> Structure:
    """What makes a class's objects of plain JSON; see `_writer_of`."""
    return structure_hook(_fast, cls)


def payload_of(value: Any) -> tuple[bytes, str]:
    """The payload of a value and its encoding: bytes travel raw, everything else as JSON.

    Raises:
        EncodeError: as `encode`.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value), RAW
    return encode(value), JSON


def value_of(cls: type[T] | None, payload: bytes, encoding: str) -> T | Any:
    """The value of a payload: of the class, or without one plain JSON or bytes.

    Raises:
        DecodeError: as `decode`; also raw bytes where an object of a class is expected.
    """
    if encoding == RAW:
        if cls is None or cls is bytes:
            return payload
        raise DecodeError(f"raw bytes where {cls.__qualname__} was expected")
    if encoding != JSON:
        raise DecodeError(f"encoding {encoding[:40]!r} is not known")
    return decode(object if cls is None else cls, payload)


@functools.cache
def schema_of(cls: type) -> str:
    """The JSON Schema of a class as text, derived from its annotations.

    Raises:
        TypeError: the class, or the type of one of its fields, has no form in the value model.
    """
    if not is_class(cls):
        raise TypeError(
            f"{cls!r} is no attrs class, dataclass or msgspec Struct, so it has no schema"
        )
    _fast.get_unstructure_hook(cls)
    _fast.get_structure_hook(cls)
    return orjson.dumps(derived_schema(cls)).decode()


def is_class(cls: Any) -> bool:
    """Whether a class's objects have a schema: attrs classes, dataclasses, msgspec Structs."""
    return is_record(cls) or is_struct(cls)


def _account(value: Any, cls: Any, error: Exception) -> str:
    """Every fault with its path: the fast pass knows only the first, and not where."""
    name = getattr(cls, "__qualname__", str(cls))
    try:
        structure_hook(_detailed, cls)(value, cls)
    except cattrs.BaseValidationError as group:
        faults = cattrs.transform_error(group, "$", lambda told, _: _words(told))
        return _short(f"{name}: {'; '.join(faults)}")
    except Exception as told:  # noqa: BLE001  # validators of the class raise whatever they like
        error = told
    return _short(f"{name}: {_words(error)} @ $")


def _words(error: BaseException) -> str:
    return f"missing property {error}" if type(error) is KeyError else str(error)


def _short(text: str) -> str:
    return text if len(text) <= MAX_ERROR_CHARACTERS else text[: MAX_ERROR_CHARACTERS - 1] + "…"
