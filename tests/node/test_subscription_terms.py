"""What a client's subscription asks for, at a running node: time, attempts, back-off (G4, G5)."""

from __future__ import annotations

import pytest
import trio

import trionode
from trionode.testing import mesh


async def test_a_handler_that_takes_too_long_is_cancelled_and_the_object_tried_again(
    autojump_clock,
):
    async with mesh(1) as nodes, nodes.connect() as client:
        async with client.subscribe("A", max_processing_time=10, backoff=(1, 1)) as deliveries:
            await client.push(1, type="A")
            first = await anext(deliveries)
            began = trio.current_time()
            with pytest.raises(trionode.LeaseLost, match="not settled within 10 s"), first:
                await trio.sleep_forever()
            assert 10 <= trio.current_time() - began < 11.3
            second = await anext(deliveries)
            assert (second.id, second.attempt) == (first.id, 2)
            assert second.details["failure"] == "it was not settled within 10 s"
            second.ack()
            await second.settled()
        assert nodes[0].status()["types"]["A"]["settled"] == 1


async def test_what_waits_in_the_window_of_a_slow_handler_is_not_overdue(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        async with client.subscribe("A", credit=8, max_processing_time=10) as deliveries:
            for number in range(8):
                await client.push(number, type="A")
            for _ in range(8):
                with await anext(deliveries):
                    await trio.sleep(9)
        await nodes[0].until(lambda status: status["types"]["A"]["settled"] == 8)


async def test_a_late_ack_of_what_was_taken_back_is_refused(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", max_processing_time=10, backoff=(0, 0)) as deliveries,
    ):
        await client.push(1, type="A")
        first = await anext(deliveries)
        await trio.sleep(12)
        with pytest.raises(trionode.LeaseLost, match="not settled within"):
            first.ack()
        assert (await anext(deliveries)).attempt == 2
        assert nodes[0].status()["types"]["A"]["leased"] == 1


async def test_a_subscriptions_last_attempt_makes_a_dead_letter(autojump_clock):
    async with (
        mesh(1) as nodes,
        nodes.connect() as client,
        client.subscribe("A", max_attempts=2, backoff=(5, 5)) as deliveries,
    ):
        await client.push(1, type="A")
        began = trio.current_time()
        for _ in range(2):
            (await anext(deliveries)).nack(reason="no luck")
        assert 4 <= trio.current_time() - began <= 5.1
        await nodes[0].until(lambda status: status["types"]["A"]["dead"] == 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_attempts": 0},
        {"max_processing_time": -1},
        {"max_processing_time": float("inf")},
        {"backoff": (2, 1)},
        {"backoff": (float("nan"), 1)},
    ],
)
async def test_terms_that_cannot_be_are_refused_at_once(wrong):
    async with mesh(1) as nodes, nodes.connect() as client:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            client.subscribe("A", **wrong)
