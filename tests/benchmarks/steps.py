"""Where a node's time goes: `python -m tests.benchmarks.steps`.

One object's way through the node, step by step in one process, without sockets: the least processor
time of each step, in batches as they come at full speed. The shares point to what is worth a
profile; what the system does (sockets, the event loop, other processes) is not in them.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
from typing import TYPE_CHECKING, Any

from trionode.ids import from_runs, to_runs
from trionode.node import convert
from trionode.routing import effects, events
from trionode.routing.brain import Brain
from trionode.schema.registry import TypeRegistry
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PRODUCER, CONSUMER = 1, 2
TYPE = "bench.Steps"
SCHEMA = """{"type": "object", "required": ["number", "total"], "properties":
    {"number": {"type": "integer"}, "total": {"type": "string", "format": "decimal"}}}"""
JSON = b'{"number":123456,"customer":"Ada Lovelace","total":"99.50","filling":"%s"}' % (b"x" * 50)


class Way:
    """A node's brain and codec with one producer and one consumer, and the time of each step."""

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.brain = Brain("n", 1, durable=False)
        self.took: dict[str, list[float]] = collections.defaultdict(list)
        self._sequence = 1
        self._number = 0
        self.brain.handle(events.ConsumerCame(CONSUMER), 0.0)
        wish = events.Subscribed(CONSUMER, 1, (TYPE,), 10 * batch, 1 << 30)
        self.brain.handle(wish, 0.0)

    def step(self, name: str, work: Callable[[], Any]) -> Any:
        """Do a step and note how long it took per object."""
        began = time.perf_counter()
        found = work()
        self.took[name].append((time.perf_counter() - began) / self.batch)
        return found

    def go(self, payloads: list[bytes]) -> None:
        """Take one push, deliver it, and settle what was delivered."""
        push = frames.Push(TYPE, self._sequence, payloads, "raw", acknowledged=self._sequence - 1)
        self._sequence += len(payloads)
        data = MESSAGEPACK.encode(push)
        frame: Any = self.step("decode the push", lambda: MESSAGEPACK.decode(data))
        event = convert.pushed(frame, 1, PRODUCER, (0, len(payloads)), 0.0)
        wanted = self.step(
            "take into custody, route and lease", lambda: self.brain.handle(event, 0.0)
        )
        delivered = [effect for effect in wanted if isinstance(effect, effects.Deliver)]
        messages = self.step(
            "encode the delivery",
            lambda: [
                MESSAGEPACK.encode(each)
                for effect in delivered
                for each in convert.deliver(effect, 0.0)
            ],
        )
        ids = [held.id for effect in delivered for held in effect.objects]
        assert len(messages) == len(delivered)
        assert len(ids) == len(payloads)
        self._number += 1
        data = MESSAGEPACK.encode(frames.Settle(self._number, "ack", to_runs(ids)))
        frame = self.step("decode the settle", lambda: MESSAGEPACK.decode(data))
        settled = self.step(
            "settle",
            lambda: self.brain.handle(
                events.Settled(CONSUMER, frame.number, "ack", list(from_runs(frame.ids))), 0.0
            ),
        )
        assert any(isinstance(effect, effects.AnswerSettle) for effect in settled)


def steps(batch: int, rounds: int) -> Iterator[tuple[str, float]]:
    """Each step and the least time it took, in microseconds per object."""
    way = Way(batch)
    for _ in range(rounds):
        way.go([bytes(128)] * batch)
    assert not way.brain.context.custody.objects
    types = TypeRegistry()
    fingerprint = types.define("bench.Checked", SCHEMA).fingerprint
    payloads = [JSON] * batch
    for _ in range(rounds):
        way.step(
            "typed only: check against the schema",
            lambda: types.check_many("bench.Checked", payloads, "json", fingerprint),
        )
    for name, times in way.took.items():
        yield name, min(times) * 1e6


def main(argv: list[str]) -> None:
    """Print the steps."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.steps", description=__doc__)
    parser.add_argument("--batch", type=int, default=256, help="objects of a push (default: 256)")
    parser.add_argument("--rounds", type=int, default=500, help="how often (default: 500)")
    given = parser.parse_args(argv)
    found = dict(steps(given.batch, given.rounds))
    for name, us in found.items():
        print(f"{us:6.2f} µs  {name}")
    print(
        f"{sum(us for name, us in found.items() if not name.startswith('typed')):6.2f} µs  in all, raw"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
