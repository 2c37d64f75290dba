"""The figures of `trionode bench`. Pure, no I/O."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

NANOSECONDS_PER_MS = 1_000_000
_QUANTILES = (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999))


def quantile(ordered: Sequence[int], fraction: float) -> int:
    """The nearest-rank quantile of values in ascending order: one of them, never between two."""
    if not ordered:
        raise ValueError("no values to take a quantile of")
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def latencies_ms(latencies_ns: Sequence[int]) -> dict[str, float]:
    """p50, p99, p99_9 and max of latencies in nanoseconds, in milliseconds."""
    ordered = sorted(latencies_ns)
    named = {name: quantile(ordered, fraction) for name, fraction in _QUANTILES}
    named["max"] = ordered[-1]
    return {name: round(value / NANOSECONDS_PER_MS, 3) for name, value in named.items()}


class Tally:
    """Counts each object of a run by its number: how often it came, and which never did."""

    __slots__ = ("_seen", "distinct", "duplicates", "strangers")

    def __init__(self, count: int) -> None:
        self._seen = bytearray(count)
        self.distinct = 0
        self.duplicates = 0
        self.strangers = 0

    def note(self, number: int) -> None:
        """An object came."""
        if not 0 <= number < len(self._seen):
            self.strangers += 1
        elif self._seen[number]:
            self.duplicates += 1
        else:
            self._seen[number] = 1
            self.distinct += 1

    @property
    def missing(self) -> int:
        """How many have not come."""
        return len(self._seen) - self.distinct


@attrs.frozen
class Outcome:
    """What one run measured."""

    objects: int
    payload_bytes: int
    seconds: float
    """From the first push to the last confirmed settle."""
    latencies_ms: dict[str, float]
    """From the push in the producer to the object in the consumer's hands."""
    pushed_per_s: float | None = None
    """Acknowledged pushes per second into a backlog that nobody took, before."""
    bytes_per_held: float | None = None
    """Memory of the node per object of that backlog, its payload included."""

    @property
    def objects_per_s(self) -> float:
        """Objects pushed, delivered and settled per second."""
        return self.objects / self.seconds


def report(full: Outcome, paced: Outcome | None, **settings: Any) -> dict[str, Any]:
    """The document that `bench --json` prints.

    Args:
        full: the run at full speed; gives the rate.
        paced: the run at a modest rate, if there was one; gives the latency of a system that is not
            queueing.
        settings: what the run was asked for, repeated in the report.
    """
    return {
        "objects_per_s": round(full.objects_per_s, 1),
        "mib_per_s": round(full.objects_per_s * full.payload_bytes / 2**20, 2),
        "latency_ms": None if paced is None else paced.latencies_ms,
        "latency_at_full_speed_ms": full.latencies_ms,
        "objects": full.objects,
        "seconds": round(full.seconds, 3),
        "paced_objects": 0 if paced is None else paced.objects,
        "pushed_into_backlog_per_s": full.pushed_per_s and round(full.pushed_per_s, 1),
        "bytes_per_held_object": full.bytes_per_held and round(full.bytes_per_held),
        "settled_exactly_once": True,
        **settings,
    }
