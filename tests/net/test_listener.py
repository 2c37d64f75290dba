"""Serving on real sockets: what is accepted, what survives, what is refused and how it is said."""

from __future__ import annotations

import errno
import socket
from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.connections import ECHO, NoteLog
from trionode.errors import ConnectError, ConnectionLost
from trionode.net.connection import Connection
from trionode.net.dialler import dial, parse_address
from trionode.net.listener import bound_address, listen, serve
from trionode.net.options import ConnectionOptions

PATH = "/test/Echo"


@asynccontextmanager
async def serving(wrap=lambda listener: listener, max_connections=100):
    log, connections = NoteLog(), set()
    listeners = [wrap(listener) for listener in await listen("127.0.0.1", 0)]
    host, port = parse_address(bound_address(listeners[0]))

    async def run(task_status) -> None:
        await serve(
            listeners,
            ECHO,
            ConnectionOptions(),
            connections=connections,
            max_connections=max_connections,
            log=log,
            task_status=task_status,
        )

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            started = await nursery.start(run)
            assert started == listeners
            yield nursery, (host, port), connections, log, listeners
            nursery.cancel_scope.cancel()


async def connect(nursery: trio.Nursery, address: tuple[str, int]) -> Connection:
    client = Connection(
        await dial(*address, timeout_s=5), routes=None, peer="{}:{}".format(*address)
    )
    await nursery.start(client.run)
    return client


async def test_a_connection_too_many_is_closed_and_the_others_go_on():
    async with serving(max_connections=1) as (nursery, address, connections, log, _):
        first = await connect(nursery, address)
        async with await trio.open_tcp_stream(*address) as refused:
            assert await refused.receive_some() == b""
        assert log.at("warning") == ["too many connections; a new one was closed"]
        call = await first.open(PATH)
        call.send(b"x")
        assert await call.receive() == b"X"
        assert len(connections) == 1


async def test_calls_are_served_over_tcp():
    async with serving() as (nursery, address, connections, _, _):
        client = await connect(nursery, address)
        call = await client.open(PATH)
        call.send(b"x" * 1_000_000)
        assert await call.receive() == b"X" * 1_000_000
        (server,) = connections
        assert server.peer.startswith("127.0.0.1:")


async def test_connections_leave_the_set_when_they_end():
    async with serving() as (nursery, address, connections, log, _):
        clients = [await connect(nursery, address) for _ in range(3)]
        assert len(connections) == 3
        servers = list(connections)
        for client in clients:
            client.drain()
        while connections:
            await trio.lowlevel.checkpoint()
        assert {server.end_reason for server in servers} == {"the peer closed the connection"}
        assert log.at("error") == log.at("warning") == []


async def test_a_stranger_hurts_nobody_else():
    async with serving() as (nursery, address, _, _, _):
        client = await connect(nursery, address)
        answer = b""
        async with await trio.open_tcp_stream(*address) as stranger:
            await stranger.send_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            while data := await stranger.receive_some(65_536):
                answer += bytes(data)
        assert answer.startswith(b"HTTP/1.1 505")
        call = await client.open(PATH)
        call.send(b"still")
        assert await call.receive() == b"STILL"


async def test_a_connection_that_is_reset_at_once_is_survived():
    async with serving() as (nursery, address, _, _, _):
        for _ in range(5):
            stream = await trio.open_tcp_stream(*address)
            linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            await stream.aclose()
        client = await connect(nursery, address)
        assert await client.ping() >= 0


class FailingListener:
    """Fails to accept a few times, as a process without free file descriptors does."""

    def __init__(self, listener: trio.SocketListener, codes: list[int]) -> None:
        self._listener = listener
        self.socket = listener.socket
        self._codes = codes

    async def accept(self):
        if self._codes:
            code = self._codes.pop()
            raise OSError(code, "on purpose")
        return await self._listener.accept()

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_error) -> None:
        await self._listener.aclose()


async def test_a_connection_whose_peer_is_gone_already_is_dropped(monkeypatch):
    async with serving() as (_, address, _, log, listeners):
        accept = listeners[0].accept

        class Gone:
            def __init__(self, stream) -> None:
                self._stream = stream
                self.socket = self

            def getpeername(self):
                raise OSError(errno.ENOTCONN, "gone")

            async def aclose(self) -> None:
                dropped.set()
                await self._stream.aclose()

        dropped = trio.Event()

        async def accept_gone():
            return Gone(await accept())

        monkeypatch.setattr(listeners[0], "accept", accept_gone)
        # The first is accepted by the call that was under way already.
        (await trio.open_tcp_stream(*address)).socket.close()
        (await trio.open_tcp_stream(*address)).socket.close()
        await dropped.wait()
        assert log.at("error") == []


async def test_a_port_that_needs_privileges_is_said_so(monkeypatch):
    async def refuse(*_args, **_options):
        raise OSError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(trio, "open_tcp_listeners", refuse)
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:80: not allowed; ports below 1024"):
        await listen("127.0.0.1", 80)


async def test_running_out_of_file_descriptors_is_reported_and_survived():
    codes = [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ECONNABORTED]
    async with serving(lambda listener: FailingListener(listener, codes)) as (
        nursery,
        address,
        _,
        log,
        _,
    ):
        client = await connect(nursery, address)
        assert await client.ping() >= 0
        assert log.at("warning") == ["cannot accept a connection"] * 4


async def test_closing_the_listeners_lets_connections_go_on_until_they_end():
    listeners = await listen("127.0.0.1", 0)
    address = parse_address(bound_address(listeners[0]))
    connections: set[Connection] = set()
    over = trio.Event()

    async def run(task_status) -> None:
        await serve(
            listeners, ECHO, ConnectionOptions(), connections=connections, task_status=task_status
        )
        over.set()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            client = await connect(nursery, address)
            for listener in listeners:
                await listener.aclose()
            call = await client.open(PATH)
            call.send(b"x")
            assert await call.receive() == b"X"
            assert not over.is_set()
            for connection in connections:
                connection.drain()
            call.end_sending()
            assert await call.receive() is None
            await over.wait()
    assert connections == set()


async def test_aborting_the_servers_connections_loses_the_clients_calls():
    async with serving() as (nursery, address, connections, _, _):
        client = await connect(nursery, address)
        call = await client.open(PATH)
        for connection in connections:
            connection.abort()
        with pytest.raises(ConnectionLost):
            await call.receive()


async def test_a_bug_in_a_connection_leaves_the_server_standing(monkeypatch):
    async with serving() as (nursery, address, _, log, _):

        async def broken(_self) -> None:
            raise KeyError("bug")

        with monkeypatch.context() as patch:
            patch.setattr(Connection, "run", broken)
            stream = await trio.open_tcp_stream(*address)
            while not log.at("error"):
                await trio.lowlevel.checkpoint()
            await stream.aclose()
        client = await connect(nursery, address)
        assert await client.ping() >= 0


async def test_a_port_in_use_is_said_so():
    (listener,) = await listen("127.0.0.1", 0)
    async with listener:
        _, port = parse_address(bound_address(listener))
        with pytest.raises(ConnectError, match=rf"127.0.0.1:{port}: the port is in use"):
            await listen("127.0.0.1", port)


async def test_an_address_of_another_host_is_said_so():
    with pytest.raises(ConnectError, match=r"192.0.2.1:0: no network interface"):
        await listen("192.0.2.1", 0)


async def test_a_host_name_that_does_not_exist_cannot_be_listened_on():
    with pytest.raises(ConnectError, match="cannot listen on no host:0"):
        await listen("no host", 0)
