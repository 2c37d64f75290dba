"""`trionode forget` with real processes: what was on its way to a node that is gone for good."""

from __future__ import annotations

import re
import shutil
import signal
from itertools import count as count_up
from typing import TYPE_CHECKING

import trio

from tests.support.processes import (
    DEADLINE_S,
    NodeProcess,
    count,
    linked,
    node_process,
    status_when,
    trionode,
)
from trionode import connect

if TYPE_CHECKING:
    from pathlib import Path

ROUNDS = 50


async def take(node: NodeProcess, taken: set[str]) -> None:
    """Task: a consumer of what comes to a node, until it is cancelled."""
    async with connect(node.address) as client, client.subscribe("Order", credit=1000) as orders:
        async for order in orders:
            taken.add(str(order.id))
            order.ack()


async def push_on(client) -> None:
    """Task: push without end, so that there are offers to meet whenever one looks."""
    async with client.pusher(type="Order") as pusher:
        for number in count_up():
            await pusher.send(number)


async def stop_in_transfer(giver, taker: NodeProcess) -> None:
    """Stop a node while objects are on offer to it that it will never answer for."""

    async def transferring() -> int:
        return count(await giver.status(), "Order", "transferring")

    for _ in range(ROUNDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(push_on, giver)
            await status_when(giver, lambda status: count(status, "Order", "transferring"))
            taker.signal(signal.SIGSTOP)
            nursery.cancel_scope.cancel()
        # What it had answered before has come in when two looks find the same.
        before, now = -1, await transferring()
        while now != before:
            before, now = now, await transferring()
        if now:
            return
        taker.signal(signal.SIGCONT)
    raise AssertionError("no offer was ever open")


async def test_what_was_in_doubt_with_a_node_that_is_gone_is_delivered_elsewhere_and_marked(
    tmp_path: Path,
) -> None:
    lost = tmp_path / "n2"
    taken: set[str] = set()
    with (
        trio.fail_after(3 * DEADLINE_S),
        node_process("n1", "--data-dir", str(tmp_path / "n1")) as one,
        node_process("n2", "--peer", one.address, "--data-dir", str(lost)) as two,
    ):
        async with connect(one.address) as client:
            await status_when(client, lambda status: linked(status) >= {"n2"})
            async with trio.open_nursery() as nursery:
                nursery.start_soon(take, two, taken)
                await stop_in_transfer(client, two)
                nursery.cancel_scope.cancel()
            two.kill()
            shutil.rmtree(lost)
            status = await status_when(client, lambda status: "n2" not in linked(status))
            in_doubt = count(status, "Order", "transferring")

            done = await trio.to_thread.run_sync(trionode, "forget", "n2", "--node", one.address)
            assert done.returncode == 0, done.stderr
            said = re.match(r"node n1: (\d+) objects ready again", done.stdout)
            assert said is not None, done.stdout
            assert int(said[1]) == in_doubt > 0
            status = await client.status()
            assert count(status, "Order", "transferring") == 0
            ready = count(status, "Order", "ready")
            assert ready >= in_doubt

            marked, unmarked = set(), set()
            async with client.subscribe("Order", credit=100) as orders:
                for _ in range(ready):
                    order = await anext(orders)
                    duplicate = order.details.get("possibly_duplicate", False)
                    (marked if duplicate else unmarked).add(str(order.id))
                    order.ack()
                await order.settled()
            assert len(marked) == in_doubt
            assert not unmarked & taken, "only what is marked may have been processed before"
            assert count(await client.status(), "Order", "ready") == 0
