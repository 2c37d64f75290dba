"""What a condition is made of: fields and properties, and what is said of them.

A condition is true or false, never unknown: a comparison holds only where the operand is there and
of the kind of the value it is compared with, and `!=` is the contrary of `=`.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

Value: TypeAlias = str | int | float | bool
"""What an operand is compared with; integers outside of 64 bits are floats."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1


class QueryError(ValueError):
    """A condition or an order cannot be understood; the message says where and why."""


@attrs.frozen
class Field:
    """A place in a JSON payload: names of members and indexes of items, from the outside in."""

    path: tuple[str | int, ...]


@attrs.frozen
class Property:
    """Something that an object has beside its payload; see `PROPERTIES`."""

    name: str


Operand: TypeAlias = Field | Property


@attrs.frozen
class Compare:
    """`operator` is one of `=`, `<`, `<=`, `>`, `>=`."""

    operand: Operand
    operator: str
    value: Value


@attrs.frozen
class OneOf:
    """The operand equals one of these."""

    operand: Operand
    values: tuple[Value, ...]


@attrs.frozen
class Like:
    """The operand is a text of this pattern: `%` is any text, `_` one character; case counts."""

    operand: Operand
    pattern: str


@attrs.frozen
class IsNull:
    """The operand is not there, or null."""

    operand: Operand


@attrs.frozen
class Every:
    """All of these hold."""

    parts: tuple[Expression, ...]


@attrs.frozen
class Some:
    """At least one of these holds."""

    parts: tuple[Expression, ...]


@attrs.frozen
class Not:
    """This does not hold."""

    part: Expression


Expression: TypeAlias = Compare | OneOf | Like | IsNull | Every | Some | Not

PROPERTIES = {
    "id": "id",
    "type": "text",
    "state": "text",
    "encoding": "text",
    "created": "time",
    "settled": "time",
    "attempt": "number",
    "size": "number",
    "priority": "number",
    "key": "text",
    "ordering_key": "text",
    "parent": "text",
    "deadline": "time",
    "due": "time",
    "hops": "number",
    "version": "number",
    "failure": "text",
    "dead": "text",
    "possibly_duplicate": "truth",
}
"""Name of a property -> what its values are. A time is compared as Unix seconds, and may be written
as a text in RFC 3339."""

DETAILS = dict.fromkeys(PROPERTIES) | {"priority": 5, "hops": 0, "version": 1}
"""What a property is where the object does not have it."""
for _name in ("id", "type", "state", "encoding", "created", "settled", "attempt", "size"):
    del DETAILS[_name]
DETAILS["possibly_duplicate"] = False

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "number": (int, float),
    "time": (int, float),
    "truth": (bool,),
}


def detail(details: dict[str, object] | None, name: str) -> Value | None:
    """The value of one of `DETAILS` of an object with these details."""
    if details is None:
        return DETAILS[name]
    value = details.get(name, DETAILS[name])
    kind = PROPERTIES[name]
    if isinstance(value, bool) and kind != "truth":
        return None
    if isinstance(value, int) and not INT_MIN <= value <= INT_MAX:
        value = float(value) if value.bit_length() < 1000 else None
    return value if isinstance(value, _KINDS[kind]) else None  # type: ignore[return-value]  # it is one of the kinds
