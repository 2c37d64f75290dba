"""Check of how often an object may go back and forth (I4), over its whole way through the mesh.

A single return waits for its back-off (`moves.py`); this is what follows for all of them together:
the waits double with each hop, so in a time T an object returns some log2(T) times and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing import RoutingOptions
    from trionode.simulation.ledger import Ledger

SLACK_S = 0.1
"""What clocks that run unevenly, but never jump, may be off in a run."""


class Rates:
    """Counts the returns of each object, and what they must have waited in all."""

    def __init__(self, options: RoutingOptions, ledger: Ledger) -> None:
        self._options = options
        self._ledger = ledger
        self._returns: dict[int, int] = {}
        self._waited_s: dict[int, float] = {}

    def returned(self, id_: int) -> None:
        """An object moves back to where it was, or goes beyond `max_hops`.

        Raises:
            InvariantBroken: it has not been in the mesh for as long as its returns must take.
        """
        options, times = self._options, self._ledger.times
        fate = self._ledger.fates[id_]
        count = self._returns[id_] = self._returns.get(id_, 0) + 1
        # Its n-th return is at least its n-th hop.
        wait_s = min(options.overflow_after_s * float(2 ** min(count, 32)), options.overflow_cap_s)
        waited_s = self._waited_s[id_] = self._waited_s.get(id_, 0.0) + wait_s
        there_s = times.time - fate.began + times.jumps_s + SLACK_S
        if waited_s > there_s and not fate.excuses:
            text = f"returned {count} times in {there_s:.1f} s, which take {waited_s:.1f} s"
            raise InvariantBroken("I4", text, id_)
