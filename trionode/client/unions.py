"""Unions of the value model: which member a value belongs to, without trying one after the other.

msgspec derives a schema only for unions whose members differ in their JSON type (one text-like, one
array-like, one object-like or several tagged Structs …), so the JSON type names the member.
"""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

import msgspec

from trionode.client.containers import (
    is_array,
    is_map,
    is_named_tuple,
    is_tuple,
    structure_hook,
    unstructure_hook,
)
from trionode.client.leaves import LEAVES, check_plain, is_enum, is_literal, unexpected

if TYPE_CHECKING:
    import cattrs

    from trionode.client.containers import Structure, Unstructure

NoneType = type(None)
_JSON_NAMES: dict[type, str] = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "an array",
    dict: "an object",
    NoneType: "null",
}
_NUMBERS: dict[type, type] = {int: float, float: int}


def is_union(kind: Any) -> bool:
    """`A | B`, `Union[A, B]`, `Optional[A]`."""
    return get_origin(kind) in (Union, types.UnionType)


def members(kind: Any) -> tuple[Any, ...]:
    """The members of a union, those of unions inside it included."""
    found: list[Any] = []
    for member in get_args(kind):
        bare = bare_type(member)
        found.extend(members(bare) if is_union(bare) else (member,))
    return tuple(found)


def bare_type(kind: Any) -> Any:
    """A type without `Annotated`, NewType and type aliases around it."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        elif type(kind).__name__ == "TypeAliasType":
            kind = kind.__value__
        else:
            return kind


def json_types(kind: Any) -> set[type]:  # noqa: PLR0911  # one line per kind of type
    """The Python types that a JSON parser returns for values of a type."""
    kind = bare_type(kind)
    if kind is Any:
        return {NoneType, bool, int, float, str, list, dict}
    if kind in (None, NoneType):
        return {NoneType}
    if kind in (bool, int, float):
        return {kind}
    if kind in LEAVES:
        return {str}
    if is_enum(kind):
        return {type(member.value) for member in kind}
    if is_literal(kind):
        return {type(value) for value in get_args(kind)}
    if is_array(kind) or is_tuple(kind) or is_named_tuple(kind):
        return {list}
    return {dict}


def python_types(kind: Any) -> set[type]:
    """The classes of the values that are written as a type."""
    kind = bare_type(kind)
    origin = get_origin(kind) or kind
    if kind in (None, NoneType):
        return {NoneType}
    if is_literal(kind):
        return {type(value) for value in get_args(kind)}
    if typing.is_typeddict(origin) or is_map(kind):
        return {dict}
    return {origin}


def union_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    """The hook that reads a value into the member its JSON type names."""
    parts = members(kind)
    if any(bare_type(part) is Any for part in parts):
        return converter.get_structure_hook(Any)
    hooks: dict[type, tuple[Structure, Any]] = {}
    structs = [part for part in parts if is_struct(part)]
    for part in parts:
        hook = structure_hook(converter, part)
        for found in json_types(part):
            hooks.setdefault(found, (hook, part))
    if len(structs) > 1:
        hooks[dict] = (_tagged_structure(structs, converter), kind)
    for one, other in _NUMBERS.items():
        if other in hooks:
            hooks.setdefault(one, hooks[other])
    words = " or ".join(_JSON_NAMES[found] for found in _JSON_NAMES if found in hooks)

    def structure(value: Any, _: Any) -> Any:
        found = hooks.get(type(value))
        if found is None:
            raise unexpected(words, value)
        return found[0](value, found[1])

    return structure


def union_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    """The hook that writes a value as the member its class names."""
    parts = members(kind)
    if any(bare_type(part) is Any for part in parts):
        return check_plain
    hooks: dict[type, Unstructure] = {}
    for part in parts:
        hook = unstructure_hook(converter, part)
        for found in python_types(part):
            hooks.setdefault(found, hook)
    if float in hooks:
        hooks.setdefault(int, hooks[float])
    words = " or ".join(sorted(found.__name__ for found in hooks))

    def unstructure(value: Any) -> Any:
        hook = hooks.get(type(value))
        if hook is None:
            hook = next((hooks[base] for base in type(value).__mro__ if base in hooks), None)
            if hook is None:
                raise unexpected(words, value)
        return hook(value)

    return unstructure


def is_struct(kind: Any) -> bool:
    """A class derived from `msgspec.Struct`."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _tagged_structure(structs: list[Any], converter: cattrs.Converter) -> Structure:
    configs = [(get_origin(one) or one).__struct_config__ for one in structs]
    field = configs[0].tag_field
    by_tag = {
        config.tag: (structure_hook(converter, one), one)
        for config, one in zip(configs, structs, strict=True)
    }

    def structure(value: Any, _: Any) -> Any:
        tag = value.get(field)
        found = by_tag.get(tag) if type(tag) in (str, int) else None
        if found is None:
            raise ValueError(f"expected {field!r} to be one of {', '.join(map(repr, by_tag))}")
        return found[0](value, found[1])

    return structure
