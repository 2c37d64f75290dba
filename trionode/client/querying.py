"""Queries from a client: objects by their properties and fields, a page at a time."""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypedDict, TypeVar

import attrs

from trionode.client.values import value_of
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from trionode.client.connector import Connector

T = TypeVar("T")

PAGE_OBJECTS = 200
"""How many objects are asked for at a time."""


class QueryOptions(TypedDict, total=False):
    """The options of a query; all may be left out.

    Attributes:
        where: a condition, in the language of `trionode query --help`.
        states: only objects in one of these; see `Found.state`.
        since: created then or later; with an offset from UTC.
        until: created before.
        order_by: a field or property, and maybe `desc`; without it about as they came.
        after: the `cursor` of the object to go on behind.
        everywhere: ask every node that can be reached; `Query.silent` says who did not answer.
    """

    where: str
    states: Sequence[str]
    since: dt.datetime | None
    until: dt.datetime | None
    order_by: str
    after: str
    everywhere: bool


@attrs.frozen
class SilentNode:
    """A node that did not answer a query of every node, and why; what is not known is empty."""

    node: str
    name: str
    address: str
    error: str


@attrs.frozen(eq=False)
class Found(Generic[T]):
    """An object as its node had it when the query looked at it.

    Attributes:
        id: the object's id in text form.
        type: its type.
        state: `ready`, `blocked` (behind another of its ordering key), `delayed`, `leased`,
            `transferring`, `dead`, or of an object that is kept after it left custody `settled` or
            `expired`.
        created: when its producer made it.
        settled: when it left custody, where it did.
        attempt: which attempt it is at, from 1.
        encoding: of the payload.
        size_bytes: of the payload.
        properties: what else it has, such as `priority`, `key`, `deadline` (Unix time).
        node: the id of the node that has it.
        node_name: that node's name.
        payload: None where it is too long for an answer.
        cursor: the place in the result; a query with `after` goes on behind it.
    """

    id: str
    type: str
    state: str
    created: dt.datetime
    settled: dt.datetime | None
    attempt: int
    encoding: str
    size_bytes: int
    properties: dict[str, Any]
    node: str
    node_name: str
    payload: bytes | None
    cursor: str
    _cls: Any = attrs.field(repr=False)

    @property
    def object(self) -> T:
        """The payload as an object of the class that was asked for, as plain JSON, or as bytes.

        Raises:
            DecodeError: it does not fit the class, or is not there.
        """
        value: T = value_of(self._cls, self.payload or b"", self.encoding)
        return value


class Query(Generic[T]):
    """The objects that fulfil a query: `async for found in client.query(Order): ...`.

    Attributes:
        silent: the nodes that did not answer so far, of a query of every node.
    """

    def __init__(
        self,
        connector: Connector,
        request: frames.QueryRequest,
        cls: type | None,
        limit: int | None,
    ) -> None:
        self.silent: list[SilentNode] = []
        self.after: str | None = request.after
        """Where to go on; None once all is found."""
        self._connector = connector
        self._request = request
        self._cls = cls
        self._left = limit
        self._page: deque[Found[T]] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Found[T]:
        """The next object.

        Raises:
            Refused: INVALID_ARGUMENT: the query cannot be understood; DEADLINE_EXCEEDED: it takes
                too long; UNAVAILABLE: the node cannot read its store.
            ConnectionLost: connections were lost under it.
        """
        while not self._page:
            if self.after is None or self._left == 0:
                raise StopAsyncIteration
            await self._ask()
        found = self._page.popleft()
        if self._left is not None:
            self._left -= 1
        return found

    async def _ask(self) -> None:
        limit = PAGE_OBJECTS if self._left is None else min(PAGE_OBJECTS, self._left)
        request = attrs.evolve(self._request, after=self.after or "", limit=limit)
        reply = await self._connector.ask(frames.QUERY, request, frames.QueryReply)
        page = json.loads(reply.page)
        self.after = page["after"] or None
        self._page.extend(self._found(row) for row in page["rows"])
        for each in page["silent"]:
            silent = SilentNode(each["node"], each["name"], each["address"], each["error"])
            if silent not in self.silent:
                self.silent.append(silent)

    def _found(self, row: dict[str, Any]) -> Found[T]:
        payload: bytes | None = None
        if "payload" in row:
            payload = row["payload"].encode()
        elif "payload_base64" in row:
            payload = base64.b64decode(row["payload_base64"])
        return Found(
            id=row["id"],
            type=row["type"],
            state=row["state"],
            created=_time(row["created"]),
            settled=None if row["settled"] is None else _time(row["settled"]),
            attempt=row["attempt"],
            encoding=row["encoding"],
            size_bytes=row["size"],
            properties=row["properties"],
            node=row["node"],
            node_name=row["name"],
            payload=payload,
            cursor=row["at"],
            cls=self._cls,
        )


def request_of(type_name: str, options: QueryOptions) -> frames.QueryRequest:
    """The request for the first page."""
    return frames.QueryRequest(
        type_name,
        options.get("where", ""),
        list(options.get("states", ())),
        _milliseconds(options.get("since")),
        _milliseconds(options.get("until")),
        options.get("order_by", ""),
        after=options.get("after", ""),
        everywhere=options.get("everywhere", False),
    )


def _milliseconds(time: dt.datetime | None) -> int | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise ValueError("a time of a query needs an offset from UTC: give it a tzinfo")
    return max(0, round(time.timestamp() * 1000))


def _time(unix: float) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(unix, dt.UTC)
    except (ValueError, OverflowError, OSError):
        return dt.datetime.fromtimestamp(0, dt.UTC)  # a clock that was far off
