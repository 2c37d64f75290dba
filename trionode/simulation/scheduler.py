"""What happens next in a simulation: a heap of calls in the order of simulated time."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Scheduler:
    """Simulated time, in seconds, and the calls that wait for theirs; ties in order of making."""

    __slots__ = ("_count", "_heap", "time")

    def __init__(self) -> None:
        self.time = 0.0
        self._count = 0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []

    @property
    def done(self) -> int:
        """How many calls were made."""
        return self._count - len(self._heap)

    def at(self, time: float, call: Callable[..., None], *args: Any) -> None:
        """Make a call at a time that has not passed."""
        self._count += 1
        heapq.heappush(self._heap, (time, self._count, call, args))

    def after(self, delay_s: float, call: Callable[..., None], *args: Any) -> None:
        """Make a call after a delay."""
        self._count += 1
        heapq.heappush(self._heap, (self.time + delay_s, self._count, call, args))

    def run(self, until: float) -> None:
        """Make every call that is due up to a time, and let it be that time."""
        heap = self._heap
        pop = heapq.heappop
        while heap and heap[0][0] <= until:
            self.time, _, call, args = pop(heap)
            call(*args)
        self.time = until
