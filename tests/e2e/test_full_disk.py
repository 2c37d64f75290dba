"""A node whose disk is full takes nothing, gives what it has, and recovers by itself."""

from __future__ import annotations

import resource
import subprocess

import pytest
import trio

import trionode
from tests.support.processes import DEADLINE_S, count, node_process, started, status_when
from trionode import Status

LIMIT_BYTES = 400_000
PAYLOAD = b"x" * 2000


def limit_files(pid: int, size_bytes: int) -> None:
    """Let a process write no file beyond this size; the kernel refuses more as a full disk does."""
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, hard))


async def push_until_refused(client) -> tuple[list[str], trionode.Refused]:
    """The ids that were acknowledged, and the refusal.

    Pushes that were on their way into the commit that fails are not answered meanwhile.
    """
    acknowledged: list[str] = []
    refusals: list[trionode.Refused] = []

    async def push() -> None:
        try:
            acknowledged.append(await client.push(PAYLOAD, type="A"))
        except trionode.Refused as refusal:
            refusals.append(refusal)

    async with trio.open_nursery() as nursery:
        while not refusals:
            nursery.start_soon(push)
            await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    return acknowledged, refusals[0]


async def test_a_full_disk_stops_pushes_and_nothing_else_until_there_is_room(tmp_path):
    with (
        trio.fail_after(3 * DEADLINE_S),
        node_process("n1", "--data-dir", str(tmp_path)) as node,
    ):
        async with (
            trionode.connect(node.address) as client,
            trionode.connect(node.address) as other,
        ):
            before = [await client.push(PAYLOAD, type="A") for _ in range(20)]
            limit_files(node.process.pid, LIMIT_BYTES)
            acknowledged, refusal = await push_until_refused(other)
            assert refusal.grpc_status is Status.UNAVAILABLE
            assert "the disk is full or failing" in str(refusal)
            status = await client.status()
            assert status["state"] == "not_serving"
            assert "full or failing" in status["store"]["state"]
            # What is held goes on: it is delivered, and its settles are taken.
            async with client.subscribe("A", credit=5) as deliveries:
                settled = []
                for _ in range(10):
                    delivery = await anext(deliveries)
                    settled.append(trionode.format_id(delivery.id))
                    delivery.ack()
                    await delivery.settled()
            assert settled == before[:10]
            with pytest.raises(trionode.Refused):
                await client.push(PAYLOAD, type="A")

            limit_files(node.process.pid, resource.RLIM_INFINITY)
            status = await status_when(client, lambda status: status["state"] == "running")
            assert status["store"]["state"] == "ok"
            assert count(status, "A", "settled") == 10
            after = await client.push(PAYLOAD, type="A")
        node.kill()
        node.start()
        async with trionode.connect(node.address) as client:
            held = {found.id async for found in client.query("A")}
    assert {*before[10:], *acknowledged, after} <= held
    assert not held & set(settled)


def test_a_push_by_command_says_what_it_waits_for_and_goes_on_by_itself(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        limit_files(node.process.pid, 1)
        with started("push", "A", "1", "2", "--node", node.address) as push:
            line = push.stderr.readline().decode()
            assert line.startswith("trionode: waiting since ")
            assert "node n1 cannot store what it was sent: " in line
            assert "full or failing" in line
            with pytest.raises(subprocess.TimeoutExpired):
                push.wait(0.01)
            limit_files(node.process.pid, resource.RLIM_INFINITY)
            out, err = push.communicate(timeout=DEADLINE_S)
        assert push.returncode == 0, err
        assert len(out.split()) == 2
