"""What one simulation is: its size, its faults, its seed. Nothing else decides what happens."""

from __future__ import annotations

import attrs

from trionode.routing import RoutingOptions

FAULTS = (
    "delays",
    "links",
    "partitions",
    "crashes",
    "disks",
    "pauses",
    "clocks",
    "consumers",
    "producers",
    "drains",
    "churn",
    "membership",
    "people",
)
"""What may go wrong, by the names that `--faults` takes; `faults.py` says what each is."""


@attrs.frozen
class Settings:
    """One simulation.

    Attributes:
        nodes: how many at the start.
        seed: of everything random.
        minutes: simulated time with pushes and faults; then comes the time to drain.
        faults: which of `FAULTS` happen.
        topology: one of the shapes of `topology.edges`.
        objects: how many are pushed in all.
        types: how many types there are.
        consumers: how many consumers there are at the start; 0: three per type, at least one
            for two nodes.
        memory_nodes: of ten nodes, how many have no durable store.
        every: check all invariants at every event instead of in samples.
        keep_trace: how many of the trace's last lines are kept, for printing.
        options: of the brains; with little memory for payloads, so that they come and go.
    """

    nodes: int = 5
    seed: int = 1
    minutes: float = 1.0
    faults: tuple[str, ...] = FAULTS
    topology: str = "mesh"
    objects: int = 1000
    types: int = 3
    consumers: int = 0
    memory_nodes: int = 2
    every: bool = False
    keep_trace: int = 0
    options: RoutingOptions = attrs.field(
        factory=lambda: RoutingOptions(in_doubt_timeout_s=8.0, payload_limit_bytes=200)
    )

    @property
    def seconds(self) -> float:
        """How long pushes and faults go on, in simulated seconds."""
        return self.minutes * 60.0


def parse_faults(text: str) -> tuple[str, ...]:
    """Read `all`, `none` or a comma-separated list.

    Raises:
        ValueError: one is not a fault.
    """
    if text == "all":
        return FAULTS
    if text == "none":
        return ()
    named = [name.strip() for name in text.split(",")]
    for name in named:
        if name not in FAULTS:
            raise ValueError(f"no fault {name!r}; there are all, none, {', '.join(FAULTS)}")
    return tuple(name for name in FAULTS if name in named)
