"""A client whose connection broke comes back within its `reconnect_grace` and goes on (G4)."""

from __future__ import annotations

import pytest
import trio
import trio.testing

import trionode
from trionode.testing import mesh


def counts(node) -> dict:
    return node.status()["types"]["A"]


async def cut(nodes, seconds: float) -> None:
    """All connections break, and none can be made for a while."""
    address = nodes[0].address
    await nodes.network.cut(address)
    await trio.sleep(seconds)
    nodes.network.heal(address)


async def test_a_handler_that_works_through_a_short_break_has_done_its_object(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", credit=4, reconnect_grace=30) as deliveries,
    ):
        for number in range(6):
            await client.push(number, type="A")
        delivery = await anext(deliveries)
        with delivery as value:
            await cut(nodes, 5)
            await trio.sleep(5)
        await delivery.settled()
        assert (value, delivery.attempt) == (0, 1)
        seen = [value]
        for _ in range(5):
            with await anext(deliveries) as value:
                seen.append(value)
        assert seen == [0, 1, 2, 3, 4, 5]
        await nodes[0].until(lambda status: status["types"]["A"]["settled"] == 6)


async def test_what_is_acked_during_the_break_counts(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", credit=3, reconnect_grace=30) as deliveries,
    ):
        for number in range(3):
            await client.push(number, type="A")
        taken = [await anext(deliveries) for _ in range(3)]
        await nodes.network.cut(nodes[0].address)
        taken[0].ack()
        taken[1].nack(delay=100, reason="not now")
        await trio.sleep(2)
        nodes.network.heal(nodes[0].address)
        await taken[0].settled()
        await taken[1].settled()
        found = counts(nodes[0])
        assert (found["settled"], found["delayed"], found["leased"]) == (1, 1, 1)
        taken[2].ack()
        await taken[2].settled()


async def test_a_break_that_lasts_longer_than_the_grace_loses_the_leases(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", reconnect_grace=3) as deliveries,
    ):
        await client.push(1, type="A")
        delivery = await anext(deliveries)
        await trio.testing.wait_all_tasks_blocked()  # the node hears that it was started
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut, nodes, 20)
            with pytest.raises(trionode.LeaseLost), delivery:
                await trio.sleep_forever()
            assert trio.current_time() - began == pytest.approx(3, abs=0.1)
        again = await anext(deliveries)
        assert (again.id, again.attempt) == (delivery.id, 2)
        again.ack()


async def test_without_grace_a_break_loses_the_leases_at_once(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A") as deliveries,
    ):
        await client.push(1, type="A")
        delivery = await anext(deliveries)
        await cut(nodes, 0.1)
        with pytest.raises(trionode.LeaseLost):
            delivery.ack()
        assert (await anext(deliveries)).id == delivery.id


async def test_a_node_that_was_started_again_meanwhile_knows_nobody(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", reconnect_grace=300) as deliveries,
    ):
        await client.push(1, type="A")
        delivery = await anext(deliveries)
        await nodes[0].kill()
        await nodes[0].start()
        with pytest.raises(trionode.LeaseLost, match="away"), delivery:
            await trio.sleep_forever()


async def test_a_client_that_leaves_during_a_break_leaves_at_once(autojump_clock):
    async with mesh(1) as nodes:
        began = trio.current_time()
        async with (
            nodes.connect() as client,
            client.subscribe("A", reconnect_grace=1000) as deliveries,
        ):
            await client.push(1, type="A")
            delivery = await anext(deliveries)
            await nodes.network.cut(nodes[0].address)
            await trio.sleep(1)
            delivery.ack()
        assert trio.current_time() - began < 10
        nodes.network.heal(nodes[0].address)
        await nodes[0].until(lambda status: status["types"]["A"]["leased"] == 0)


async def test_two_breaks_in_a_row_lose_nothing(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", credit=8, reconnect_grace=60) as deliveries,
    ):
        for number in range(8):
            await client.push(number, type="A")
        taken = [await anext(deliveries) for _ in range(4)]
        for delivery in taken:
            await cut(nodes, 1)
            delivery.ack()
            await trio.sleep(0.5)
        for _ in range(4):
            with await anext(deliveries):
                pass
        await nodes[0].until(lambda status: status["types"]["A"]["settled"] == 8)
        streams = nodes[0].node.context.engine.brain.context.subscriptions
        assert len(streams.streams) == len(streams.secrets) == 1
