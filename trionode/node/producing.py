"""Producer streams: pushes are checked, held back while the node is full, acknowledged.

A stream is read only as fast as there is room, so HTTP/2's window holds its producer back; settles
come on streams of their own and are never held back by pushes (G7).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.ids import OBJECT_ID_BYTES, PRODUCER_BYTES
from trionode.node import convert
from trionode.node.context import Wire, check_protocol, misplaced
from trionode.node.judging import first_bad
from trionode.node.room import Room
from trionode.routing import effects
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES, weight_of
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.net.call import Call
    from trionode.node.context import NodeContext

PUSH_OBJECTS_MAX = 65_536
"""Objects of one push: each costs the node work before anybody else has a turn."""


class ProducerStream:
    """One producer's stream of pushes; see `Producing`."""

    def __init__(self, wire: Wire, handle: int, producer: int) -> None:
        self.wire = wire
        self.handle = handle
        self.producer = producer
        self.unanswered = 0
        """Objects that were taken and are not acknowledged yet."""
        self._fewer: trio.Event | None = None
        self.reading = trio.CancelScope()
        """Cancelled when nothing more is to be read; what waits for room is left unanswered."""

    def acknowledge(self, sequences: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
        """Tell the producer that these are in custody, some under the ids of others."""
        self.unanswered -= sum([count for _, count in sequences])
        if self._fewer is not None:
            self._fewer.set()
            self._fewer = None
        named = [(sequence, id_.to_bytes(OBJECT_ID_BYTES, "big")) for sequence, id_ in others]
        self._tell(frames.Pushed(sequences, named))

    async def until_unanswered(self, count: int) -> None:
        """Wait until no more than so many are not acknowledged."""
        while self.unanswered > count:
            if self._fewer is None:
                self._fewer = trio.Event()
            await self._fewer.wait()

    def refuse(self, first: int, count: int, refusal: Refused) -> None:
        """Tell the producer that these are not taken."""
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
        self._room = Room(context)
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
            with stream.reading:
                await self._read(stream)
            await self._finish(stream)
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

    async def _finish(self, stream: ProducerStream) -> None:
        """Wait until what was taken is acknowledged: the producer, or the node, says no more."""
        timeout_s = math.inf
        if stream.reading.cancelled_caught:
            stream.wire.send(frames.Draining(self._context.fallback_addresses()))
            timeout_s = self._context.config.node.drain_timeout_s
        with trio.move_on_after(timeout_s):
            await stream.until_unanswered(0)

    async def push(self, stream: ProducerStream, frame: frames.Push) -> None:
        """Take a push, or refuse it, wholly or in part; the outcome is told to the stream.

        Raises:
            Refused: the node is leaving; there is no outcome.
            ProtocolError: it is more than one push may be.
        """
        if len(frame.payloads) > PUSH_OBJECTS_MAX:
            raise ProtocolError(
                f"a push of {len(frame.payloads)} objects; at most {PUSH_OBJECTS_MAX} go in one",
                grpc_status=Status.INVALID_ARGUMENT,
            )
        refusal = await self._wait_for_room(stream, frame)
        self._context.check_serving()
        if refusal is not None:
            self._refuse_new(stream, frame, refusal)
            return
        for start, end, bad in self._judge(frame):
            if bad is None:
                self._take(stream, frame, start, end)
            else:
                self._context.counters.refused_pushes += end - start
                stream.refuse(frame.first + start, end - start, bad)

    def _take(self, stream: ProducerStream, frame: frames.Push, start: int, end: int) -> None:
        """Give the objects [start, end) of a push to the brain."""
        stream.unanswered += end - start
        part, now = (start, end), trio.current_time()
        event = convert.pushed(frame, stream.handle, stream.producer, part, now)
        self._context.engine.handle(event)

    def _judge(self, frame: frames.Push) -> Iterator[tuple[int, int, Refused | None]]:
        """The parts [start, end) of a push that are to be taken, or refused and why.

        After a bad one, few are looked at together, and more again as they are good: each time all
        that remain would cost the square of their number.
        """
        payloads = frame.payloads
        start, count = 0, len(payloads)
        step = count
        while start < count:
            end = min(start + step, count)
            part = payloads if end - start == count else payloads[start:end]
            found = first_bad(self._context, frame, start, part)
            if found is None:
                yield start, end, None
                start, step = end, step * 2
                continue
            index, refusal = found
            if index:
                yield start, start + index, None
            yield start + index, start + index + 1, refusal
            start, step = start + index + 1, 1

    # --- room -------------------------------------------------------------------------------------

    async def _wait_for_room(self, stream: ProducerStream, frame: frames.Push) -> Refused | None:
        """Hold a push back while the node is full or its store fails; returns why it must fail."""
        refusal = self._store_failed()
        if refusal is not None:
            return refusal
        if not self._missing(stream, frame):
            return None
        payload_bytes = sum(map(len, frame.payloads))
        refusal = self._type_full(frame, payload_bytes)
        if refusal is None:
            refusal = await self._wait_for_answers(stream, len(frame.payloads))
        if refusal is not None:
            return refusal
        size_bytes = payload_bytes + OBJECT_OVERHEAD_BYTES * len(frame.payloads)
        size_bytes += sum(map(weight_of, frame.details.values()))
        if await self._room.wait_for(size_bytes):
            return None
        timeout_s = self._context.config.limits.push_timeout_s
        return Refused(
            Status.RESOURCE_EXHAUSTED,
            f"node {self._context.name} is full and stayed so for {timeout_s:g} s",
            "add consumers of what it holds, or raise limits.memory_bytes",
        )

    def _store_failed(self) -> Refused | None:
        """Why nothing can be taken, if the store fails."""
        failure = self._context.engine.store_failure
        if not failure:
            return None
        return Refused(
            Status.UNAVAILABLE,
            f"the store of node {self._context.name} fails: {failure}",
            "try another node, or again later",
        )

    async def _wait_for_answers(self, stream: ProducerStream, count: int) -> Refused | None:
        """Hold a push back while too much of its stream is unanswered; why it must fail."""
        limits = self._context.config.limits
        limit = limits.max_stream_pushes
        if not stream.unanswered or stream.unanswered + count <= limit:
            return None
        with trio.move_on_after(limits.push_timeout_s):
            await stream.until_unanswered(max(0, limit - count))
            return self._store_failed()
        return self._store_failed() or Refused(
            Status.RESOURCE_EXHAUSTED,
            f"node {self._context.name} has {stream.unanswered} objects of one stream unanswered"
            f" for {limits.push_timeout_s:g} s; it takes at most {limit}",
            "push more slowly, or raise limits.max_stream_pushes",
        )

    def _type_full(self, frame: frames.Push, payload_bytes: int) -> Refused | None:
        """Why a push is more than may be held of its type, if it is."""
        limits = self._context.config.limits
        objects, size_bytes = limits.max_type_objects, limits.max_type_bytes
        if not objects and not size_bytes:
            return None
        table = self._context.engine.brain.context.custody.tables.get(frame.type)
        held, held_bytes = (0, 0) if table is None else (table.held, table.held_bytes)
        if objects and held + len(frame.payloads) > objects:
            limit, key = f"{objects} objects", "max_type_objects"
        elif size_bytes and held_bytes + payload_bytes > size_bytes:
            limit, key = f"{size_bytes} bytes", "max_type_bytes"
        else:
            return None
        return Refused(
            Status.RESOURCE_EXHAUSTED,
            f"node {self._context.name} takes at most {limit} of one type",
            f"add consumers of {frame.type}, or raise limits.{key}",
        )

    def _missing(self, stream: ProducerStream, frame: frames.Push) -> list[tuple[int, int]]:
        """What of a push was not accepted before, as runs of sequences."""
        book = self._context.engine.brain.intake.producers.find(stream.producer)
        run = (frame.first, len(frame.payloads))
        return [run] if book is None else book.missing(*run)

    def _refuse_new(self, stream: ProducerStream, frame: frames.Push, refusal: Refused) -> None:
        """Refuse a push, but for what of it was accepted before and is only repeated."""
        at, end = frame.first, frame.first + len(frame.payloads)
        for first, count in (*self._missing(stream, frame), (end, 0)):
            if first > at:
                self._take(stream, frame, at - frame.first, first - frame.first)
            if count:
                self._context.counters.refused_pushes += count
                stream.refuse(first, count, refusal)
            at = first + count

    # --- effects ----------------------------------------------------------------------------------

    def _acknowledge(self, effect: effects.AcknowledgePush) -> None:
        stream = self._streams.get(effect.stream)
        if stream is not None:
            stream.acknowledge(effect.sequences, effect.others)

    def adopt(self, stream: ProducerStream) -> None:
        """Have acknowledgements of a stream that is no Produce call delivered too."""
        self._streams[stream.handle] = stream

    def drain(self) -> None:
        """Take nothing more: end each stream once what it brought is acknowledged."""
        for stream in self._streams.values():
            stream.reading.cancel()
