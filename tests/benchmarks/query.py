"""What a query over a large store costs, and what it costs those who push and consume meanwhile.

`python tests/benchmarks/query.py [--objects 1000000]` fills a store, starts a node on it, and
measures the latency of push → deliver → ack in turns with and without a client that queries all of
it without pause. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[2]))

import trionode
from tests.support.processes import NodeProcess
from tests.support.stores import random_bytes, record
from trionode.ids import object_id
from trionode.store import SqliteStore
from trionode.store.batch import Batch

CITIES = ("Riga", "Oslo", "Turin", "Gent")
BATCH = 10_000
TURNS = 6
TURN_S = 4.0
RATE_PER_S = 200
QUERIES = {
    "where, no order": {"where": 'total > 999990 and customer.city = "Riga"', "limit": 100},
    "where, ordered": {"where": 'customer.city = "Riga"', "order_by": "total desc", "limit": 100},
    "all, ordered": {"order_by": "$created desc", "limit": 100},
}


def fill(folder: Path, count: int) -> float:
    """A store with so many objects of about 128 bytes; how long that took."""
    began = time.monotonic()
    store = SqliteStore(folder, "n1", random_bytes)
    store.open(int(time.time() * 1000))
    for _ in store.recover(0.0):
        pass
    for first in range(0, count, BATCH):
        batch = Batch(first + 1, 0.0)
        for number in range(first + 1, min(first + BATCH, count) + 1):
            payload = json.dumps(
                {"total": number, "customer": {"city": CITIES[number % 4]}, "fill": "x" * 70}
            ).encode()
            id_ = object_id(7, number)
            batch.kept[id_] = record(id_, first + 1, payload, created=time.time())
        store.write(batch)
    store.close()
    return time.monotonic() - began


async def turn(address: str, latencies: list[float]) -> None:
    """Push at a steady rate for a while, and note how long each object takes to be taken."""
    sent: dict[int, float] = {}
    async with (
        trionode.connect(address) as producer,
        trionode.connect(address) as consumer,
        consumer.subscribe("Live", credit=64) as deliveries,
        trio.open_nursery() as nursery,
    ):

        async def take() -> None:
            async for delivery in deliveries:
                latencies.append(time.monotonic() - sent.pop(delivery.object))
                delivery.ack()

        nursery.start_soon(take)
        async with producer.pusher(type="Live") as pusher:
            began = time.monotonic()
            for number in range(int(TURN_S * RATE_PER_S)):
                await trio.sleep(max(0.0, began + number / RATE_PER_S - time.monotonic()))
                sent[number] = time.monotonic()
                await pusher.send(number)
        while sent:  # noqa: ASYNC110  # what is waited for is a dict that gets empty
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


async def query_without_pause(address: str, asked: dict, counts: list[int]) -> None:
    """Task: one query after the other."""
    async with trionode.connect(address) as client:
        while True:
            counts.append(len([found.id async for found in client.query("Order", **asked)]))


async def measure(address: str) -> dict:
    """Figures of each query."""
    figures = {}
    async with trionode.connect(address) as client:
        for name, asked in QUERIES.items():
            times = []
            for _ in range(3):
                began = time.monotonic()
                async for _found in client.query("Order", **asked):
                    pass
                times.append(time.monotonic() - began)
            alone: list[float] = []
            beside: list[float] = []
            queries: list[int] = []
            for _ in range(TURNS):
                await turn(address, alone)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(query_without_pause, address, asked, queries)
                    await turn(address, beside)
                    nursery.cancel_scope.cancel()
            figures[name] = {
                "query_s": round(statistics.median(times), 2),
                "queries_meanwhile": len(queries),
                "alone_ms": quantiles(alone),
                "beside_ms": quantiles(beside),
            }
    return figures


def quantiles(values: list[float]) -> dict[str, float]:
    """In milliseconds."""
    ordered = sorted(values)
    return {
        name: round(1000 * ordered[int(share * (len(ordered) - 1))], 2)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999))
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        filled_s = fill(Path(folder) / "n1", options.objects)
        began = time.monotonic()
        node = NodeProcess("n1", "--data-dir", str(Path(folder) / "n1"), listen="127.0.0.1:0")
        started_s = time.monotonic() - began
        try:
            figures = trio.run(measure, node.address)
        finally:
            node.close()
    print(
        json.dumps(
            {"filled_s": round(filled_s, 1), "started_s": round(started_s, 1), **figures}, indent=1
        )
    )


if __name__ == "__main__":
    main()
