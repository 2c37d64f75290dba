"""The two processes of `trionode bench`: one pushes, one subscribes and acknowledges.

Each says a line of JSON on stdout when it has something to say; times are nanoseconds of the
system's monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import deque
from struct import Struct
from typing import TYPE_CHECKING

import trio

import trionode
from trionode.cli.pipes import read_lines
from trionode.cli.statistics import Tally, latencies_ms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

STAMP = Struct(">QQ")
"""The object's number and when it was pushed; the first bytes of each payload."""
STEP = 10_000
"""Objects between two signs of progress."""
PRODUCER_WINDOW = 4096


def say(**told: object) -> None:
    """One line for the parent."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def produce(node: str, type_name: str, count: int, size: int, rate: int) -> None:
    """Push, at so many objects per second or (0) as fast as it goes."""
    filling = bytes(size - STAMP.size)
    async with (
        trionode.connect(*node.split(",")) as client,
        client.pusher(type=type_name, window=PRODUCER_WINDOW) as pusher,
    ):
        print("ready", flush=True)  # noqa: T201  # the parent waits for it
        async for _ in read_lines():
            break
        say(began_ns=time.monotonic_ns())
        async for number in _paced(count, rate):
            stamp = STAMP.pack(number, time.monotonic_ns())
            await pusher.send(stamp + filling, encoding="raw")


async def _paced(count: int, rate: int) -> AsyncIterator[int]:
    if not rate:
        for number in range(count):
            yield number
        return
    began = trio.current_time()
    for number in range(count):
        await trio.sleep_until(began + number / rate)
        yield number


async def consume(node: str, type_name: str, count: int, _size: int, credit: int) -> None:
    """Take and acknowledge so many objects."""
    tally = Tally(count)
    latencies_ns: list[int] = []
    last: deque[trionode.Delivery[bytes]] = deque(maxlen=credit)
    async with (
        trionode.connect(*node.split(",")) as client,
        client.subscribe(type_name, credit=credit) as deliveries,
    ):
        print("ready", flush=True)  # noqa: T201  # the parent waits for it
        seen = itertools.count(1)
        async for delivery in deliveries:
            number, pushed_ns = STAMP.unpack_from(delivery.payload)
            latencies_ns.append(time.monotonic_ns() - pushed_ns)
            tally.note(number)
            delivery.ack()
            last.append(delivery)
            if not next(seen) % STEP:
                say(step=STEP)
            if not tally.missing:
                break
        for delivery in last:
            await delivery.settled()
        ended_ns = time.monotonic_ns()
    say(
        ended_ns=ended_ns,
        missing=tally.missing,
        duplicates=tally.duplicates,
        strangers=tally.strangers,
        latencies_ms=latencies_ms(latencies_ns),
    )


def main(job: str, node: str, type_name: str, *numbers: str) -> None:
    """Do one of the two jobs."""
    work: Callable[..., Awaitable[None]] = produce if job == "produce" else consume
    trio.run(work, node, type_name, *map(int, numbers))


if __name__ == "__main__":
    main(*sys.argv[1:])
