"""Socket options, and telling a dead host from a process that does not read."""

from __future__ import annotations

import socket
import struct

import pytest
import trio
from trio.testing import memory_stream_pair

from trionode.net import sockets
from trionode.net.sockets import PeerWatch, address_text, prepare

LINUX = hasattr(socket, "TCP_INFO") and hasattr(socket, "TCP_USER_TIMEOUT")
needs_linux = pytest.mark.skipif(not LINUX, reason="TCP_INFO and TCP_USER_TIMEOUT are Linux's")


async def tcp_pair() -> tuple[trio.SocketStream, trio.SocketStream]:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    one = await trio.open_tcp_stream(*listener.socket.getsockname())
    other = await listener.accept()
    await listener.aclose()
    return one, other


def user_timeout_ms(stream: trio.SocketStream) -> int:
    return stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1", 80), "127.0.0.1:80"),
        (("::1", 80, 0, 0), "[::1]:80"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_an_address_as_text(address, text):
    assert address_text(address) == text


@needs_linux
async def test_a_prepared_socket_has_short_probes_and_a_user_timeout():
    one, other = await tcp_pair()
    async with one, other:
        prepare(one)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == sockets.PROBE_IDLE_S
        assert user_timeout_ms(one) == sockets.USER_TIMEOUT_MS


async def test_a_socket_that_is_closed_already_is_left_alone():
    one, other = await tcp_pair()
    async with other:
        await one.aclose()
        prepare(one)
        assert not PeerWatch(one).is_dead()


async def test_a_stream_that_is_no_socket_is_never_dead():
    one, _ = memory_stream_pair()
    assert not PeerWatch(one).is_dead()


@needs_linux
async def test_a_peer_that_does_not_read_is_spared_the_user_timeout_until_it_reads_again():
    one, other = await tcp_pair()
    async with one, other:
        prepare(one)
        watch = PeerWatch(one)
        assert not watch.is_dead()
        assert user_timeout_ms(one) == sockets.USER_TIMEOUT_MS
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send_all, bytes(50_000_000))
                while user_timeout_ms(one):
                    await trio.testing.wait_all_tasks_blocked()
                    assert not watch.is_dead()
                left = 50_000_000
                while left:
                    left -= len(await other.receive_some(1_000_000))
        while not user_timeout_ms(one):
            assert not watch.is_dead()


@needs_linux
@pytest.mark.parametrize(
    ("probes", "silent_ms", "waiting_bytes", "in_flight", "dead"),
    [
        (3, 30_000, 100, 0, True),
        (2, 90_000, 100, 0, False),
        (3, 29_999, 100, 0, False),
        (3, 30_000, 0, 0, False),
        (3, 30_000, 100, 1, False),
    ],
)
async def test_only_unanswered_probes_of_a_shut_window_mean_a_dead_host(
    monkeypatch, probes, silent_ms, waiting_bytes, in_flight, dead
):
    one, other = await tcp_pair()
    async with one, other:
        info = bytearray(148)
        info[3] = probes
        struct.pack_into("=I", info, 24, in_flight)
        struct.pack_into("=I", info, 56, silent_ms)
        struct.pack_into("=I", info, 144, waiting_bytes)
        monkeypatch.setattr(one, "getsockopt", lambda *_args: bytes(info))
        assert PeerWatch(one).is_dead() is dead


async def test_a_kernel_that_tells_too_little_is_believed_nothing(monkeypatch):
    one, other = await tcp_pair()
    async with one, other:
        monkeypatch.setattr(one, "getsockopt", lambda *_args: bytes(100))
        assert not PeerWatch(one).is_dead()
