"""Answers queries out of the memory of a node whose store keeps nothing.

A slice of the objects at a time, so that the node goes on in between.
"""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import trio

from trionode.ids import format_id
from trionode.query.evaluating import holds, order_key
from trionode.query.expressions import DETAILS, Property, detail
from trionode.query.selection import EVERY_TYPE, Place, first_of, is_behind
from trionode.routing.patterns import is_pattern, matches
from trionode.routing.records import record_of, shifted
from trionode.store.finding import Found, Row, Window

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from trionode.query.expressions import Value
    from trionode.query.selection import Selection
    from trionode.routing import Brain
    from trionode.routing.model import HeldObject
    from trionode.routing.records import ObjectRecord

SLICE_OBJECTS = 200
"""How many are looked at in one go: less than a millisecond, unless payloads are large."""
_OWN_ORDER = Property("created")


class HeldQueries:
    """See `Finder`; in the order of creation where no other is asked for.

    Args:
        brain: of the node.
        offset_s: Unix time less the brain's clock; always the same, so that pages fit.
    """

    def __init__(self, brain: Brain, offset_s: float) -> None:
        self._brain = brain
        self._offset_s = offset_s

    async def windows(self, selection: Selection) -> AsyncGenerator[Window]:
        """See `Finder`."""
        node, offset_s = self._brain.context.node, self._offset_s
        own = selection.order is None
        if own and selection.after is not None and selection.after.node > node:
            return
        # Those that come meanwhile are not looked at.
        left = iter(list(self._brain.context.custody.objects.values()))
        found: list[Found] = []
        wanted = _matcher(selection.type)
        while some := list(itertools.islice(left, SLICE_OBJECTS)):
            await trio.lowlevel.checkpoint()
            operand = _OWN_ORDER if selection.order is None else selection.order.operand
            for item in some:
                if not item.held or not wanted(item.table.name):
                    continue
                asked = _Item(item, offset_s)
                rank, value = order_key(operand, asked)
                place = Place(node, rank, value, item.id)
                if not is_behind(place, selection):
                    continue
                if selection.condition is None or holds(selection.condition, asked):
                    found.append(Found(place, 0, item.id))
            if len(found) > 4 * selection.limit:
                found = first_of(found, _place_of, selection.order, selection.limit)
        yield Window(found)

    async def rows(self, found: list[Found], bytes_max: int) -> list[Row | None]:
        """See `Finder`."""
        await trio.lowlevel.checkpoint()
        objects, offset_s = self._brain.context.custody.objects, self._offset_s
        rows: list[Row | None] = []
        for each in found:
            item = objects.get(each.number)
            rows.append(None if item is None else Row(_record_of(item, offset_s)))
            bytes_max -= 0 if item is None else len(item.payload)
            if bytes_max <= 0:
                break
        return rows

    async def aclose(self) -> None:
        """See `Finder`."""


def _matcher(wanted: str) -> Callable[[str], bool]:
    """Tells of a type's name whether it is asked for."""
    if wanted == EVERY_TYPE:
        return lambda _: True
    if is_pattern(wanted):
        return lru_cache(maxsize=4096)(lambda name: matches(wanted, name))
    return lambda name: name == wanted


class _Item:
    """An object in custody as conditions look at it."""

    def __init__(self, item: HeldObject, offset_s: float) -> None:
        self._item = item
        self._offset_s = offset_s
        self._document: Any = None
        self._parsed = False

    @property
    def document(self) -> Any:
        if not self._parsed:
            self._parsed = True
            payload = self._item.payload
            if self._item.shape.encoding == "json" and isinstance(payload, bytes):
                try:
                    self._document = orjson.loads(payload)
                except orjson.JSONDecodeError:
                    self._document = None
        return self._document

    def value(self, name: str) -> Value | None:  # noqa: PLR0911  # one property a line
        item = self._item
        if name in DETAILS:
            return detail(shifted(item.details, self._offset_s), name)
        match name:
            case "id":
                return format_id(item.id)
            case "type":
                return item.table.name
            case "state":
                return item.state.name.lower()
            case "encoding":
                return item.shape.encoding
            case "created":
                return item.created + self._offset_s
            case "attempt":
                return item.attempt
            case "size":
                return len(item.payload)
            case _:
                return None


def _record_of(item: HeldObject, offset_s: float) -> ObjectRecord:
    return record_of(item, shifted(item.details, offset_s), 0, offset_s)


def _place_of(found: Found) -> Place:
    return found.place
