"""How much of what costs us and gains nothing a peer may send: budgets against floods.

A budget is a token bucket that refills with time and, where that is deserved, with progress. The
peer that overdraws one loses its connection with ENHANCE_YOUR_CALM (RFC 9113 section 10.5).
"""

from __future__ import annotations

import attrs

from trionode.errors import ProtocolError

ENHANCE_YOUR_CALM = 0xB


@attrs.frozen
class Rate:
    """So many at once, and so many a second in the long run."""

    burst: float
    per_s: float


RESETS = Rate(1000, 33)
"""Streams that end by a reset, whoever sent it (nghttp2's own defaults since CVE-2023-44487)."""
IDLE_FRAMES = Rate(2000, 200)
"""Frames without payload (PING, SETTINGS, WINDOW_UPDATE, PRIORITY, GOAWAY, unknown ones, empty
DATA, informational responses) and whatever comes on a stream that is gone: as much as can be on its
way when it is given up."""
SETTINGS = Rate(50, 1)
"""SETTINGS frames: each may change every stream's window, and each is answered."""

FRAMES_PER_PROGRESS = 8
"""Idle frames earned by each frame with payload either way: grpcio sends a PING to measure the
bandwidth and WINDOW_UPDATEs of a few bytes with every call."""
SENT_BYTES_PER_FRAME = 128
"""One idle frame is earned by so many bytes sent: a peer may give back its window per message."""
RESETS_PER_CALL = 1
"""Resets earned by each call that ran to its end."""


class Budget:
    """One token bucket; `now` is seconds on any clock that does not go back."""

    __slots__ = ("_at_s", "_rate", "_tokens", "_what")

    def __init__(self, what: str, rate: Rate, now: float) -> None:
        self._what = what
        self._rate = rate
        self._tokens = rate.burst
        self._at_s = now

    def earn(self, tokens: float) -> None:
        """Give back for progress, up to the burst."""
        self._tokens = min(self._rate.burst, self._tokens + tokens)

    def spend(self, now: float) -> None:
        """Take one.

        Raises:
            ProtocolError: the budget is spent.
        """
        if self._tokens < 1:
            refill = (now - self._at_s) * self._rate.per_s
            self._at_s = now
            self._tokens = min(self._rate.burst, self._tokens + refill)
            if self._tokens < 1:
                raise ProtocolError(f"too many {self._what}", h2_code=ENHANCE_YOUR_CALM)
        self._tokens -= 1
