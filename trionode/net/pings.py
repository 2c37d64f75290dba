"""The PINGs of one connection that wait for their answers, and the round-trip time they measure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from trionode.wire.session import Session


class Pings:
    """Numbered PINGs: each answer brings back its number.

    Attributes:
        rtt_s: of the last answer; None before the first.
    """

    def __init__(self, session: Session) -> None:
        self.rtt_s: float | None = None
        self._session = session
        self._numbers = itertools.count(1)
        self._waiting: dict[bytes, tuple[float, trio.Event]] = {}

    def send(self) -> trio.Event:
        """Put a PING into the session; the event is set with its answer or the end."""
        payload = next(self._numbers).to_bytes(8, "big")
        answered = trio.Event()
        self._waiting[payload] = (trio.current_time(), answered)
        self._session.ping(payload)
        return answered

    def on_answered(self, payload: bytes) -> None:
        """An answer came; one to no PING of ours means nothing."""
        entry = self._waiting.pop(payload, None)
        if entry is not None:
            sent_at, answered = entry
            self.rtt_s = trio.current_time() - sent_at
            answered.set()

    def give_up(self) -> None:
        """No answer will come any more."""
        for _, answered in self._waiting.values():
            answered.set()
        self._waiting.clear()
