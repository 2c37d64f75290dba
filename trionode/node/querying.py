"""Queries: a page of the objects of this node, or of every node, that fulfil conditions.

A page is plain JSON: `rows`, and `after`, the place to go on from, which is empty at the end. What
a query sees changes while it is answered: each object is as it was when it was looked at.
"""

from __future__ import annotations

import base64
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import attrs
import orjson
import trio

from trionode.errors import Refused, Status
from trionode.ids import format_id
from trionode.node.held_objects import HeldQueries
from trionode.node.unary import unary_route
from trionode.query import QueryError, Selection
from trionode.query.expressions import DETAILS, detail
from trionode.query.selection import EVERY_TYPE, RETAINED, Place, compare_places, first_of
from trionode.schema.definition import check_key
from trionode.store import StoreError
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.inspection.explaining import NodeReply
    from trionode.inspection.known import KnownNode
    from trionode.net.serving import Route
    from trionode.node.asking import Asking
    from trionode.node.context import NodeContext
    from trionode.routing.model import HeldObject
    from trionode.store import Store
    from trionode.store.finding import Found, Row

TOPIC = "query"
QUERY_S = 30.0
"""How long a node looks for the objects of one page."""
LEFT_S = 2.0
"""How long the store is searched for one object that has left."""
EVERYWHERE_S = 35.0
"""How long the answers of all nodes are waited for."""
RUNNING_MAX = 4
"""Queries that are answered at one time; others wait."""
REST_FACTOR = 2.0
"""After each look the query rests as long as it took, times this: it must disturb nobody."""
PAGE_BYTES = 256 * 1024
"""Payloads in a page; one object more may be in it."""
ROW_BYTES_MAX = 400 * 1024
"""A longer row has no payload in it, since it would not fit into a node's answer to another."""
ANSWER_BYTES_MAX = 480 * 1024
"""All rows of one node's page, as JSON."""


class Querying:
    """Answers queries at one node.

    Args:
        context: of the node.
        store: of the node, opened.
        asking: questions to every node.
    """

    def __init__(self, context: NodeContext, store: Store, asking: Asking) -> None:
        self._context = context
        brain = context.engine.brain
        self._held = brain.context.custody.objects
        self._node = context.identity.node
        self._finder = store.finder(self._node, self._state_of) or HeldQueries(
            brain, context.engine.offset_s()
        )
        self._asking = asking
        self._retains = store.retains
        self._limiter = trio.CapacityLimiter(RUNNING_MAX)
        asking.answer_with(TOPIC, self._answer)

    def _state_of(self, id_: int) -> str | None:
        """Called in a thread too: it only looks."""
        item = self._held.get(id_)
        return None if item is None else item.state.name.lower()

    async def aclose(self) -> None:
        """Let go of the store."""
        await self._finder.aclose()

    async def left(self, id_: str) -> dict[str, Any] | None:
        """How and when an object left custody, where the store still has it and says so in time."""
        if not self._retains:
            return None
        wanted = Selection.read(EVERY_TYPE, where=f'$id = "{id_}"', states=RETAINED, limit=1)
        with trio.move_on_after(LEFT_S):
            try:
                rows = (await self._page(wanted))["rows"]
            except Refused:  # the store cannot be read: its status tells
                return None
            return {"how": rows[0]["state"], "at": rows[0]["settled"]} if rows else None
        return None

    def routes(self) -> dict[str, Route]:
        """The handler by path."""
        return {frames.QUERY: unary_route(self._context, frames.QueryRequest, self._query)}

    async def _query(self, request: frames.QueryRequest) -> frames.QueryReply:
        """The page that a client asks for.

        Raises:
            Refused: INVALID_ARGUMENT, the query cannot be understood; DEADLINE_EXCEEDED, it takes
                too long; UNAVAILABLE, the store cannot be read.
        """
        asked = attrs.asdict(request)
        everywhere = asked.pop("everywhere")
        selection = _selection(asked)
        if not everywhere:
            page = await self._page(selection)
            return frames.QueryReply(orjson.dumps({**page, "silent": []}))
        gathered = await self._asking.ask(TOPIC, asked, timeout_s=EVERYWHERE_S)
        pages = [reply.value for reply in gathered.replies if not reply.error]
        silent = [
            *(_named(each, each.error) for each in gathered.replies if each.error),
            *(_named(each, "no answer") for each in gathered.silent),
        ]
        page = _merged(pages, selection)
        return frames.QueryReply(orjson.dumps({**page, "silent": silent}))

    async def _answer(self, asked: Any) -> Any:
        return await self._page(_selection(asked))

    async def _page(self, selection: Selection) -> dict[str, Any]:
        async with self._limiter:
            try:
                return await self._look(selection)
            except StoreError as error:
                raise Refused(Status.UNAVAILABLE, str(error)) from None

    async def _look(self, selection: Selection) -> dict[str, Any]:
        found: list[Found] = []
        upto: Place | None = None
        complete = False
        with trio.move_on_after(QUERY_S):
            began = trio.current_time()
            async with aclosing(self._finder.windows(selection)) as windows:
                async for window in windows:
                    found = _first([*found, *window.found], selection)
                    upto = window.upto
                    if selection.order is None and len(found) == selection.limit:
                        break
                    await trio.sleep((trio.current_time() - began) * REST_FACTOR)
                    began = trio.current_time()
                else:
                    complete = len(found) < selection.limit
                    upto = None
        if not complete and len(found) < selection.limit and upto is None:
            raise Refused(
                Status.DEADLINE_EXCEEDED,
                f"the query took longer than {QUERY_S:g} s",
                "narrow it by time or type, or leave out the order",
            )
        return await self._read(found, complete=complete, upto=upto)

    async def _read(
        self, found: list[Found], *, complete: bool, upto: Place | None
    ) -> dict[str, Any]:
        """The page of what was found; `upto` is how far a look came that found less."""
        rows = await self._finder.rows(found, PAGE_BYTES)
        shown: list[Any] = []
        size_bytes = 0
        taken = 0
        for each, row in zip(found, rows, strict=False):
            line = None if row is None else self._shown(each, row)
            if line is not None:
                size_bytes += len(orjson.dumps(line))
                if size_bytes > ANSWER_BYTES_MAX:
                    break
                shown.append(line)
            taken += 1
        if taken < len(found):
            after = found[taken - 1].place.cursor
        elif complete:
            after = ""
        else:
            after = (upto or found[-1].place).cursor
        return {"rows": shown, "after": after}

    def _shown(self, found: Found, row: Row) -> dict[str, Any] | None:
        """One object as JSON; None where it has left custody meanwhile."""
        record = row.record
        item: HeldObject | None = None
        if row.left is None:
            item = self._held.get(record.id)
            if item is None:
                return None
        details = record.details or {}
        assert isinstance(record.payload, bytes), "a finder reads payloads"
        line: dict[str, Any] = {
            "id": format_id(record.id),
            "type": record.type,
            "state": row.left[1] if row.left is not None else item.state.name.lower(),  # type: ignore[union-attr]  # one of both is there
            "created": record.created,
            "settled": None if row.left is None else row.left[0],
            "attempt": record.attempt if item is None else item.attempt,
            "encoding": record.encoding,
            "size": len(record.payload),
            "properties": {
                name: value
                for name in DETAILS
                if name in details and (value := detail(details, name)) is not None
            },
            "node": self._node,
            "name": self._context.name,
            "at": found.place.cursor,
        }
        try:
            line["payload"] = record.payload.decode()
        except UnicodeDecodeError:
            line["payload_base64"] = base64.b64encode(record.payload).decode()
        if len(orjson.dumps(line)) > ROW_BYTES_MAX:
            line.pop("payload", None)
            line.pop("payload_base64", None)
        return line


def _named(node: NodeReply | KnownNode, error: str) -> dict[str, str]:
    return {"node": node.node, "name": node.name, "address": node.address, "error": error}


def _selection(asked: dict[str, Any]) -> Selection:
    """A query out of its parts.

    Raises:
        Refused: INVALID_ARGUMENT, it cannot be understood.
    """
    try:
        type_ = asked["type"]
        return Selection.read(
            type_ if type_ == EVERY_TYPE else check_key(type_),
            where=asked["where"],
            states=asked["states"],
            since_s=None if asked["since_ms"] is None else asked["since_ms"] / 1000,
            until_s=None if asked["until_ms"] is None else asked["until_ms"] / 1000,
            order_by=asked["order_by"],
            limit=asked["limit"],
            after=asked["after"],
        )
    except (QueryError, KeyError, TypeError) as error:
        raise Refused(Status.INVALID_ARGUMENT, f"the query: {error}") from None


def _first(found: list[Found], selection: Selection) -> list[Found]:
    return first_of(found, lambda each: each.place, selection.order, selection.limit)


def _merged(pages: list[dict[str, Any]], selection: Selection) -> dict[str, Any]:
    """The pages of several nodes as one: as far as each of them goes."""
    order = selection.order

    def place_of(row: dict[str, Any]) -> Place:
        return Place.of_cursor(row["at"])

    def is_before(place: Place, other: Place) -> bool:
        descending = order is not None and order.descending
        return compare_places(place, other, own=order is None, descending=descending) <= 0

    rows = first_of([row for page in pages for row in page["rows"]], place_of, order, 1 << 30)
    ends = [Place.of_cursor(page["after"]) for page in pages if page["after"]]
    end = first_of(ends, lambda place: place, order, 1)
    if end:
        rows = [row for row in rows if is_before(place_of(row), end[0])]
    if len(rows) > selection.limit:
        rows = rows[: selection.limit]
        return {"rows": rows, "after": rows[-1]["at"]}
    return {"rows": rows, "after": end[0].cursor if end else ""}
