"""Conditions and orders as SQL expressions over a row of `objects` or `settled`.

Nothing of a condition is ever part of the SQL's text: texts, numbers, patterns and paths are
parameters. What conditions mean is defined in `trionode.query.evaluating`; this must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.ids import OBJECT_ID_BYTES, parse_id
from trionode.query.evaluating import ORDER_TEXT_MAX
from trionode.query.expressions import (
    DETAILS,
    Compare,
    Every,
    Field,
    IsNull,
    Like,
    Not,
    OneOf,
    Property,
    Some,
)

if TYPE_CHECKING:
    from trionode.query.expressions import Expression, Operand, Value
    from trionode.query.selection import Place

Sql = tuple[str, list[Any]]
"""The text of an expression, and its parameters in order."""

DETAIL_FUNCTION = "trionode_detail"
"""(details, name) -> a property that is kept among an object's details."""
STATE_FUNCTION = "trionode_state"
"""(id) -> the state of an object in custody, by its node's memory; NULL: it has left."""

_TEXT = "CAST(payload AS TEXT)"
_DOCUMENT = f"(CASE WHEN encoding = 'json' AND json_valid({_TEXT}) THEN {_TEXT} END)"
_COLUMNS = {
    "type": "type",
    "encoding": "encoding",
    "created": "created",
    "attempt": "attempt",
    "size": "length(payload)",
}
_SIGNS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_GLOB = {"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}


class Conditions:
    """Makes SQL for one of the two tables.

    Args:
        settled: for `settled`, whose rows say when and how they left custody.
    """

    def __init__(self, *, settled: bool) -> None:
        self._own = (
            {"settled": "settled", "state": "outcome"}
            if settled
            else {"settled": "NULL", "state": f"{STATE_FUNCTION}(id)"}
        )

    def condition(self, expression: Expression) -> Sql:  # noqa: PLR0911  # one kind a line
        """An expression that is 1 or 0."""
        match expression:
            case Compare(operand, sign, value):
                return self._compare(operand, sign, value)
            case OneOf(operand, values):
                parts = [self._compare(operand, "=", value) for value in values]
                return _joined(" OR ", parts)
            case Like(operand, pattern):
                return self._like(operand, pattern)
            case IsNull(operand):
                return self._is_null(operand)
            case Every(parts):
                return _joined(" AND ", [self.condition(part) for part in parts])
            case Some(parts):
                return _joined(" OR ", [self.condition(part) for part in parts])
            case Not(part):
                text, parameters = self.condition(part)
                return f"(NOT {text})", parameters

    def order(self, operand: Operand) -> tuple[Sql, Sql]:
        """Rank and value of an object in an order; see `evaluating.order_key`."""
        if isinstance(operand, Field):
            path = _path(operand)
            kind = f"json_type({_DOCUMENT}, ?)"
            rank = (
                f"(CASE {kind} WHEN 'true' THEN 1 WHEN 'false' THEN 1 WHEN 'integer' THEN 2"
                " WHEN 'real' THEN 2 WHEN 'text' THEN 3 WHEN 'array' THEN 4 WHEN 'object' THEN 4"
                " ELSE 0 END)"
            )
            found = f"json_extract({_DOCUMENT}, ?)"
            value = (
                f"(CASE {kind} WHEN 'text' THEN substr({found}, 1, {ORDER_TEXT_MAX})"
                f" WHEN 'array' THEN NULL WHEN 'object' THEN NULL ELSE {found} END)"
            )
            return (rank, [path]), (value, [path] * 3)
        if operand.name == "id":
            # As the text form sorts: the producer's digits, then the sequence in decimal.
            return ("3", []), (_ID_TEXT, [])
        found, values = self._property(operand)
        truth = DETAILS.get(operand.name) is False
        rank = f"(CASE WHEN {found} IS NULL THEN 0 ELSE CASE typeof({found})"
        rank += f" WHEN 'text' THEN 3 ELSE {1 if truth else 2} END END)"
        value = f"(CASE typeof({found}) WHEN 'text' THEN substr({found}, 1, {ORDER_TEXT_MAX})"
        value += f" ELSE {found} END)"
        return (rank, values * 2), (value, values * 3)

    def _compare(self, operand: Operand, sign: str, value: Value) -> Sql:
        sign = _SIGNS[sign]
        if isinstance(operand, Property):
            if operand.name == "id":
                return "(id = ?)", [parse_id(str(value)).to_bytes(OBJECT_ID_BYTES, "big")]
            found, values = self._property(operand)
            return f"coalesce({found} {sign} ?, 0)", [*values, value]
        path = _path(operand)
        kind = f"json_type({_DOCUMENT}, ?)"
        if isinstance(value, bool):
            return f"coalesce({kind} = ?, 0)", [path, "true" if value else "false"]
        kinds = "('text')" if isinstance(value, str) else "('integer', 'real')"
        text = (
            f"(CASE WHEN {kind} IN {kinds} THEN json_extract({_DOCUMENT}, ?) {sign} ? ELSE 0 END)"
        )
        return text, [path, path, value]

    def _like(self, operand: Operand, pattern: str) -> Sql:
        glob = "".join([_GLOB.get(mark, mark) for mark in pattern])
        if isinstance(operand, Property):
            found, values = self._property(operand)
            return f"coalesce({found} GLOB ?, 0)", [*values, glob]
        path = _path(operand)
        text = (
            f"(CASE WHEN json_type({_DOCUMENT}, ?) = 'text'"
            f" THEN json_extract({_DOCUMENT}, ?) GLOB ? ELSE 0 END)"
        )
        return text, [path, path, glob]

    def _is_null(self, operand: Operand) -> Sql:
        if isinstance(operand, Property):
            if operand.name == "id":
                return "0", []
            found, values = self._property(operand)
            return f"({found} IS NULL)", values
        return f"(coalesce(json_type({_DOCUMENT}, ?), 'null') = 'null')", [_path(operand)]

    def _property(self, operand: Property) -> Sql:
        name = operand.name
        if name in self._own:
            return self._own[name], []
        if name in _COLUMNS:
            return _COLUMNS[name], []
        # Details are rare: most rows do not ask Python for them.
        text = f"(CASE WHEN details IS NULL THEN ? ELSE {DETAIL_FUNCTION}(details, ?) END)"
        return text, [DETAILS[name], name]


_ID_TEXT = "trionode_id(id)"
ID_FUNCTION = "trionode_id"
"""(id) -> its text form."""


def behind(after: Place, rank: Sql, value: Sql, *, descending: bool) -> Sql:
    """Whether a row is behind a place in an order."""
    sign = "<" if descending else ">"
    id_ = after.id.to_bytes(OBJECT_ID_BYTES, "big")
    text = (
        f"({rank[0]} {sign} ? OR ({rank[0]} = ? AND (coalesce({value[0]} {sign} ?, 0)"
        f" OR ({value[0]} IS ? AND id > ?))))"
    )
    return text, [
        *rank[1], after.rank, *rank[1], after.rank,
        *value[1], after.value, *value[1], after.value, id_,
    ]  # fmt: skip


def _path(field: Field) -> str:
    steps = [f"[{step}]" if isinstance(step, int) else f'."{step}"' for step in field.path]
    return "$" + "".join(steps)


def _joined(word: str, parts: list[Sql]) -> Sql:
    text = word.join([text for text, _ in parts])
    return f"({text})", [value for _, values in parts for value in values]
