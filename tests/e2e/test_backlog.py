"""A backlog larger than the memory it may take: kept, delivered in order, also after a kill -9."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

import trionode
from tests.support.processes import node_process, of_type, status_of
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES

MIB = 1 << 20
LIMIT = 4 * MIB
SIZE = 32 * 1024
COUNT = 4096
"""Of 32 KiB: 128 MiB, far more than the node may take."""

MARGIN = 64 * MIB
"""What a node may take beside: what is read ahead, what is in flight, what the allocator keeps."""


def payload(number: int) -> bytes:
    return number.to_bytes(8, "big") * (SIZE // 8)


def peak_bytes(pid: int) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (each for each in lines if each.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


async def push_all(address: str, numbers: range) -> None:
    async with (
        trionode.connect(address) as client,
        client.pusher(type="Big", window=64) as pusher,
    ):
        for number in numbers:
            await pusher.send(payload(number), encoding="raw")


async def take(address: str, numbers: range) -> None:
    """Take and acknowledge these, in their order."""
    expected = iter(numbers)
    async with (
        trionode.connect(address) as client,
        client.subscribe("Big", credit=32) as deliveries,
    ):
        left = len(numbers)
        async for delivery in deliveries:
            number = next(expected)
            assert bytes(delivery.object) == payload(number), f"not number {number}"
            delivery.ack()
            left -= 1
            if not left:
                break


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see memory")
def test_a_backlog_may_be_larger_than_the_memory_for_payloads(tmp_path):
    arguments = ("--data-dir", str(tmp_path))
    limit = {"TRIONODE_CONF_MEMORY__PAYLOAD_LIMIT": str(LIMIT)}
    with node_process("n1", *arguments, **limit) as node:
        before = peak_bytes(node.process.pid)
        trio.run(push_all, node.address, range(COUNT))
        status = status_of(node)
        assert of_type(status, "Big")["bytes"] == COUNT * SIZE
        assert status["memory"]["bytes"] <= LIMIT + COUNT * OBJECT_OVERHEAD_BYTES + MIB
        half = COUNT // 2
        trio.run(take, node.address, range(half))
        assert peak_bytes(node.process.pid) - before < LIMIT + MARGIN
        node.kill()
        node.start()
        assert status_of(node)["memory"]["bytes"] <= LIMIT + half * OBJECT_OVERHEAD_BYTES
        trio.run(take, node.address, range(half, COUNT))
        assert peak_bytes(node.process.pid) - before < LIMIT + MARGIN
        assert of_type(status_of(node), "Big")["ready"] == 0
