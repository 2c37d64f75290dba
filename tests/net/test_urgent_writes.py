"""What is urgent is written at once, whole and in order with what the writer task writes."""

from __future__ import annotations

import select
import socket
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.connections import ECHO
from trionode.net import output
from trionode.net.connection import Connection
from trionode.net.options import ConnectionOptions
from trionode.net.output import QUIET_S
from trionode.net.serving import Route

PATH = "/test/Echo"
WIDE = ConnectionOptions(
    stream_window_bytes=16 * 1024 * 1024,
    connection_window_bytes=64 * 1024 * 1024,
    max_unsent_bytes=64 * 1024 * 1024,
)


@attrs.define
class Ends:
    client: Connection
    server: Connection
    socket: trio.SocketStream
    """The server's."""

    @property
    def readable(self) -> bool:
        """Whether bytes lie in the server's socket, looked at without a turn of the loop."""
        return bool(select.select([self.socket.socket.fileno()], [], [], 0)[0])


@asynccontextmanager
async def over_sockets(routes=ECHO, options: ConnectionOptions = WIDE):
    """Two connections over a pair of real sockets with small buffers."""
    one, other = (trio.SocketStream(trio.socket.from_stdlib_socket(s)) for s in socket.socketpair())
    other.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
    async with trio.open_nursery() as nursery:
        server = Connection(one, routes=routes, options=options)
        client = Connection(other, routes=None, options=options)
        nursery.start_soon(server.run)
        await nursery.start(client.run)
        await client.ping()
        yield Ends(client, server, one)
        nursery.cancel_scope.cancel()


async def test_what_is_urgent_is_in_the_socket_before_anybody_else_has_a_turn():
    async with over_sockets() as ends:
        call = await ends.client.open(PATH)
        call.send(b"first")
        assert await call.receive() == b"FIRST"
        await ends.client.ping()
        call.queue(b"urgent")
        assert not ends.readable
        assert ends.client.write_now()
        assert ends.readable
        assert await call.receive() == b"URGENT"


async def test_what_is_wanted_soon_goes_at_once_on_a_quiet_connection_only(mock_clock):
    async with over_sockets() as ends:
        call = await ends.client.open(PATH)
        await ends.client.ping()
        mock_clock.jump(QUIET_S)
        before = ends.client.statistics().unsent_bytes
        call.queue(b"one")
        ends.client.write_soon()
        assert ends.client.statistics().unsent_bytes == before
        call.queue(b"two")
        ends.client.write_soon()
        assert ends.client.statistics().unsent_bytes > before
        assert [await call.receive(), await call.receive()] == [b"ONE", b"TWO"]


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "in a write"])
async def test_what_the_socket_does_not_take_comes_later_and_in_order(busy):
    came: list[bytes] = []
    reading, all_came = trio.Event(), trio.Event()

    async def collect(call) -> None:
        await reading.wait()
        while (message := await call.receive()) is not None:
            came.append(message)
        all_came.set()

    sent = [bytes([number]) * 100_000 for number in range(100)]
    async with over_sockets({PATH: Route(collect)}) as ends:
        call = await ends.client.open(PATH)
        for message in sent:
            if busy:
                call.send(message)
                await trio.lowlevel.checkpoint()
            else:
                call.queue(message)
            ends.client.write_now()
        call.end_sending()
        reading.set()
        with trio.fail_after(10):
            await all_came.wait()
        assert came == sent


async def test_a_connection_that_is_over_takes_no_harm_from_what_is_urgent():
    async with over_sockets() as ends:
        call = await ends.client.open(PATH)
        ends.socket.socket.close()
        call.queue(b"late")
        ends.client.write_now()
        with trio.fail_after(10):
            while not ends.client.end_reason:
                await wait_all_tasks_blocked()
        assert not ends.client.write_now()


async def test_an_interrupt_loses_no_bytes_of_an_urgent_write(monkeypatch):
    protected: list[bool] = []

    def note(_stream, _data) -> int:
        protected.append(trio.lowlevel.currently_ki_protected())
        return 0

    async with over_sockets() as ends:
        call = await ends.client.open(PATH)
        await ends.client.ping()
        assert not trio.lowlevel.currently_ki_protected()
        monkeypatch.setattr(output, "write_some", note)
        call.queue(b"kept")
        assert not ends.client.write_now()
        assert await call.receive() == b"KEPT"
    assert protected == [True]
