"""Calls to a node under test in frames: what a client says and hears, without a client."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

from trionode.net.connection import Connection
from trionode.net.dialler import parse_address
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trionode.testing import NodeUnderTest


class FrameCall:
    """One call as frames."""

    def __init__(self, call) -> None:
        self.call = call
        self.heard: list = []

    def say(self, frame) -> None:
        self.call.send(MESSAGEPACK.encode(frame))

    async def hear(self, kind):
        """The next frame of that kind; others are kept in `heard`."""
        while (data := await self.call.receive()) is not None:
            frame = MESSAGEPACK.decode(data)
            if isinstance(frame, kind):
                return frame
            self.heard.append(frame)
        raise AssertionError(f"the call ended without {kind.__name__}")

    async def is_silent(self) -> bool:
        """Whether nothing more has come once everybody waits."""
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as scope:
            scope.cancel()
            data = await self.call.receive()
            self.heard.append(None if data is None else MESSAGEPACK.decode(data))
        return scope.cancelled_caught

    async def subscribe(self, *types: str, credit: int = 10, number: int = 1) -> None:
        self.say(frames.Subscribe(number, number, list(types), credit, 1 << 20))
        assert await self.hear(frames.Answered) == frames.Answered(number)

    async def settle(self, delivered: frames.Deliver, action: str = "ack", number: int = 100):
        self.say(frames.Settle(number, action, delivered.ids, delivered.attempts))
        return await self.hear(frames.Answered)


class FrameClient:
    """A connection to a node under test."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def consumer(self, producer: int = 0) -> FrameCall:
        """A consumer's call; `producer`: the id under which it emits results."""
        call = FrameCall(await self.connection.open(frames.CONSUME))
        emitter = producer.to_bytes(10, "big") if producer else b""
        call.say(frames.ClientHello(producer=emitter))
        await call.hear(frames.NodeHello)
        return call

    async def producer(self, producer: int = 1, acknowledged: int = 0) -> FrameCall:
        call = FrameCall(await self.connection.open(frames.PRODUCE))
        call.say(
            frames.ClientHello(producer=producer.to_bytes(10, "big"), acknowledged=acknowledged)
        )
        await call.hear(frames.NodeHello)
        return call

    async def push(self, type_name: str, *payloads: bytes, producer: int = 1) -> frames.Pushed:
        """Push on a stream of its own, as raw bytes, and wait for custody."""
        call = await self.producer(producer)
        call.say(frames.Push(type_name, 1, list(payloads), encoding="raw"))
        pushed = await call.hear(frames.Pushed)
        call.call.end_sending()
        return pushed

    async def ask(self, path: str, request, reply):
        call = FrameCall(await self.connection.open(path))
        call.say(request)
        call.call.end_sending()
        return await call.hear(reply)


@asynccontextmanager
async def frame_client(node: NodeUnderTest) -> AsyncIterator[FrameClient]:
    stream = await node.node.network.dial(*parse_address(node.address), timeout_s=1)
    async with trio.open_nursery() as nursery:
        connection = Connection(stream, routes=None, peer=node.address)
        await nursery.start(connection.run)
        yield FrameClient(connection)
        connection.abort()
