"""Settles as frames, and what a node answers to them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.ids import to_runs
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.client.consumer_stream import Way
    from trionode.client.leases import Lease

SETTLE_OBJECTS_MAX = 50_000
"""Leases of one Settle frame: named one by one, they stay within the bounds of a message."""


def settle_frame(number: int, way: Way, leases: list[Lease]) -> frames.Settle:
    """The frame that settles these leases in one way."""
    action, delay_ms, reason, encoding = way
    attempts = [lease.attempt for lease in leases]
    return frames.Settle(
        number,
        action,
        to_runs([lease.id for lease in leases]),
        None if max(attempts) == 1 else attempts,
        delay_ms,
        reason,
        [lease.content for lease in leases] if action == "replace" else [],
        encoding,
    )


def refused_of(frame: frames.Answered) -> dict[tuple[int, int], str]:
    """The leases that were no longer valid, as (id, attempt), with the reasons."""
    return {
        (int.from_bytes(name, "big"), attempt): reason for name, attempt, reason in frame.refused
    }


def parts_of(leases: list[Lease], most: int) -> list[list[Lease]]:
    """Leases in lists of at most so many."""
    if len(leases) <= most:
        return [leases]
    return [leases[start : start + most] for start in range(0, len(leases), most)]
