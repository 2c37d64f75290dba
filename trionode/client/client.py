"""`Client`: what a program does with a mesh."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs
import trio

from trionode.client.deliveries import Deliveries
from trionode.client.emitting import plain
from trionode.client.inspection import Inspection
from trionode.client.properties import properties_of
from trionode.client.pusher import WINDOW, Pusher
from trionode.client.querying import Query, QueryOptions, request_of
from trionode.client.subscribing import asked_of, terms_of
from trionode.client.types import type_name_of
from trionode.client.values import encode, is_class, schema_of
from trionode.client.watched import Copies
from trionode.wire import frames

if TYPE_CHECKING:
    from typing import Unpack

    from trionode.client.connector import Connector
    from trionode.client.consuming import Consuming
    from trionode.client.definitions import Definitions
    from trionode.client.producer_core import Shape
    from trionode.client.producing import Producing
    from trionode.client.properties import PushOptions
    from trionode.client.subscribing import SubscribeOptions
    from trionode.schema.definition import Definition

T = TypeVar("T")
T1 = TypeVar("T1")
T2 = TypeVar("T2")
T3 = TypeVar("T3")


@attrs.frozen
class ClientStatistics:
    """A snapshot of a client's counters."""

    reconnects: int
    settles_refused: int
    """Settles that came too late and that nobody waited for."""


class Client(Inspection):
    """A program's place in the mesh; made by `trionode.connect`.

    It stays connected to some node: when a connection is lost it makes another one, subscribes
    again and pushes again what was not acknowledged. Safe for use by many tasks at once.
    """

    def __init__(
        self,
        connector: Connector,
        definitions: Definitions,
        producing: Producing,
        consuming: Consuming,
    ) -> None:
        self._connector = connector
        self._definitions = definitions
        self._producing = producing
        self._consuming = consuming
        self._address = ""

    def __repr__(self) -> str:
        return f"<trionode.Client at {self.address or 'no node'}>"

    @property
    def address(self) -> str:
        """The address of the node it is connected to, or was last."""
        if self._connector.current is not None:
            self._address = self._connector.current.address
        return self._address

    def statistics(self) -> ClientStatistics:
        """The counters as they are now."""
        return ClientStatistics(self._connector.reconnects, self._consuming.refused)

    # --- pushing ----------------------------------------------------------------------------------

    async def push(
        self,
        value: Any,
        *,
        type: str | None = None,  # noqa: A002  # the word that people look for
        encoding: str | None = None,
        **options: Unpack[PushOptions],
    ) -> str:
        """Push an object; returns its id once a node has custody of it.

        As long as no node can be reached this waits. When it is cancelled the outcome is unknown,
        and the object is not sent again.

        Args:
            value: an object of an attrs class, dataclass or msgspec Struct; or with `type` a plain
                JSON value or bytes.
            type: the type's name; of an object, that of its class when none is given.
            encoding: of bytes that are encoded already: `json` or `raw`; they travel verbatim.
                Without it bytes are `raw`.
            options: `delay` in seconds or `not_before`, `deadline` with `keep_expired`, `priority`,
                `key`, `ordering_key`; see `PushOptions`.

        Raises:
            Refused: the node does not take it; INVALID_ARGUMENT: it does not fit its type.
            ConnectionLost: the client was left first, or reconnecting was given up.
            EncodeError: the object has no form in JSON.
            ValueError: an option has a value that it cannot have.
        """
        details = properties_of(trio.current_time(), options) if options else None
        prepared = self._prepare(value, type, encoding)
        if prepared is None:
            await self._definitions.define(value.__class__, type)
            prepared = self._prepare(value, type, encoding)
            assert prepared is not None
        push = await self._producing.push_one(*prepared, details)
        return self._producing.text_id_of(push)

    def pusher(
        self,
        cls: type | None = None,
        /,
        *,
        type: str | None = None,  # noqa: A002  # see push
        window: int = WINDOW,
    ) -> Pusher:
        """Push in bulk: `async with client.pusher(Order) as p: await p.send(order)`.

        Args:
            cls: the class of the objects, to be defined at once; None for objects of any class,
                each defined with the first of them, or for bytes.
            type: the type's name, needed for bytes.
            window: how many pushes may be on their way.
        """
        return Pusher(
            self._producing,
            self._prepare,
            self._definitions.define,
            cls=cls,
            type_name=type,
            window=window,
            close_timeout_s=self._connector.options.close_timeout_s,
        )

    def _prepare(
        self, value: Any, type_name: str | None, encoding: str | None
    ) -> tuple[Shape, bytes] | None:
        """Shape and payload of a push; None when the value's class has to be defined first."""
        cls = value.__class__
        if encoding is None:
            shape = self._definitions.shape_of(cls, type_name)
            if shape is not None:
                return shape, encode(value)
            if is_class(cls):
                return None
        return plain(value, type_name, encoding)

    # --- subscribing ------------------------------------------------------------------------------

    @overload
    def subscribe(self, one: type[T], /, **options: Unpack[SubscribeOptions]) -> Deliveries[T]: ...
    @overload
    def subscribe(
        self, one: type[T], two: type[T1], /, **options: Unpack[SubscribeOptions]
    ) -> Deliveries[T | T1]: ...
    @overload
    def subscribe(
        self,
        one: type[T],
        two: type[T1],
        three: type[T2],
        /,
        **options: Unpack[SubscribeOptions],
    ) -> Deliveries[T | T1 | T2]: ...
    @overload
    def subscribe(
        self, *types: type | str, **options: Unpack[SubscribeOptions]
    ) -> Deliveries[Any]: ...
    def subscribe(self, *types: type | str, **options: Unpack[SubscribeOptions]) -> Deliveries[Any]:
        """Get objects of these types: `async with client.subscribe(Order) as deliveries: ...`.

        Args:
            types: classes, whose objects come as such, or names of types, whose objects come as
                plain JSON values, or bytes where they are not JSON. A name may be a pattern:
                `billing.*` is every type with one more segment, `billing.>` with one or more. Of a
                pattern's types, those whose classes are given beside it come as such.
            options: `credit` and `credit_bytes`, `max_processing_time`, `max_attempts`, `backoff`,
                `reconnect_grace`, `on_undecodable`, `on_lost`, `mode`; see `SubscribeOptions`.

        Raises:
            ValueError: an option has a value that it cannot have.
            TypeError: there is no such option.
        """
        found: dict[str, type | None] = {}
        for each in types:
            if isinstance(each, str):
                found[each] = None
            else:
                found[type_name_of(each)] = each
        asked = asked_of(options)
        kind = Copies if asked["mode"] == "watch" else Deliveries
        return kind(
            self._consuming,
            found,
            credit=asked["credit"],
            credit_bytes=asked["credit_bytes"],
            terms=terms_of(asked),
            reject_undecodable=asked["on_undecodable"] == "reject",
            on_lost=asked["on_lost"],
            close_timeout_s=self._connector.options.close_timeout_s,
            log=self._connector.log,
        )

    # --- questions --------------------------------------------------------------------------------

    async def define(
        self, cls_or_name: type | str, schema: str | None = None, *, force: bool = False
    ) -> str:
        """Define a type at the node, or add a definition to it; returns its fingerprint.

        Args:
            cls_or_name: a class, or the name of a type.
            schema: the JSON Schema as text; of a class, the one derived from it by default.
            force: add it although it is not compatible with the definitions there are.

        Raises:
            Refused: FAILED_PRECONDITION: not compatible; the message names the property.
        """
        if isinstance(cls_or_name, str):
            if schema is None:
                raise TypeError("a type that is given by name needs a schema")
            name = cls_or_name
        else:
            name = type_name_of(cls_or_name)
            schema = schema_of(cls_or_name) if schema is None else schema
        request = frames.DefineRequest(name, schema, force)
        reply = await self._connector.ask(frames.DEFINE, request, frames.DefineReply)
        return reply.fingerprint

    async def types(self, name: str = "") -> list[Definition]:
        """The definitions that the node knows, of one type or of all."""
        request = frames.TypesRequest(name)
        reply = await self._connector.ask(frames.TYPES, request, frames.TypesReply)
        return reply.definitions

    @overload
    def query(
        self, cls_or_name: type[T], *, limit: int | None = None, **options: Unpack[QueryOptions]
    ) -> Query[T]: ...
    @overload
    def query(
        self, cls_or_name: str, *, limit: int | None = None, **options: Unpack[QueryOptions]
    ) -> Query[Any]: ...
    def query(
        self, cls_or_name: type | str, *, limit: int | None = None, **options: Unpack[QueryOptions]
    ) -> Query[Any]:
        """Find objects: `async for found in client.query(Order, where="total > 100"): ...`.

        Nothing is taken: an object goes on while it is looked at, and may have another state a
        moment later.

        Args:
            cls_or_name: a class, the name of a type, or a pattern of names as in `subscribe`; `*`
                alone is every type.
            limit: the most objects; None for all there are.
            options: see `QueryOptions`.

        Raises:
            ValueError: a time has no offset from UTC.
        """
        by_name = isinstance(cls_or_name, str)
        name = cls_or_name if isinstance(cls_or_name, str) else type_name_of(cls_or_name)
        cls = None if by_name else cls_or_name
        return Query(self._connector, request_of(name, options), cls, limit)  # type: ignore[arg-type]  # a class, not its name

    async def status(self) -> dict[str, Any]:
        """The node's status: its peers, and what it holds per type."""
        found: dict[str, Any] = json.loads(await self.status_json())
        return found

    async def status_json(self) -> bytes:
        """The same as JSON text, as `trionode status --json` prints it."""
        request = frames.StatusRequest()
        return (await self._connector.ask(frames.STATUS, request, frames.StatusReply)).status

    async def ping(self) -> frames.NodeHello:
        """Ask the node for a sign of life; it says who it is."""
        request = frames.PingRequest()
        return await self._connector.ask(frames.PING, request, frames.NodeHello)
