"""Strangers at a node's port, and strangers where a node should be."""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial

import msgpack
import pytest
import trio

import trionode
from tests.support.processes import DEADLINE_S, failure, node_process, status_of, status_when
from tests.support.processes import trionode as command
from tests.support.wires import FrameCall
from trionode.cli.processes import free_address
from trionode.errors import ConnectError, Refused, Status
from trionode.net import listener
from trionode.net.connection import Connection
from trionode.net.dialler import dial, parse_address
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

SAYS = b"this is a trionode node: it speaks gRPC over HTTP/2 with prior knowledge, without TLS"

HELLO_OF_THE_FUTURE = frames.LinkHello(
    protocol_min=7,
    protocol_max=9,
    version="3.2.1",
    node="0" * 16,
    name="future",
    incarnation=1,
    address="127.0.0.1:1",
    durable=False,
)


def exchange(address: str, said: bytes) -> bytes:
    """Say something to a node; all that it answers before it closes."""
    with socket.create_connection(parse_address(address), timeout=DEADLINE_S) as stranger:
        stranger.sendall(said)
        answer = b""
        while chunk := stranger.recv(4096):
            answer += chunk
        return answer


def tls_hello() -> bytes:
    """What a TLS client begins with."""
    import ssl  # noqa: PLC0415  # for this one test

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    hello = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="node")
    with contextlib.suppress(ssl.SSLWantReadError):
        hello.do_handshake()
    return outgoing.read()


def test_an_http1_request_is_answered_in_http1_and_closed(node):
    answer = exchange(node.address, b"GET /metrics HTTP/1.1\r\nHost: node\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 505 ")
    assert b"Connection: close" in head
    assert body == SAYS + b", not HTTP/1.1\n"


@pytest.mark.parametrize("said", [b"\x00" * 64, b"hello\n", b"\xff\xfe\r\n", b"PRI * HTTP/3.0\r\n"])
def test_garbage_is_answered_with_what_speaks_here_and_closed(node, said):
    assert SAYS in exchange(node.address, said)


def test_a_tls_hello_is_answered_in_plain_and_closed(node):
    assert exchange(node.address, tls_hello()) == SAYS + b"\n"


def test_strangers_leave_nothing_behind_at_the_node(node, kind):
    for _ in range(200):
        exchange(node.address, b"garbage, again and again\n")
    assert status_of(node)["counters"]["faults"] == 0
    assert command("push", kind, "1", "--node", node.address).returncode == 0


# --- a node is expected, something else is there ----------------------------------------------


@contextlib.contextmanager
def something_else(answer: bytes):
    """A server that says the same to everybody, once they have said something."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    visitor, _ = server.accept()
                    with visitor:
                        visitor.recv(4096)
                        visitor.sendall(answer)
                        visitor.shutdown(socket.SHUT_WR)
                        while visitor.recv(4096):
                            pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        # Wakes the thread from accept, which closing alone does not.
        server.shutdown(socket.SHUT_RDWR)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_an_http1_server_at_the_address_is_recognised():
    with something_else(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as address:
        said = failure(command("push", "A", "1", "--node", address))
    assert address in said
    assert "HTTP/1.1 400 Bad Request" in said


def test_garbage_from_the_address_is_shown_and_the_next_address_is_tried(node, kind):
    with something_else(b"SSH-2.0-OpenSSH_9.6\r\n") as address:
        assert "SSH-2.0-OpenSSH_9.6" in failure(command("ping", "--node", address))
        used = command("push", kind, "1", "--node", f"{address},{node.address}")
    assert used.returncode == 0, used.stderr


async def test_a_server_that_closes_at_once_or_is_silent_is_named():
    with something_else(b"") as address, pytest.raises(ConnectError, match=address):
        async with trionode.connect(address):
            pass
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConnectError, match=f"{address} did not answer within 0.2 s"):
            async with trionode.connect(address, connect_timeout=0.2):
                pass


# --- HTTP/2, but not as a node of this version says it ----------------------------------------


@contextlib.asynccontextmanager
async def raw_calls(address: str):
    """A connection on which a test says what it likes."""
    stream = await dial(*parse_address(address), timeout_s=DEADLINE_S)
    with trio.fail_after(DEADLINE_S):
        async with trio.open_nursery() as nursery:
            connection = Connection(stream, routes=None, peer=address)
            await nursery.start(connection.run)
            yield connection
            connection.abort()


async def consume(connection) -> FrameCall:
    call = FrameCall(await connection.open(frames.CONSUME))
    call.say(frames.ClientHello())
    await call.hear(frames.NodeHello)
    return call


async def test_an_unknown_optional_frame_is_ignored_and_counted(node, kind):
    before = await told_status(node)
    async with raw_calls(node.address) as connection:
        call = await consume(connection)
        call.call.send(msgpack.packb([99, {"of": "the future"}]))
        await call.subscribe(kind)
    after = await told_status(node)
    assert after["counters"]["unknown_frames"] == before["counters"]["unknown_frames"] + 1


async def told_status(node) -> dict:
    async with trionode.connect(node.address) as client:
        return await client.status()


async def test_an_unknown_mandatory_frame_ends_the_call_with_a_status_and_nothing_else(node, kind):
    async with raw_calls(node.address) as connection:
        call, other = await consume(connection), await consume(connection)
        call.call.send(msgpack.packb([63, {}]))
        with pytest.raises(Refused, match="frame kind 63 is not known here") as refused:
            await call.hear(frames.Answered)
        assert refused.value.grpc_status is Status.UNIMPLEMENTED
        await other.subscribe(kind)


@pytest.mark.parametrize(
    "message", [b"\xc1", b"", b"{}", msgpack.packb([3, {"type": 5}]), msgpack.packb([1, []])]
)
async def test_a_message_that_is_no_frame_ends_its_call_with_the_reason(node, kind, message):
    async with raw_calls(node.address) as connection:
        call, other = await consume(connection), await consume(connection)
        call.call.send(message)
        with pytest.raises(Refused) as refused:
            await call.hear(frames.Answered)
        assert refused.value.grpc_status is Status.INVALID_ARGUMENT
        await other.subscribe(kind)


async def test_bad_json_on_the_wire_is_refused_alone_and_its_neighbours_are_kept(node, kind):
    async with raw_calls(node.address) as connection:
        call = FrameCall(await connection.open(frames.PRODUCE))
        call.say(frames.ClientHello(producer=b"0123456789"))
        await call.hear(frames.NodeHello)
        call.say(frames.Push(kind, 1, [b"1", b"{bad", b"3"]))
        refused = await call.hear(frames.PushRefused)
        assert (refused.first, refused.count) == (2, 1)
        assert refused.status is Status.INVALID_ARGUMENT
        assert "JSON" in refused.message
        accepted = [frame.sequences for frame in call.heard if isinstance(frame, frames.Pushed)]
        while sum(count for runs in accepted for _, count in runs) < 2:
            accepted.append((await call.hear(frames.Pushed)).sequences)
        assert sorted(run for runs in accepted for run in runs) == [(1, 1), (3, 1)]
    assert (await told_status(node))["types"][kind]["ready"] == 2


@pytest.mark.parametrize("path", [frames.CONSUME, frames.PRODUCE])
async def test_a_client_of_another_protocol_is_refused_with_both_versions(node, path):
    async with raw_calls(node.address) as connection:
        call = FrameCall(await connection.open(path))
        hello = frames.ClientHello(7, 9, "3.2.1", producer=b"0123456789")
        call.say(hello)
        with pytest.raises(Refused) as refused:
            await call.hear(frames.NodeHello)
    assert refused.value.grpc_status is Status.FAILED_PRECONDITION
    assert "this client (trionode 3.2.1) speaks protocol 7 to 9, this node 1 to 1" in str(
        refused.value
    )


async def test_a_peer_of_another_protocol_is_refused_with_both_versions(node):
    async with raw_calls(node.address) as connection:
        call = FrameCall(await connection.open(frames.LINK))
        call.say(HELLO_OF_THE_FUTURE)
        with pytest.raises(Refused) as refused:
            await call.hear(frames.LinkHello)
    assert refused.value.grpc_status is Status.FAILED_PRECONDITION
    assert "node future (trionode 3.2.1) speaks protocol 7 to 9, this node 1 to 1" in str(
        refused.value
    )


async def test_a_path_that_nobody_serves_is_unimplemented(node):
    async with raw_calls(node.address) as connection:
        call = FrameCall(await connection.open("/other.v1.Service/Call"))
        call.say(frames.PingRequest())
        with pytest.raises(Refused) as refused:
            await call.hear(frames.NodeHello)
    assert refused.value.grpc_status is Status.UNIMPLEMENTED


async def test_a_node_says_of_each_peer_why_it_is_not_linked():
    nobody = free_address()
    with something_else(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        async with peer_of_the_future() as future:
            peers = [part for address in (nobody, web, future) for part in ("--peer", address)]
            with node_process("lonely", *peers) as node:
                async with trionode.connect(node.address) as client:
                    status = await status_when(
                        client, lambda status: all(each["last_error"] for each in status["peers"])
                    )
    errors = {each["address"]: each["last_error"] for each in status["peers"]}
    assert "nobody listens there" in errors[nobody]
    assert "HTTP/1.1 400 Bad Request" in errors[web]
    assert "node future (trionode 3.2.1) speaks protocol 7 to 9, this node 1 to 1" in errors[future]
    assert {each["state"] for each in status["peers"]} == {"dialling"}


@contextlib.asynccontextmanager
async def peer_of_the_future():
    """A node of another protocol, as far as linking goes."""

    async def link(call) -> None:
        call.send(MESSAGEPACK.encode(HELLO_OF_THE_FUTURE))
        await call.receive()

    async with trio.open_nursery() as nursery:
        listeners = await listener.listen("127.0.0.1", 0)
        serve = partial(listener.serve, connections=set())
        await nursery.start(serve, listeners, {frames.LINK: Route(link)}, ConnectionOptions())
        yield listener.bound_address(listeners[0])
        nursery.cancel_scope.cancel()
