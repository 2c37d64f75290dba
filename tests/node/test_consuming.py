"""Consumer streams: windows, subscriptions and settles that are amiss, deliveries of any size."""

from __future__ import annotations

import pytest
import trio

from tests.support.wires import frame_client
from trionode.config import Config, Limits
from trionode.errors import Refused, Status
from trionode.ids import object_id, to_runs
from trionode.node.settles import SETTLE_MAX
from trionode.testing import mesh
from trionode.wire import frames

KIB = 1024
TYPES_MAX = Limits().max_stream_types


async def ask(consumer, frame) -> frames.Answered:
    consumer.say(frame)
    return await consumer.hear(frames.Answered)


def subscribe(number: int, *types: str, credit: int = 1) -> frames.Subscribe:
    return frames.Subscribe(number, number, list(types), credit, 1 << 20)


async def test_a_delivery_that_is_too_long_for_a_frame_comes_in_several(autojump_clock):
    payloads = [bytes([number]) * 300 * KIB for number in range(40)]
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer, consumer = await client.producer(), await client.consumer()
        for first in range(0, 40, 10):
            producer.say(frames.Push("A", first + 1, payloads[first : first + 10], encoding="raw"))
            await producer.hear(frames.Pushed)
        consumer.say(frames.Subscribe(1, 1, ["A"], 100, 32 * KIB * KIB))
        got: list[bytes] = []
        while len(got) < 40:
            got += (await consumer.hear(frames.Deliver)).payloads
        assert got == payloads


async def test_a_delivery_whose_properties_are_too_long_for_a_frame_comes_in_several(
    autojump_clock,
):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer, consumer = await client.producer(), await client.consumer()
        details = {index: {"trace": f"{index}" + "x" * 3500} for index in range(1000)}
        for first in (1, 1001, 2001):
            producer.say(frames.Push("A", first, [b""] * 1000, encoding="raw", details=details))
            await producer.hear(frames.Pushed)
        consumer.say(frames.Subscribe(1, 1, ["A"], 3000, 1 << 20))
        count = 0
        while count < 3000:
            delivered = await consumer.hear(frames.Deliver)
            for index, found in delivered.details.items():
                assert found == details[(count + index) % 1000]
            count += len(delivered.payloads)


async def test_objects_of_different_shapes_come_in_order_each_with_its_own(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer, consumer = await client.producer(), await client.consumer()
        encodings = ["raw", "json", "json", "raw"]
        for number, encoding in enumerate(encodings, 1):
            producer.say(frames.Push("A", number, [b"%d" % number], encoding=encoding))
            await producer.hear(frames.Pushed)
        await consumer.subscribe("A", credit=10)
        got = []
        while len(got) < 4:
            delivered = await consumer.hear(frames.Deliver)
            got += [(payload, delivered.encoding) for payload in delivered.payloads]
        assert got == [(b"1", "raw"), (b"2", "json"), (b"3", "json"), (b"4", "raw")]


async def test_a_subscription_again_sets_its_window_but_not_its_types(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, "A", "B", credit=0))).status is Status.OK
        assert (await ask(consumer, subscribe(1, "B", "A", "B", credit=7))).status is Status.OK
        refused = await ask(consumer, subscribe(1, "C", credit=9))
        assert refused.status is Status.INVALID_ARGUMENT
        types = nodes[0].status()["types"]
        assert {name: types[name]["credit"] for name in types} == {"A": 7, "B": 7}


@pytest.mark.parametrize(
    ("types", "status"),
    [
        ([], Status.INVALID_ARGUMENT),
        (["A", "not a name"], Status.INVALID_ARGUMENT),
        ([f"T{number}" for number in range(TYPES_MAX + 1)], Status.RESOURCE_EXHAUSTED),
    ],
    ids=["none", "garbage", "too many"],
)
async def test_a_subscription_to_absurd_types_is_refused_and_changes_nothing(
    types, status, autojump_clock
):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, *types))).status is status
        assert nodes[0].status()["types"] == {}
        assert (await ask(consumer, subscribe(1, "A"))).status is Status.OK


async def test_all_subscriptions_of_a_stream_count_until_they_end(autojump_clock):
    many = [f"T{number}" for number in range(TYPES_MAX)]
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, *many))).status is Status.OK
        assert (await ask(consumer, subscribe(2, "A"))).status is Status.RESOURCE_EXHAUSTED
        assert (await ask(consumer, frames.Unsubscribe(3, 1))).status is Status.OK
        assert (await ask(consumer, subscribe(2, "A"))).status is Status.OK


async def test_ten_thousand_types_of_one_client_are_known_to_a_peer(autojump_clock):
    many = [f"{'x' * 190}{number}" for number in range(TYPES_MAX)]
    config = Config(limits=Limits(max_object_bytes=KIB))
    async with mesh(2, config=config) as nodes, frame_client(nodes[1]) as client:
        consumer = await client.consumer()
        assert (await ask(consumer, subscribe(1, *many))).status is Status.OK
        engine = nodes[0].node.context.engine
        await engine.until(lambda: len(engine.brain.interest.routes) == TYPES_MAX)
        # A new link is told all of it at once.
        before = set(nodes[0].node._mesh.links.values())
        for link in before:
            link.close()
        await engine.until(lambda: not engine.brain.interest.routes)
        await engine.until(lambda: len(engine.brain.interest.routes) == TYPES_MAX)


async def test_a_settle_of_more_leases_than_there_can_be_ends_the_stream(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        await consumer.subscribe("A")
        ids = [(object_id(1, 1), SETTLE_MAX + 1)]
        with pytest.raises(Refused, match="a consumer that has 0"):
            await ask(consumer, frames.Settle(1, "ack", ids))


async def test_a_consumer_of_very_many_leases_settles_them_at_once(autojump_clock):
    count = SETTLE_MAX + 1
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", *[b""] * count)
        consumer = await client.consumer()
        consumer.say(frames.Subscribe(1, 1, ["A"], count, 1 << 20))
        got = 0
        while got < count:
            got += len((await consumer.hear(frames.Deliver)).payloads)
        answer = await ask(consumer, frames.Settle(1, "ack", [(object_id(1, 1), count)]))
        assert answer.refused == []
        assert nodes[0].status()["types"]["A"]["settled"] == count


async def test_a_lease_named_twice_is_settled_once(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", b"x")
        consumer = await client.consumer()
        await consumer.subscribe("A")
        delivered = await consumer.hear(frames.Deliver)
        answer = await ask(consumer, frames.Settle(1, "ack", delivered.ids * 2))
        assert len(answer.refused) == 1
        assert nodes[0].status()["types"]["A"]["settled"] == 1


async def test_the_longest_delays_and_deadlines_cross_a_link(autojump_clock):
    longest = 2**63 - 1
    async with (
        mesh(2) as nodes,
        frame_client(nodes[0]) as one,
        frame_client(nodes[1]) as two,
    ):
        consumer = await two.consumer()
        await consumer.subscribe("A")
        producer = await one.producer()
        details = {0: {"deadline_ms": longest}}
        producer.say(frames.Push("A", 1, [b"x"], encoding="raw", details=details))
        delivered = await consumer.hear(frames.Deliver)
        assert delivered.details[0]["deadline_ms"] > 10**12
        assert trio.current_time() < 1, "the link was not lost over it"
        runs = to_runs([object_id(1, 1)])
        answer = await ask(consumer, frames.Settle(1, "nack", runs, delay_ms=longest))
        assert answer.refused == []
        assert nodes[1].status()["types"]["A"]["delayed"] == 1


async def test_a_hundred_clients_that_came_and_went_leave_empty_tables(autojump_clock):
    async with mesh(2) as nodes:
        for number in range(100):
            async with frame_client(nodes[0]) as client:
                consumer = await client.consumer()
                consumer.say(subscribe(1, f"T{number}"))
                if number % 2:
                    await consumer.hear(frames.Answered)
                await client.producer(number + 1)
        for node in nodes.nodes:
            engine = node.node.context.engine
            await engine.until(lambda brain=engine.brain: not brain.context.custody.tables)
            brain = engine.brain
            assert brain.context.subscriptions.demands == {}
            assert brain.context.subscriptions.streams == {}
            assert brain.interest.routes == {}
            assert all(not link.give and not link.take for link in brain.interest.links.values())
            assert len(node.node._consuming) == 0
        assert len(nodes[0].node._producing) == 1
        assert len(nodes[0].node._connections) == 1
