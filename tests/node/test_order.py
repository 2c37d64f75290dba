"""Priorities and ordering keys between real nodes in memory, through the client."""

from __future__ import annotations

import pytest
import trio

from tests.support.wires import frame_client
from trionode.config import Config, Limits, Peers
from trionode.errors import Refused, Status
from trionode.testing import mesh
from trionode.testing.nodes import ONE_BEFORE
from trionode.wire import frames

each_store = pytest.mark.usefixtures("each_store")
"""For all but what is about a node that keeps nothing."""

CHAIN = Config(peers=Peers(discovery=False))


async def taken(deliveries, count: int) -> list:
    """So many objects, each acknowledged before the next is asked for."""
    seen = []
    for _ in range(count):
        with trio.fail_after(100):
            with await anext(deliveries) as value:
                seen.append(value)
    return seen


async def test_higher_priorities_come_first_and_low_ones_in_their_turn(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        for number in range(30):
            await client.push(["high", number], type="A", priority=9)
        await client.push(["low", 0], type="A", priority=0)
        await client.push(["usual", 0], type="A")
        async with client.subscribe("A", credit=1) as deliveries:
            words = [word for word, _ in await taken(deliveries, 32)]
    assert words[:7] == ["high"] * 7
    assert words[7] == "usual"
    assert words.index("low") == 15


async def test_a_priority_that_is_none_is_refused(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        for priority in (-1, 10):
            with pytest.raises((Refused, ValueError)) as caught:
                await client.push(1, type="A", priority=priority)
            if isinstance(caught.value, Refused):
                assert caught.value.grpc_status is Status.INVALID_ARGUMENT
        assert not nodes[0].status()["types"]


@each_store
async def test_objects_of_a_key_are_delivered_one_after_another(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", credit=10) as deliveries,
    ):
        for number in range(3):
            await client.push(number, type="A", ordering_key="k")
        await client.push("other", type="A", ordering_key="l")
        first, other = await anext(deliveries), await anext(deliveries)
        assert (first.object, other.object) == (0, "other")
        status = nodes[0].status()["types"]["A"]
        assert (status["ready"], status["blocked"], status["leased"]) == (2, 2, 2)
        first.ack()
        other.ack()
        assert await taken(deliveries, 2) == [1, 2]


@each_store
async def test_a_key_keeps_its_order_over_a_chain_of_nodes(autojump_clock):
    async with (
        mesh(3, links=ONE_BEFORE, config=CHAIN) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[2]) as far,
    ):
        for number in range(20):
            await near.push(number, type="A", ordering_key="k")
        async with far.subscribe("A", credit=10) as deliveries:
            assert await taken(deliveries, 20) == list(range(20))
        for node in nodes.nodes:
            await node.until(lambda status: not _held(status))


async def test_the_next_of_a_key_waits_while_another_node_works_on_the_first(autojump_clock):
    async with (
        mesh(2) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[1]) as far,
        far.subscribe("A", credit=10) as away,
    ):
        await near.push(0, type="A", ordering_key="k")
        await near.push(1, type="A", ordering_key="k")
        first = await anext(away)
        async with near.subscribe("A", credit=10) as here:
            await trio.sleep(100)
            assert nodes[0].status()["types"]["A"]["leased"] == 0
            first.ack()
            assert await taken(here, 1) == [1]


async def test_a_key_goes_on_when_the_node_with_its_first_stays_away(autojump_clock):
    async with (
        mesh(2) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[1]) as far,
        far.subscribe("A", credit=10) as away,
    ):
        await near.push(0, type="A", ordering_key="k")
        await near.push(1, type="A", ordering_key="k")
        await anext(away)
        async with near.subscribe("A", credit=10) as here:
            began = trio.current_time()
            await nodes[1].kill()
            assert await taken(here, 1) == [1]
            assert 29 < trio.current_time() - began < 32


async def test_offers_stay_within_a_message_however_large_the_properties(autojump_clock):
    """256 small objects with 15 kB of properties each would be 4 MB in one frame."""
    async with (
        mesh(2, config=Config(limits=Limits(max_object_bytes=1 << 20))) as nodes,
        frame_client(nodes[0]) as one,
        nodes.connect(nodes[1]) as far,
    ):
        producer = await one.producer()
        trace = {"trace": "\U0001d11e" * 3900}
        for first in range(1, 301, 10):
            details = dict.fromkeys(range(10), trace)
            producer.say(frames.Push("A", first, [b"1"] * 10, details=details))
            await producer.hear(frames.Pushed)
        async with far.subscribe("A", credit=300) as deliveries:
            assert await taken(deliveries, 300) == [1] * 300
        assert nodes[0].status()["peers"][0]["last_error"] == ""


def _held(status) -> int:
    states = ("ready", "delayed", "leased", "transferring", "dead")
    return sum(counts[state] for counts in status["types"].values() for state in states)
