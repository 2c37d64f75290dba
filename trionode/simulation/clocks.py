"""Each node's own monotonic clock: it may run fast or slow, and jump forward, never back."""

from __future__ import annotations


class NodeClock:
    """A clock that is a linear function of the simulation's time between its changes."""

    __slots__ = ("_base", "_last", "_since", "rate")

    def __init__(self, base: float, rate: float, time: float) -> None:
        self._base = base
        self._since = time
        self._last = base
        self.rate = rate

    def now(self, time: float) -> float:
        """What the clock shows at the simulation's `time`."""
        shown = self._base + (time - self._since) * self.rate
        if shown < self._last:
            return self._last
        self._last = shown
        return shown

    def time_of(self, shown: float) -> float:
        """When it will show this, if it doesn't jump before."""
        return self._since + (shown - self._base) / self.rate

    def jump(self, time: float, forward_s: float) -> None:
        """Show `forward_s` more from now on."""
        self._base = self.now(time) + forward_s
        self._since = time

    def reach(self, shown: float) -> float:
        """Show at least this: a timer that rang is due, whatever was lost in rounding."""
        self._last = max(self._last, shown)
        return self._last
