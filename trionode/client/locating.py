"""Where inside an object the value is that cannot be written; looked for only after a failure."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import orjson

from trionode.client import containers, unions
from trionode.client.conversion import is_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    import cattrs


def place_of(value: Any, converter: cattrs.Converter) -> str:
    """The path of the first part of an object that cannot be written, like `$.lines[2].price`."""
    path = "$"
    kind: Any = type(value)
    for _ in range(64):  # a loop through an object that holds itself ends here
        for step, part, part_kind in _parts(value, kind):
            try:
                orjson.dumps(containers.unstructure_hook(converter, part_kind)(part))
            except (TypeError, ValueError, OverflowError, RecursionError):
                path, value, kind = path + step, part, part_kind
                break
        else:
            return path
    return path


def _parts(value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    """The parts of a value with their places and types, where its class is what the type says."""
    kind = unions.bare_type(kind)
    if unions.is_union(kind):
        classes = type(value).__mro__
        mine = [
            one for one in unions.members(kind) if not unions.python_types(one).isdisjoint(classes)
        ]
        kind = unions.bare_type(mine[0]) if mine else kind
    if kind is Any:
        kind = dict[str, Any] if isinstance(value, dict) else list[Any]
    if unions.is_struct(type(value)) or is_record(type(value)):
        yield from _fields(value)
    else:
        yield from _items(value, kind)


def _fields(value: Any) -> Iterator[tuple[str, Any, Any]]:
    if unions.is_struct(type(value)):
        for field in msgspec.structs.fields(type(value)):
            yield f".{field.encode_name}", getattr(value, field.name), field.type
    else:
        for name, one in _hints(type(value)).items():
            if hasattr(value, name) and typing.get_origin(one) is not typing.ClassVar:
                yield f".{name}", getattr(value, name), one


def _items(value: Any, kind: Any) -> Iterator[tuple[str, Any, Any]]:
    if containers.is_named_tuple(type(value)):
        for index, (one, part) in enumerate(zip(_hints(kind).values(), value, strict=True)):
            yield f"[{index}]", part, one
    elif isinstance(value, dict):
        hints = _hints(kind) if typing.is_typeddict(kind) else {}
        item = (*get_args(kind), Any, Any)[1]
        for key, part in value.items():
            yield f".{key}", part, hints.get(key, item)
    elif containers.is_array(kind) and type(value) in containers.written_classes(kind):
        for index, part in enumerate(value):
            yield f"[{index}]", part, (*get_args(kind), Any)[0]
    elif containers.is_tuple(kind) and type(value) is tuple:
        args = get_args(kind) or (Any, ...)
        for index, part in enumerate(value):
            yield f"[{index}]", part, args[0 if ... in args else min(index, len(args) - 1)]


def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(typing.get_origin(kind) or kind)
