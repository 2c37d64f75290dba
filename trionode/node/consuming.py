"""Consumer streams: subscriptions and settles in, deliveries and answers out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.errors import ConnectionLost, Refused, Status
from trionode.node import convert
from trionode.node.context import Wire, check_protocol, misplaced
from trionode.node.settles import Settles
from trionode.node.watchers import Watchers
from trionode.routing import effects, events
from trionode.schema.definition import check_key
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trionode.net.call import Call
    from trionode.node.context import NodeContext
    from trionode.wire.kinds import Frame

CREDIT_MAX = 1_000_000
"""A window beyond this is a mistake, and its deliveries would not fit a stream."""
TYPES_MAX = 10_000
"""Types that the subscriptions of one stream may name in all: every peer is told of each."""


@attrs.define(eq=False)
class ConsumerStream:
    """One consumer's stream; `subscriptions` are the types of each.

    `producer` is the id under which it emits results; 0: it does not.
    """

    wire: Wire
    handle: int
    producer: int = 0
    subscriptions: dict[int, tuple[str, ...]] = attrs.field(factory=dict)
    types: int = 0
    """How many types the subscriptions name in all."""


class Consuming:
    """Serves Consume and carries out what the brain wants said to consumers."""

    def __init__(self, context: NodeContext, clock: Callable[[], float]) -> None:
        self._context = context
        self._clock = clock
        self._streams: dict[int, ConsumerStream] = {}
        self._settles = Settles(context, clock)
        # A window of bytes must fit what may wait unsent, with its largest object and more.
        self._bytes_max = context.config.http2.max_unsent_bytes // 2
        self._handlers: dict[type, Callable[[ConsumerStream, Any], None]] = {
            frames.Subscribe: self._subscribe,
            frames.Watch: self._watch,
            frames.Unsubscribe: self._unsubscribe,
            frames.Started: self._started,
            frames.Settle: self._settle,
            frames.Heard: self._heard,
        }
        self._watchers = Watchers(self._tell, clock, context.counters)
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
        stream = ConsumerStream(wire, context.mint_handle(), producer)
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
        keys = self._admit(stream, frame)
        if keys is None:
            return
        credit = min(frame.credit, CREDIT_MAX)
        credit_bytes = min(frame.credit_bytes, self._bytes_max)
        event = convert.subscribed(frame, stream.handle, keys, credit, credit_bytes)
        # The answer before the deliveries: a client knows then that the subscription stands.
        if event.resumed is None:
            stream.wire.send(frames.Answered(frame.number))
        self._context.engine.handle(event)

    def _watch(self, stream: ConsumerStream, frame: frames.Watch) -> None:
        keys = self._admit(stream, frame)
        if keys is None:
            return
        key = stream.handle, frame.subscription
        watcher = self._watchers.find(key) or self._watchers.begin(key, keys)
        watcher.credit = min(frame.credit, CREDIT_MAX)
        watcher.credit_bytes = min(frame.credit_bytes, self._bytes_max)
        stream.wire.send(frames.Answered(frame.number))
        self._context.engine.handle(events.WatchBegan(*key, keys))

    def _admit(
        self, stream: ConsumerStream, frame: frames.Subscribe | frames.Watch
    ) -> tuple[str, ...] | None:
        """The keys of a subscription that may begin or have its window set; None: it is refused."""
        known = stream.subscriptions.get(frame.subscription)
        watches = self._watchers.find((stream.handle, frame.subscription)) is not None
        try:
            keys = _keys_of(frame, known, TYPES_MAX - stream.types)
            if known is not None:
                _check_mode(frame, watches=watches)
        except Refused as refusal:
            stream.wire.send(_refusal(frame.number, refusal))
            return None
        if known is None:
            stream.subscriptions[frame.subscription] = keys
            stream.types += len(keys)
        return keys

    def _unsubscribe(self, stream: ConsumerStream, frame: frames.Unsubscribe) -> None:
        stream.types -= len(stream.subscriptions.pop(frame.subscription, ()))
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
            self._tell(effect.stream, frame)

    def _tell(self, handle: int, frame: Frame) -> None:
        stream = self._streams.get(handle)
        if stream is None:
            return
        try:
            stream.wire.send(frame)
        except ConnectionLost:
            # Its handler is about to find out, and returns the leases.
            return


def _keys_of(
    frame: frames.Subscribe | frames.Watch, known: tuple[str, ...] | None, free: int
) -> tuple[str, ...]:
    """The types and patterns that a subscription names, each once; `known`: what it named before.

    Raises:
        Refused: there are none, a name is none, too many, or others than before.
    """
    keys = tuple(dict.fromkeys(check_key(name) for name in frame.types))
    if not keys:
        raise Refused(Status.INVALID_ARGUMENT, "a subscription names at least one type")
    if known is not None and set(keys) != set(known):
        text = f"subscription {frame.subscription} is one of other types; its window was not set"
        raise Refused(Status.INVALID_ARGUMENT, text, "open another, or end this one first")
    if known is None and len(keys) > free:
        text = f"the subscriptions of one stream name at most {TYPES_MAX} types in all"
        raise Refused(Status.RESOURCE_EXHAUSTED, text)
    return keys


def _check_mode(frame: frames.Subscribe | frames.Watch, *, watches: bool) -> None:
    """Let a subscription stay what it is.

    Raises:
        Refused: it would begin, or cease, to watch.
    """
    if watches != isinstance(frame, frames.Watch):
        text = f"subscription {frame.subscription} is one of the other mode"
        raise Refused(Status.INVALID_ARGUMENT, text, "open another, or end this one first")


def _refusal(number: int, refusal: Refused) -> frames.Answered:
    return frames.Answered(number, refusal.grpc_status, refusal.message, refusal.hint)
