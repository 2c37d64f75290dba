"""Leaving: leases, objects, peers and stores while a node drains (R10)."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.support.kept_store import KeptStore
from tests.support.wires import frame_client
from trionode.config import Config, Limits, Node
from trionode.errors import Refused, Status
from trionode.ids import object_id
from trionode.store import StoreError
from trionode.testing import mesh
from trionode.wire import frames

TIMEOUT_S = 5.0
CONFIG = Config(node=Node(drain_timeout_s=TIMEOUT_S))
MIB = 1024 * 1024
SMALL = Config(
    node=Node(drain_timeout_s=TIMEOUT_S),
    limits=Limits(memory_bytes=MIB, max_object_bytes=MIB // 2, push_high_water=0.9),
)


def brain_of(node):
    return node.node.context.engine.brain


async def leaser(client, count: int = 1):
    """A consumer that has leased so many objects of A and begun with all of them."""
    consumer = await client.consumer()
    await consumer.subscribe("A", credit=count)
    delivered = await consumer.hear(frames.Deliver)
    assert sum(many for _, many in delivered.ids) == count
    consumer.say(frames.Started(1, count))
    return consumer, delivered


async def test_a_node_without_objects_leaves_at_once(autojump_clock):
    async with mesh(1, config=CONFIG) as nodes:
        before = trio.current_time()
        await nodes[0].stop()
        assert trio.current_time() - before < 0.1


async def test_objects_in_memory_wait_for_a_peer_that_is_just_being_dialled_again(autojump_clock):
    async with mesh(2, config=CONFIG) as nodes, frame_client(nodes[1]) as client:
        await nodes[1].linked(1)
        await client.push("A", b"x")
        await nodes[0].kill()
        await trio.testing.wait_all_tasks_blocked()
        assert [peer["state"] for peer in nodes[1].status()["peers"]] == ["lost"]
        nodes[1].node.stop()
        await trio.testing.wait_all_tasks_blocked()
        await nodes[0].start()
        with trio.fail_after(60):
            await nodes[0].until(lambda status: status["types"].get("A", {}).get("ready") == 1)
        await trio.testing.wait_all_tasks_blocked()
        assert not brain_of(nodes[1]).context.custody.objects


async def test_a_lease_is_waited_for_and_its_settle_still_taken(autojump_clock):
    async with mesh(1, config=CONFIG) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"x")
        consumer, delivered = await leaser(client)
        nodes[0].node.stop()
        await consumer.hear(frames.Draining)
        await trio.sleep(TIMEOUT_S / 2)
        assert nodes[0].status()["types"]["A"]["leased"] == 1
        assert (await consumer.settle(delivered)).refused == []
        assert not brain_of(nodes[0]).context.custody.objects


async def test_a_lease_cut_off_at_the_deadline_counts_no_attempt(autojump_clock):
    store = KeptStore()
    async with (
        mesh(1, config=CONFIG, store=lambda _: store) as nodes,
        frame_client(nodes[0]) as client,
    ):
        await client.push("A", b"x")
        await leaser(client)
        item = brain_of(nodes[0]).context.custody.objects[object_id(1, 1)]
        before = trio.current_time()
        await nodes[0].stop()
        assert trio.current_time() - before >= TIMEOUT_S
        assert item.attempt == 1
        assert not item.suspect
        assert [record.attempt for batch in store.batches for record in batch.kept.values()] == [1]


async def test_a_consumer_that_dies_before_the_deadline_counts_an_attempt(autojump_clock):
    async with mesh(1, config=CONFIG) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"x", b"y")
        dying, _ = await leaser(client, 2)
        nodes[0].node.stop()
        await dying.hear(frames.Draining)
        dying.call.reset()
        await trio.testing.wait_all_tasks_blocked()
        items = brain_of(nodes[0]).context.custody.objects.values()
        assert [item.attempt for item in items] == [2, 2]


async def test_a_second_stop_ends_a_drain_at_once(autojump_clock):
    async with mesh(1, config=CONFIG) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"x")
        await leaser(client)
        nodes[0].node.stop()
        await trio.sleep(1)
        before = trio.current_time()
        await nodes[0].stop()
        assert trio.current_time() == before


async def test_leased_delayed_and_dead_objects_of_a_memory_node_go_to_a_peer(autojump_clock):
    async with mesh(2, config=CONFIG) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"leased", b"delayed", b"dead", b"ready")
        consumer, delivered = await leaser(client, 4)
        first = delivered.ids[0][0]
        for number, (offset, action) in enumerate([(1, "nack"), (2, "reject"), (3, "return")]):
            consumer.say(frames.Subscribe(50 + number, 1, ["A"], 0, 0))
            runs = [(first + offset, 1)]
            consumer.say(frames.Settle(number, action, runs, delay_ms=60_000))
        await nodes[0].until(lambda status: status["types"]["A"]["dead"])
        nodes[0].node.stop()
        await consumer.hear(frames.Draining)
        consumer.say(frames.Settle(9, "return", [(first, 1)]))
        counts = await nodes[1].until(
            lambda status: status["types"].get("A", {}).get("received") == 4
        )
        assert [counts["types"]["A"][name] for name in ("ready", "delayed", "dead")] == [2, 1, 1]


async def test_peers_that_drain_too_end_the_handing_over_and_the_loss_is_counted(autojump_clock):
    async with mesh(2, config=CONFIG) as nodes:
        for node in nodes.nodes:
            async with frame_client(node) as client:
                await client.push("A", b"x")
        async with trio.open_nursery() as nursery:
            for node in nodes.nodes:
                nursery.start_soon(node.stop)
        assert sum(node.node._left_behind() for node in nodes.nodes) == 2


async def test_a_durable_node_does_not_wait_for_peers_that_may_not_have_its_objects(
    autojump_clock,
):
    stores = {"node0": KeptStore("node0")}

    def store(name: str) -> KeptStore:
        made = stores.get(name, KeptStore(name))
        made.durable = name == "node0"
        return made

    async with (
        mesh(2, config=CONFIG, store=store) as nodes,
        frame_client(nodes[0]) as one,
        frame_client(nodes[1]) as two,
    ):
        consumer = await two.consumer()
        await consumer.subscribe("A")
        await one.push("A", b"x")
        before = trio.current_time()
        await nodes[0].stop()
        assert trio.current_time() - before < TIMEOUT_S
        assert len(stores["node0"].kept) == 1


async def test_a_store_that_fails_is_named_and_holds_no_drain_up(autojump_clock, caplog):
    store = KeptStore()
    async with (
        mesh(1, config=CONFIG, store=lambda _: store) as nodes,
        frame_client(nodes[0]) as client,
    ):
        producer = await client.producer()
        store.failure = StoreError("the disk is full")
        producer.say(frames.Push("A", 1, [b"x"], encoding="raw"))
        await trio.testing.wait_all_tasks_blocked()
        await nodes[0].stop()
        with pytest.raises(Refused, match="draining"):
            await producer.hear(frames.Pushed)
    assert "the last commit could not be written" in caplog.text


async def test_a_push_that_waits_for_room_is_left_unanswered_by_a_node_that_drains(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", bytes(400_000), bytes(400_000))
        consumer, delivered = await leaser(client, 2)
        producer = await client.producer(2)
        producer.say(frames.Push("A", 1, [bytes(400_000)], encoding="raw"))
        assert await producer.is_silent()
        nodes[0].node.stop()
        await producer.hear(frames.Draining)
        with pytest.raises(Refused) as refused:
            await producer.hear((frames.Pushed, frames.PushRefused))
        assert refused.value.grpc_status is Status.UNAVAILABLE
        await consumer.settle(delivered)
        assert not brain_of(nodes[0]).context.custody.objects
