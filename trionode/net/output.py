"""What one connection writes: by its writer task, which may wait, or at once by whoever is urgent.

Only ever one of the two is in a write, so that bytes go out whole and in order. Which bytes these
are, others know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionode.net.sockets import write_some

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.net.options import Counts

QUIET_S = 0.001
"""A connection that has written nothing for so long writes at once what is urgent; where more comes
in this time, it is gathered for the writer's next turn."""


class Output:
    """The writing side of a stream.

    Args:
        stream: what is written to.
        take: gives the bytes to be written next, which then must be; none when there are none.
        counts: the connection's counters.
    """

    def __init__(self, stream: trio.abc.Stream, take: Callable[[], bytes], counts: Counts) -> None:
        self.progress = trio.Event()
        """Set at each write; who waits for it replaces it."""
        self._stream = stream
        self._take = take
        self._counts = counts
        self._rest = b""
        """What a write at once left of its bytes: the writer's first."""
        self._busy = False
        self._quiet_at = 0.0

    @property
    def quiet(self) -> bool:
        """Whether nothing was written for a while."""
        return trio.current_time() >= self._quiet_at

    def next(self) -> bytes:
        """Writer task: what is to be written next, by `write`."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        return self._take()

    async def write(self, data: bytes) -> None:
        """Writer task: write; a write that fails or is cancelled is the last."""
        self._busy = True
        await self._stream.send_all(data)
        self._busy = False
        self._note(len(data))

    @trio.lowlevel.enable_ki_protection
    def write_now(self) -> bool:
        """Write what there is, before this returns and without waiting; whether that was all.

        An interrupt waits: between taking bytes and writing them it would lose them.
        """
        while not (self._busy or self._rest):
            data = self._take()
            if not data:
                return True
            taken = write_some(self._stream, data)
            self._note(taken)
            self._rest = data[taken:]
        return False

    def _note(self, count: int) -> None:
        self._counts.bytes_sent += count
        self._quiet_at = trio.current_time() + QUIET_S
        self.progress.set()
