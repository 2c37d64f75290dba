"""The cattrs converters between frames and the plain values that MessagePack knows.

Strict: cattrs on its own turns "5" into 5 and True into 1; here a value has the type of its field
or the frame is refused. Columns are checked whole, by the set of their items' types, which costs
nanoseconds per object where a hook per item costs a tenth of a microsecond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cattrs

from trionode.errors import Status
from trionode.ids import OBJECT_ID_BYTES, SEQUENCE_MASK
from trionode.schema.definition import Definition
from trionode.wire import frames
from trionode.wire.checks import check_details

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.ids import Run

INT_MAX = 2**63 - 1
"""Largest number of a frame: what a signed 64-bit column of any store or language holds."""

_ID_BITS = 8 * OBJECT_ID_BYTES


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {words}, got {type(value).__name__}")
        return value

    return structure


def _unsigned(value: Any, _: Any = None) -> int:
    if type(value) is not int:
        raise TypeError(f"expected an integer, got {type(value).__name__}")
    if not 0 <= value <= INT_MAX:
        raise ValueError(f"expected an integer from 0 to 2^63 - 1, got {value}")
    return value


def _column(kind: type, words: str) -> Callable[[Any, Any], Any]:
    allowed = {kind}

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not list or not allowed.issuperset(map(type, value)):
            raise TypeError(f"expected a list of {words}")
        return value

    return structure


def _unsigned_column(value: Any, _: Any) -> list[int]:
    if type(value) is not list or not {int}.issuperset(map(type, value)):
        raise TypeError("expected a list of integers")
    if value and (min(value) < 0 or max(value) > INT_MAX):
        raise ValueError("expected integers from 0 to 2^63 - 1")
    return value


def _runs_from_wire(value: Any, _: Any) -> list[Run]:
    if type(value) is not list:
        raise TypeError("expected a list of runs")
    runs: list[Run] = []
    for item in value:
        if type(item) is not list or len(item) != 2:
            raise TypeError("expected a run as [first id, count]")
        raw, count = item
        if type(raw) is not bytes or len(raw) != OBJECT_ID_BYTES:
            raise TypeError(f"expected an object id of {OBJECT_ID_BYTES} bytes")
        if type(count) is not int or count < 1:
            raise ValueError("expected a count of at least 1")
        first = int.from_bytes(raw, "big")
        sequence = first & SEQUENCE_MASK
        if sequence < 1 or sequence + count - 1 > SEQUENCE_MASK:
            raise ValueError("a run leaves the sequences 1 to 2^48 - 1 of its producer")
        runs.append((first, count))
    return runs


def _runs_to_wire(value: list[Run]) -> list[tuple[bytes, int]]:
    return [(first.to_bytes(OBJECT_ID_BYTES, "big"), count) for first, count in value]


def _sequences_from_wire(value: Any, _: Any) -> list[tuple[int, int]]:
    if type(value) is not list:
        raise TypeError("expected a list of runs")
    runs: list[tuple[int, int]] = []
    for item in value:
        if type(item) is not list or len(item) != 2:
            raise TypeError("expected a run as [first sequence, count]")
        runs.append((_unsigned(item[0]), _unsigned(item[1])))
    return runs


def _others_from_wire(value: Any, _: Any) -> list[tuple[int, bytes]]:
    if type(value) is not list:
        raise TypeError("expected a list of sequences with ids")
    others: list[tuple[int, bytes]] = []
    for item in value:
        if type(item) is not list or len(item) != 2:
            raise TypeError("expected a sequence with an id as [sequence, id]")
        sequence, raw = item
        if type(raw) is not bytes or len(raw) != OBJECT_ID_BYTES:
            raise TypeError(f"expected an object id of {OBJECT_ID_BYTES} bytes")
        others.append((_unsigned(sequence), raw))
    return others


def _refused_from_wire(value: Any, _: Any) -> list[tuple[bytes, int, str]]:
    if type(value) is not list:
        raise TypeError("expected a list of refused leases")
    refused: list[tuple[bytes, int, str]] = []
    for item in value:
        if type(item) is not list or len(item) != 3:
            raise TypeError("expected a refused lease as [id, attempt, reason]")
        raw, attempt, reason = item
        if type(raw) is not bytes or len(raw) != OBJECT_ID_BYTES or type(reason) is not str:
            raise TypeError("expected a refused lease as [16 bytes, integer, text]")
        refused.append((raw, _unsigned(attempt), reason))
    return refused


def _paths_from_wire(value: Any, _: Any) -> list[list[str]]:
    if type(value) is not list or not {list}.issuperset(map(type, value)):
        raise TypeError("expected a list of paths")
    for path in value:
        if not {str}.issuperset(map(type, path)):
            raise TypeError("expected a path of texts")
    return value


def _details_from_wire(value: Any, _: Any) -> dict[int, dict[str, Any]]:
    if type(value) is not dict:
        raise TypeError("expected a map of details")
    if value:
        check_details(value)
    return value


def _shared_from_wire(value: Any, _: Any) -> list[tuple[int, int, dict[str, Any]]]:
    if type(value) is not list:
        raise TypeError("expected a list of shared details")
    found: list[tuple[int, int, dict[str, Any]]] = []
    for item in value:
        if type(item) is not list or len(item) != 3:
            raise TypeError("expected shared details as [first index, count, properties]")
        first, count, properties = item
        check_details({first: properties})
        found.append((first, _unsigned(count), properties))
    return found


def _status_from_wire(value: Any, _: Any) -> Status:
    return Status(_unsigned(value))


def _optional_unsigned_column(value: Any, _: Any) -> list[int] | None:
    return None if value is None else _unsigned_column(value, None)


def _optional_unsigned(value: Any, _: Any) -> int | None:
    return None if value is None else _unsigned(value)


_STRUCTURE: list[tuple[Any, Callable[[Any, Any], Any]]] = [
    (str, _exactly(str, "a text")),
    (bytes, _exactly(bytes, "bytes")),
    (bool, _exactly(bool, "a boolean")),
    (int, _unsigned),
    (int | None, _optional_unsigned),
    (Status, _status_from_wire),
    (frames.Runs, _runs_from_wire),
    (frames.Payloads, _column(bytes, "payloads (bytes)")),
    (frames.Details, _details_from_wire),
    (frames.Shared, _shared_from_wire),
    (list[str], _column(str, "texts")),
    (list[int], _unsigned_column),
    (list[int] | None, _optional_unsigned_column),
    (list[list[str]], _paths_from_wire),
    (list[tuple[int, int]], _sequences_from_wire),
    (list[tuple[bytes, int, str]], _refused_from_wire),
    (list[tuple[int, bytes]], _others_from_wire),
]


def _as_it_is(value: Any) -> Any:
    return value


def _is(kind: Any) -> Callable[[Any], bool]:
    return lambda asked: asked == kind


def make_converter(*, detailed: bool) -> cattrs.Converter:
    """A converter for frames; `detailed` collects every error with its path and is slower."""
    converter = cattrs.Converter(omit_if_default=True, detailed_validation=detailed)
    for kind, structure in _STRUCTURE:
        if isinstance(kind, type):
            # For a class, a predicate would lose to the hook that cattrs brings.
            converter.register_structure_hook(kind, structure)
        else:
            converter.register_structure_hook_func(_is(kind), structure)
        # What MessagePack writes as it is must not be copied column by column.
        converter.register_unstructure_hook_func(_is(kind), _as_it_is)
    converter.register_unstructure_hook_func(_is(frames.Runs), _runs_to_wire)
    converter.register_unstructure_hook_func(_is(Status), int)
    _register_list(converter, Definition, list[Definition], "definitions")
    _register_list(converter, frames.Emission, list[frames.Emission], "emissions")
    return converter


def _register_list(converter: cattrs.Converter, kind: type, listed: Any, words: str) -> None:
    """Have a field that is a list of records read and written as a list of maps."""
    structure = converter.get_structure_hook(kind)
    unstructure = converter.get_unstructure_hook(kind)

    def from_wire(value: Any, _: Any) -> list[Any]:
        if type(value) is not list or not {dict}.issuperset(map(type, value)):
            raise TypeError(f"expected a list of {words}")
        return [structure(item, kind) for item in value]

    def to_wire(value: list[Any]) -> list[Any]:
        return [unstructure(item) for item in value]

    converter.register_structure_hook_func(_is(listed), from_wire)
    converter.register_unstructure_hook_func(_is(listed), to_wire)
