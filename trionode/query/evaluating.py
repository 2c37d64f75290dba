"""Conditions evaluated over Python values, for objects that lie in memory.

What a condition means is defined here; SQL made from it must agree.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Protocol

from trionode.query.expressions import (
    INT_MAX,
    INT_MIN,
    Compare,
    Every,
    Expression,
    Field,
    IsNull,
    Like,
    Not,
    OneOf,
    Operand,
    Some,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ORDER_TEXT_MAX = 256
"""Characters of a text that count for its place in an order."""

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Item(Protocol):
    """What a condition is asked of."""

    @property
    def document(self) -> Any:
        """The JSON payload; None where there is none."""

    def value(self, name: str) -> Value | None:
        """One of its properties."""


def holds(expression: Expression, item: Item) -> bool:  # noqa: PLR0911  # one kind a line
    """Whether a condition is true of an object."""
    match expression:
        case Compare(operand, sign, value):
            return _compares(_value(operand, item), sign, value)
        case OneOf(operand, values):
            found = _value(operand, item)
            return any(_compares(found, "=", value) for value in values)
        case Like(operand, pattern):
            found = _value(operand, item)
            return isinstance(found, str) and _is_like(found, pattern)
        case IsNull(operand):
            return _value(operand, item) is None
        case Every(parts):
            return all(holds(part, item) for part in parts)
        case Some(parts):
            return any(holds(part, item) for part in parts)
        case Not(part):
            return not holds(part, item)


def order_key(operand: Operand, item: Item) -> tuple[int, Any]:
    """Where an object stands: nothing, false, true, numbers, texts, then lists and objects."""
    value = _value(operand, item)
    match value:
        case None:
            return 0, None
        case bool():
            return 1, int(value)
        case int() | float():
            return 2, value
        case str():
            return 3, value[:ORDER_TEXT_MAX]
        case _:
            return 4, None


def _value(operand: Operand, item: Item) -> Any:
    if not isinstance(operand, Field):
        return item.value(operand.name)
    found = item.document
    for step in operand.path:
        if isinstance(step, str) and isinstance(found, dict):
            found = found.get(step)
        elif isinstance(step, int) and isinstance(found, list) and step < len(found):
            found = found[step]
        else:
            return None
    if type(found) is int and not INT_MIN <= found <= INT_MAX:
        return float(found)
    return found


def _compares(found: Any, sign: str, value: Value) -> bool:
    if isinstance(value, bool) or isinstance(found, bool):
        return found is value
    alike = isinstance(found, str if isinstance(value, str) else (int, float))
    return alike and _COMPARE[sign](found, value)


def _is_like(text: str, pattern: str) -> bool:
    """Whether a text has a pattern; in time of at most their lengths' product."""
    at = pattern_at = 0
    star, star_at = -1, 0
    while at < len(text):
        mark = pattern[pattern_at] if pattern_at < len(pattern) else ""
        if mark == "%":
            star, star_at = pattern_at, at
            pattern_at += 1
        elif mark and mark in ("_", text[at]):
            at += 1
            pattern_at += 1
        elif star >= 0:
            # The last `%` takes one character more.
            star_at += 1
            at, pattern_at = star_at, star + 1
        else:
            return False
    return not pattern[pattern_at:].strip("%")
