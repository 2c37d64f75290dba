"""Subscribing, settling, and every way to leave a delivery's or a subscription's block."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.nodes import one_client
from trionode.client.consumer_core import CAREFUL_DELIVERIES
from trionode.client.reasons import failure_text
from trionode.errors import DecodeError, LeaseLost, Refused, Status
from trionode.wire import frames


@attrs.frozen
class Invoice:
    number: int


@attrs.frozen
class Bill:
    text: str


def actions(node):
    return [(action, value) for action, value, _, _ in node.settled]


async def test_objects_come_as_what_their_class_says():
    async with one_client() as (node, client):
        one, two = node.put("Invoice", b'{"number":1}', b'{"number":2}', attempt=3)
        async with client.subscribe(Invoice) as deliveries:
            first = await anext(deliveries)
            assert first.object == Invoice(1)
            assert (first.id, first.type, first.attempt) == (one.id, "Invoice", 3)
            assert (first.encoding, first.payload) == ("json", b'{"number":1}')
            assert first.details == {}
            assert "Invoice" in repr(first)
            second = await anext(deliveries)
            assert (second.id, second.object) == (two.id, Invoice(2))


async def test_several_classes_come_from_one_subscription():
    async with one_client() as (node, client):
        node.put("Invoice", b'{"number":1}')
        node.put("Bill", b'{"text":"x"}')
        async with client.subscribe(Invoice, Bill) as deliveries:
            objects = [(await anext(deliveries)).object for _ in range(2)]
        assert objects == [Invoice(1), Bill("x")]


async def test_objects_of_a_name_come_as_plain_json_or_bytes():
    async with one_client() as (node, client):
        node.put("A", b'{"a":1}')
        node.put("A", b"\xff", encoding="raw")
        node.put("A", b"?", encoding="strange")
        async with client.subscribe("A") as deliveries:
            assert (await anext(deliveries)).object == {"a": 1}
            assert (await anext(deliveries)).object == b"\xff"
            strange = await anext(deliveries)
            assert strange.payload == b"?"
            with pytest.raises(DecodeError, match="strange"):
                _ = strange.object


async def test_settling_by_hand_reaches_the_node():
    async with one_client() as (node, client):
        held = node.put("A", b"1", b"2", b"3", b"4")
        async with client.subscribe("A") as deliveries:
            one, two, three, four = [await anext(deliveries) for _ in range(4)]
            one.ack()
            two.nack(delay=1.5, reason="later")
            three.reject("never")
            four.replace({"new": True})
            for each in (one, two, three, four):
                await each.settled()
                await each.settled()
        assert actions(node) == [
            ("ack", held[0].id),
            ("nack", held[1].id),
            ("reject", held[2].id),
            ("replace", held[3].id),
        ]
        assert held[3].payload == b'{"new":true}'
        nack = next(each for each in node.told(frames.Settle) if each.action == "nack")
        assert (nack.delay_ms, nack.reason) == (1500, "later")
        assert four.payload == b"4"


async def test_a_delay_that_cannot_be_is_refused_and_the_delivery_stays():
    async with one_client() as (node, client):
        node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            delivery = await anext(deliveries)
            for delay in (-1, float("inf"), float("nan")):
                with pytest.raises(ValueError, match="delay"):
                    delivery.nack(delay=delay)
            delivery.ack()
            with pytest.raises(RuntimeError, match="settled already"):
                delivery.ack()


async def test_new_content_that_does_not_fit_is_told_to_who_waits():
    async with one_client() as (node, client):
        node.put("Invoice", b'{"number":1}')
        await client.define(Invoice)
        async with client.subscribe(Invoice) as deliveries:
            delivery = await anext(deliveries)
            delivery.replace({"number": "x"})
            with pytest.raises(Refused) as caught:
                await delivery.settled()
            assert caught.value.grpc_status is Status.INVALID_ARGUMENT
            await node.until(lambda: node.settled)
        assert [action for action, _ in actions(node)] == ["nack"]


async def test_bytes_that_are_encoded_already_are_new_content_as_they_are():
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            (await anext(deliveries)).replace(b"[ ]", encoding="json")
        assert (held.payload, held.encoding) == (b"[ ]", "json")


async def test_waiting_for_a_settle_lasts_until_there_is_one(autojump_clock):
    async with one_client() as (node, client):
        node.put("A", b"1")
        async with client.subscribe("A") as deliveries, trio.open_nursery() as nursery:
            delivery = await anext(deliveries)
            nursery.start_soon(delivery.settled)
            await wait_all_tasks_blocked()
            assert nursery.child_tasks
            delivery.ack()


# --- the block of a delivery ----------------------------------------------------------------------


async def test_a_block_left_in_order_acks():
    async with one_client() as (node, client):
        held = node.put("Invoice", b'{"number":1}', b'{"number":2}')
        async with client.subscribe(Invoice) as deliveries:
            async for delivery in deliveries:
                with delivery as invoice:
                    assert isinstance(invoice, Invoice)
                if invoice.number == 2:
                    break
        assert actions(node) == [("ack", each.id) for each in held]


async def test_a_block_left_by_an_exception_nacks_with_its_text_and_the_exception_goes_on():
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        error = ValueError("broken")
        async with client.subscribe("A") as deliveries:
            delivery = await anext(deliveries)
            with pytest.raises(ValueError, match="broken") as caught, delivery:
                raise error
        assert caught.value is error
        assert node.settled == [("nack", held.id, 1, "ValueError: broken")]


async def test_a_block_left_by_a_group_of_exceptions_nacks_with_their_texts():
    async with one_client() as (node, client):
        node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            with pytest.raises(ExceptionGroup), await anext(deliveries):
                async with trio.open_nursery():
                    raise ValueError("broken")
        assert node.settled[0][3] == "ValueError: broken"


async def test_a_settle_by_hand_in_the_block_is_the_only_one():
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            delivery = await anext(deliveries)
            with delivery:
                delivery.nack(reason="by hand")
                with pytest.raises(RuntimeError, match="processed already"):
                    delivery.__enter__()
        assert node.settled == [("nack", held.id, 1, "by hand")]


async def test_a_block_is_cancelled_when_its_lease_is_lost_and_raises_that(autojump_clock):
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        lost = []
        note = lambda *args: lost.append(args)  # noqa: E731  # a list of what came
        async with client.subscribe("A", on_lost=note) as deliveries:
            delivery = await anext(deliveries)
            with pytest.raises(LeaseLost, match="took too long"), delivery:
                node.lose(held, "took too long")
                await trio.sleep_forever()
            with pytest.raises(LeaseLost):
                delivery.ack()
            with pytest.raises(LeaseLost):
                await delivery.settled()
            with pytest.raises(LeaseLost):
                delivery.__enter__()
        assert lost == [(held.id, 1, "took too long")]
        assert node.settled == []


async def test_a_lease_lost_while_the_block_does_not_look_raises_at_its_end():
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            with pytest.raises(LeaseLost), await anext(deliveries):
                node.lose(held)
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()


async def test_the_users_exception_goes_before_a_lost_lease():
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            with pytest.raises(ValueError, match="mine"), await anext(deliveries):
                node.lose(held)
                with trio.CancelScope(shield=True):
                    await wait_all_tasks_blocked()
                raise ValueError("mine")


async def test_a_mistake_in_on_lost_ends_nothing():
    async with one_client() as (node, client):
        held, _ = node.put("A", b"1", b"2")
        async with client.subscribe("A", on_lost=lambda *_: 1 / 0) as deliveries:
            await anext(deliveries)
            node.lose(held)
            other = await anext(deliveries)
            other.ack()
            await other.settled()
            assert other.payload == b"2"


async def test_a_settle_that_comes_too_late_is_counted_or_raised_to_who_waits():
    async with one_client() as (node, client):
        node.put("A", b"1", b"2")
        async with client.subscribe("A") as deliveries:
            one, two = await anext(deliveries), await anext(deliveries)
            node.consumers[0].windows[1].leased.clear()
            one.ack()
            two.ack()
            with pytest.raises(LeaseLost, match="not leased to you"):
                await two.settled()
        assert client.statistics().settles_refused == 1


async def test_a_handler_that_is_cancelled_while_others_go_on_has_failed(autojump_clock):
    async with one_client() as (node, client):
        one, two = node.put("A", b"1", b"2")
        async with client.subscribe("A", credit=1) as deliveries:
            async for delivery in deliveries:
                with trio.move_on_after(5):
                    with delivery:
                        if delivery.id == one.id:
                            await trio.sleep_forever()
                if delivery.id == two.id:
                    break
        assert node.settled == [
            ("nack", one.id, 1, "its handler was cancelled"),
            ("ack", two.id, 1, ""),
        ]


async def test_a_cancelled_handler_makes_room_also_while_the_loop_waits(autojump_clock):
    async with one_client() as (node, client):
        one, two = node.put("A", b"1", b"2")

        async def handle(delivery) -> None:
            with trio.move_on_after(5):
                with delivery:
                    if delivery.id == one.id:
                        await trio.sleep_forever()

        with trio.move_on_after(60):
            async with (
                client.subscribe("A", credit=1) as deliveries,
                trio.open_nursery() as nursery,
            ):
                async for delivery in deliveries:
                    nursery.start_soon(handle, delivery)
        assert ("nack", one.id) in actions(node)
        assert ("ack", two.id) in actions(node)


# --- started, and what does not fit ---------------------------------------------------------------


async def test_the_node_knows_that_a_delivery_is_started_before_its_handler_runs():
    async with one_client() as (node, client):
        node.put("A", b"1", b"2", b"3")
        async with client.subscribe("A") as deliveries:
            for number in (1, 2, 3):
                await anext(deliveries)
                # The bytes are written; the node's side of the pipe has only to look at them.
                connection = deliveries._consuming._connector.current.connection
                assert connection.statistics().unsent_bytes == 0
                await wait_all_tasks_blocked()
                assert node.consumers[0].windows[1].started == number


async def test_an_object_that_does_not_fit_its_class_never_raises_in_the_loop():
    async with one_client() as (node, client):
        bad, good = node.put("Invoice", b'{"number":"x"}', b'{"number":2}')
        async with client.subscribe(Invoice) as deliveries:
            delivery = await anext(deliveries)
            assert delivery.object == Invoice(2)
            delivery.ack()
        settled = {value: (action, reason) for action, value, _, reason in node.settled}
        assert settled[good.id] == ("ack", "")
        assert settled[bad.id][0] == "nack"
        assert "number" in settled[bad.id][1]


async def test_an_object_that_does_not_fit_can_be_made_a_dead_letter():
    async with one_client() as (node, client):
        (raw,) = node.put("Invoice", b"\xff", encoding="raw")
        async with client.subscribe(Invoice, on_undecodable="reject") as deliveries:
            node.put("Invoice", b'{"number":2}')
            (await anext(deliveries)).ack()
        assert ("reject", raw.id) in actions(node)


async def test_a_fast_consumer_reports_and_settles_in_batches(autojump_clock):
    async with one_client() as (node, client):
        count = 5000
        node.put("A", *[b"1"] * count)
        seen = 0
        async with client.subscribe("A", credit=1000) as deliveries:
            async for delivery in deliveries:
                delivery.ack()
                seen += 1
                if seen == count:
                    break
        assert [action for action, *_ in node.settled] == ["ack"] * count
        later = [frame for frame in node.told(frames.Started) if frame.count > CAREFUL_DELIVERIES]
        assert len(later) < 20
        assert len(node.told(frames.Settle)) < CAREFUL_DELIVERIES + 20


async def test_an_error_beside_the_cancellation_of_a_lost_lease_arrives(autojump_clock):
    async with one_client() as (node, client):
        (held,) = node.put("A", b"1")

        async def fail_when_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while cleaning up")

        async with client.subscribe("A") as deliveries:
            with pytest.raises(ExceptionGroup) as caught, await anext(deliveries):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(fail_when_cancelled)
                    nursery.start_soon(trio.sleep_forever)
                    await wait_all_tasks_blocked()
                    node.lose(held)
        assert caught.group_contains(ValueError, match="while cleaning up")
        assert node.settled == []


async def test_a_cancelled_groups_handler_is_no_failure(autojump_clock):
    async with one_client() as (node, client):
        node.put("A", b"1")
        with trio.move_on_after(1):
            async with client.subscribe("A") as deliveries:
                with await anext(deliveries):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(trio.sleep_forever)
                        nursery.start_soon(trio.sleep_forever)
        assert [action for action, _ in actions(node)] == ["return"]


def test_the_text_of_a_failure_names_what_failed():
    assert failure_text(None) == ""
    assert failure_text(KeyboardInterrupt()) == ""
    assert failure_text(ValueError()) == "ValueError"
    assert failure_text(ValueError("x" * 600)).endswith("x…")
    group = BaseExceptionGroup("g", [ValueError("a"), KeyboardInterrupt()])
    assert (
        failure_text(BaseExceptionGroup("h", [group, OSError("b")])) == "ValueError: a; OSError: b"
    )
    assert failure_text(BaseExceptionGroup("g", [KeyboardInterrupt()])) == ""
