"""Two durable nodes under load, one of them killed at a random moment, again and again.

`python -m tests.e2e.kill_rounds --rounds 200` repeats it at length and prints the ledger: what was
acknowledged and never came is lost, what came more often than once is a duplicate.

Objects of two types are pushed to both nodes; each type has its consumer at one node only, so that
half of the objects are transferred, in both directions.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import attrs
import trio

import trionode
from tests.support.processes import NodeProcess, held, node_process
from trionode.store import sqlite_tools

QUICK = {
    "TRIONODE_CONF_PEERS__BACKOFF_MAX_S": "0.2",
    "TRIONODE_CONF_ROUTING__TRANSFER_AFTER_S": "0.05",
    "TRIONODE_CONF_ROUTING__MAX_ATTEMPTS": "1000000",
    "TRIONODE_CONF_ROUTING__IN_DOUBT_TIMEOUT_S": "5",
    "TRIONODE_CONF_ROUTING__RETRY_BASE_S": "0.01",
}
"""Links and retries that need not be waited for. No object may become a dead letter: the ledger
wants it settled."""
RETAINING = {
    "TRIONODE_CONF_STORE__RETENTION_S": "3600",
    "TRIONODE_CONF_STORE__RETENTION_OBJECTS": "2000",
}
"""One of the nodes keeps some of what was settled."""
PRODUCERS = 6
"""Per node and type; each waits for one acknowledgement at a time."""
ALIVE_S = (0.1, 0.8)
"""How long the load goes on between two kills."""
SETTLE_DEADLINE_S = 120.0


@attrs.define
class Ledger:
    """What was promised, and what came of it."""

    acknowledged: set[int] = attrs.field(factory=set)
    pushed: int = 0
    settled: dict[int, int] = attrs.field(factory=dict)
    """Object -> how often a consumer acknowledged it."""
    nacked: int = 0
    kills: int = 0
    starts_s: list[float] = attrs.field(factory=list)
    left: int = -1
    """Objects that the nodes still hold at the end."""
    damaged: int = 0
    """Records of the stores that are not as they were written."""

    @property
    def lost(self) -> set[int]:
        """Acknowledged, and never brought to anybody."""
        return self.acknowledged - self.settled.keys()

    @property
    def duplicates(self) -> int:
        """How often an object came again that had been acknowledged by its consumer."""
        return sum(self.settled.values()) - len(self.settled)

    def figures(self) -> dict[str, object]:
        """For people."""
        return {
            "kills": self.kills,
            "pushed": self.pushed,
            "acknowledged": len(self.acknowledged),
            "settled": len(self.settled),
            "lost": len(self.lost),
            "duplicates": self.duplicates,
            "nacked": self.nacked,
            "left_in_nodes": self.left,
            "damaged": self.damaged,
            "longest_start_s": round(max(self.starts_s, default=0.0), 2),
        }


class Rounds:
    """One run of the experiment."""

    def __init__(self, nodes: list[NodeProcess], seed: int) -> None:
        self.ledger = Ledger()
        self._nodes = nodes
        self._draw = random.Random(seed)
        self._numbers = itertools.count(1)
        self._pushing = True
        self._news = trio.Event()

    async def run(self, rounds: int) -> None:
        """Load and kills, then everything must come to its end."""
        async with trio.open_nursery() as nursery:
            for node, type_name in zip(self._nodes, ("A", "B"), strict=True):
                nursery.start_soon(self._consume, node, type_name)
            async with trio.open_nursery() as producers:
                for node, type_name in itertools.product(self._nodes, ("A", "B")):
                    producers.start_soon(self._produce, node, type_name)
                for _ in range(rounds):
                    await self._kill_some()
                self._pushing = False
            with trio.move_on_after(SETTLE_DEADLINE_S):
                while self.ledger.lost:
                    await self._news.wait()
            self.ledger.left = await self._left()
            nursery.cancel_scope.cancel()

    async def _kill_some(self) -> None:
        draw = self._draw
        await trio.sleep(draw.uniform(*ALIVE_S))
        victims = self._nodes if draw.random() < 0.1 else [draw.choice(self._nodes)]
        for node in victims:
            self.ledger.kills += 1
            await trio.to_thread.run_sync(node.kill)
        await trio.sleep(draw.choice([0.0, 0.0, 0.2]))
        for node in victims:
            began = time.monotonic()
            await trio.to_thread.run_sync(node.start)
            self.ledger.starts_s.append(time.monotonic() - began)

    async def _produce(self, node: NodeProcess, type_name: str) -> None:
        async with trionode.connect(node.address) as client, trio.open_nursery() as nursery:
            for _ in range(PRODUCERS):
                nursery.start_soon(self._push, client, type_name)

    async def _push(self, client: trionode.Client, type_name: str) -> None:
        while self._pushing:
            number = next(self._numbers)
            self.ledger.pushed += 1
            await client.push({"n": number, "fill": "x" * (number % 300)}, type=type_name)
            self.ledger.acknowledged.add(number)

    async def _consume(self, node: NodeProcess, type_name: str) -> None:
        settled = self.ledger.settled
        async with (
            trionode.connect(node.address) as client,
            client.subscribe(type_name, credit=50) as deliveries,
        ):
            async for delivery in deliveries:
                number = delivery.object["n"]
                # A lease that was lost is no settlement: the object comes again.
                with contextlib.suppress(trionode.LeaseLost):
                    if number % 20 == 0 and delivery.attempt == 1:
                        delivery.nack()
                        self.ledger.nacked += 1
                    else:
                        delivery.ack()
                        settled[number] = settled.get(number, 0) + 1
                self._news.set()
                self._news = trio.Event()

    async def _left(self) -> int:
        """What the nodes hold, once that is nothing or the time is over."""
        left = -1
        with trio.move_on_after(SETTLE_DEADLINE_S):
            while left != 0:
                statuses = []
                for node in self._nodes:
                    async with trionode.connect(node.address) as client:
                        statuses.append(await client.status())
                left = sum(map(held, statuses))
                await trio.sleep(0.1)
        return left


async def kill_rounds(folder: Path, rounds: int, seed: int) -> Ledger:
    """Run it with two new nodes in a folder."""
    with (
        node_process("n1", "--data-dir", str(folder / "n1"), **QUICK) as one,
        node_process(
            "n2", "--data-dir", str(folder / "n2"), "--peer", one.address, **QUICK, **RETAINING
        ) as two,
    ):
        made = Rounds([one, two], seed)
        await made.run(rounds)
    for name in ("n1", "n2"):
        damage, aside = sqlite_tools.verify(folder / name)
        made.ledger.damaged += len(damage) + len(aside)
    return made.ledger


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Kill nodes under load and keep the ledger.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ledger = trio.run(kill_rounds, Path(folder), options.rounds, options.seed)
    print(json.dumps(ledger.figures()))
    return 1 if ledger.lost or ledger.left or ledger.damaged else 0


if __name__ == "__main__":
    sys.exit(main())
