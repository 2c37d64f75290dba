"""Addresses, dialling and its errors, and the waits between tries."""

from __future__ import annotations

import random
import socket

import pytest
import trio

from trionode.errors import ConnectError
from trionode.net.dialler import Backoff, dial, parse_address
from trionode.net.listener import bound_address, listen


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7400", ("127.0.0.1", 7400)),
        ("node-1.example:1", ("node-1.example", 1)),
        ("[::1]:7400", ("::1", 7400)),
        ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535)),
        (" localhost:0 ", ("localhost", 0)),
    ],
)
def test_an_address_is_host_and_port(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host",
        "host:",
        ":7400",
        "::1:7400",
        "[::1]",
        "host:70000",
        "host:-1",
        "host:x",
        "a b:1",
        "http://host:7400",
        "host:7400/x",
        "user@host:1",
        "ho\x00st:1",
        "h\udce4st:1",
    ],
)
def test_what_is_no_address_is_refused_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=r"host:port or \[IPv6\]:port"):
        parse_address(text)


async def test_a_dialled_socket_has_the_options_of_every_connection():
    (listener,) = await listen("127.0.0.1", 0)
    async with listener:
        stream = await dial(*parse_address(bound_address(listener)), timeout_s=5)
        async with stream:
            assert stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_a_port_where_nobody_listens_is_said_so():
    (listener,) = await listen("127.0.0.1", 0)
    host, port = parse_address(bound_address(listener))
    await listener.aclose()
    with pytest.raises(ConnectError, match=rf"127.0.0.1:{port}: nobody listens there"):
        await dial(host, port, timeout_s=5)


async def test_a_host_that_does_not_answer_is_given_up(monkeypatch, autojump_clock):
    async def never(*_args, **_options):
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", never)
    with pytest.raises(ConnectError, match=r"10.0.0.1:7400 did not answer within 3 s"):
        await dial("10.0.0.1", 7400, timeout_s=3)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "host name is not known"),
        (OSError(113, "No route to host"), "no way to that host"),
        (OSError(22, "Invalid argument"), "Invalid argument"),
    ],
)
async def test_errors_of_dialling_are_explained(monkeypatch, error, said):
    async def fail(*_args, **_options):
        raise error

    monkeypatch.setattr(trio, "open_tcp_stream", fail)
    with pytest.raises(ConnectError, match=said):
        await dial("node", 7400, timeout_s=3)


def test_waits_double_up_to_their_bound_and_begin_again():
    backoff = Backoff(lambda: 1.0, first_s=0.5, max_s=3.0)
    assert [backoff.next_s() for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    backoff.reset()
    assert backoff.next_s() == 0.5


def test_waits_are_spread_over_the_whole_bound():
    waits = []
    for seed in range(200):
        backoff = Backoff(random.Random(seed).random, first_s=1.0)
        waits.append(backoff.next_s())
    assert all(0 <= wait <= 1 for wait in waits)
    assert min(waits) < 0.1
    assert max(waits) > 0.9
