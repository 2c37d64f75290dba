"""Subscriptions: every way to leave their block, their windows, and many of them at once."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.nodes import ScriptedNode, mesh, one_client
from trionode.errors import LeaseLost, Refused, Status


def actions(node):
    return [(action, value) for action, value, _, _ in node.settled]


async def leave(how, *, credit: int = 3):
    """One delivery acked, one taken, one in a batch; what the node hears when the block is left."""
    node = ScriptedNode()
    async with mesh(n1=node) as world, world.client() as client:
        held = node.put("A", b"1", b"2", b"3", b"4")
        with trio.CancelScope() as scope:
            try:
                async with client.subscribe("A", credit=credit) as deliveries:
                    (await anext(deliveries)).ack()
                    await anext(deliveries)
                    await how(scope)
            except (ValueError, KeyboardInterrupt, LeaseLost):
                pass
        settled = {value: (action, reason) for action, value, _, reason in node.settled}
        return [settled.get(each.id) for each in held[:3]]


async def fail(_):
    raise ValueError("broken")


async def interrupt(_):
    raise KeyboardInterrupt


async def cancel(scope):
    scope.cancel()
    await trio.sleep_forever()


async def lose(_):
    raise LeaseLost("another one")


async def test_left_by_an_exception_what_was_taken_is_nacked_with_its_text():
    assert await leave(fail) == [
        ("ack", ""),
        ("nack", "ValueError: broken"),
        ("return", ""),
    ]


async def leave_in_order(_):
    """As `break` does."""


@pytest.mark.parametrize("how", [leave_in_order, interrupt, cancel, lose])
async def test_left_in_another_way_what_was_taken_returns_uncounted(how):
    assert await leave(how) == [("ack", ""), ("return", ""), ("return", "")]


async def test_leaving_waits_for_the_nodes_answers_shielded_and_not_too_long(autojump_clock):
    async with one_client(close_timeout_s=2) as (node, client):
        node.put("A", b"1")
        node.answer_settles = False
        with trio.move_on_after(1):
            async with client.subscribe("A") as deliveries:
                (await anext(deliveries)).ack()
                await trio.sleep_forever()
        assert trio.current_time() == pytest.approx(3, abs=0.1)
        assert actions(node)[0][0] == "ack"


async def test_what_was_not_settled_when_its_subscription_was_left_is_lost():
    async with one_client() as (node, client), trio.open_nursery() as nursery:
        node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            delivery = await anext(deliveries)

            async def wait() -> None:
                with pytest.raises(LeaseLost, match="left"):
                    await delivery.settled()

            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
        with pytest.raises(LeaseLost, match="left"):
            delivery.ack()


async def test_a_subscription_the_node_does_not_take_raises_when_it_is_entered():
    async with one_client() as (node, client):
        node.refuse_subscriptions = Refused(Status.INVALID_ARGUMENT, "no such pattern")
        with pytest.raises(Refused, match="no such pattern"):
            async with client.subscribe("A"):
                raise AssertionError("never entered")


async def test_a_subscription_is_used_in_its_block_and_entered_once():
    async with one_client() as (_, client):
        deliveries = client.subscribe("A")
        with pytest.raises(RuntimeError, match="async with"):
            await anext(deliveries)
        async with deliveries:
            with pytest.raises(RuntimeError, match="once"):
                await deliveries.__aenter__()
        with pytest.raises(ValueError, match="nack"):
            client.subscribe("A", on_undecodable="drop")
        with pytest.raises(TypeError, match="no option 'credits'; it has credit, credit_bytes"):
            client.subscribe("A", credits=5)


# --- windows --------------------------------------------------------------------------------------


async def test_credit_bounds_what_is_unsettled(autojump_clock):
    async with one_client() as (node, client):
        node.put("A", *[b"%d" % number for number in range(5)])
        async with client.subscribe("A", credit=2) as deliveries:
            first = await anext(deliveries)
            await anext(deliveries)
            with trio.move_on_after(1) as scope:
                await anext(deliveries)
            assert scope.cancelled_caught
            first.ack()
            await anext(deliveries)


async def test_credit_nothing_is_a_pause(autojump_clock):
    async with one_client() as (node, client):
        node.put("A", b"1")
        async with client.subscribe("A", credit=0) as deliveries:
            with trio.move_on_after(1) as scope:
                await anext(deliveries)
            assert scope.cancelled_caught
            await deliveries.set_credit(1)
            await anext(deliveries)
            with pytest.raises(ValueError, match="credit"):
                await deliveries.set_credit(-1)
            node.refuse_subscriptions = Refused(Status.RESOURCE_EXHAUSTED, "too much")
            with pytest.raises(Refused, match="too much"):
                await deliveries.set_credit(10)


async def test_several_tasks_share_a_subscription(autojump_clock):
    async with one_client() as (node, client):
        got = []

        async def work(deliveries) -> None:
            async for delivery in deliveries:
                with delivery as value:
                    got.append(value)
                    await trio.sleep(1)

        with trio.move_on_after(10):
            async with (
                client.subscribe("A", credit=10) as deliveries,
                trio.open_nursery() as nursery,
            ):
                for _ in range(3):
                    nursery.start_soon(work, deliveries)
                await wait_all_tasks_blocked()
                node.put("A", b"1", b"2", b"3")
                await wait_all_tasks_blocked()
                assert sorted(got) == [1, 2, 3]
                assert trio.current_time() == 0
        assert [action for action, _ in actions(node)] == ["ack"] * 3


async def test_two_thousand_subscriptions_fit_on_one_connection(autojump_clock):
    async with one_client() as (node, client), trio.open_nursery() as nursery:
        got = []

        async def consume(name: str) -> None:
            async with client.subscribe(name, credit=1) as deliveries:
                delivery = await anext(deliveries)
                with delivery:
                    got.append(name)

        names = [f"T{number}" for number in range(2000)]
        for name in names:
            nursery.start_soon(consume, name)
        await node.until(lambda: node.consumers and len(node.consumers[0].windows) == 2000)
        for name in names:
            await client.push(1, type=name)
        await node.until(lambda: len(node.settled) == 2000)
        assert sorted(got) == sorted(names)
