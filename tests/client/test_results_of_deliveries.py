"""Acks with results, from the client through real nodes; chains that never half-do a step."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
import trio

import trionode
from tests.support.kept_store import KeptStore
from trionode.client.emitting import RESULTS_MAX, Emitter
from trionode.errors import LeaseLost, Refused, Status
from trionode.ids import parse_id
from trionode.store import StoreError
from trionode.testing import mesh


@attrs.frozen
class Order:
    number: int


@attrs.frozen
class Invoice:
    order: int
    total: int = 0


@attrs.frozen
class Mail:
    text: str


async def one(client, kind, **options):
    """The next delivery of a type."""
    async with client.subscribe(kind, **options) as deliveries:
        return await anext(deliveries)


def counts(node, **expected: int) -> None:
    """What a node holds of types that are settled nowhere."""
    types = node.status()["types"]
    assert {name: types[name]["ready"] for name in expected} == expected


async def test_results_given_with_the_ack_are_taken_with_their_parents_id(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        parent = await client.push(Order(1))
        async with client.subscribe(Order) as deliveries:
            delivery = await anext(deliveries)
            later = trionode.Emit(Mail("remember"), delay=60, priority=9)
            delivery.ack(emit=[Mail("thanks"), Invoice(1), later])
            await delivery.settled()
        counts(nodes[0], Order=0, Mail=1, Invoice=1)
        begun = trio.current_time()
        async with client.subscribe(Mail) as mails:
            first, second = [await anext(mails) for _ in range(2)]
        assert [first.object, second.object] == [Mail("thanks"), Mail("remember")]
        assert second.priority == 9
        assert trio.current_time() - begun == pytest.approx(60, abs=1)
        assert {first.parent, second.parent} == {parse_id(parent)}


async def test_what_a_block_emits_is_taken_when_it_ends_in_order(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        with delivery as order:
            delivery.emit(Invoice(order.number))
            delivery.emit({"any": "thing"}, type="Note")
            delivery.emit(b"raw", type="Blob", key="once")
        await delivery.settled()
        counts(nodes[0], Invoice=1, Note=1, Blob=1)


@pytest.mark.parametrize("end", ["exception", "nack", "reject"])
async def test_what_a_block_emits_is_dropped_when_it_ends_in_another_way(autojump_clock, end):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        try:
            with delivery:
                delivery.emit(Invoice(1))
                if end == "exception":
                    raise ValueError("no")
                delivery.nack() if end == "nack" else delivery.reject("no")
        except ValueError:
            pass
        await delivery.settled()
        assert "Invoice" not in nodes[0].status()["types"]


async def test_a_result_that_comes_after_the_settle_is_told_and_not_dropped(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        with delivery:
            delivery.ack()
            with pytest.raises(RuntimeError, match="settled already"):
                delivery.emit(Mail("late"))
            with pytest.raises(RuntimeError, match="settled already"):
                delivery.ack(emit=[Mail("late")])


async def test_an_ack_without_results_is_a_plain_one(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        delivery.ack(emit=[])
        await delivery.settled()
        assert nodes[0].status()["types"]["Order"]["settled"] == 1


async def test_results_of_a_lost_lease_are_not_taken(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1), deadline=timedelta(seconds=5))
        delivery = await anext(deliveries)
        await trio.sleep(6)
        with pytest.raises(LeaseLost, match="deadline"):
            delivery.ack(emit=[Invoice(1)])
        assert "Invoice" not in nodes[0].status()["types"]


async def test_results_that_the_node_does_not_take_nack_the_delivery_and_say_why(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.define("Invoice", '{"type": "string"}')
        await client.push(Order(1))
        delivery = await anext(deliveries)
        delivery.ack(emit=[Mail("x"), Invoice(1)])
        with pytest.raises(Refused, match="Invoice") as refused:
            await delivery.settled()
        assert refused.value.grpc_status is Status.FAILED_PRECONDITION
        again = await anext(deliveries)
        assert again.attempt == 2
        assert "its results" in again.details["failure"]
        # The definition of Mail goes along again: the node may have taken it or not.
        again.ack(emit=[Mail("y")])
        await again.settled()
        counts(nodes[0], Mail=1)


async def test_more_than_one_settle_can_have_is_refused_before_it_is_sent(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        with pytest.raises(Refused, match=f"at most {RESULTS_MAX}"):
            delivery.ack(emit=[Mail("x")] * (RESULTS_MAX + 1))
        large = trionode.Emit(bytes(3 << 20), type="Blob")
        with pytest.raises(Refused, match="one ack has at most"):
            delivery.ack(emit=[large, large])
        delivery.ack()
        await delivery.settled()


async def test_a_result_without_a_type_or_form_is_told_at_once(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        await client.push(Order(1))
        delivery = await anext(deliveries)
        with pytest.raises(TypeError, match="says no type"):
            delivery.ack(emit=[{"a": 1}])
        with pytest.raises(ValueError, match="priority"):
            trionode.Emit(Mail("x"), priority=10)
        with pytest.raises(ValueError, match="priority"):
            delivery.emit(Mail("x"), priority=10)
        delivery.ack()


async def test_an_ack_with_results_is_settled_when_they_are_in_the_store(autojump_clock):
    store = KeptStore()
    async with (
        mesh(1, store=lambda _: store) as nodes,
        nodes.connect() as client,
        client.subscribe(Order) as deliveries,
    ):
        await client.push(Order(1))
        delivery = await anext(deliveries)
        store.failure = StoreError("the disk is full")
        delivery.ack(emit=[Mail("x")])
        with trio.move_on_after(10) as scope:
            await delivery.settled()
        assert scope.cancelled_caught
        store.failure = None
        await delivery.settled()
        assert len(store.kept) == 1
        assert delivery.id not in store.kept


# --- chains ---------------------------------------------------------------------------------------


async def test_orders_become_invoices_and_invoices_mails_over_two_nodes(autojump_clock):
    count, mailed = 20, []
    async with mesh(2) as nodes, trio.open_nursery() as nursery:

        async def invoicing() -> None:
            async with (
                nodes.connect(nodes[1]) as client,
                client.subscribe(Order, credit=4) as orders,
            ):
                async for delivery in orders:
                    with delivery as order:
                        delivery.emit(Invoice(order.number, total=10 * order.number))

        async def mailing() -> None:
            async with (
                nodes.connect(nodes[0]) as client,
                client.subscribe(Invoice, credit=4) as invoices,
            ):
                async for delivery in invoices:
                    with delivery as invoice:
                        delivery.emit(Mail(f"order {invoice.order}: {invoice.total}"))

        nursery.start_soon(invoicing)
        nursery.start_soon(mailing)
        async with nodes.connect(nodes[0]) as client, client.subscribe(Mail) as mails:
            for number in range(count):
                await client.push(Order(number))
            for _ in range(count):
                delivery = await anext(mails)
                mailed.append(delivery.object.text)
                delivery.ack()
                await delivery.settled()
        nursery.cancel_scope.cancel()
    assert sorted(mailed) == sorted(f"order {number}: {10 * number}" for number in range(count))


async def test_a_replaced_object_goes_on_under_its_id_with_a_version_and_its_history(
    autojump_clock,
):
    async with mesh(1) as nodes, nodes.connect() as client, client.subscribe(Order) as deliveries:
        pushed = await client.push(Order(1), priority=7)
        first = await anext(deliveries)
        first.nack(delay=0, reason="not yet")
        second = await anext(deliveries)
        second.replace(Order(2))
        await second.settled()
        third = await anext(deliveries)
        assert third.id == parse_id(pushed)
        assert (third.object, third.type, third.version, third.attempt) == (
            Order(2),
            "Order",
            2,
            1,
        )
        assert third.priority == 7
        held = nodes[0].node.context.engine.brain.context.custody.objects[third.id]
        assert "not yet" in str(held.detail("history"))
        third.ack()


# --- the emitter ----------------------------------------------------------------------------------


def test_sequences_of_results_are_known_up_to_the_oldest_without_an_answer():
    emitter = Emitter(bytes(10))
    assert (emitter.acknowledged, emitter.number(2), emitter.number(1)) == (0, 1, 3)
    emitter.resolve(3)
    assert emitter.acknowledged == 0
    emitter.resolve(1)
    assert (emitter.acknowledged, emitter.number(5)) == (3, 4)
    assert emitter.acknowledged == 3
