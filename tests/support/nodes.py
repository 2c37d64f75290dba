"""A node made of a script, on in-memory streams, for tests of the client.

It does what the protocol says a node does, in the simplest way, and lets a test hold answers back,
refuse, take leases away, drain and die. No routing: objects go where the test sends them, or to the
subscription that is first in the way.
"""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio
from trio.testing import memory_stream_pair

from tests.support.connections import NoteLog
from trionode.client.connecting import ClientBlock
from trionode.client.connector import ClientOptions
from trionode.errors import ConnectError, ConnectionLost, Refused, Status
from trionode.ids import OBJECT_ID_BYTES, from_runs, object_id, to_runs
from trionode.net.connection import Connection
from trionode.net.serving import Route
from trionode.schema.registry import TypeRegistry
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trionode.client import Client
    from trionode.net.call import Call


@attrs.define(eq=False)
class Held:
    """An object that the node has."""

    id: int
    type: str
    payload: bytes
    encoding: str = "json"
    attempt: int = 1
    lessee: Window | None = None


@attrs.define(eq=False)
class Window:
    """A subscription as the node knows it."""

    stream: Stream
    number: int
    types: list[str]
    credit: int
    started: int = 0
    leased: dict[int, Held] = attrs.field(factory=dict)


class Stream:
    """One Consume or Produce call at the node."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.windows: dict[int, Window] = {}
        self.clean = False

    def say(self, *told) -> None:
        for frame in told:
            self.call.send(MESSAGEPACK.encode(frame))


class ScriptedNode:
    """See the top of the file; everything that came is in `heard`."""

    def __init__(self, name: str = "n1", *, addresses: list[str] | None = None) -> None:
        self.hello = frames.NodeHello(
            frames.PROTOCOL, "0.0", name, name, 1, 4 * 1024 * 1024, addresses or []
        )
        self.types = TypeRegistry()
        self.heard: list = []
        self.hellos: list[frames.ClientHello] = []
        self.accepted: dict[int, dict[int, Held]] = {}
        self.ready: list[Held] = []
        self.settled: list[tuple[str, int, int, str]] = []
        self.producers: list[Stream] = []
        self.consumers: list[Stream] = []
        self.connections: list[Connection] = []
        self.answer_pushes = True
        self.answer_settles = True
        self.refuse_hello: Refused | None = None
        self.refuse_subscriptions: Refused | None = None
        self.down = False
        self.log = NoteLog()
        self._news = trio.Event()
        self._ids = itertools.count(object_id(7, 1))
        self.routes = {
            frames.PRODUCE: Route(self._produce),
            frames.CONSUME: Route(self._consume),
            frames.DEFINE: Route(self._define),
            frames.TYPES: Route(self._types),
            frames.STATUS: Route(self._status),
            frames.PING: Route(self._ping),
        }

    # --- what a test does -------------------------------------------------------------------------

    async def dial(self, nursery: trio.Nursery) -> trio.abc.Stream:
        if self.down:
            raise ConnectError(f"{self.hello.name} is down")
        one, other = memory_stream_pair()
        connection = Connection(one, routes=self.routes, peer="client", log=self.log)
        self.connections.append(connection)
        nursery.start_soon(connection.run)
        return other

    def put(self, type_name: str, *payloads: bytes, encoding: str = "json", attempt: int = 1):
        """Have objects without a producer."""
        held = [
            Held(next(self._ids), type_name, payload, encoding, attempt) for payload in payloads
        ]
        self.ready += held
        self.deliver()
        return held

    def deliver(self) -> None:
        """Lease what is ready to who has credit, a frame for each window and type."""
        wanted = {held.type for held in self.ready}
        if not wanted:
            return
        for window in [each for stream in self.consumers for each in stream.windows.values()]:
            if wanted.isdisjoint(window.types):
                continue
            for type_name in window.types:
                room = window.credit - len(window.leased)
                batch = [held for held in self.ready if held.type == type_name][: max(0, room)]
                for encoding in dict.fromkeys(held.encoding for held in batch):
                    self.lease(window, [held for held in batch if held.encoding == encoding])

    def lease(self, window: Window, batch: list[Held]) -> None:
        for held in batch:
            self.ready.remove(held)
            held.lessee = window
            window.leased[held.id] = held
        window.stream.say(
            frames.Deliver(
                window.number,
                batch[0].type,
                to_runs([held.id for held in batch]),
                [held.payload for held in batch],
                batch[0].encoding,
                attempts=[held.attempt for held in batch],
            )
        )

    def lose(self, held: Held, reason: str = "taken away") -> None:
        """Take a lease back."""
        window = held.lessee
        assert window is not None
        del window.leased[held.id]
        held.lessee = None
        window.stream.say(frames.Lost([(held.id, 1)], [held.attempt], reason))

    def drain(self, *addresses: str) -> None:
        """Ask every client to leave."""
        for stream in (*self.producers, *self.consumers):
            stream.say(frames.Draining(list(addresses)))

    def die(self) -> None:
        """Lose every connection, and take no new one."""
        self.down = True
        self.cut()

    def cut(self) -> None:
        """Lose every connection."""
        for connection in self.connections:
            connection.abort()
        self.connections.clear()

    async def until(self, predicate) -> None:
        """Wait until something is so."""
        while not predicate():
            await self._news.wait()
            self._news = trio.Event()

    def told(self, kind: type) -> list:
        """The frames of one kind that came."""
        return [frame for frame in self.heard if isinstance(frame, kind)]

    @property
    def pushed(self) -> list[Held]:
        """Every object that was accepted, in order."""
        return [held for each in self.accepted.values() for held in each.values()]

    def payloads(self) -> list[bytes]:
        return [held.payload for held in self.pushed]

    # --- the handlers -----------------------------------------------------------------------------

    async def _frames(self, call: Call) -> AsyncIterator:
        while messages := await call.receive_many():
            for data in messages:
                frame = MESSAGEPACK.decode(data)
                self.heard.append(frame)
                yield frame
                self._news.set()

    async def _greet(self, call: Call) -> frames.ClientHello:
        data = await call.receive()
        if self.refuse_hello is not None:
            raise self.refuse_hello
        hello = MESSAGEPACK.decode(data)
        assert isinstance(hello, frames.ClientHello)
        self.hellos.append(hello)
        call.send(MESSAGEPACK.encode(self.hello))
        return hello

    async def _produce(self, call: Call) -> None:
        hello = await self._greet(call)
        stream = Stream(call)
        self.producers.append(stream)
        book = self.accepted.setdefault(int.from_bytes(hello.producer, "big"), {})
        producer = int.from_bytes(hello.producer, "big")
        try:
            async for frame in self._frames(call):
                self._push(stream, book, producer, frame)
            stream.clean = True
        finally:
            self.producers.remove(stream)
            self._news.set()

    def _push(self, stream: Stream, book: dict[int, Held], producer: int, frame) -> None:
        assert isinstance(frame, frames.Push)
        for index, payload in enumerate(frame.payloads):
            sequence = frame.first + index
            if sequence not in book:
                refusal = self._refusal(frame, payload)
                if refusal is not None:
                    stream.say(
                        frames.PushRefused(
                            sequence, 1, refusal.grpc_status, refusal.message, refusal.hint
                        )
                    )
                    continue
                held = Held(object_id(producer, sequence), frame.type, payload, frame.encoding)
                book[sequence] = held
                self.ready.append(held)
            if self.answer_pushes:
                stream.say(frames.Pushed([(sequence, 1)]))
        self.deliver()

    def _refusal(self, frame: frames.Push, payload: bytes) -> Refused | None:
        try:
            self.types.check(frame.type, payload, frame.encoding, frame.fingerprint)
        except Refused as error:
            return error
        return None

    async def _consume(self, call: Call) -> None:
        await self._greet(call)
        stream = Stream(call)
        self.consumers.append(stream)
        handlers = {
            frames.Subscribe: self._subscribe,
            frames.Unsubscribe: self._unsubscribe,
            frames.Started: self._started,
            frames.Settle: self._settle,
            frames.Heard: lambda _stream, _frame: None,
        }
        try:
            async for frame in self._frames(call):
                handlers[type(frame)](stream, frame)
            stream.clean = True
        finally:
            self.consumers.remove(stream)
            for window in stream.windows.values():
                self._return(window)
            self.deliver()
            self._news.set()

    def _subscribe(self, stream: Stream, frame: frames.Subscribe) -> None:
        if self.refuse_subscriptions is not None:
            error = self.refuse_subscriptions
            stream.say(frames.Answered(frame.number, error.grpc_status, error.message, error.hint))
            return
        window = stream.windows.get(frame.subscription)
        if window is None:
            window = Window(stream, frame.subscription, frame.types, frame.credit)
            stream.windows[frame.subscription] = window
        window.credit = frame.credit
        stream.say(frames.Answered(frame.number))
        self.deliver()

    def _unsubscribe(self, stream: Stream, frame: frames.Unsubscribe) -> None:
        window = stream.windows.pop(frame.subscription, None)
        if window is not None:
            self._return(window)
        stream.say(frames.Answered(frame.number))
        self.deliver()

    def _return(self, window: Window) -> None:
        for held in window.leased.values():
            held.lessee = None
            self.settled.append(("return", held.id, held.attempt, ""))
        self.ready = [*window.leased.values(), *self.ready]
        window.leased.clear()

    def _started(self, stream: Stream, frame: frames.Started) -> None:
        stream.windows[frame.subscription].started = frame.count

    def _settle(self, stream: Stream, frame: frames.Settle) -> None:
        ids = from_runs(frame.ids)
        refused = []
        for index, (value, attempt) in enumerate(
            zip(ids, frame.attempts or [1] * len(ids), strict=True)
        ):
            found = [window.leased.get(value) for window in stream.windows.values()]
            held = next((each for each in found if each and each.attempt == attempt), None)
            if held is None:
                name = value.to_bytes(OBJECT_ID_BYTES, "big")
                refused.append((name, attempt, "not leased to you"))
                continue
            if frame.action == "replace":
                refusal = self._refusal(
                    frames.Push(held.type, 1, [], frame.encoding), frame.payloads[index]
                )
                if refusal is not None:
                    stream.say(frames.Answered(frame.number, refusal.grpc_status, refusal.message))
                    return
                held.payload, held.encoding = frame.payloads[index], frame.encoding
            del held.lessee.leased[value]
            held.lessee = None
            self.settled.append((frame.action, value, attempt, frame.reason))
        if self.answer_settles:
            stream.say(frames.Answered(frame.number, refused=refused))
        self.deliver()

    async def _unary(self, call: Call):
        frame = MESSAGEPACK.decode(await call.receive())
        self.heard.append(frame)
        self._news.set()
        return frame

    async def _define(self, call: Call) -> None:
        frame = await self._unary(call)
        found = self.types.define(frame.type, frame.schema, force=frame.force)
        call.send(MESSAGEPACK.encode(frames.DefineReply(found.fingerprint)))

    async def _types(self, call: Call) -> None:
        frame = await self._unary(call)
        call.send(MESSAGEPACK.encode(frames.TypesReply(self.types.definitions(frame.name))))

    async def _status(self, call: Call) -> None:
        await self._unary(call)
        call.send(MESSAGEPACK.encode(frames.StatusReply(b'{"format":1,"name":"n1"}')))

    async def _ping(self, call: Call) -> None:
        await self._unary(call)
        if self.refuse_hello is not None:
            raise self.refuse_hello
        call.send(MESSAGEPACK.encode(self.hello))


class Mesh:
    """Scripted nodes by address, and clients of them."""

    def __init__(self, nursery: trio.Nursery, **nodes: ScriptedNode) -> None:
        self.nursery = nursery
        self.nodes = {f"{name}:1": node for name, node in nodes.items()}
        self.dialled: list[str] = []

    async def dial(self, address: str) -> trio.abc.Stream:
        self.dialled.append(address)
        await trio.lowlevel.checkpoint()
        node = self.nodes.get(address)
        if node is None:
            raise ConnectError(f"{address}: nobody listens there")
        return await node.dial(self.nursery)

    def client(self, *addresses: str, **options) -> ClientBlock:
        return ClientBlock(addresses or tuple(self.nodes), ClientOptions(**options), self.dial)


@asynccontextmanager
async def mesh(**nodes: ScriptedNode) -> AsyncIterator[Mesh]:
    """Nodes at the addresses `<name>:1`, gone at the end."""
    async with trio.open_nursery() as nursery:
        yield Mesh(nursery, **nodes)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def one_client(
    node: ScriptedNode | None = None, **options
) -> AsyncIterator[tuple[ScriptedNode, Client]]:
    """A node and a client of it."""
    node = node or ScriptedNode()
    async with mesh(n1=node) as world, world.client(**options) as client:
        yield node, client


__all__ = ["ConnectionLost", "Held", "Mesh", "ScriptedNode", "Status", "mesh", "one_client"]
