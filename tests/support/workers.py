"""Consumers in processes of their own, that can be frozen, killed, or die of what they get."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.processes import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGIN = """
import os, sys
import trio, trionode

address, kind = sys.argv[1:]

async def main():
    async with trionode.connect(address) as client:
        {body}

trio.run(main)
"""

HOLDER = """
        async with client.subscribe(kind, credit=1000) as deliveries:
            taken = [await anext(deliveries) for _ in range(1000)]
            for _ in range(3):
                await client.ping()  # the node has heard by then what was started
            print("taken", flush=True)
            await trio.sleep_forever()
"""
"""Takes a thousand objects and settles none."""

MORTAL = """
        async def handle(delivery):
            with delivery as value:
                await trio.sleep(0.01)
                if value == "poison":
                    os._exit(17)
        async with client.subscribe(kind, credit=64, max_attempts=3) as deliveries:
            async with trio.open_nursery() as nursery:
                async for delivery in deliveries:
                    nursery.start_soon(handle, delivery)
"""
"""Handles what it gets side by side, and dies at once of poison."""

MORTAL_STATUS = 17


@contextlib.contextmanager
def worker(body: str, address: str, kind: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs one of the bodies above, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", _BEGIN.format(body=body.strip()), address, kind],
        stdout=subprocess.PIPE,
        env=environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
