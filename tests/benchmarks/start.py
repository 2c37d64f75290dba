"""How a node starts with a large backlog, and how fast it gives it out: with payloads in memory and
with nearly all of them on disk.

`python -m tests.benchmarks.start` prints a line per round and kind. Not a test: it judges nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import attrs
import trio

import trionode
from tests.benchmarks.store import batch_of
from tests.support import processes
from trionode.store.sqlite import SqliteStore

LIMITS = {"in memory": None, "on disk": 1 << 20}
"""What a node may have of payloads in memory, in bytes; None: as by default."""
CREDIT = 4096
START_DEADLINE_S = 120.0
BATCH = 1000


def fill(directory: Path, count: int) -> None:
    """A data directory with so many objects."""
    store = SqliteStore(directory, "bench", os.urandom)
    store.open(1)
    for at in range(0, count, BATCH):
        store.write(batch_of(1 + at, BATCH, at))
    store.close()


def peak_mib(pid: int) -> int:
    """The most memory that a process ever had."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) >> 10


async def drained_per_s(address: str, count: int) -> float:
    """Take and acknowledge so many objects with one client; objects per second."""
    async with (
        trionode.connect(address) as client,
        client.subscribe("Order", credit=CREDIT) as deliveries,
    ):
        begun, left = time.perf_counter(), count
        async for delivery in deliveries:
            delivery.ack()
            left -= 1
            if not left:
                await delivery.settled()
                speed = count / (time.perf_counter() - begun)
                settled = (await client.status())["types"]["Order"]["settled"]
                assert settled == count, f"{settled} are settled, not {count}"
                return speed
    raise AssertionError("deliveries ended")


@attrs.frozen
class Start:
    """One start and what followed."""

    seconds: float
    peak_mib: int
    objects_per_s: float
    peak_after_mib: int


def measure(directory: Path, limit_bytes: int | None, count: int) -> Start:
    """Start a node on a copy of a data directory and drain a part of it."""
    copy = directory.with_name("copy")
    shutil.copytree(directory, copy)
    variables = {}
    if limit_bytes is not None:
        variables["TRIONODE_CONF_MEMORY__PAYLOAD_LIMIT"] = str(limit_bytes)
    begun = time.perf_counter()
    try:
        with processes.node_process("bench", "--data-dir", str(copy), **variables) as node:
            seconds, peak = time.perf_counter() - begun, peak_mib(node.process.pid)
            speed = trio.run(drained_per_s, node.address, count)
            return Start(seconds, peak, speed, peak_mib(node.process.pid))
    finally:
        shutil.rmtree(copy)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, help="where to write; default: a temporary one")
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--drain", type=int, default=300_000, help="how many are given out")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    processes.DEADLINE_S = START_DEADLINE_S
    folder = Path(tempfile.mkdtemp(dir=options.directory))
    try:
        fill(folder / "data", options.backlog)
        for _ in range(options.rounds):
            for name, limit_bytes in LIMITS.items():
                found = measure(folder / "data", limit_bytes, options.drain)
                print(
                    f"payloads {name}: {options.backlog:,} objects are back and served after"
                    f" {found.seconds:.1f} s, peak {found.peak_mib} MiB; given out at"
                    f" {found.objects_per_s:,.0f} objects/s, peak {found.peak_after_mib} MiB",
                    flush=True,
                )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
