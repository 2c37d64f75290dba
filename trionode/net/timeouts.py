"""Timeouts of one connection: the handshake, keepalive, what the session waits for, dead hosts.

Waiting for the peer is counted in slices of time in which our own event loop ran, not by the clock:
a process that was blocked for a minute has not given its peer a minute, and the answers of that
minute lie unread in the socket.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trionode.errors import ProtocolError
from trionode.net.sockets import PeerWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.net.calls import CallTable
    from trionode.net.options import ConnectionOptions
    from trionode.net.pings import Pings
    from trionode.wire.session import Session

HANDSHAKE_SLICES = 4


class Timeouts:
    """What one connection waits for; ends it when the peer has been waited for long enough.

    Args:
        stream: the connection's, for what the kernel knows of the peer.
        session: for what the peer owes HTTP/2, and as the place of PINGs.
        calls: for calls whose last bytes the peer does not take.
        pings: for keepalive.
        options: the timeouts.
        tick_s: the time between two looks.
        client: whether this is the client's end.
        end: called with the reason, once or more.
        fail: called with a bug that showed in a look, which ends this connection alone.
        wake: called when the session has something to write.
    """

    def __init__(  # noqa: PLR0913  # built in one place, Connection.__init__
        self,
        stream: trio.abc.Stream,
        session: Session,
        calls: CallTable,
        pings: Pings,
        *,
        options: ConnectionOptions,
        tick_s: float,
        client: bool,
        end: Callable[..., None],
        fail: Callable[[Exception], None],
        wake: Callable[[], None],
    ) -> None:
        self._watch = PeerWatch(stream)
        self._session = session
        self._calls = calls
        self._pings = pings
        self._options = options
        self._end = end
        self._fail = fail
        self._wake = wake
        # Either end's PING is the sign of life that the other waits for: let one end begin.
        self._idle_s = (options.keepalive_idle_s or math.inf) + (0 if client else tick_s)
        self._timeout_s = options.keepalive_timeout_s or math.inf
        self._silent_ticks = 0
        self._tick_s = tick_s

    def heard(self) -> None:
        """The peer sent something."""
        self._silent_ticks = 0

    async def await_handshake(self, done: trio.Event) -> bool:
        """Wait for the event; whether it came in time."""
        slice_s = self._options.handshake_timeout_s / HANDSHAKE_SLICES
        for _ in range(HANDSHAKE_SLICES):
            with trio.move_on_after(slice_s):
                await done.wait()
                return True
        return done.is_set()

    def look(self) -> None:
        """Be told that one more tick is over; never waits, and never raises."""
        try:
            self._look()
        except Exception as error:  # noqa: BLE001  # whatever it is, other connections go on
            self._fail(error)

    def _look(self) -> None:
        self._silent_ticks += 1
        tick_s = self._tick_s
        silence_s = self._silent_ticks * tick_s
        if silence_s >= self._idle_s + self._timeout_s:
            self._end(f"the peer was silent for {silence_s:g} s", flush=False)
        elif self._idle_s <= silence_s < self._idle_s + tick_s and self._session.ready:
            self._pings.send()
            self._wake()
        if self._watch.is_dead():
            self._end("the peer's host does not answer", flush=False)
        try:
            self._session.check(trio.current_time())
        except ProtocolError as error:
            self._end(f"protocol error: {error}")
        self._calls.lose_stuck(self._options.write_timeout_s)
