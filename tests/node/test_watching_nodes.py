"""Watching with a real node and the Python client: copies in order, drops said, nobody slowed."""

from __future__ import annotations

import pytest

from tests.support.wires import frame_client
from trionode.errors import Refused
from trionode.testing.nodes import mesh
from trionode.wire import frames


async def test_a_watcher_sees_what_a_consumer_works_on(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        async with (
            client.subscribe("A", mode="watch") as copies,
            client.subscribe("A") as deliveries,
        ):
            await client.push({"n": 1}, type="A")
            copy = await anext(copies)
            assert (copy.type, copy.object, copy.attempt) == ("A", {"n": 1}, 1)
            assert (copy.watched.how, copy.watched.dropped, copies.dropped) == ("accepted", 0, 0)
            delivery = await anext(deliveries)
            assert (delivery.id, delivery.watched) == (copy.id, None)
            delivery.replace({"n": 2})
            assert (await anext(copies)).watched.how == "replaced"
            with await anext(deliveries) as again:
                assert again == {"n": 2}
        await nodes[0].until(lambda status: status["types"]["A"]["settled"] == 1)


async def test_a_copy_cannot_be_settled(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        async with client.subscribe("A", mode="watch") as copies:
            await client.push(1, type="A")
            copy = await anext(copies)
            for settle in (copy.ack, copy.nack, lambda: copy.reject("no"), lambda: copy.replace(2)):
                with pytest.raises(RuntimeError, match="cannot be settled"):
                    settle()
            with pytest.raises(RuntimeError, match="cannot be settled"):
                await copy.settled()
            with copy as value:
                assert value == 1
            await client.push(2, type="A")
            with await anext(copies) as value:
                assert value == 2
        assert nodes[0].status()["types"]["A"]["ready"] == 2


async def test_watching_is_neither_subscription_nor_interest(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[1]) as far:
        async with near.subscribe(">", mode="watch") as copies, far.subscribe("A") as deliveries:
            await nodes[0].until(lambda status: status["types"].get("A") or True)
            await near.push(1, type="A")
            (await anext(deliveries)).ack()
            assert (await anext(copies)).type == "A"
            status = nodes[1].status()
            assert ">" not in status["patterns"]
        assert nodes[0].status()["patterns"] == {}


async def test_what_a_slow_watcher_has_no_room_for_is_dropped_counted_and_said_in_order(
    autojump_clock,
):
    async with (
        mesh(1) as nodes,
        nodes.connect(nodes[0]) as client,
        client.subscribe("A", credit=3, mode="watch") as copies,
        client.subscribe("A", credit=1) as deliveries,
    ):
        for number in range(10):
            await client.push(number, type="A")
        seen = [await anext(copies) for _ in range(3)]
        assert [copy.object for copy in seen] == [0, 1, 2]
        for _ in range(10):  # nobody was slowed
            (await anext(deliveries)).ack()
        while not copies.dropped:
            await client.ping()
        await client.push(10, type="A")
        copy = await anext(copies)
        assert (copy.object, copy.watched.dropped, copies.dropped) == (10, 7, 7)
        assert nodes[0].status()["counters"]["copies_dropped"] == 7


async def test_a_watchers_buffer_is_bounded_in_bytes(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        consumer.say(frames.Watch(1, 1, ["A"], 100, 2500))
        await consumer.hear(frames.Answered)
        for number in range(5):
            await client.push("A", bytes(1000), producer=number + 1)
        for _ in range(3):
            await consumer.hear(frames.Copies)
        consumer.say(frames.Started(1, 3))
        told = await consumer.hear(frames.Copies)
        assert (told.ids, told.dropped) == ([], 2)


async def test_a_subscription_stays_what_it_is(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        consumer = await client.consumer()
        consumer.say(frames.Watch(1, 1, ["A"], 10, 2500))
        assert (await consumer.hear(frames.Answered)).message == ""
        consumer.say(frames.Subscribe(2, 1, ["A"], 10, 2500))
        assert "the other mode" in (await consumer.hear(frames.Answered)).message
        consumer.say(frames.Unsubscribe(3, 1))
        await consumer.hear(frames.Answered)
        consumer.say(frames.Subscribe(4, 1, ["A"], 10, 2500))
        assert (await consumer.hear(frames.Answered)).message == ""


async def test_a_watcher_that_names_no_type_is_refused(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        with pytest.raises(Refused, match="is no pattern"):
            async with client.subscribe("a.>.b", mode="watch"):
                pass
        with pytest.raises(ValueError, match="mode is"):
            client.subscribe("A", mode="look")
        with pytest.raises(ValueError, match="only watches"):
            client.subscribe("A", mode="watch", max_attempts=3)
