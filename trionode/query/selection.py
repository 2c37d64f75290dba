"""A query as a whole, the places of objects in its result, and the way to go on from one."""

from __future__ import annotations

import base64
import json
from functools import cmp_to_key
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from trionode.query.expressions import (
    Compare,
    Every,
    Expression,
    OneOf,
    Operand,
    Property,
    QueryError,
)
from trionode.query.parsing import parse, parse_order

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

LIMIT_MAX = 1000
"""Objects of one page."""
STATES = ("ready", "blocked", "delayed", "leased", "transferring", "dead", "settled", "expired")
RETAINED = ("settled", "expired")
"""States of objects that are kept after they left custody."""
EVERY_TYPE = "*"
_CURSOR_MAX = 8192
_RANKS_MAX = 10


@attrs.frozen
class Place:
    """Where an object stands in a result; compared field by field.

    Without an order that was asked for, nodes come one after the other by their ids. `rank` and
    `value` are of the order; a node's own order, where none is asked for, uses them as it likes.
    """

    node: str
    rank: int
    value: Any
    id: int

    @property
    def cursor(self) -> str:
        """The place as a text to go on from."""
        fields = [self.node, self.rank, self.value, f"{self.id:032x}"]
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    @classmethod
    def of_cursor(cls, text: str) -> Self:
        """The place that a cursor stands for.

        Raises:
            QueryError: it is none.
        """
        wrong = QueryError(f"{text[:40]!r} is no place to go on from")
        if len(text) > _CURSOR_MAX:
            raise wrong
        try:
            fields = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            node, rank, value, id_ = fields
            place = cls(node, rank, value, int(id_, 16))
        except (ValueError, TypeError, RecursionError):
            raise wrong from None
        sound = isinstance(node, str) and type(rank) is int and 0 <= rank < _RANKS_MAX
        if not sound or not 0 <= place.id < 1 << 128:
            raise wrong
        return place


@attrs.frozen
class Order:
    """By what objects are sorted; those alike by their ids."""

    operand: Operand
    descending: bool = False


@attrs.frozen
class Selection:
    """What is asked for.

    Args:
        type: the objects' type, or a pattern of types; `*` for all.
        where: a condition; None for none.
        states: those wanted; empty for all.
        order: None for about the order in which objects came to their node.
        limit: of objects in a page.
        after: the page begins behind this place.
    """

    type: str
    where: Expression | None = None
    states: tuple[str, ...] = ()
    order: Order | None = None
    limit: int = 100
    after: Place | None = None

    @classmethod
    def read(  # noqa: PLR0913  # what a query consists of
        cls,
        type_name: str,
        *,
        where: str = "",
        states: Iterable[str] = (),
        since_s: float | None = None,
        until_s: float | None = None,
        order_by: str = "",
        limit: int = 100,
        after: str = "",
    ) -> Self:
        """A selection out of its texts; times are Unix seconds of creation, `until_s` excluded.

        Raises:
            QueryError: one of them cannot be understood.
        """
        parts = []
        if since_s is not None:
            parts.append(Compare(Property("created"), ">=", since_s))
        if until_s is not None:
            parts.append(Compare(Property("created"), "<", until_s))
        wanted = tuple(dict.fromkeys(states))
        for state in wanted:
            if state not in STATES:
                raise QueryError(f"there is no state {state!r}; there are {', '.join(STATES)}")
        if not 1 <= limit <= LIMIT_MAX:
            raise QueryError(f"a page has 1 to {LIMIT_MAX} objects, not {limit}")
        conditions: list[Expression] = [*parts]
        if where.strip():
            conditions.append(parse(where))
        order = Order(*parse_order(order_by)) if order_by.strip() else None
        place = Place.of_cursor(after) if after else None
        if place is not None and not isinstance(place.value, _values_of(place.rank, order)):
            raise QueryError("the place to go on from belongs to a query with another order")
        return cls(
            type_name,
            Every(tuple(conditions)) if conditions else None,
            wanted,
            order,
            limit,
            place,
        )

    @property
    def condition(self) -> Expression | None:
        """All that objects must fulfil but their type."""
        if not self.states:
            return self.where
        states = OneOf(Property("state"), self.states)
        # The state last: to know it costs the most.
        return states if self.where is None else Every((self.where, states))

    def wants(self, state: str) -> bool:
        """Whether objects in this state may be in the result."""
        return not self.states or state in self.states


def _values_of(rank: int, order: Order | None) -> Any:
    """The types of values that places of a rank have."""
    if order is None:
        return (int, float)
    return {1: int, 2: (int, float), 3: str}.get(rank, type(None))


_Placed = TypeVar("_Placed")


def first_of(
    items: Iterable[_Placed], place_of: Any, order: Order | None, limit: int
) -> list[_Placed]:
    """The first items of a result, in order."""
    descending = order is not None and order.descending
    own = order is None

    def compare(one: _Placed, other: _Placed) -> int:
        return compare_places(place_of(one), place_of(other), own=own, descending=descending)

    return sorted(items, key=cmp_to_key(compare))[:limit]


def compare_places(one: Place, other: Place, *, own: bool, descending: bool) -> int:
    """Less than, equal to or more than 0, as one place is before the other, it, or behind.

    `own`: nodes come one after the other, each in its own order.
    """
    if own and one.node != other.node:
        return -1 if one.node < other.node else 1
    if one.rank != other.rank:
        return (one.rank - other.rank) * (-1 if descending else 1)
    if one.value != other.value:
        return (-1 if one.value < other.value else 1) * (-1 if descending else 1)
    return (one.id > other.id) - (one.id < other.id)


def is_behind(place: Place, selection: Selection) -> bool:
    """Whether a place is behind the one to go on from."""
    order, after = selection.order, selection.after
    descending = order is not None and order.descending
    return (
        after is None or compare_places(place, after, own=order is None, descending=descending) > 0
    )
