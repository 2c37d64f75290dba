"""A client whose pushes are held back settles on the same connection, however small its window.

What is held back lies unread and takes the window of its own call; the connection's, which the
settles need, must not be taken with it (G7).
"""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.wires import frame_client
from trionode.config import Config, Http2, Limits
from trionode.testing import mesh
from trionode.wire import frames

MIB = 1 << 20
LARGE = bytes(400_000)
LEAST = 65_535
CONFIG = Config(
    limits=Limits(memory_bytes=MIB, max_object_bytes=MIB // 2, push_high_water=0.9),
    http2=Http2(stream_window_bytes=LEAST, connection_window_bytes=LEAST),
)


@asynccontextmanager
async def in_time():
    """Nothing may have waited until pushes are refused."""
    with trio.fail_after(0.9 * CONFIG.limits.push_timeout_s):
        yield


def push(first: int) -> frames.Push:
    return frames.Push("A", first, [LARGE], encoding="raw")


@pytest.mark.parametrize("producers", [1, 3])
async def test_settles_pass_pushes_that_are_held_back_on_their_connection(
    producers, autojump_clock
):
    async with (
        mesh(1, config=CONFIG) as nodes,
        frame_client(nodes[0]) as client,
        in_time(),
    ):
        consumer = await client.consumer()
        await consumer.subscribe("A", credit=1)
        streams = [await client.producer(number + 1) for number in range(producers)]
        # Two fill the node, one waits for room; what is behind it lies unread or is still here.
        for first in range(1, 7):
            for stream in streams:
                stream.say(push(first))
        for _ in range(6 * producers):
            delivered = await consumer.hear(frames.Deliver)
            assert delivered.payloads == [LARGE]
            assert (await consumer.settle(delivered)).refused == []
        for stream in streams:
            for first in range(1, 7):
                assert (await stream.hear(frames.Pushed)).sequences == [(first, 1)]
        assert nodes[0].status()["types"]["A"]["settled"] == 6 * producers


async def test_a_client_that_pushes_from_its_handlers_goes_on_when_the_node_is_full(
    autojump_clock,
):
    async with mesh(1, config=CONFIG) as nodes, nodes.connect() as client, in_time():
        pushed = 0

        async def feed() -> None:
            nonlocal pushed
            async with client.pusher(type="A") as pusher:
                for _ in range(12):
                    await pusher.send(LARGE)
                    pushed += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(feed)
            async with client.subscribe("A", credit=1) as deliveries:
                for _ in range(12):
                    (await anext(deliveries)).ack()
            assert pushed == 12
