"""What a subscription asks for, over real sockets: grace, time and attempts."""

from __future__ import annotations

import json
import time

import pytest
import trio

import trionode
from tests.support.processes import DEADLINE_S, count, failure, started, status_when
from tests.support.processes import trionode as command
from tests.support.proxies import proxy_to


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(3 * DEADLINE_S):
        yield


async def test_with_grace_a_handler_works_through_a_cut_connection(node, kind):
    async with (
        proxy_to(node.address) as proxy,
        trionode.connect(node.address) as near,
        trionode.connect(proxy.address) as far,
        far.subscribe(kind, credit=4, reconnect_grace=DEADLINE_S) as deliveries,
    ):
        for number in range(6):
            await near.push(number, type=kind)
        seen = []
        for cuts in range(1, 3):
            delivery = await anext(deliveries)
            with delivery as value:
                await proxy.cut()
                # The work goes on meanwhile; nothing tells when a client is back.
                while far.statistics().reconnects < cuts:  # noqa: ASYNC110  # see above
                    await trio.sleep(0.01)
            await delivery.settled()
            seen.append((value, delivery.attempt))
        for _ in range(4):
            delivery = await anext(deliveries)
            with delivery as value:
                seen.append((value, delivery.attempt))
        assert seen == [(number, 1) for number in range(6)]
        status = await status_when(near, lambda status: count(status, kind, "settled") == 6)
        assert count(status, kind, "leased") == 0


async def test_without_grace_a_cut_connection_cancels_the_block_and_the_object_comes_again(
    node, kind
):
    async with (
        proxy_to(node.address) as proxy,
        trionode.connect(node.address) as near,
        trionode.connect(proxy.address) as far,
        far.subscribe(kind) as deliveries,
    ):
        await near.push("x", type=kind)
        delivery = await anext(deliveries)
        with pytest.raises(trionode.LeaseLost), delivery:
            await proxy.cut()
            await trio.sleep_forever()
        again = await anext(deliveries)
        assert (again.id, again.object) == (delivery.id, "x")
        again.ack()
        await again.settled()


async def test_who_died_with_grace_has_its_objects_back_at_the_node_when_it_ends(node, kind):
    grace_s = 1.5
    async with trionode.connect(node.address) as client:
        await client.push("x", type=kind)
        with started(
            "subscribe", kind, "--no-ack", "--reconnect-grace", str(grace_s),
            "--node", node.address,
        ) as doomed:  # fmt: skip
            assert doomed.stdout is not None
            await trio.to_thread.run_sync(doomed.stdout.readline)
            began = time.monotonic()
            doomed.kill()
            await status_when(client, lambda status: count(status, kind, "ready") == 1)
            assert time.monotonic() - began > 0.95 * grace_s


async def test_the_command_has_what_takes_too_long_taken_back_and_tried_as_often_as_it_says(
    node, kind
):
    async with trionode.connect(node.address) as client:
        id_ = await client.push("x", type=kind)
        taken = await trio.to_thread.run_sync(
            lambda: command(
                "subscribe", kind, "--no-ack", "--max-processing-time", "0.3",
                "--max-attempts", "2", "--count", "3", "--timeout", "6", "--node", node.address,
            )
        )  # fmt: skip
        assert "2 of 3 objects came" in failure(taken)
        printed = [json.loads(line) for line in taken.stdout.splitlines()]
        assert [(each["id"], each["attempt"]) for each in printed] == [(id_, 1), (id_, 2)]
        (dead,) = [each async for each in client.dead_letters(kind)]
        assert dead.dead == "failed 2 times"
        assert "not settled within 0.3 s" in dead.failure
