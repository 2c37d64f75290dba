"""Connections over in-memory streams: as a pair, or against a peer made of frames."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import attrs
import trio
from hyperframe.frame import Frame, SettingsFrame
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support.frames import FrameFactory
from trionode.net.connection import Connection
from trionode.net.serving import Route

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from trionode.net.options import ConnectionOptions


class NoteLog:
    """Keeps what was logged."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, dict]] = []

    def _note(self, level: str):
        def note(event: str, **fields) -> None:
            self.notes.append((level, event, fields))

        return note

    def __getattr__(self, level: str):
        return self._note(level)

    def at(self, level: str) -> list[str]:
        return [event for noted, event, _ in self.notes if noted == level]


async def echo(call) -> None:
    """A handler that answers every message with itself in capitals."""
    while (message := await call.receive()) is not None:
        call.send(message.upper())


ECHO = {"/test/Echo": Route(echo)}


@attrs.define
class Ends:
    client: Connection
    server: Connection
    nursery: trio.Nursery
    log: NoteLog


@asynccontextmanager
async def connected(
    routes: Mapping[str, Route] = ECHO,
    *,
    options: ConnectionOptions | None = None,
    client_options: ConnectionOptions | None = None,
    lockstep: bool = False,
) -> AsyncIterator[Ends]:
    """A client's and a server's connection that have shaken hands; both are aborted at the end."""
    one, other = lockstep_stream_pair() if lockstep else memory_stream_pair()
    log = NoteLog()
    async with trio.open_nursery() as nursery:
        server = Connection(one, routes=routes, options=options, peer="client", log=log)
        client = Connection(
            other, routes=None, options=client_options or options, peer="server", log=log
        )
        nursery.start_soon(server.run)
        await nursery.start(client.run)
        yield Ends(client, server, nursery, log)
        nursery.cancel_scope.cancel()


class RawPeer:
    """The other end of a connection's stream, in the hands of the test."""

    def __init__(self, stream: trio.abc.HalfCloseableStream) -> None:
        self.stream = stream
        self.frames = FrameFactory()
        self._read = b""
        self.ended = False

    async def send(self, *frames: bytes) -> None:
        await self.stream.send_all(b"".join(frames))

    async def frame(self) -> Frame | None:
        """The next frame; None at the end of the stream."""
        while True:
            if len(self._read) >= 9:
                size = 9 + int.from_bytes(self._read[:3], "big")
                if len(self._read) >= size:
                    data, self._read = self._read[:size], self._read[size:]
                    return self.frames.read(data)[0]
            data = bytes(await self.stream.receive_some(65_536))
            if not data:
                self.ended = True
                return None
            self._read += data
            if self._read.startswith(b"PRI "):
                self._read = self._read[24:]

    async def until(self, kind: type[Frame], **fields: object) -> Frame:
        """Read frames away up to the next of this kind with these attributes."""
        while (frame := await self.frame()) is not None:
            if isinstance(frame, kind) and all(
                getattr(frame, name) == value for name, value in fields.items()
            ):
                return frame
        raise AssertionError(f"the stream ended without {kind.__name__} {fields}")

    async def rest(self) -> list[Frame]:
        """All frames up to the end of the stream."""
        frames = []
        while (frame := await self.frame()) is not None:
            frames.append(frame)
        return frames

    async def settled(self) -> list[Frame]:
        """All frames that come without more being asked for."""
        frames: list[Frame] = []

        async def collect() -> None:
            while (frame := await self.frame()) is not None:
                frames.append(frame)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(collect)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        return frames

    async def greet_server(self, settings: dict[int, int] | None = None) -> None:
        """A client's half of the handshake."""
        await self.send(self.frames.preface(settings), self.frames.settings(ack=True))
        await self.until(SettingsFrame, flags={"ACK"})

    async def greet_client(self, settings: dict[int, int] | None = None) -> None:
        """A server's half of the handshake."""
        await self.send(self.frames.preface(settings, client=False), self.frames.settings(ack=True))
        await self.until(SettingsFrame, flags={"ACK"})


@attrs.define
class Served:
    peer: RawPeer
    connection: Connection
    nursery: trio.Nursery
    log: NoteLog


@asynccontextmanager
async def raw_client(
    routes: Mapping[str, Route] = ECHO,
    *,
    options: ConnectionOptions | None = None,
    settings: dict[int, int] | None = None,
    greet: bool = True,
    lockstep: bool = False,
) -> AsyncIterator[Served]:
    """A server's connection whose client is made of frames."""
    one, other = lockstep_stream_pair() if lockstep else memory_stream_pair()
    log = NoteLog()
    async with trio.open_nursery() as nursery:
        server = Connection(one, routes=routes, options=options, peer="client", log=log)
        nursery.start_soon(server.run)
        peer = RawPeer(other)
        if greet:
            await peer.greet_server(settings)
        yield Served(peer, server, nursery, log)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def raw_server(
    *, options: ConnectionOptions | None = None, settings: dict[int, int] | None = None
) -> AsyncIterator[Served]:
    """A client's connection, its handshake done, whose server is made of frames."""
    one, other = memory_stream_pair()
    log = NoteLog()
    async with trio.open_nursery() as nursery:
        client = Connection(one, routes=None, options=options, peer="server", log=log)
        peer = RawPeer(other)
        async with trio.open_nursery() as greeting:
            greeting.start_soon(peer.greet_client, settings)
            await nursery.start(client.run)
        yield Served(peer, client, nursery, log)
        nursery.cancel_scope.cancel()
