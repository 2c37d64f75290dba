"""The unary calls: one request and one reply, for the client's questions and for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs
import orjson
import trio

from trionode.ids import format_id, object_id
from trionode.net.serving import Route
from trionode.node.context import Wire, check_protocol
from trionode.node.producing import ProducerStream
from trionode.node.properties import asked_for
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from trionode.errors import Refused
    from trionode.net.call import Call
    from trionode.node.context import NodeContext
    from trionode.node.producing import Producing
    from trionode.wire.kinds import Frame

Request = TypeVar("Request")


@attrs.define(eq=False)
class _Outcome:
    """What becomes of one push: custody, or the refusal."""

    known: trio.Event = attrs.field(factory=trio.Event)
    refusal: Refused | None = None
    id: int = 0
    """That of the object that was pushed before with the same key, if one was."""


class OwnProducer(ProducerStream):
    """The node as the producer of what comes by unary Push: it makes the ids (R11)."""

    def __init__(self, handle: int, producer: int) -> None:
        self.handle = handle
        self.producer = producer
        self.unanswered = 0
        self.reading = trio.CancelScope()
        self._last = 0
        self._waiting: dict[int, _Outcome] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    async def push(self, request: frames.PushRequest, producing: Producing) -> str:
        """Push what a request asks for and wait for custody; returns the object's id.

        Raises:
            Refused: the object was not taken.
        """
        self._last += 1
        sequence = self._last
        outcome = self._waiting[sequence] = _Outcome()
        # Nothing of this producer is ever pushed again: all before the oldest waiting is known.
        acknowledged = next(iter(self._waiting)) - 1
        try:
            push = frames.Push(
                request.type,
                sequence,
                [request.payload],
                request.encoding,
                request.fingerprint,
                asked_for(request),
                acknowledged,
            )
            await producing.push(self, push)
            if not outcome.known.is_set():
                await outcome.known.wait()
        finally:
            del self._waiting[sequence]
        if outcome.refusal is not None:
            raise outcome.refusal
        return format_id(outcome.id or object_id(self.producer, sequence))

    def acknowledge(self, sequences: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
        """Some are in custody."""
        for sequence, id_ in others:
            if sequence in self._waiting:
                self._waiting[sequence].id = id_
        for first, count in sequences:
            self.unanswered -= count
            self._resolve(first, count, None)

    def refuse(self, first: int, count: int, refusal: Refused) -> None:
        """Some are not taken."""
        self._resolve(first, count, refusal)

    def _resolve(self, first: int, count: int, refusal: Refused | None) -> None:
        for sequence in range(first, first + count):
            outcome = self._waiting.get(sequence)
            if outcome is not None:
                outcome.refusal = refusal
                outcome.known.set()


def unary_route(
    context: NodeContext, kind: type[Request], answer: Callable[[Request], Awaitable[Frame]]
) -> Route:
    """The handler of a call with one request of a kind and one reply."""

    async def serve(call: Call) -> None:
        wire = Wire.serving(call, context)
        wire.send(await answer(await wire.first(kind)))

    return Route(serve)


class Unary:
    """Serves the calls with one request.

    Args:
        context: of the node.
        producing: where pushes enter the node.
        producer: the node's own producer id.
        status: makes the status document.
    """

    def __init__(
        self,
        context: NodeContext,
        producing: Producing,
        producer: int,
        status: Callable[[], dict[str, Any]],
    ) -> None:
        self._context = context
        self._producing = producing
        self._producer = OwnProducer(context.mint_handle(), producer)
        self._status = status
        producing.adopt(self._producer)

    def routes(self) -> dict[str, Route]:
        """The handlers by path."""
        return {
            frames.PUSH: unary_route(self._context, frames.PushRequest, self._push),
            frames.DEFINE: unary_route(self._context, frames.DefineRequest, self._define),
            frames.TYPES: unary_route(self._context, frames.TypesRequest, self._types),
            frames.STATUS: unary_route(self._context, frames.StatusRequest, self._tell_status),
            frames.PING: unary_route(self._context, frames.PingRequest, self._ping),
        }

    async def _push(self, request: frames.PushRequest) -> frames.PushReply:
        self._context.check_serving()
        return frames.PushReply(await self._producer.push(request, self._producing))

    async def _define(self, request: frames.DefineRequest) -> frames.DefineReply:
        before = len(self._context.types.definitions(request.type))
        definition = self._context.types.define(request.type, request.schema, force=request.force)
        if request.force or len(self._context.types.definitions(request.type)) != before:
            self._context.engine.keep_definition(definition)
            await self._context.engine.committed()
        return frames.DefineReply(definition.fingerprint)

    async def _types(self, request: frames.TypesRequest) -> frames.TypesReply:
        return frames.TypesReply(self._context.types.definitions(request.name))

    async def _tell_status(self, _request: frames.StatusRequest) -> frames.StatusReply:
        return frames.StatusReply(orjson.dumps(self._status()))

    async def _ping(self, request: frames.PingRequest) -> frames.NodeHello:
        check_protocol(request.protocol_min, request.protocol_max, "this client", "")
        return self._context.hello()
