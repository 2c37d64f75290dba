"""Pushing one object at a time, and in bulk."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

import trionode
from tests.support.nodes import ScriptedNode, one_client
from trionode.client.pusher import FAILURES_MAX, PushFailed
from trionode.errors import ConnectionLost, EncodeError, Refused, Status
from trionode.ids import format_id
from trionode.wire import frames


@attrs.frozen
class Order:
    number: str
    total: int = 0


@trionode.object_type("billing.Paid")
@attrs.frozen
class Paid:
    amount: int


@attrs.frozen
class Unclear:
    what: object


async def test_push_gives_the_id_once_the_node_has_the_object():
    async with one_client() as (node, client):
        text = await client.push(Order("o-1", 5))
        (held,) = node.pushed
        assert text == format_id(held.id)
        assert (held.type, held.payload, held.encoding) == (
            "Order",
            b'{"number":"o-1","total":5}',
            "json",
        )


async def test_a_class_is_defined_once_and_its_objects_carry_the_fingerprint():
    async with one_client() as (node, client):
        for number in ("a", "b"):
            await client.push(Order(number))
        await client.push(Paid(1))
        (order,) = node.types.definitions("Order")
        (paid,) = node.types.definitions("billing.Paid")
        assert [push.fingerprint for push in node.told(frames.Push)] == [
            order.fingerprint,
            order.fingerprint,
            paid.fingerprint,
        ]
        assert len(node.told(frames.DefineRequest)) == 2


async def test_a_class_can_be_pushed_under_another_types_name():
    async with one_client() as (node, client):
        await client.push(Order("o-1"), type="Special")
        assert [held.type for held in node.pushed] == ["Special"]
        assert node.types.definitions("Special")


@pytest.mark.parametrize(
    ("value", "encoding", "payload", "sent"),
    [
        ({"a": [1, None]}, None, b'{"a":[1,null]}', "json"),
        (5, None, b"5", "json"),
        (b"\x00\xff", None, b"\x00\xff", "raw"),
        (bytearray(b"ab"), None, b"ab", "raw"),
        (b'{"a" : 1}', "json", b'{"a" : 1}', "json"),
        (b'{"a" : 1}', "raw", b'{"a" : 1}', "raw"),
    ],
)
async def test_plain_values_and_bytes_need_a_types_name(value, encoding, payload, sent):
    async with one_client() as (node, client):
        await client.push(value, type="A", encoding=encoding)
        assert [(held.payload, held.encoding) for held in node.pushed] == [(payload, sent)]
        with pytest.raises(TypeError, match="type="):
            await client.push(value, encoding=encoding)


async def test_what_cannot_be_pushed_is_said_before_anything_is_sent():
    async with one_client() as (node, client):
        with pytest.raises(TypeError, match="bytes that are encoded already"):
            await client.push({"a": 1}, type="A", encoding="json")
        with pytest.raises(EncodeError):
            await client.push(float("nan"), type="A")
        with pytest.raises(TypeError):
            await client.push(Unclear(1))
        assert node.pushed == []


async def test_a_refused_push_raises_what_the_node_said():
    async with one_client() as (node, client):
        await client.define(Order)
        with pytest.raises(Refused) as caught:
            await client.push({"number": 5}, type="Order")
        assert caught.value.grpc_status is Status.INVALID_ARGUMENT
        with pytest.raises(Refused, match="cannot name a type"):
            await client.push(b"", type="no name!")
        assert node.pushed == []


async def test_an_object_that_is_too_large_is_refused_without_being_sent():
    node = ScriptedNode()
    node.hello = attrs.evolve(node.hello, max_object_bytes=10)
    async with one_client(node) as (_, client):
        with pytest.raises(Refused, match="at most 10"):
            await client.push(b"x" * 11, type="A")
        await client.push(b"x" * 10, type="A")
        assert len(node.told(frames.Push)) == 1


async def test_an_object_of_four_megabytes_goes_through(autojump_clock):
    async with one_client() as (node, client):
        payload = b"x" * 4 * 1024 * 1024
        await client.push(payload, type="A")
        assert node.payloads() == [payload]
        async with client.subscribe("A") as deliveries:
            async for delivery in deliveries:
                assert delivery.payload == payload
                break


async def test_pushes_of_many_tasks_share_frames():
    async with one_client() as (node, client):
        await client.push(b"", type="A")
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(lambda: client.push(b"1", type="A"))
        assert len(node.pushed) == 51
        assert len(node.told(frames.Push)) == 2


async def test_a_cancelled_push_is_not_sent_again(autojump_clock):
    async with one_client() as (node, client):
        node.answer_pushes = False
        with trio.move_on_after(1):
            await client.push(b"1", type="A")
        node.answer_pushes = True
        node.accepted.clear()
        node.cut()
        await client.push(b"2", type="A")
        assert node.payloads() == [b"2"]


async def test_a_push_that_is_cancelled_before_it_was_sent_never_is():
    async with one_client() as (node, client):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.push(b"1", type="A")
        await client.push(b"2", type="A")
        assert node.payloads() == [b"2"]


# --- in bulk --------------------------------------------------------------------------------------


async def test_a_pusher_pushes_in_order_and_leaves_when_all_are_there(autojump_clock):
    async with one_client() as (node, client):
        async with client.pusher(Order) as pusher:
            assert node.types.definitions("Order")
            receipts = [await pusher.send(Order(str(number))) for number in range(1000)]
        assert [held.payload for held in node.pushed] == [
            b'{"number":"%d","total":0}' % number for number in range(1000)
        ]
        ids = [await receipt.wait() for receipt in receipts]
        assert ids == [held.id for held in node.pushed]
        assert len(node.told(frames.Push)) < 20


async def test_a_pusher_of_no_class_takes_any_and_bytes():
    async with one_client() as (node, client):
        async with client.pusher() as pusher:
            await pusher.send(Order("a"))
            await pusher.send(Paid(2))
        async with client.pusher(type="A") as pusher:
            await pusher.send(b"{ }", encoding="json")
            await pusher.send(b"{ }")
        assert [(held.type, held.encoding) for held in node.pushed] == [
            ("Order", "json"),
            ("billing.Paid", "json"),
            ("A", "json"),
            ("A", "raw"),
        ]


async def test_a_receipt_waits_for_its_own_push(autojump_clock):
    async with one_client() as (node, client):
        node.answer_pushes = False
        async with client.pusher(type="A") as pusher, trio.open_nursery() as nursery:
            receipt = await pusher.send(b"1")
            nursery.start_soon(receipt.wait)
            nursery.start_soon(receipt.wait)
            await wait_all_tasks_blocked()
            assert len(nursery.child_tasks) == 2
            node.producers[0].say(frames.Pushed([(1, 1)]))


async def test_the_window_bounds_what_is_on_its_way(autojump_clock):
    async with one_client() as (node, client):
        node.answer_pushes = False
        async with client.pusher(type="A", window=3) as pusher:
            for number in range(3):
                await pusher.send(b"%d" % number)
            with trio.move_on_after(10) as scope:
                await pusher.send(b"3")
            assert scope.cancelled_caught
            assert node.payloads() == [b"0", b"1", b"2"]
            node.producers[0].say(frames.Pushed([(1, 1)]))
            await pusher.send(b"4")
            await node.until(lambda: len(node.pushed) == 4)
            node.producers[0].say(frames.Pushed([(2, 3)]))
        with pytest.raises(ValueError, match="at least 1"):
            client.pusher(type="A", window=0)


async def test_failures_are_raised_with_their_objects_when_the_block_is_left():
    async with one_client() as (node, client):
        await client.define("A", '{"type": "integer"}')
        with pytest.raises(PushFailed, match="2 pushes failed") as caught:
            async with client.pusher(type="A") as pusher:
                for value in (1, "two", 3, "four"):
                    await pusher.send(value)
        assert [value for value, _ in caught.value.failures] == ["two", "four"]
        assert all(isinstance(error, Refused) for _, error in caught.value.failures)
        assert node.payloads() == [b"1", b"3"]


async def test_a_failure_that_a_receipt_told_is_not_raised_again():
    async with one_client() as (_, client):
        await client.define("A", '{"type": "integer"}')
        async with client.pusher(type="A") as pusher:
            receipt = await pusher.send("x")
            with pytest.raises(Refused):
                await receipt.wait()
            with pytest.raises(Refused):
                await receipt.wait()
            assert isinstance(receipt.error, Refused)


async def test_the_users_exception_goes_first_and_has_the_failures_as_a_note():
    async with one_client() as (_, client):
        await client.define("A", '{"type": "integer"}')
        error = ValueError("mine")
        with pytest.raises(ValueError, match="mine") as caught:
            async with client.pusher(type="A") as pusher:
                await pusher.send("x")
                raise error
        assert caught.value is error
        assert "1 push failed" in error.__notes__[0]


async def test_a_pusher_that_is_left_by_cancellation_waits_for_nothing(autojump_clock):
    async with one_client() as (node, client):
        node.answer_pushes = False
        with trio.move_on_after(5) as scope:
            async with client.pusher(type="A") as pusher:
                receipt = await pusher.send(b"1")
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() == pytest.approx(5)
        with pytest.raises(ConnectionLost, match="not known"):
            await receipt.wait()
        with pytest.raises(RuntimeError, match="async with"):
            await pusher.send(b"2")


async def test_a_pusher_that_is_left_by_an_exception_waits_for_a_moment(autojump_clock):
    async with one_client(close_timeout_s=3) as (node, client):
        node.answer_pushes = False
        with pytest.raises(ValueError, match="mine"):
            async with client.pusher(type="A") as pusher:
                await pusher.send(b"1")
                raise ValueError("mine")
        assert trio.current_time() == pytest.approx(3, abs=0.1)


async def test_sending_stops_when_everything_fails():
    async with one_client() as (_, client):
        await client.define("A", '{"type": "integer"}')
        sent = 0
        with pytest.raises(PushFailed) as caught:
            async with client.pusher(type="A", window=10) as pusher:
                while True:
                    await pusher.send("x")
                    sent += 1
        assert FAILURES_MAX <= sent < FAILURES_MAX + 20
        assert len(caught.value.failures) >= FAILURES_MAX


async def test_a_pusher_among_busy_tasks_sends_more_than_one_object_at_its_turn(mock_clock):
    class SlowPasses(trio.abc.Instrument):
        passes = 0

        def after_io_wait(self, timeout):
            self.passes += 1
            mock_clock.jump(0.01)

    async with one_client() as (_, client), client.pusher(type="P") as pusher:
        slow = SlowPasses()
        trio.lowlevel.add_instrument(slow)
        for _ in range(200):
            await pusher.send(b"x")
        trio.lowlevel.remove_instrument(slow)
    assert slow.passes < 20
