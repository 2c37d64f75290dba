"""The targets, and whether a run met them. Pure: figures in, rows out."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Figures = Mapping[str, float]


@attrs.frozen
class Target:
    """What one figure, or the ratio of two, must be.

    Attributes:
        what: a row's words.
        needs: the figures that it is made of.
        judge: makes the value of them.
        bound: what the value must reach (or, with `most`, must not exceed).
    """

    what: str
    needs: tuple[str, ...]
    judge: Callable[..., float]
    bound: float
    unit: str = "×"  # noqa: RUF001  # the sign for a multiple
    most: bool = False

    def met(self, value: float) -> bool:
        """Whether a value is what it must be."""
        return value <= self.bound if self.most else value >= self.bound


@attrs.frozen
class Row:
    """One target after a run."""

    what: str
    target: str
    measured: str
    verdict: str
    """`met`, `missed` or `not measured`."""


def _ratio(above: float, below: float) -> float:
    return above / below


def _same(value: float) -> float:
    return value


def _least(what: str, above: str, below: str, bound: float) -> Target:
    return Target(what, (above, below), _ratio, bound)


TARGETS: list[Target] = [
    _least("one node, memory, raw 128 B, acked, to NATS core (no ack)", "raw", "nats", 1.0),
    _least("… to Redis Streams", "raw", "redis", 1.8),
    _least("… to JetStream memory", "raw", "jetstream-memory", 8.0),
    _least("typed attrs objects at both ends, to raw", "typed", "raw", 0.6),
    _least("two nodes (transfer), to one", "two-nodes", "raw", 0.6),
    _least("durable, retention off, to Redis AOF always", "durable", "redis-aof", 1.4),
    _least("… to JetStream file", "durable", "jetstream-file", 3.0),
    _least("objects of 1 MiB, bytes to a trio TCP copy through a relay", "1MiB.bytes_per_s", "relay.bytes_per_s", 0.2),
    Target("latency push → deliver, unloaded, p50, to a trio TCP ping-pong", ("latency.p50", "ping.p50"), _ratio, 3.0, most=True),
    Target("… its p99, to its p50", ("latency.p99", "latency.p50"), _ratio, 4.0, most=True),
    Target("p99 at half load", ("half-load.p99",), _same, 10.0, "ms", most=True),
    _least("unary Push by grpcio, to grpcio's own server", "unary", "grpcio", 1.0),
    _least("… to grpclib's", "unary", "grpclib", 1.5),
    _least("throughput behind a backlog of 1 M, to 1 k", "backlog-1m", "backlog-1k", 0.8),
    Target("memory per held object beyond its payload", ("backlog-1m.bytes_per_held",), _same, 350, "B", most=True),
    _least("1,000 types, to 1", "1000-types", "raw", 0.75),
    _least("2,000 clients with a window of 16 each, to 2 clients with 1,024", "2000-clients", "raw", 0.75),
    _least("… to 2 clients with a window of 16", "2000-clients", "2-clients", 0.75),
    Target("idle node, 1,000 clients", ("idle.core_percent",), _same, 1.0, "% of a core", most=True),
    Target("… per client", ("idle.bytes_per_client",), _same, 60_000, "B", most=True),
    Target("start to ready", ("raw.start_s",), _same, 0.5, "s", most=True),
    Target("durable push → deliver → ack", ("durable",), _same, 60_000, "objects/s"),
    Target("durable pushes into a backlog that nobody takes", ("durable-backlog-1m.pushed",), _same, 50_000, "objects/s"),
    _least("durable, behind a backlog of 1 M, to 1 k", "durable-backlog-1m", "durable-backlog-1k", 0.8),
    Target(
        "durable push at rest, to one fsync and a push to a memory node",
        ("push.durable_ms", "push.fsync_ms", "push.memory_ms"),
        lambda durable, fsync, memory: durable / (fsync + memory),
        1.5,
        most=True,
    ),
]  # fmt: skip


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(values) for name, values in samples.items() if values}


def rows(samples: Mapping[str, Sequence[float]]) -> list[Row]:
    """Every target with what was measured."""
    found = medians(samples)
    return [_row(target, found) for target in TARGETS]


def _row(target: Target, found: Figures) -> Row:
    bound = f"{'≤' if target.most else '≥'} {_text(target.bound, target.unit)}"
    if any(name not in found for name in target.needs):
        return Row(target.what, bound, "", "not measured")
    value = target.judge(*(found[name] for name in target.needs))
    verdict = "met" if target.met(value) else "missed"
    return Row(target.what, bound, _text(value, target.unit), verdict)


def _text(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{number} {unit}"
