"""The JSON Schema of a class, derived by msgspec and made to state the value model exactly.

msgspec states no format for datetimes and times, because it takes naive ones too; here they are
refused, so the derived schema says RFC 3339.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMATS: dict[type, str] = {inspect.DateTimeType: "date-time", inspect.TimeType: "time"}
_RECORDS = (
    inspect.StructType,
    inspect.DataclassType,
    inspect.TypedDictType,
    inspect.NamedTupleType,
)


def derived_schema(cls: Any) -> dict[str, Any]:
    """The JSON Schema of a class.

    Raises:
        TypeError: the type of a field has no schema; the message is msgspec's.
    """
    schema: dict[str, Any] = msgspec.json.schema(cls)
    definitions = schema.get("$defs", {})
    waiting: list[tuple[Any, dict[str, Any]]] = [(inspect.type_info(cls), schema)]
    known: set[str] = set()
    while waiting:
        info, place = waiting.pop()
        if isinstance(place.get("default"), float) and not math.isfinite(place["default"]):
            # A default is an annotation; one without a form in JSON is left out.
            del place["default"]
        if (reference := place.get("$ref")) is not None:
            name = _name(reference)
            if name in known:
                continue
            known.add(name)
            place = definitions[name]
        if place.get("contentEncoding") == "base64":
            # The content keywords are never asserted; the format is, by this project's nodes.
            place["format"] = "byte"
        if (stated := _FORMATS.get(type(info))) is not None and place.get("type") == "string":
            place["format"] = stated
        waiting.extend(_inside(info, place, definitions))
    return schema


def _inside(  # noqa: C901  # one branch per kind of type reads better than a table of lambdas
    info: Any, place: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The types inside one, each with the schema that msgspec derived for it."""
    if isinstance(info, inspect.Metadata):
        yield info.type, place
    elif isinstance(info, inspect.NamedTupleType):
        yield from zip((field.type for field in info.fields), place["prefixItems"], strict=True)
    elif isinstance(info, _RECORDS):
        for field in info.fields:
            yield field.type, place["properties"][field.encode_name]
    elif isinstance(info, inspect.TupleType):
        yield from zip(info.item_types, place.get("prefixItems", ()), strict=True)
    elif isinstance(info, inspect.CollectionType):
        if isinstance(item := place.get("items"), dict):
            yield info.item_type, item
    elif isinstance(info, inspect.DictType):
        if isinstance(item := place.get("additionalProperties"), dict):
            yield info.value_type, item
    elif isinstance(info, inspect.UnionType):
        yield from _members(info, place, definitions)


def _members(
    info: inspect.UnionType, place: dict[str, Any], definitions: dict[str, Any]
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The members of a union; their JSON types differ, but for Structs told apart by their tag."""
    tagged: dict[str, str] = {}
    alternatives: dict[Any, dict[str, Any]] = {}
    waiting = [place]
    while waiting:
        one = waiting.pop()
        waiting.extend(one.get("anyOf", ()))
        tagged |= one.get("discriminator", {}).get("mapping", {})
        target = definitions[_name(one["$ref"])] if "$ref" in one else one
        alternatives[target.get("type")] = one
    for member in info.types:
        bare = member.type if isinstance(member, inspect.Metadata) else member
        if isinstance(bare, inspect.StructType) and str(bare.tag) in tagged:
            yield bare, {"$ref": tagged[str(bare.tag)]}
        elif (found := alternatives.get(_json_type(bare))) is not None:
            yield bare, found


def _name(reference: str) -> str:
    return reference.removeprefix("#/$defs/")


def _json_type(info: Any) -> str:
    """The JSON type of what may have a datetime inside; no schema has the type of the others."""
    if type(info) in _FORMATS or isinstance(info, inspect.BytesType):
        return "string"
    if isinstance(info, (inspect.CollectionType, inspect.TupleType, inspect.NamedTupleType)):
        return "array"
    return "object" if isinstance(info, (inspect.DictType, *_RECORDS)) else "none"
