"""The fingerprint of a schema: a short text that two schemas share when they accept the same.

Canonical means: no annotations (titles, descriptions, defaults, examples), keys and unordered lists
sorted. Names of properties are names, whatever keyword they look like.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from trionode.schema.document import Document, Schema, parse_schema, subschemas

FINGERPRINT_CHARACTERS = 24
"""Hexadecimal digits of a fingerprint: 96 bits, short enough to travel with every batch."""

ANNOTATIONS = frozenset(
    {
        "$comment",
        "default",
        "deprecated",
        "description",
        "example",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
"""Keywords that say nothing about which values are valid."""

# What a schema without `$schema` is read as.
_DEFAULT_DIALECTS = (
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2020-12/schema#",
)


def fingerprint(schema_text: str) -> str:
    """The fingerprint of a schema.

    Raises:
        Refused: INVALID_ARGUMENT: beyond the limits of `trionode.schema.document`.
    """
    return fingerprint_of(parse_schema(schema_text))


def fingerprint_of(document: Document) -> str:
    """The fingerprint of a schema that is already read."""
    text = canonical_text(document.root)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARACTERS]


def canonical_text(schema: Schema) -> str:
    """One text for all ways to write a schema that differ in annotations and order only."""
    return _text(canonical(schema))


def canonical(schema: Schema) -> dict[str, Any]:
    """The schema without annotations, unordered lists sorted; the argument is not changed."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    result = {
        keyword: _plain(keyword, value)
        for keyword, value in schema.items()
        if keyword not in ANNOTATIONS and not (keyword == "$schema" and value in _DEFAULT_DIALECTS)
    }
    for keyword, key, inner in subschemas(schema):
        if key is None:
            result[keyword] = canonical(inner)
        else:
            result[keyword][key] = canonical(inner)
    if not result.get("required", True):
        # Nothing required is what no `required` says.
        del result["required"]
    return result


def _plain(keyword: str, value: Any) -> Any:
    """The value of a keyword, copied as deep as `canonical` writes into it."""
    if isinstance(value, list):
        if keyword in {"required", "enum"} or (keyword == "type" and len(value) > 1):
            return sorted(value, key=_text)
        if keyword == "type":
            return value[0] if value else value
        return list(value)
    if isinstance(value, dict):
        return dict(value)
    return value


def _text(value: Any) -> str:
    return json.dumps(_numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _numbers(value: Any) -> Any:
    """1.0 is 1 in JSON Schema (core, section 4.2.2), so it is one number here too."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    return value
