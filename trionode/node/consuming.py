"""Consumer streams: subscriptions and settles in, deliveries and answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.config.sections import STREAM_PART, WATCH_PART
from trionode.errors import ConnectionLost, Refused
from trionode.node import convert
from trionode.node.admitting import Subscribed
from trionode.node.context import Wire, check_protocol, misplaced
from trionode.node.settles import Settles
from trionode.node.watchers import Watchers
from trionode.routing import effects, events
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trionode.net.call import Call
    from trionode.node.admitting import Admitted
    from trionode.node.context import NodeContext
    from trionode.wire.kinds import Frame


@attrs.define(eq=False)
class ConsumerStream:
    """One consumer's stream.

    `producer` is the id under which it emits results; 0: it does not.
    """

    wire: Wire
    handle: int
    producer: int
    subscribed: Subscribed


class Consuming:
    """Serves Consume and carries out what the brain wants said to consumers."""

    def __init__(self, context: NodeContext, clock: Callable[[], float]) -> None:
        self._context = context
        self._clock = clock
        self._streams: dict[int, ConsumerStream] = {}
        self._settles = Settles(context, clock)
        unsent_bytes = context.config.http2.max_unsent_bytes
        self._bytes_max = unsent_bytes // STREAM_PART
        self._handlers: dict[type, Callable[[ConsumerStream, Any], None]] = {
            frames.Subscribe: self._subscribe,
            frames.Watch: self._watch,
            frames.Unsubscribe: self._unsubscribe,
            frames.Started: self._started,
            frames.Settle: self._settle,
            frames.Heard: self._heard,
        }
        self._watchers = Watchers(
            self._tell, clock, context.counters, limit_bytes=unsent_bytes // WATCH_PART
        )
        context.engine.connect(
            {
                effects.Copy: self._watchers.show,
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
        producer = int.from_bytes(hello.producer, "big")
        subscribed = Subscribed(context.config.limits)
        stream = ConsumerStream(wire, context.mint_handle(), producer, subscribed)
        self._streams[stream.handle] = stream
        label = f"{hello.name} at {call.connection.peer}" if hello.name else call.connection.peer
        context.engine.handle(
            events.ConsumerCame(stream.handle, label, hello.confirms, hello.secret)
        )
        died = True
        try:
            wire.send(context.hello())
            while messages := await call.receive_many():
                for data in messages:
                    frame = wire.decode(data)
                    if frame is not None:
                        self._take(stream, frame)
            died = False
        finally:
            del self._streams[stream.handle]
            self._watchers.gone(stream.handle)
            died = died and not context.ending
            context.engine.handle(events.ConsumerGone(stream.handle, died))

    def drain(self) -> None:
        """Tell consumers that they should settle what they have and go elsewhere."""
        draining = frames.Draining(self._context.fallback_addresses())
        for handle in list(self._streams):
            self._tell(handle, draining)

    # --- frames -----------------------------------------------------------------------------------

    def _take(self, stream: ConsumerStream, frame: Frame) -> None:
        handler = self._handlers.get(type(frame))
        if handler is None:
            raise misplaced(frame, stream.wire)
        handler(stream, frame)

    def _subscribe(self, stream: ConsumerStream, frame: frames.Subscribe) -> None:
        self._settles.check_count(frame.resumed_ids, stream.handle)
        admitted = self._admit(stream, frame)
        if admitted is None:
            return
        credit_bytes = min(frame.credit_bytes, self._bytes_max)
        event = convert.subscribed(
            frame, stream.handle, admitted.keys, admitted.credit, credit_bytes
        )
        # The answer before the deliveries: a client knows then that the subscription stands.
        if event.resumed is None:
            stream.wire.send(frames.Answered(frame.number))
        self._context.engine.handle(event)

    def _watch(self, stream: ConsumerStream, frame: frames.Watch) -> None:
        admitted = self._admit(stream, frame)
        if admitted is None:
            return
        key = stream.handle, frame.subscription
        watcher = self._watchers.find(key) or self._watchers.begin(key, admitted.keys)
        watcher.credit = admitted.credit
        watcher.credit_bytes = min(frame.credit_bytes, self._bytes_max)
        stream.wire.send(frames.Answered(frame.number))
        self._context.engine.handle(events.WatchBegan(*key, admitted.keys))

    @staticmethod
    def _admit(stream: ConsumerStream, frame: frames.Subscribe | frames.Watch) -> Admitted | None:
        """A subscription that may begin or have its window set; None: it is refused."""
        try:
            return stream.subscribed.admit(frame, watches=isinstance(frame, frames.Watch))
        except Refused as refusal:
            stream.wire.send(_refusal(frame.number, refusal))
            return None

    def _unsubscribe(self, stream: ConsumerStream, frame: frames.Unsubscribe) -> None:
        stream.subscribed.end(frame.subscription)
        key = stream.handle, frame.subscription
        if self._watchers.find(key) is not None:
            self._watchers.end(key)
            self._context.engine.handle(events.WatchEnded(*key))
        else:
            self._context.engine.handle(events.Unsubscribed(*key))
        stream.wire.send(frames.Answered(frame.number))

    def _started(self, stream: ConsumerStream, frame: frames.Started) -> None:
        key = stream.handle, frame.subscription
        if self._watchers.find(key) is not None:
            self._watchers.took(key, frame.count)
        else:
            self._context.engine.handle(events.Started(*key, frame.count))

    def _heard(self, stream: ConsumerStream, frame: frames.Heard) -> None:
        self._context.engine.handle(events.Heard(stream.handle, frame.count))

    def _settle(self, stream: ConsumerStream, frame: frames.Settle) -> None:
        try:
            event = self._settles.event_of(frame, stream.handle, stream.producer)
        except Refused as refusal:
            stream.wire.send(_refusal(frame.number, refusal))
        else:
            self._context.engine.handle(event)

    # --- effects ----------------------------------------------------------------------------------

    def _deliver(self, effect: effects.Deliver) -> None:
        for frame in convert.deliver(effect, self._clock()):
            self._tell(effect.stream, frame, soon=True)

    def _tell(self, handle: int, frame: Frame, *, soon: bool = False) -> None:
        stream = self._streams.get(handle)
        if stream is None:
            return
        try:
            if soon:
                stream.wire.send_soon(frame)
            else:
                stream.wire.send(frame)
        except ConnectionLost:
            # Its handler is about to find out, and returns the leases.
            return


def _refusal(number: int, refusal: Refused) -> frames.Answered:
    return frames.Answered(number, refusal.grpc_status, refusal.message, refusal.hint)
