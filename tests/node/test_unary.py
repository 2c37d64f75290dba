"""Unary calls: one push with its outcome, whoever gives up waiting for it, definitions."""

from __future__ import annotations

import pytest
import trio

from tests.support.kept_store import KeptStore
from tests.support.wires import FrameCall, frame_client
from trionode.config import Config, Limits, Node
from trionode.errors import Refused, Status
from trionode.store import StoreError
from trionode.testing import mesh
from trionode.wire import frames

MIB = 1024 * 1024
SMALL = Config(
    node=Node(drain_timeout_s=3),
    limits=Limits(memory_bytes=MIB, max_object_bytes=MIB // 2, push_high_water=0.9),
)
LARGE = bytes(400_000)


def request(payload: bytes = b"x", encoding: str = "raw") -> frames.PushRequest:
    return frames.PushRequest("A", payload, encoding)


async def start(client, asked) -> FrameCall:
    call = FrameCall(await client.connection.open(frames.PUSH))
    call.say(asked)
    call.call.end_sending()
    return call


def own_producer(node):
    (producer,) = node.node._producing._streams.values()
    return producer


async def test_a_push_is_answered_with_an_id_of_its_own(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        ids = [(await client.ask(frames.PUSH, request(), frames.PushReply)).id for _ in range(3)]
        assert len(set(ids)) == 3
        assert nodes[0].status()["types"]["A"]["ready"] == 3


async def test_a_push_that_cannot_be_taken_is_refused_with_the_reason(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        with pytest.raises(Refused) as refused:
            await client.ask(frames.PUSH, request(b"nonsense", "json"), frames.PushReply)
        assert refused.value.grpc_status is Status.INVALID_ARGUMENT
        assert len(own_producer(nodes[0])) == 0


async def test_pushes_that_are_given_up_while_they_wait_for_room_leave_nothing(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        calls = [await start(client, request(LARGE)) for _ in range(10)]
        await trio.testing.wait_all_tasks_blocked()
        assert len(own_producer(nodes[0])) == 10
        for call in calls:
            call.call.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert len(own_producer(nodes[0])) == 0
        # The books of what was accepted are not held up by them.
        await client.ask(frames.PUSH, request(), frames.PushReply)
        await client.ask(frames.PUSH, request(), frames.PushReply)
        book = nodes[0].node.context.engine.brain.intake.producers.find(
            own_producer(nodes[0]).producer
        )
        assert book.floor == 11


async def test_a_push_that_is_given_up_while_the_store_fails_leaves_nothing(autojump_clock):
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        store.failure = StoreError("the disk is full")
        call = await start(client, request())
        await trio.testing.wait_all_tasks_blocked()
        assert len(own_producer(nodes[0])) == 1
        call.call.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert len(own_producer(nodes[0])) == 0
        store.failure = None
        await trio.sleep(5)
        assert len(store.kept) == 1


async def test_a_node_that_drains_refuses_pushes_that_wait_for_room_at_once(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        consumer = await client.consumer()
        await consumer.subscribe("A", credit=1)
        await consumer.hear(frames.Deliver)
        call = await start(client, request(LARGE))
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        nodes[0].node.stop()
        with pytest.raises(Refused, match="draining") as refused:
            await call.hear(frames.PushReply)
        assert refused.value.grpc_status is Status.UNAVAILABLE
        assert trio.current_time() == before


async def test_a_definition_is_answered_once_it_is_in_the_store(autojump_clock):
    store = KeptStore()
    asked = frames.DefineRequest("A", '{"type": "object"}')
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        reply = await client.ask(frames.DEFINE, asked, frames.DefineReply)
        (batch,) = store.batches
        assert [each.fingerprint for each in batch.definitions] == [reply.fingerprint]
        assert await client.ask(frames.DEFINE, asked, frames.DefineReply) == reply
        assert len(store.batches) == 1


async def test_a_unary_push_says_properties_and_they_are_checked(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        asked = frames.PushRequest(
            "A", b"x", "raw", delay_ms=5000, deadline_ms=9000, keep_expired=True, priority=2,
            key="k", ordering_key="o",
        )  # fmt: skip
        await client.ask(frames.PUSH, asked, frames.PushReply)
        (item,) = nodes[0].node.context.engine.brain.context.custody.objects.values()
        now = trio.current_time()
        assert item.details == {
            "due": pytest.approx(now + 5, abs=0.5),
            "deadline": pytest.approx(now + 9, abs=0.5),
            "keep_expired": True,
            "priority": 2,
            "key": "k",
            "ordering_key": "o",
        }
        with pytest.raises(Refused, match="priority 12"):
            await client.ask(
                frames.PUSH, frames.PushRequest("A", b"x", "raw", priority=12), frames.PushReply
            )
