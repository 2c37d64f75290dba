"""A node that is pushed past its limit stays within its memory, as the system measures it (G7)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

import trionode
from tests.support.processes import node_process
from trionode.errors import Refused, Status

MIB = 1 << 20
LIMIT_BYTES = 24 * MIB
PROPORTION = 1.2
"""What a process takes for each byte of its limit."""
BASE_BYTES = 40 * MIB
"""Buffers of connections and what else grows under load, whatever the limit."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


def most_resident_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


async def fill(client: trionode.Client, payload: bytes) -> Refused:
    """Push until the node refuses; the refusal."""
    pushes = 0
    try:
        async with client.pusher(type="Load") as pusher:
            while pushes < 200_000:
                receipt = await pusher.send(payload)
                pushes += 1
                if pushes % 1000 == 0:
                    await receipt.wait()
    except Refused as refusal:
        return refusal
    raise AssertionError(f"{pushes} objects were taken")


@pytest.mark.parametrize("payload", [b"", bytes(50_000)], ids=["tiny", "large"])
async def test_a_full_node_refuses_pushes_within_its_memory_while_all_else_goes_on(payload):
    variables = {
        "TRIONODE_CONF_LIMITS__MEMORY_BYTES": str(LIMIT_BYTES),
        "TRIONODE_CONF_LIMITS__PUSH_TIMEOUT_S": "0.5",
    }
    with node_process("full", "--memory", **variables) as node, trio.fail_after(120):
        pid = node.process.pid
        before = most_resident_bytes(pid)
        async with trionode.connect(node.address) as client:
            refusal = await fill(client, payload)
            assert refusal.grpc_status is Status.RESOURCE_EXHAUSTED
            assert "limits.memory_bytes" in refusal.hint
            status = await client.status()
            assert 0.8 * LIMIT_BYTES < status["memory"]["bytes"] < LIMIT_BYTES
            assert most_resident_bytes(pid) < before + PROPORTION * LIMIT_BYTES + BASE_BYTES
            async with client.subscribe("Load", credit=100) as deliveries:
                for _ in range(200):
                    (await anext(deliveries)).ack()
            await client.push({"n": 1}, type="Again")
            assert (await client.status())["types"]["Again"]["ready"] == 1
