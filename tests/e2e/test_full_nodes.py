"""Full nodes do not lock up, with real processes (G7): each other, their clients, their steps."""

from __future__ import annotations

import pytest
import trio

import trionode
from tests.support.processes import DEADLINE_S, count, held, linked, node_process, status_when
from trionode.errors import Refused, Status

MEMORY_BYTES = 2 << 20
SMALL = {
    "TRIONODE_CONF_LIMITS__MEMORY_BYTES": str(MEMORY_BYTES),
    "TRIONODE_CONF_LIMITS__MAX_OBJECT_BYTES": str(256 << 10),
    "TRIONODE_CONF_LIMITS__PUSH_TIMEOUT_S": "0.3",
}
PATIENT = {**SMALL, "TRIONODE_CONF_LIMITS__PUSH_TIMEOUT_S": str(2 * DEADLINE_S)}
PAYLOAD = bytes(50_000)


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(3 * DEADLINE_S):
        yield


async def fill(client: trionode.Client, kind: str) -> int:
    """Push until the node refuses; how many objects it took."""
    for number in range(1000):
        try:
            await client.push(PAYLOAD, type=kind)
        except Refused as refusal:
            if refusal.grpc_status is not Status.RESOURCE_EXHAUSTED:
                raise
            return number
    raise AssertionError("it took everything")


async def settle(client: trionode.Client, kind: str, number: int) -> None:
    async with client.subscribe(kind, credit=4) as deliveries:
        for _ in range(number):
            delivery = await anext(deliveries)
            delivery.ack()
        await delivery.settled()


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
async def test_two_nodes_full_of_what_the_consumers_of_the_other_want_empty_each_other(
    durable, tmp_path
):
    def kept(name: str) -> tuple[str, ...]:
        return ("--data-dir", str(tmp_path / name)) if durable else ()

    with (
        node_process("n1", *kept("n1"), **SMALL) as a,
        node_process("n2", "--peer", a.address, *kept("n2"), **SMALL) as b,
    ):
        async with trionode.connect(a.address) as one, trionode.connect(b.address) as two:
            await status_when(one, linked)
            ours, theirs = await fill(one, "Theirs"), await fill(two, "Ours")
            assert min(ours, theirs) > 20
            async with trio.open_nursery() as nursery:
                nursery.start_soon(settle, one, "Ours", theirs)
                nursery.start_soon(settle, two, "Theirs", ours)
            for client in (one, two):
                await status_when(client, lambda status: not held(status))


async def test_a_client_whose_pushes_are_held_back_settles_and_so_makes_room_for_them(kind):
    fits = int(0.85 * MEMORY_BYTES / len(PAYLOAD))
    with node_process("full", **PATIENT) as node:
        async with trionode.connect(node.address) as client:
            async with client.pusher(type=kind) as pusher:
                for _ in range(2 * fits):
                    await pusher.send(PAYLOAD)
                await status_when(client, lambda status: count(status, kind, "ready") > fits / 2)
                assert count(await client.status(), kind, "accepted") <= fits
                await settle(client, kind, 2 * fits)
            status = await status_when(client, lambda status: not held(status))
            assert count(status, kind, "settled") == 2 * fits


async def test_results_are_taken_with_an_ack_at_a_node_that_refuses_pushes(kind):
    with node_process("full", **SMALL) as node:
        async with trionode.connect(node.address) as client:
            taken = await fill(client, kind)
            async with client.subscribe(kind, credit=1) as deliveries:
                for _ in range(taken):
                    delivery = await anext(deliveries)
                    # Larger than what it takes the place of: it cannot be paid with that alone.
                    delivery.ack(emit=[trionode.Emit(PAYLOAD + bytes(1000), type="Result")])
                    await delivery.settled()
            status = await status_when(client, lambda status: not held(status, kind))
            assert count(status, "Result", "ready") == taken
            with pytest.raises(Refused):
                await client.push(PAYLOAD, type=kind)
