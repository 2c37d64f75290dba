"""Producer streams: pressure, refusals, repeats, and pushes that nobody should send."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import trio

from tests.support.wires import frame_client
from trionode.config import Config, Limits
from trionode.errors import ConnectionLost, Refused, Status
from trionode.ids import object_id
from trionode.node.producing import PUSH_OBJECTS_MAX
from trionode.testing import mesh
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

MIB = 1024 * 1024
SMALL = Config(limits=Limits(memory_bytes=MIB, max_object_bytes=MIB // 2, push_high_water=0.9))
LARGE = bytes(400_000)


def pushed(first: int, *payloads: bytes, **fields) -> frames.Push:
    return frames.Push("A", first, list(payloads), encoding="raw", **fields)


async def take_one(client, type_name: str = "A"):
    """A consumer that has leased one object, and what it got."""
    consumer = await client.consumer()
    await consumer.subscribe(type_name, credit=1)
    return consumer, await consumer.hear(frames.Deliver)


async def test_a_full_node_holds_a_push_back_until_there_is_room(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        producer.say(pushed(1, LARGE, LARGE))
        await producer.hear(frames.Pushed)
        producer.say(pushed(3, LARGE))
        assert await producer.is_silent()
        consumer, delivered = await take_one(client)
        await consumer.settle(delivered)
        assert (await producer.hear(frames.Pushed)).sequences == [(3, 1)]


async def test_a_node_that_stays_full_refuses_after_the_timeout(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        producer.say(pushed(1, LARGE, LARGE))
        await producer.hear(frames.Pushed)
        before = trio.current_time()
        producer.say(pushed(3, LARGE))
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.count) == (3, 1)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert trio.current_time() - before == pytest.approx(SMALL.limits.push_timeout_s)


async def test_a_full_node_acknowledges_at_once_what_it_has_already(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        before = trio.current_time()
        again = await client.push("A", LARGE, LARGE)
        assert again.sequences == [(1, 2)]
        assert trio.current_time() == before
        producer = await client.producer()
        producer.say(pushed(2, LARGE, LARGE))
        assert (await producer.hear(frames.Pushed)).sequences == [(2, 1)]
        assert (await producer.hear(frames.PushRefused)).first == 3


async def test_refusing_a_stranger_makes_no_book_for_it(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        stranger = await client.producer(9)
        stranger.say(pushed(1, LARGE))
        await stranger.hear(frames.PushRefused)
        assert len(nodes[0].node.context.engine.brain.intake.producers) == 1


async def test_pushes_that_wait_for_room_get_it_in_the_order_in_which_they_came(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        large, small = await client.producer(2), await client.producer(3)
        large.say(pushed(1, LARGE))
        assert await large.is_silent()
        small.say(pushed(1, b"would fit"))
        assert await small.is_silent()
        consumer, delivered = await take_one(client)
        await consumer.settle(delivered)
        assert (await large.hear(frames.Pushed)).sequences == [(1, 1)]
        assert (await small.hear(frames.Pushed)).sequences == [(1, 1)]


async def test_no_more_objects_of_a_type_are_taken_than_configured(autojump_clock):
    config = Config(limits=Limits(max_type_objects=3))
    async with mesh(1, config=config) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer(2)
        producer.say(pushed(1, b"a", b"b"))
        await producer.hear(frames.Pushed)
        producer.say(pushed(3, b"c", b"d"))
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.count) == (3, 2)
        assert refused.status is Status.RESOURCE_EXHAUSTED
        assert "limits.max_type_objects" in refused.hint
        producer.say(frames.Push("another", 5, [b"e"], encoding="raw"))
        await producer.hear(frames.Pushed)
        consumer, delivered = await take_one(client)
        await consumer.settle(delivered)
        producer.say(pushed(6, b"f"))
        await producer.hear(frames.Pushed)


async def test_who_gives_up_waiting_for_room_lets_the_next_one_in(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        large, small = await client.producer(2), await client.producer(3)
        large.say(pushed(1, LARGE))
        assert await large.is_silent()
        small.say(pushed(1, b"fits"))
        assert await small.is_silent()
        large.call.reset()
        assert (await small.hear(frames.Pushed)).sequences == [(1, 1)]


async def test_settles_go_on_while_a_hundred_producers_of_the_connection_wait(autojump_clock):
    async with mesh(1, config=SMALL) as nodes, frame_client(nodes[0]) as client:
        await client.push("A", LARGE, LARGE)
        producers = [await client.producer(number) for number in range(2, 102)]
        for producer in producers:
            producer.say(pushed(1, bytes(100_000)))
        consumer = await client.consumer()
        await consumer.subscribe("A", credit=1)
        for number in range(102):
            delivered = await consumer.hear(frames.Deliver)
            assert (await consumer.settle(delivered, number=number)).refused == []
        for producer in producers:
            await producer.hear(frames.Pushed)


async def test_a_push_of_which_every_second_object_is_wrong_is_judged_object_by_object(
    autojump_clock,
):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        count = 20_000
        producer.say(frames.Push("A", 1, [b"{}", b"nonsense"] * (count // 2)))
        taken, refused = set(), set()
        while len(taken) + len(refused) < count:
            frame = await producer.hear((frames.Pushed, frames.PushRefused))
            if isinstance(frame, frames.Pushed):
                taken.update(
                    n for first, many in frame.sequences for n in range(first, first + many)
                )
            else:
                refused.add(frame.first)
        assert taken == set(range(1, count, 2))
        assert refused == set(range(2, count + 1, 2))


async def test_a_push_of_too_many_objects_ends_its_stream(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        producer.say(pushed(1, *[b""] * (PUSH_OBJECTS_MAX + 1)))
        with pytest.raises(Refused, match="at most 65536"):
            await producer.hear(frames.Pushed)
        assert nodes[0].status()["types"] == {}


async def test_an_object_with_too_much_beside_it_is_refused_alone(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        details = {1: {"trace": "x" * 50_000}, 2: {"trace": "x" * 50}}
        producer.say(pushed(1, b"a", b"b", b"c", details=details))
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 1)]
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.status) == (2, Status.INVALID_ARGUMENT)
        assert (await producer.hear(frames.Pushed)).sequences == [(3, 1)]


async def test_an_empty_push_is_nothing(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        producer.say(pushed(1))
        producer.say(pushed(1, b"x"))
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 1)]


async def test_what_only_nodes_may_say_of_an_object_is_not_taken_from_a_client(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        claims = {"suspect": "x", "dead": "x", "hops": 5, "version": 7, "history": ["x"]}
        producer.say(pushed(1, b"x", details={0: claims}))
        await producer.hear(frames.Pushed)
        item = nodes[0].node.context.engine.brain.context.custody.objects[object_id(1, 1)]
        assert item.details is None


async def test_a_producer_that_goes_before_its_answer_leaves_nothing(autojump_clock):
    async with mesh(1, config=SMALL) as nodes:
        async with frame_client(nodes[0]) as client:
            await client.push("A", LARGE, LARGE)
            producer = await client.producer(2)
            producer.say(pushed(1, LARGE))
            assert await producer.is_silent()
        await trio.sleep(60)
        assert len(nodes[0].node._producing) == 1, "the node itself, for unary pushes"
        assert nodes[0].status()["types"]["A"]["accepted"] == 2


class LostCall:
    """A call whose first frame can still be read, and that is over."""

    path = frames.CONSUME
    connection = SimpleNamespace(peer="somebody")
    metadata = {"content-type": MESSAGEPACK.content_type}

    async def receive(self) -> bytes:
        return MESSAGEPACK.encode(frames.ClientHello(producer=bytes(10)))

    def send(self, message: bytes) -> None:
        raise ConnectionLost("it was reset")


async def test_a_stream_that_is_reset_right_after_its_hello_leaves_nothing(autojump_clock):
    async with mesh(1) as nodes:
        node = nodes[0].node
        before = len(node._producing)
        for part in (node._producing, node._consuming):
            with pytest.raises(ConnectionLost):
                await part.serve(LostCall())
        assert (len(node._producing), len(node._consuming)) == (before, 0)
        assert node.context.engine.brain.context.subscriptions.streams == {}


@pytest.mark.parametrize(
    ("details", "words"),
    [
        ({"priority": 10}, "priority 10"),
        ({"priority": -1}, "priority -1"),
        ({"key": ""}, "key has 0 bytes"),
        ({"key": "ü" * 129}, "key has 258 bytes"),
        ({"ordering_key": "x" * 257}, "ordering_key has 257 bytes"),
    ],
)
async def test_properties_out_of_bounds_refuse_their_object_alone_with_a_hint(
    autojump_clock, details, words
):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        producer.say(pushed(1, b"a", b"b", b"c", details={1: details}))
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 1)]
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.status) == (2, Status.INVALID_ARGUMENT)
        assert words in refused.message
        assert refused.hint
        assert (await producer.hear(frames.Pushed)).sequences == [(3, 1)]


async def test_properties_of_another_type_end_the_stream(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        for wrong in ({"priority": "5"}, {"key": 5}, {"keep_expired": 1}, {"ordering_key": b"x"}):
            producer = await client.producer()
            producer.say(pushed(1, b"a", details={0: wrong}))
            with pytest.raises(Refused, match="must be"):
                await producer.hear(frames.Pushed)
