"""Producer streams: pushes are checked, held back while the node is full, acknowledged.

A stream is read only as fast as there is room, so HTTP/2's window holds its producer back; settles
come on streams of their own and are never held back by pushes (G7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.ids import PRODUCER_BYTES
from trionode.node import convert
from trionode.node.context import Wire, check_protocol, misplaced
from trionode.routing import effects
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.net.call import Call
    from trionode.node.context import NodeContext

OBJECT_OVERHEAD_BYTES = 400
"""What a held object takes beside its payload; counted, so that tiny objects cannot fill memory."""


class ProducerStream:
    """One producer's stream of pushes; see `Producing`."""

    def __init__(self, wire: Wire, handle: int, producer: int) -> None:
        self.wire = wire
        self.handle = handle
        self.producer = producer
        self.unanswered = 0
        """Objects that came and have neither been acknowledged nor refused."""

    def acknowledge(self, sequences: list[tuple[int, int]]) -> None:
        """Tell the producer that these are in custody."""
        self.unanswered -= sum([count for _, count in sequences])
        self._tell(frames.Pushed(sequences))

    def refuse(self, first: int, count: int, refusal: Refused) -> None:
        """Tell the producer that these are not taken."""
        self.unanswered -= count
        self._tell(
            frames.PushRefused(first, count, refusal.grpc_status, refusal.message, refusal.hint)
        )

    def _tell(self, frame: frames.Pushed | frames.PushRefused) -> None:
        try:
            self.wire.send(frame)
        except ConnectionLost:
            # Its handler knows; the producer asks again when it is back.
            return


class Producing:
    """Serves Produce, and is the one place where pushes enter the node."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context
        self._streams: dict[int, ProducerStream] = {}
        limits = context.config.limits
        self._high_water_bytes = int(limits.memory_bytes * limits.push_high_water)
        self.draining = trio.Event()
        """Set by `drain`: streams end."""
        context.engine.connect({effects.AcknowledgePush: self._acknowledge})

    def __len__(self) -> int:
        return len(self._streams)

    async def serve(self, call: Call) -> None:
        """Handle one Produce call."""
        context = self._context
        wire = Wire.serving(call, context)
        hello = await wire.first(frames.ClientHello)
        check_protocol(hello.protocol_min, hello.protocol_max, "this client", hello.version)
        context.check_serving()
        if len(hello.producer) != PRODUCER_BYTES:
            raise ProtocolError(
                f"a producer's id has {PRODUCER_BYTES} bytes, not {len(hello.producer)}",
                grpc_status=Status.INVALID_ARGUMENT,
            )
        stream = ProducerStream(wire, context.mint_handle(), int.from_bytes(hello.producer, "big"))
        self._streams[stream.handle] = stream
        try:
            wire.send(context.hello())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._leave_when_draining, stream, nursery)
                await self._read(stream)
                # The producer has ended its half: it waits for what it has not heard of.
                await context.engine.until(lambda: not stream.unanswered)
                nursery.cancel_scope.cancel()
        finally:
            del self._streams[stream.handle]
        context.check_serving()

    async def _read(self, stream: ProducerStream) -> None:
        while messages := await stream.wire.call.receive_many():
            for data in messages:
                frame = stream.wire.decode(data)
                if isinstance(frame, frames.Push):
                    await self.push(stream, frame)
                elif frame is not None:
                    raise misplaced(frame, stream.wire)

    async def _leave_when_draining(self, stream: ProducerStream, nursery: trio.Nursery) -> None:
        """Read no further once the node drains; what was taken is acknowledged before the end."""
        await self.draining.wait()
        stream.wire.send(frames.Draining(self._context.fallback_addresses()))
        with trio.move_on_after(self._context.config.node.drain_timeout_s):
            await self._context.engine.until(lambda: not stream.unanswered)
        nursery.cancel_scope.cancel()

    async def push(self, stream: ProducerStream, frame: frames.Push) -> None:
        """Take a push, or refuse it, wholly or in part; the outcome is told to the stream."""
        stream.unanswered += len(frame.payloads)
        refusal = await self.wait_for_room(frame)
        if refusal is not None:
            self._refuse_new(stream, frame, refusal)
            return
        for start, end, bad in self._judge(frame):
            if bad is None:
                event = convert.pushed(
                    frame, stream.handle, stream.producer, (start, end), trio.current_time()
                )
                self._context.engine.handle(event)
            else:
                self._context.counters.refused_pushes += end - start
                stream.refuse(frame.first + start, end - start, bad)

    def _judge(self, frame: frames.Push) -> Iterator[tuple[int, int, Refused | None]]:
        """The parts [start, end) of a push that are to be taken, or refused and why."""
        limit_bytes = self._context.config.limits.max_object_bytes
        payloads = frame.payloads
        start, count = 0, len(payloads)
        while start < count:
            found = self._first_bad(frame, payloads[start:] if start else payloads, limit_bytes)
            if found is None:
                yield start, count, None
                return
            index, refusal = found
            if index:
                yield start, start + index, None
            yield start + index, start + index + 1, refusal
            start += index + 1

    def _first_bad(
        self, frame: frames.Push, payloads: list[bytes], limit_bytes: int
    ) -> tuple[int, Refused] | None:
        found = self._context.types.check_many(
            frame.type, payloads, frame.encoding, frame.fingerprint
        )
        if max(map(len, payloads)) <= limit_bytes:
            return found
        index = next(i for i, payload in enumerate(payloads) if len(payload) > limit_bytes)
        if found is not None and found[0] < index:
            return found
        return index, Refused(
            Status.INVALID_ARGUMENT,
            f"an object of {len(payloads[index])} bytes; this node takes at most {limit_bytes}",
            "keep large content elsewhere and push a reference, or raise limits.max_object_bytes",
        )

    # --- room -------------------------------------------------------------------------------------

    async def wait_for_room(self, frame: frames.Push) -> Refused | None:
        """Hold a push back while the node is full or its store fails; returns why it must fail."""
        engine = self._context.engine
        if engine.store_failure:
            return Refused(
                Status.UNAVAILABLE,
                f"the store of node {self._context.name} fails: {engine.store_failure}",
                "try another node, or again later",
            )
        size_bytes = sum(map(len, frame.payloads)) + OBJECT_OVERHEAD_BYTES * len(frame.payloads)
        if self._fits(size_bytes):
            return None
        timeout_s = self._context.config.limits.push_timeout_s
        with trio.move_on_after(timeout_s):
            await engine.until(lambda: self._fits(size_bytes))
            return None
        return Refused(
            Status.RESOURCE_EXHAUSTED,
            f"node {self._context.name} is full and stayed so for {timeout_s:g} s",
            "add consumers of what it holds, or raise limits.memory_bytes",
        )

    def _fits(self, size_bytes: int) -> bool:
        """Whether so much more stays below the mark; what is larger than it fits an empty node."""
        custody = self._context.engine.brain.context.custody
        held_bytes = custody.held_bytes + OBJECT_OVERHEAD_BYTES * len(custody.objects)
        return not held_bytes or held_bytes + size_bytes <= self._high_water_bytes

    def _refuse_new(self, stream: ProducerStream, frame: frames.Push, refusal: Refused) -> None:
        """Refuse a push, but for what of it was accepted before and is only repeated."""
        engine = self._context.engine
        book, _ = engine.brain.intake.producers.book(stream.producer)
        at, end = frame.first, frame.first + len(frame.payloads)
        for first, count in (*book.missing(at, len(frame.payloads)), (end, 0)):
            if first > at:
                part = (at - frame.first, first - frame.first)
                now = trio.current_time()
                engine.handle(convert.pushed(frame, stream.handle, stream.producer, part, now))
            if count:
                self._context.counters.refused_pushes += count
                stream.refuse(first, count, refusal)
            at = first + count

    # --- effects ----------------------------------------------------------------------------------

    def _acknowledge(self, effect: effects.AcknowledgePush) -> None:
        stream = self._streams.get(effect.stream)
        if stream is not None:
            stream.acknowledge(effect.sequences)

    def adopt(self, stream: ProducerStream) -> None:
        """Have acknowledgements of a stream that is no Produce call delivered too."""
        self._streams[stream.handle] = stream

    def drain(self) -> None:
        """Take nothing more: end each stream once what it brought is acknowledged."""
        self.draining.set()
