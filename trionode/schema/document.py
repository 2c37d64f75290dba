"""A JSON Schema as a tree of subschemas, within the limits that keep validation cheap.

Knows which keywords hold schemas and where references lead. Only references inside the document,
by JSON Pointer, exist here: others could fetch something or hide how large the schema really is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

import attrs

from trionode.errors import Refused, Status
from trionode.schema.strict_json import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_SCHEMA_BYTES = 65_536
"""Largest text of a schema: it travels over links and is kept in memory by every node."""
MAX_SCHEMA_NESTING = 64
"""Deepest nesting of a schema's JSON."""
MAX_PATTERNS = 100
"""Most regular expressions in one schema; a costly one takes milliseconds to compile."""
MAX_EXPANDED = 100_000
"""Most subschemas with every reference written out: alternatives that refer to alternatives
double the work of one validation at every step, in a few hundred bytes."""

Schema: TypeAlias = dict[str, Any] | bool

_ONE = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAP = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)
_SAME_VALUE = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependencies", "dependentSchemas"}
)
DEFINITIONS = frozenset({"$defs", "definitions"})
"""Keywords that only name schemas for references; they constrain nothing themselves."""


@attrs.frozen(eq=False)
class Document:
    """A schema that was checked against the limits; `root` must not be changed."""

    root: Schema

    def target(self, reference: str) -> Schema:
        """Where a `$ref` of this document leads.

        Raises:
            Refused: INVALID_ARGUMENT: outside of the document, or to nothing.
        """
        if reference != "#" and not reference.startswith("#/"):
            raise _bad(
                f"$ref {reference[:100]!r}: only references inside the schema, like "
                "#/$defs/Address, are followed"
            )
        found: Any = self.root
        for token in unquote(reference[1:]).split("/")[1:]:
            key = token.replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(key)] if isinstance(found, list) else found[key]
            except (KeyError, ValueError, IndexError, TypeError):
                raise _bad(f"$ref {reference[:100]!r} leads nowhere") from None
        if not isinstance(found, (dict, bool)):
            raise _bad(f"$ref {reference[:100]!r} does not lead to a schema")
        return found


def subschemas(schema: Schema) -> Iterator[tuple[str, str | int | None, Schema]]:
    """The schemas directly inside one, as (keyword, key or index or None, schema)."""
    if isinstance(schema, bool):
        return
    for keyword, value in schema.items():
        if keyword in _ONE and isinstance(value, (dict, bool)):
            yield keyword, None, value
        elif keyword in _LIST and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, (dict, bool)):
                    yield keyword, index, item
        elif keyword in _MAP and isinstance(value, dict):
            for key, item in value.items():
                if isinstance(item, (dict, bool)):
                    yield keyword, key, item


def parse_schema(text: str) -> Document:
    """Read the text of a schema and hold it to the limits; whether it is a valid one is not asked.

    Raises:
        Refused: INVALID_ARGUMENT, saying which limit or where.
    """
    try:
        data = text.encode()
    except UnicodeEncodeError:
        raise _bad("the text is not Unicode") from None
    if len(data) > MAX_SCHEMA_BYTES:
        raise _bad(f"{len(data)} bytes; at most {MAX_SCHEMA_BYTES} are allowed")
    try:
        root = parse_json(data)
    except Refused as error:
        raise _bad(error.message) from None
    if not isinstance(root, (dict, bool)):
        raise _bad("a schema is a JSON object, or true or false")
    if isinstance(root, dict):
        _check_nesting(root)
    document = Document(root)
    _check_references(document)
    _check_size(document, in_place=True)
    _check_size(document, in_place=False)
    return document


def _check_nesting(root: Any) -> None:
    level: list[Any] = [root]
    for _ in range(MAX_SCHEMA_NESTING):
        level = [
            child
            for value in level
            for child in (value.values() if isinstance(value, dict) else value)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return
    raise _bad(f"nested deeper than {MAX_SCHEMA_NESTING}")


def _check_references(document: Document) -> None:
    """References stay inside and lead to places that hold schemas, of which few have patterns."""
    places: set[int] = set()
    references: list[str] = []
    patterns = 0
    waiting: list[Schema] = [document.root]
    while waiting:
        schema = waiting.pop()
        if isinstance(schema, bool):
            continue
        places.add(id(schema))
        if schema is not document.root and "$id" in schema:
            raise _bad("$id is allowed at the root only")
        if "$dynamicRef" in schema or "$recursiveRef" in schema:
            raise _bad("$dynamicRef and $recursiveRef are not followed; use $ref")
        if isinstance(reference := schema.get("$ref"), str):
            references.append(reference)
        patterns += "pattern" in schema
        if isinstance(named := schema.get("patternProperties"), dict):
            patterns += len(named)
        waiting.extend(inner for _, _, inner in subschemas(schema))
    if patterns > MAX_PATTERNS:
        raise _bad(f"{patterns} regular expressions; at most {MAX_PATTERNS} are allowed")
    for reference in references:
        target = document.target(reference)
        if not isinstance(target, bool) and id(target) not in places:
            raise _bad(f"$ref {reference[:100]!r} leads to a place that holds no schema")


def _check_size(document: Document, *, in_place: bool) -> None:
    """With references written out, the schema holds at most `MAX_EXPANDED` subschemas.

    `in_place`: only those that apply to the same value, where a circle of references says nothing
    and is refused; elsewhere a circle is a recursive type and ends the count.
    """
    sizes: dict[int, int] = {}
    open_: set[int] = set()
    stack: list[tuple[Schema, bool]] = [(document.root, False)]
    if in_place:
        stack = [(schema, False) for schema in _every(document)]
    while stack:
        schema, counted = stack.pop()
        if isinstance(schema, bool):
            continue
        key = id(schema)
        if counted:
            open_.discard(key)
            sizes[key] = 1 + sum(
                sizes.get(id(inner), 1) for inner in _inner(document, schema, in_place=in_place)
            )
            if sizes[key] > MAX_EXPANDED:
                raise _bad("its references multiply: written out it would be far too large")
        elif key not in sizes and key not in open_:
            open_.add(key)
            stack.append((schema, True))
            for inner in _inner(document, schema, in_place=in_place):
                if in_place and id(inner) in open_:
                    raise _bad("a $ref refers to itself without going deeper into the value")
                stack.append((inner, False))


def _every(document: Document) -> Iterator[Schema]:
    waiting: list[Schema] = [document.root]
    while waiting:
        schema = waiting.pop()
        yield schema
        waiting.extend(inner for _, _, inner in subschemas(schema))


def _inner(document: Document, schema: Schema, *, in_place: bool) -> Iterator[Schema]:
    for keyword, _, inner in subschemas(schema):
        if keyword not in DEFINITIONS and (keyword in _SAME_VALUE or not in_place):
            yield inner
    if isinstance(schema, dict) and isinstance(reference := schema.get("$ref"), str):
        yield document.target(reference)


def _bad(message: str) -> Refused:
    return Refused(Status.INVALID_ARGUMENT, f"bad schema: {message}")
