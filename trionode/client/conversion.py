"""The cattrs converter of the value model: classes, and which hook serves which type.

The stock converters coerce ("5" becomes 5, any iterable a list, anything at all an object whose
fields have defaults); every hook here first asks for the one JSON type that its Python type has.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from typing import TYPE_CHECKING, Any

import attrs
import cattrs
import msgspec
import msgspec.inspect
from cattrs import AttributeValidationNote, ClassValidationError
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from trionode.client import containers, unions
from trionode.client.leaves import (
    LEAVES,
    as_it_is,
    check_plain,
    enum_leaf,
    is_enum,
    is_literal,
    literal_leaf,
    unexpected,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.client.containers import Structure, Unstructure

SUPPORTED = (
    "attrs classes, dataclasses, msgspec Structs, TypedDict, NamedTuple, str, bool, int, float, "
    "None, bytes, Decimal, UUID, date, datetime, time, enumerations of texts or integers, Literal, "
    "list, tuple, set, frozenset, dict with text keys, unions of different JSON types, Any"
)
"""What the value model knows, for error messages."""


def is_record(kind: Any) -> bool:
    """An attrs class or a dataclass, also a parametrized generic one."""
    kind = typing.get_origin(kind) or kind
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind))


def make_converter(*, detailed: bool) -> cattrs.Converter:
    """A converter for the value model; `detailed` collects every error with its path."""
    converter = cattrs.Converter(detailed_validation=detailed)
    # What no hook below serves has no form in the value model; the last registered is asked first.
    converter.register_structure_hook_factory(_anything, _unsupported)
    converter.register_unstructure_hook_factory(_anything, _unsupported)
    _wrappers(converter)
    for predicate, structure, unstructure in _FACTORIES:
        converter.register_structure_hook_factory(predicate, structure)
        converter.register_unstructure_hook_factory(predicate, unstructure)
    for kind, leaf in LEAVES.items():
        converter.register_structure_hook(kind, leaf.from_json)
        converter.register_unstructure_hook(kind, leaf.to_json)
    return converter


def _anything(_: Any) -> bool:
    return True


def _unsupported(kind: Any, _: cattrs.Converter) -> Any:
    raise TypeError(f"{kind!r} has no form in JSON here; use {SUPPORTED}")


def _wrappers(converter: cattrs.Converter) -> None:
    """`Annotated`, NewType, type aliases: the hook of what is inside."""

    def wrapped(kind: Any) -> bool:
        return unions.bare_type(kind) is not kind

    def structure(kind: Any, converter: cattrs.Converter) -> Structure:
        inner = unions.bare_type(kind)
        hook = containers.structure_hook(converter, inner)
        return lambda value, _: hook(value, inner)

    def unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
        return containers.unstructure_hook(converter, unions.bare_type(kind))

    converter.register_structure_hook_factory(wrapped, structure)
    converter.register_unstructure_hook_factory(wrapped, unstructure)


def _record_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    overrides = _enumerations(kind, "struct_hook", containers.structure_hook, converter)
    fill = make_dict_structure_fn(kind, converter, **overrides)

    def structure(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise unexpected("an object", value)
        return fill(value, kind)

    return structure


def _record_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    overrides = _enumerations(kind, "unstruct_hook", containers.unstructure_hook, converter)
    write = make_dict_unstructure_fn(kind, converter, _cattrs_include_init_false=True, **overrides)
    allowed = typing.get_origin(kind) or kind

    def unstructure(value: Any) -> Any:
        if type(value) is not allowed:
            # A subclass would be read as its base, without what makes it one.
            raise unexpected(f"a {allowed.__qualname__}", value)
        return write(value)

    return unstructure


def _enumerations(
    kind: Any, which: str, find: Callable[[cattrs.Converter, Any], Any], converter: cattrs.Converter
) -> dict[str, Any]:
    """Overrides for fields of enumerations, which cattrs takes for the int or str they mix in."""
    hints = typing.get_type_hints(typing.get_origin(kind) or kind)
    found = ((name, unions.bare_type(hint)) for name, hint in hints.items())
    return {
        name: override(**{which: find(converter, hint)}) for name, hint in found if is_enum(hint)
    }


@attrs.frozen
class _Field:
    """A field of a Struct or TypedDict: its name in Python and in JSON."""

    name: str
    json_name: str
    type: Any
    required: bool


def _typed_dict_fields(kind: Any) -> list[_Field]:
    origin = typing.get_origin(kind) or kind
    hints = typing.get_type_hints(origin)
    # Python forgets Required[...] in annotations that are texts; msgspec doesn't.
    known = typing.cast("msgspec.inspect.TypedDictType", msgspec.inspect.type_info(kind))
    return [
        _Field(field.name, field.encode_name, hints[field.name], field.required)
        for field in known.fields
    ]


def _struct_fields(kind: Any) -> list[_Field]:
    if (typing.get_origin(kind) or kind).__struct_config__.array_like:
        raise TypeError(f"{kind!r}: Structs written as arrays are not supported")
    return [
        _Field(field.name, field.encode_name, field.type, field.required)
        for field in msgspec.structs.fields(kind)
    ]


def _fields_structure(kind: Any, fields: list[_Field], converter: cattrs.Converter) -> Structure:
    hooks = [(field, _late(containers.structure_hook, converter, field.type)) for field in fields]

    def structure(value: Any, _: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise unexpected("an object", value)
        result: dict[str, Any] = {}
        errors: list[Exception] = []
        for field, hook in hooks:
            if field.json_name not in value and not field.required:
                continue
            try:
                result[field.name] = hook()(value[field.json_name], field.type)
            except Exception as error:  # noqa: BLE001  # whatever fails belongs in the account
                error.add_note(
                    AttributeValidationNote(f"at {field.name}", field.json_name, field.type)
                )
                errors.append(error)
        if errors:
            raise ClassValidationError(f"While structuring {kind}", errors, kind)
        return result

    return structure


def _typed_dict_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    return _fields_structure(kind, _typed_dict_fields(kind), converter)


def _typed_dict_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    fields = _typed_dict_fields(kind)
    hooks = [(field, _late(containers.unstructure_hook, converter, field.type)) for field in fields]
    known = {field.name for field in fields}

    def unstructure(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise unexpected("a dict", value)
        if not known.issuperset(value):
            raise ValueError(f"unknown keys: {', '.join(sorted(map(str, value.keys() - known)))}")
        return {
            field.json_name: hook()(value[field.name])
            for field, hook in hooks
            if field.required or field.name in value
        }

    return unstructure


def _struct_structure(kind: Any, converter: cattrs.Converter) -> Structure:
    fields = _struct_fields(kind)
    config = (typing.get_origin(kind) or kind).__struct_config__
    fill = _fields_structure(kind, fields, converter)
    known = {field.json_name for field in fields} | {config.tag_field}

    def structure(value: Any, _: Any) -> Any:
        if type(value) is dict:
            if config.tag is not None and value.get(config.tag_field) != config.tag:
                raise ValueError(f"expected {config.tag_field!r} to be {config.tag!r}")
            if config.forbid_unknown_fields and not known.issuperset(value):
                raise ValueError(f"unknown properties: {', '.join(sorted(value.keys() - known))}")
        return kind(**fill(value, kind))

    return structure


def _struct_unstructure(kind: Any, converter: cattrs.Converter) -> Unstructure:
    config = (typing.get_origin(kind) or kind).__struct_config__
    hooks = [
        (field, _late(containers.unstructure_hook, converter, field.type))
        for field in _struct_fields(kind)
    ]
    allowed = typing.get_origin(kind) or kind

    def unstructure(value: Any) -> dict[str, Any]:
        if type(value) is not allowed:
            raise unexpected(f"a {allowed.__qualname__}", value)
        result = {} if config.tag is None else {config.tag_field: config.tag}
        for field, hook in hooks:
            result[field.json_name] = hook()(getattr(value, field.name))
        return result

    return unstructure


def _late(
    find: Callable[[cattrs.Converter, Any], Any], converter: cattrs.Converter, kind: Any
) -> Callable[[], Any]:
    """The hook of a field, found at its first use: a Struct may be part of itself."""
    return functools.cache(lambda: find(converter, kind))


def _any_structure(_kind: Any, _converter: cattrs.Converter) -> Structure:
    return as_it_is


def _any_unstructure(_kind: Any, _converter: cattrs.Converter) -> Unstructure:
    return check_plain


def _is_any(kind: Any) -> bool:
    return kind is Any


def _is_none(kind: Any) -> bool:
    return kind is None


_FACTORIES: list[tuple[Callable[[Any], bool], Any, Any]] = [
    (_is_any, _any_structure, _any_unstructure),
    (_is_none, lambda *_: LEAVES[type(None)].from_json, lambda *_: LEAVES[type(None)].to_json),
    (is_record, _record_structure, _record_unstructure),
    (unions.is_struct, _struct_structure, _struct_unstructure),
    (typing.is_typeddict, _typed_dict_structure, _typed_dict_unstructure),
    (containers.is_array, containers.array_structure, containers.array_unstructure),
    (containers.is_tuple, containers.tuple_structure, containers.tuple_unstructure),
    (containers.is_map, containers.map_structure, containers.map_unstructure),
    (
        containers.is_named_tuple,
        containers.named_tuple_structure,
        containers.named_tuple_unstructure,
    ),
    (unions.is_union, unions.union_structure, unions.union_unstructure),
    (is_enum, lambda kind, _: enum_leaf(kind).from_json, lambda kind, _: enum_leaf(kind).to_json),
    (
        is_literal,
        lambda kind, _: literal_leaf(kind).from_json,
        lambda kind, _: literal_leaf(kind).to_json,
    ),
]
"""Predicate, structure factory, unstructure factory of every type that is no single value."""
