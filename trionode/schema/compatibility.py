"""Whether two definitions of one type can live side by side, as they do during a rolling deploy.

Old and new producers and consumers run at the same time, so what is valid under one definition must
be valid under the other. An optional property may come or go where the other side lets unknown
properties pass; every other change of meaning is a difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.schema.document import DEFINITIONS, Document, Schema
from trionode.schema.fingerprint import ANNOTATIONS, canonical, canonical_text

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRUCTURAL = frozenset({"$ref", "properties", "required", "type", "$schema", "$id"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NESTED = frozenset({"items", "additionalProperties"})

WHOLE = "the object itself"
"""How a difference at the root is placed."""


MAX_DEPTH = 120
"""Schemas inside schemas, by nesting or by reference, that a comparison follows: twice what one
document may nest."""


@attrs.frozen
class Difference:
    """Where two schemas part: `path` names the property (`customer.zip`, `items[]`), and why."""

    path: str
    reason: str


def difference(old: Document, new: Document) -> Difference | None:
    """The first difference that keeps two definitions from living side by side, or None."""
    if _dialect(old.root) != _dialect(new.root):
        return _at("", "the definitions name different dialects in $schema")
    try:
        return next(_Comparison(old, new).schemas(old.root, new.root, ""), None)
    except RecursionError:
        return _at("", "the definitions chain too many references to be compared")


def _dialect(root: Schema) -> Any:
    return None if isinstance(root, bool) else canonical(root).get("$schema")


class _Comparison:
    """One walk over two documents; pairs already under comparison are taken as compatible."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[int, int]] = set()
        self._depth = 0

    def schemas(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        """The differences of two schemas, wherever in the documents they stand.

        Raises:
            RecursionError: they lead deeper than `MAX_DEPTH`, whatever the interpreter would allow.
        """
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise RecursionError
        yield from self._compare(old, new, path)
        self._depth -= 1

    def _compare(self, old: Schema, new: Schema, path: str) -> Iterator[Difference]:
        old, new = _resolved(self._old, old), _resolved(self._new, new)
        pair = (id(old), id(new))
        if pair in self._seen:
            return
        self._seen.add(pair)
        if isinstance(old, bool) or isinstance(new, bool):
            if canonical_text(old) != canonical_text(new):
                yield _at(path, "one definition accepts more than the other")
            return
        if _types(old) != _types(new):
            yield _at(
                path, f"its type is {_told(old)} in the old definition, {_told(new)} in the new"
            )
            return
        yield from self._references(old, new, path)
        yield from self._properties(old, new, path)
        for keyword in sorted((old.keys() | new.keys()) - _STRUCTURAL - ANNOTATIONS - DEFINITIONS):
            yield from self._keyword(keyword, old.get(keyword), new.get(keyword), path)

    def _references(
        self, old: dict[str, Any], new: dict[str, Any], path: str
    ) -> Iterator[Difference]:
        if ("$ref" in old) != ("$ref" in new):
            yield _at(path, "only one definition refers to another schema here")
        elif "$ref" in old:
            targets = self._old.target(old["$ref"]), self._new.target(new["$ref"])
            yield from self.schemas(*targets, path)

    def _properties(
        self, old: dict[str, Any], new: dict[str, Any], path: str
    ) -> Iterator[Difference]:
        before, after = old.get("properties") or {}, new.get("properties") or {}
        needed, needs = set(old.get("required") or ()), set(new.get("required") or ())
        for name in sorted(needs - needed):
            how = "is now required" if name in before else "is a new required property"
            yield _at(_join(path, name), how)
        for name in sorted(needed - needs):
            how = "is no longer required" if name in after else "was required and is gone"
            yield _at(_join(path, name), how)
        for name in sorted(before.keys() & after.keys()):
            yield from self.schemas(before[name], after[name], _join(path, name))
        for name in sorted((before.keys() ^ after.keys()) & needed & needs):
            yield _at(_join(path, name), "is required by both but described by one only")
        for name in sorted(after.keys() - before.keys()):
            yield from self._one_sided(after[name], self._new, old, self._old, _join(path, name))
        for name in sorted(before.keys() - after.keys()):
            yield from self._one_sided(before[name], self._old, new, self._new, _join(path, name))

    def _one_sided(
        self, schema: Schema, owner: Document, other: dict[str, Any], whose: Document, path: str
    ) -> Iterator[Difference]:
        """A property that only one definition knows: the other must let it pass."""
        side, lacking = ("old", "the new") if owner is self._old else ("new", "the old")
        rest = other.get("additionalProperties", True)
        closed = other.get("unevaluatedProperties", True)
        if rest is False or closed is False:
            yield _at(
                path, f"is in the {side} definition only and {lacking} one forbids unknown ones"
            )
        elif other.get("patternProperties"):
            yield _at(
                path, f"is in the {side} definition only and {lacking} one has patternProperties"
            )
        elif rest is not True and rest != {}:
            comparison = _Comparison(whose, owner)
            for found in comparison.schemas(rest, schema, path):
                yield _at(
                    path, f"does not fit additionalProperties of {lacking} one: {found.reason}"
                )
                return

    def _keyword(self, keyword: str, old: Any, new: Any, path: str) -> Iterator[Difference]:
        if keyword in _NESTED:
            old, new = (True if value is None else value for value in (old, new))
        elif keyword in _LISTS and isinstance(old, list) and isinstance(new, list):
            yield from self._lists(keyword, old, new, path)
            return
        inner = path + "[]" if keyword == "items" else path
        if keyword in _NESTED and all(isinstance(value, (dict, bool)) for value in (old, new)):
            yield from self.schemas(old, new, inner)
        elif canonical_text({keyword: old}) != canonical_text({keyword: new}):
            yield _at(path, _changed(keyword, old, new))

    def _lists(
        self, keyword: str, old: list[Any], new: list[Any], path: str
    ) -> Iterator[Difference]:
        if len(old) != len(new):
            yield _at(
                path,
                f"{keyword} has {len(old)} schemas in the old definition, {len(new)} in the new",
            )
            return
        for before, after in zip(old, new, strict=True):
            yield from self.schemas(before, after, path)


def _resolved(document: Document, schema: Schema) -> Schema:
    """What a schema says that is nothing but a reference; circles of those are refused earlier."""
    while isinstance(schema, dict) and "$ref" in schema:
        if schema.keys() - ANNOTATIONS - DEFINITIONS - {"$schema", "$id", "$ref"}:
            return schema
        schema = document.target(schema["$ref"])
    return schema


def _types(schema: dict[str, Any]) -> set[str] | None:
    found = schema.get("type")
    if found is None:
        return None
    return {found} if isinstance(found, str) else set(found)


def _told(schema: dict[str, Any]) -> str:
    found = _types(schema)
    return "any" if found is None else " or ".join(sorted(found))


def _changed(keyword: str, old: Any, new: Any) -> str:
    if keyword == "enum" and isinstance(old, list) and isinstance(new, list):
        gone = [value for value in old if value not in new]
        come = [value for value in new if value not in old]
        told = [
            f"{what} {values[0]!r}" for what, values in (("loses", gone), ("gains", come)) if values
        ]
        if told:
            return f"enum {' and '.join(told)}"
    if old is None:
        return f"{keyword} is new"
    if new is None:
        return f"{keyword} is gone"
    return f"{keyword} has changed"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _at(path: str, reason: str) -> Difference:
    return Difference(path or WHOLE, reason[:300])
