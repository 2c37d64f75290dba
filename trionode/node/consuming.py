"""Consumer streams: subscriptions and settles in, deliveries and answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.errors import ConnectionLost, Refused, Status
from trionode.ids import from_runs
from trionode.node import convert
from trionode.node.context import Wire, check_protocol, misplaced
from trionode.routing import effects, events
from trionode.schema.definition import check_type_name
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trionode.ids import ObjectId
    from trionode.net.call import Call
    from trionode.node.context import NodeContext
    from trionode.wire.kinds import Frame

CREDIT_MAX = 1_000_000
"""A window beyond this is a mistake, and its deliveries would not fit a stream."""


class Consuming:
    """Serves Consume and carries out what the brain wants said to consumers."""

    def __init__(self, context: NodeContext, clock: Callable[[], float]) -> None:
        self._context = context
        self._clock = clock
        self._streams: dict[int, Wire] = {}
        # A window of bytes must fit what may wait unsent, with its largest object and more.
        self._bytes_max = context.config.http2.max_unsent_bytes // 2
        self._handlers: dict[type, Callable[[Wire, int, Any], None]] = {
            frames.Subscribe: self._subscribe,
            frames.Unsubscribe: self._unsubscribe,
            frames.Started: self._started,
            frames.Settle: self._settle,
        }
        context.engine.connect(
            {
                effects.Deliver: self._deliver,
                effects.AnswerSettle: lambda e: self._tell(e.stream, convert.answered(e)),
                effects.LoseLeases: lambda e: self._tell(e.stream, convert.lost(e)),
            }
        )

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, call: Call) -> None:
        """Handle one Consume call; how it ends tells whether the consumer died (G5)."""
        context = self._context
        wire = Wire.serving(call, context)
        hello = await wire.first(frames.ClientHello)
        check_protocol(hello.protocol_min, hello.protocol_max, "this client", hello.version)
        context.check_serving()
        handle = context.mint_handle()
        self._streams[handle] = wire
        wire.send(context.hello())
        context.engine.handle(events.ConsumerCame(handle))
        died = True
        try:
            while messages := await call.receive_many():
                for data in messages:
                    frame = wire.decode(data)
                    if frame is not None:
                        self._take(wire, handle, frame)
            died = False
        finally:
            del self._streams[handle]
            context.engine.handle(events.ConsumerGone(handle, died))

    def drain(self) -> None:
        """Tell consumers that they should settle what they have and go elsewhere."""
        draining = frames.Draining(self._context.fallback_addresses())
        for handle in list(self._streams):
            self._tell(handle, draining)

    # --- frames -----------------------------------------------------------------------------------

    def _take(self, wire: Wire, handle: int, frame: Frame) -> None:
        handler = self._handlers.get(type(frame))
        if handler is None:
            raise misplaced(frame, wire)
        handler(wire, handle, frame)

    def _subscribe(self, wire: Wire, handle: int, frame: frames.Subscribe) -> None:
        try:
            keys = tuple(dict.fromkeys(check_type_name(name) for name in frame.types))
        except Refused as refusal:
            wire.send(_refusal(frame.number, refusal))
            return
        credit = min(frame.credit, CREDIT_MAX)
        credit_bytes = min(frame.credit_bytes, self._bytes_max)
        event = events.Subscribed(handle, frame.subscription, keys, credit, credit_bytes)
        # The answer before the deliveries: a client knows then that the subscription stands.
        wire.send(frames.Answered(frame.number))
        self._context.engine.handle(event)

    def _unsubscribe(self, wire: Wire, handle: int, frame: frames.Unsubscribe) -> None:
        self._context.engine.handle(events.Unsubscribed(handle, frame.subscription))
        wire.send(frames.Answered(frame.number))

    def _started(self, _wire: Wire, handle: int, frame: frames.Started) -> None:
        self._context.engine.handle(events.Started(handle, frame.subscription, frame.count))

    def _settle(self, wire: Wire, handle: int, frame: frames.Settle) -> None:
        ids = from_runs(frame.ids)
        if frame.action == "replace":
            refusal = self._check_content(frame, ids)
            if refusal is not None:
                wire.send(_refusal(frame.number, refusal))
                return
        self._context.engine.handle(convert.settled(frame, handle, ids))

    def _check_content(self, frame: frames.Settle, ids: list[ObjectId]) -> Refused | None:
        """New content is held to the type as a push is."""
        limit_bytes = self._context.config.limits.max_object_bytes
        objects = self._context.engine.brain.context.custody.objects
        for id_, payload in zip(ids, frame.payloads, strict=True):
            item = objects.get(id_)
            if item is None:
                continue  # its lease is refused, whatever the content
            if len(payload) > limit_bytes:
                return Refused(
                    Status.INVALID_ARGUMENT,
                    f"an object of {len(payload)} bytes; this node takes at most {limit_bytes}",
                )
            try:
                self._context.types.check(
                    item.table.name, payload, frame.encoding, frame.fingerprint
                )
            except Refused as refusal:
                return refusal
        return None

    # --- effects ----------------------------------------------------------------------------------

    def _deliver(self, effect: effects.Deliver) -> None:
        for frame in convert.deliver(effect, self._clock()):
            self._tell(effect.stream, frame)

    def _tell(self, handle: int, frame: Frame) -> None:
        wire = self._streams.get(handle)
        if wire is None:
            return
        try:
            wire.send(frame)
        except ConnectionLost:
            # Its handler is about to find out, and returns the leases.
            return


def _refusal(number: int, refusal: Refused) -> frames.Answered:
    return frames.Answered(number, refusal.grpc_status, refusal.message, refusal.hint)
