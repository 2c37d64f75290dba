"""What one client may have of a node: subscriptions, names, credit, pushes that wait for the store.

Each limit is said with its configuration key; what is refused changes nothing.
"""

from __future__ import annotations

import pytest
import trio

from tests.support.kept_store import KeptStore
from tests.support.wires import frame_client
from trionode.config import Config, Limits
from trionode.config.checks import InvalidValue
from trionode.errors import Status
from trionode.testing import mesh
from trionode.wire import frames

KIB = 1024


def subscribe(number: int, *types: str, credit: int = 1) -> frames.Subscribe:
    return frames.Subscribe(number, number, list(types), credit, 1 << 20)


def watch(number: int, *types: str, credit: int = 1) -> frames.Watch:
    return frames.Watch(number, number, list(types), credit, 1 << 20)


async def ask(consumer, frame) -> frames.Answered:
    consumer.say(frame)
    return await consumer.hear(frames.Answered)


def refused_over(answer: frames.Answered, key: str) -> bool:
    return answer.status is Status.RESOURCE_EXHAUSTED and f"limits.{key}" in answer.hint


async def test_a_stream_has_so_many_subscriptions_and_no_more_until_one_ends(autojump_clock):
    config = Config(limits=Limits(max_stream_subscriptions=2))
    async with mesh(1, config=config) as nodes, frame_client(nodes[0]) as client:
        consumer, other = await client.consumer(), await client.consumer()
        assert (await ask(consumer, subscribe(1, "A"))).status is Status.OK
        assert (await ask(consumer, watch(2, "A"))).status is Status.OK
        for more in (subscribe(3, "B"), watch(3, "B")):
            assert refused_over(await ask(consumer, more), "max_stream_subscriptions")
        assert "B" not in nodes[0].status()["types"]
        assert (await ask(consumer, subscribe(1, "A", credit=5))).status is Status.OK
        assert (await ask(other, subscribe(1, "B"))).status is Status.OK
        assert (await ask(consumer, frames.Unsubscribe(4, 2))).status is Status.OK
        assert (await ask(consumer, subscribe(3, "B"))).status is Status.OK


async def test_types_and_patterns_that_a_stream_names_are_counted_together(autojump_clock):
    config = Config(limits=Limits(max_stream_types=3))
    async with mesh(1, config=config) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, "A", "billing.*"))).status is Status.OK
        assert refused_over(await ask(consumer, subscribe(2, "B", "C")), "max_stream_types")
        assert (await ask(consumer, subscribe(2, "B"))).status is Status.OK
        assert refused_over(await ask(consumer, watch(3, "C")), "max_stream_types")


async def test_the_credit_of_a_stream_bounds_what_it_may_have_unsettled(autojump_clock):
    config = Config(limits=Limits(max_stream_credit=10))
    async with mesh(1, config=config) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", *[b""] * 20)
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, "A", credit=4))).status is Status.OK
        assert refused_over(await ask(consumer, subscribe(2, "A", credit=7)), "max_stream_credit")
        assert refused_over(await ask(consumer, subscribe(1, "A", credit=11)), "max_stream_credit")
        assert (await ask(consumer, subscribe(2, "A", credit=6))).status is Status.OK
        assert refused_over(await ask(consumer, watch(3, "A", credit=1)), "max_stream_credit")
        assert nodes[0].status()["types"]["A"]["leased"] == 10
        # Less is always granted, and what it leaves may be had by another.
        assert (await ask(consumer, subscribe(1, "A", credit=1))).status is Status.OK
        assert (await ask(consumer, watch(3, "A", credit=3))).status is Status.OK


async def test_no_more_bytes_of_a_type_are_taken_than_configured(autojump_clock):
    config = Config(limits=Limits(max_object_bytes=KIB, max_type_bytes=2 * KIB))
    async with mesh(1, config=config) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer(2)
        producer.say(frames.Push("A", 1, [bytes(KIB), bytes(KIB - 1)], encoding="raw"))
        await producer.hear(frames.Pushed)
        producer.say(frames.Push("A", 3, [b"xx"], encoding="raw"))
        refused = await producer.hear(frames.PushRefused)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert "limits.max_type_bytes" in refused.hint
        producer.say(frames.Push("B", 4, [b"xx"], encoding="raw"))
        await producer.hear(frames.Pushed)
        producer.say(frames.Push("A", 5, [b"x"], encoding="raw"))
        await producer.hear(frames.Pushed)
        consumer = await client.consumer()
        await consumer.subscribe("A", credit=1)
        await consumer.settle(await consumer.hear(frames.Deliver))
        producer.say(frames.Push("A", 6, [bytes(KIB)], encoding="raw"))
        await producer.hear(frames.Pushed)


def test_bytes_of_a_type_fit_the_largest_object():
    with pytest.raises(InvalidValue, match="max_type_bytes"):
        Limits(max_object_bytes=KIB, max_type_bytes=KIB - 1)
    Limits(max_object_bytes=KIB, max_type_bytes=KIB)


async def held_store_push(limits: Limits, then):
    """A node whose store does not write yet has taken two objects of a stream, a third is said."""
    store = KeptStore()
    async with (
        mesh(1, config=Config(limits=limits), store=lambda _: store) as nodes,
        frame_client(nodes[0]) as client,
    ):
        producer = await client.producer()
        await nodes[0].node.context.engine.committed()
        store.hold()
        try:
            producer.say(frames.Push("A", 1, [b"a", b"b"], encoding="raw"))
            producer.say(frames.Push("A", 3, [b"c"], encoding="raw"))
            await then(nodes[0], store, producer, client)
        finally:
            store.release()


def held(node) -> int:
    return len(node.node.context.engine.brain.context.custody.objects)


async def test_a_stream_with_too_much_unacknowledged_waits_for_the_store():
    async def then(node, store, producer, client):
        other = await client.producer(2)
        other.say(frames.Push("B", 1, [b"x"], encoding="raw"))
        with trio.fail_after(10):
            await node.node.context.engine.until(lambda: held(node) == 3)
        assert node.status()["types"]["A"]["accepted"] == 2
        store.release()
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 2)]
        assert (await producer.hear(frames.Pushed)).sequences == [(3, 1)]

    await held_store_push(Limits(max_stream_pushes=2), then)


async def test_pushes_that_wait_too_long_for_acknowledgements_are_refused():
    async def then(node, store, producer, client):
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.status) == (3, Status.RESOURCE_EXHAUSTED)
        assert "limits.max_stream_pushes" in refused.hint
        store.release()
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 2)]

    await held_store_push(Limits(max_stream_pushes=2, push_timeout_s=0.05), then)


async def test_a_push_of_more_than_may_be_unacknowledged_goes_alone():
    async def then(node, store, producer, client):
        store.release()
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 2)]
        assert (await producer.hear(frames.Pushed)).sequences == [(3, 1)]

    await held_store_push(Limits(max_stream_pushes=1), then)
