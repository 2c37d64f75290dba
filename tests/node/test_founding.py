"""The founding scenario between real nodes in memory, and what follows from it directly."""

from __future__ import annotations

import pytest
import trio

from tests.support.wires import frame_client
from trionode.config import Config, Peers
from trionode.testing import mesh
from trionode.testing.nodes import ONE_BEFORE
from trionode.wire import frames

each_store = pytest.mark.usefixtures("each_store")
"""For all but what is about a node that keeps nothing."""

STATES = ("ready", "delayed", "leased", "transferring", "dead")


def held(status) -> int:
    return sum(counts[state] for counts in status["types"].values() for state in STATES)


def is_empty(status) -> bool:
    return held(status) == 0


@each_store
@pytest.mark.parametrize("pushes_first", [True, False])
async def test_each_of_two_clients_gets_the_other_ones_object(pushes_first, autojump_clock):
    async with (
        mesh(2) as nodes,
        frame_client(nodes[0]) as one,
        frame_client(nodes[1]) as two,
    ):
        wants_b, wants_a = await one.consumer(), await two.consumer()
        if pushes_first:
            await one.push("A", b"from one", producer=1)
            await two.push("B", b"from two", producer=2)
        await wants_b.subscribe("B")
        await wants_a.subscribe("A")
        if not pushes_first:
            await one.push("A", b"from one", producer=1)
            await two.push("B", b"from two", producer=2)
        got_a, got_b = await wants_a.hear(frames.Deliver), await wants_b.hear(frames.Deliver)
        assert (got_a.type, got_a.payloads) == ("A", [b"from one"])
        assert (got_b.type, got_b.payloads) == ("B", [b"from two"])
        assert (await wants_a.settle(got_a)).refused == []
        assert (await wants_b.settle(got_b)).refused == []
        first, second = await nodes[0].until(is_empty), await nodes[1].until(is_empty)
        assert first["types"]["B"]["settled"] == 1
        assert second["types"]["A"]["settled"] == 1
        assert first["types"]["A"]["transferred"] == second["types"]["A"]["received"] == 1


@each_store
async def test_a_chain_moves_an_object_from_one_end_to_the_other(autojump_clock):
    alone = Config(peers=Peers(discovery=False))
    async with (
        mesh(3, links=ONE_BEFORE, config=alone) as nodes,
        frame_client(nodes[0]) as one,
        frame_client(nodes[2]) as three,
    ):
        consumer = await three.consumer()
        await consumer.subscribe("A")
        await one.push("A", b"far")
        delivered = await consumer.hear(frames.Deliver)
        assert delivered.payloads == [b"far"]
        await consumer.settle(delivered)
        for node in nodes.nodes:
            await node.until(is_empty)
        assert nodes[1].status()["types"]["A"]["received"] == 1


@each_store
async def test_a_late_subscriber_gets_the_backlog_in_order(autojump_clock):
    payloads = [b"%d" % number for number in range(500)]
    async with mesh(2) as nodes, frame_client(nodes[0]) as one, frame_client(nodes[1]) as two:
        await one.push("A", *payloads)
        consumer = await two.consumer()
        await consumer.subscribe("A", credit=1000)
        got: list[bytes] = []
        while len(got) < len(payloads):
            got += (await consumer.hear(frames.Deliver)).payloads
        assert got == payloads


@each_store
async def test_the_leases_of_a_consumer_whose_socket_closes_return_at_once(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as one:
        await one.push("A", b"x")
        async with frame_client(nodes[0]) as two:
            dying = await two.consumer()
            await dying.subscribe("A")
            await dying.hear(frames.Deliver)
            assert nodes[0].status()["types"]["A"]["leased"] == 1
        before = trio.current_time()
        await nodes[0].until(lambda status: status["types"]["A"]["ready"] == 1)
        assert trio.current_time() == before
        other = await one.consumer()
        await other.subscribe("A")
        assert (await other.hear(frames.Deliver)).payloads == [b"x"]


@each_store
async def test_a_push_that_comes_again_after_a_reconnect_is_recognised(autojump_clock):
    async with mesh(1) as nodes:
        for _ in range(2):
            async with frame_client(nodes[0]) as client:
                assert (await client.push("A", b"x", b"y")).sequences == [(1, 2)]
        assert nodes[0].status()["types"]["A"]["accepted"] == 2


async def test_a_drained_memory_node_hands_its_objects_to_a_peer(autojump_clock):
    async with mesh(2) as nodes:
        async with frame_client(nodes[0]) as client:
            await client.push("A", b"x", b"y")
        await nodes[0].stop()
        assert nodes[1].status()["types"]["A"]["ready"] == 2


@each_store
async def test_a_node_that_drains_tells_its_clients_where_else_to_go(autojump_clock):
    async with mesh(2) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        await consumer.subscribe("A")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nodes[0].stop)
            draining = await consumer.hear(frames.Draining)
            consumer.call.end_sending()
        assert draining.addresses == [nodes[1].address]
