"""What went wrong in other message systems, rebuilt with real nodes and the Python client."""

from __future__ import annotations

import pytest
import trio

from tests.support.wires import frame_client
from trionode.testing.nodes import linked_peers, mesh
from trionode.wire import frames

each_store = pytest.mark.usefixtures("each_store")
"""For all but what is about a node that keeps nothing."""

STATES = ("ready", "delayed", "leased", "transferring", "dead")


def held(status) -> int:
    return sum(counts[state] for counts in status["types"].values() for state in STATES)


def routes(node) -> set[str]:
    """The types for which a node knows of a consumer elsewhere."""
    return set(node.node.context.engine.brain.interest.routes)


@each_store
async def test_unsubscribing_and_subscribing_in_waves_ends_with_the_truth(autojump_clock):
    types = [f"t{number}" for number in range(100)]
    async with mesh(2) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        for wave in range(10):
            for number, name in enumerate(types, 1):
                consumer.say(frames.Subscribe(number, number, [name], 1, 1 << 20))
                if wave < 9 or number % 2:
                    consumer.say(frames.Unsubscribe(number, number))
        live = set(types[1::2])
        await nodes[1].until(lambda _: routes(nodes[1]) == live)
        await trio.sleep(60)
        assert routes(nodes[1]) == live


@each_store
async def test_a_link_that_returns_forgets_the_interest_that_went_while_it_was_down(
    autojump_clock,
):
    async with mesh(2) as nodes, frame_client(nodes[1]) as client:
        consumer = await client.consumer()
        await consumer.subscribe("gone", number=1)
        await consumer.subscribe("stays", number=2)
        await nodes[0].until(lambda _: routes(nodes[0]) == {"gone", "stays"})
        await nodes.network.cut(nodes[0].address)
        await nodes[0].until(lambda _: not routes(nodes[0]))
        consumer.say(frames.Unsubscribe(3, 1))
        await consumer.hear(frames.Answered)
        nodes.network.heal(nodes[0].address)
        await nodes[0].linked(1)
        await nodes[0].until(lambda _: routes(nodes[0]) == {"stays"})


@each_store
async def test_nothing_is_sent_to_the_ghost_of_a_node_that_died(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as producer:
        async with nodes.connect(nodes[1]) as client, client.subscribe("A"):
            await nodes[0].until(lambda _: routes(nodes[0]) == {"A"})
            await nodes[1].kill()
        await nodes[1].start()
        await nodes[0].until(lambda status: linked_peers(status) == 1)
        await producer.push(b"x", type="A")
        await trio.sleep(60)
        assert nodes[0].status()["types"]["A"]["ready"] == 1
        assert held(nodes[1].status()) == 0


async def test_a_drain_finds_another_peer_when_the_first_dies_half_way(autojump_clock):
    async with mesh(3) as nodes, nodes.connect(nodes[0]) as client:
        async with client.pusher(type="A") as pusher:
            for _ in range(10_000):
                await pusher.send(b"x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nodes[0].stop)
            await nodes[1].until(lambda status: held(status) > 0)
            await nodes[1].kill()
        # What the dead node had accepted died with its memory; all else is at the third.
        died = nodes[1].status()["types"]["A"]["received"]
        assert 0 < died < 10_000
        assert 10_000 - died <= held(nodes[2].status()) <= 10_000


@each_store
async def test_a_late_ack_is_refused_and_the_second_attempt_stays_valid(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"x")
        late = await client.consumer()
        await late.subscribe("A")
        first = await late.hear(frames.Deliver)
        late.say(frames.Unsubscribe(2, 1))
        await late.hear(frames.Answered)
        other = await client.consumer()
        await other.subscribe("A")
        second = await other.hear(frames.Deliver)
        answer = await late.settle(first)
        assert [reason for _, _, reason in answer.refused] != []
        assert nodes[0].status()["types"]["A"]["leased"] == 1
        assert (await other.settle(second)).refused == []
        assert held(nodes[0].status()) == 0


@each_store
async def test_a_thousand_leases_return_the_moment_their_consumer_is_gone(autojump_clock):
    async with mesh(1) as nodes:
        async with nodes.connect() as producer, producer.pusher(type="A") as pusher:
            for _ in range(1000):
                await pusher.send(b"x")
        async with frame_client(nodes[0]) as client:
            consumer = await client.consumer()
            consumer.say(frames.Subscribe(1, 1, ["A"], 1000, 1 << 20))
            await nodes[0].until(lambda status: status["types"]["A"]["leased"] == 1000)
            consumer.say(frames.Started(1, 1000))
            await client.ask(frames.PING, frames.PingRequest(), frames.NodeHello)
        before = trio.current_time()
        await nodes[0].until(lambda status: status["types"]["A"]["ready"] == 1000)
        assert trio.current_time() == before
        objects = nodes[0].node.context.engine.brain.context.custody.objects
        assert {item.attempt for item in objects.values()} == {2}


@each_store
async def test_a_consumer_that_settles_nothing_does_not_hold_the_others_up(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        stalled = await client.consumer()
        await stalled.subscribe("A", credit=10)
        async with (
            nodes.connect() as fast,
            fast.subscribe("A", credit=64) as deliveries,
            fast.pusher(type="A") as pusher,
        ):
            for _ in range(1000):
                await pusher.send(b"x")
            for _ in range(990):
                (await anext(aiter(deliveries))).ack()
        await nodes[0].until(lambda status: status["types"]["A"]["settled"] >= 990)
        assert held(nodes[0].status()) <= 10


@each_store
async def test_the_ack_that_overtakes_the_hand_over_leaves_both_nodes_empty(autojump_clock):
    async with (
        mesh(2) as nodes,
        nodes.connect(nodes[0]) as producer,
        nodes.connect(nodes[1]) as consumer,
        consumer.subscribe("A", credit=64) as deliveries,
        producer.pusher(type="A") as pusher,
    ):
        for number in range(500):
            await pusher.send(b"%d" % number)
        seen = set()
        for _ in range(500):
            delivery = await anext(aiter(deliveries))
            seen.add(delivery.payload)
            delivery.ack()
        assert len(seen) == 500
        for node in nodes.nodes:
            await node.until(lambda status: held(status) == 0)
        assert nodes[1].status()["types"]["A"]["settled"] == 500


async def test_the_plugin_gives_a_mesh_to_tests_of_services(autojump_clock, trionode_mesh):
    async with trionode_mesh(2) as nodes, nodes.connect(nodes[1]) as client:
        assert (await client.ping()).name == "node1"
