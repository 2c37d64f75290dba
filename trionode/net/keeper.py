"""One task that looks at the timeouts of many connections, so that none needs a timer of its own.

A look never waits: a connection that is found to be over is ended by its own tasks. So nothing that
a connection or its peer does holds up the looks at the others.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.net.options import ConnectionOptions

TICK_S = 5.0
"""How often timeouts are looked at, unless one is shorter."""
GRAINS_PER_TICK = 16
"""Looks that are due in one grain are taken together: a thousand connections wake the process a few
times a second, and still not all of them send their PINGs at once."""
LOOKS_AT_ONCE = 64
"""After so many looks the other tasks have a turn."""


class Keeper:
    """Has whatever is in its care looked at once a tick, in the order in which that is due.

    Args:
        options: of the connections in its care; the shortest timeout is the longest tick.

    Attributes:
        tick_s: the time between two looks at one connection, of which a look may be a grain early.
    """

    def __init__(self, options: ConnectionOptions) -> None:
        timeouts_s = [options.keepalive_idle_s, options.keepalive_timeout_s]
        self.tick_s = min([TICK_S, options.handshake_timeout_s, *filter(None, timeouts_s)])
        self._grain_s = self.tick_s / GRAINS_PER_TICK
        self._due: OrderedDict[Callable[[], None], float] = OrderedDict()
        self._wanted = trio.Event()

    def add(self, look: Callable[[], None]) -> None:
        """Call this once a tick from now on; it may neither wait nor raise."""
        self._due[look] = self._next_due(trio.current_time())
        self._wanted.set()

    def remove(self, look: Callable[[], None]) -> None:
        """Call this no more; nothing happens when it is not in care."""
        self._due.pop(look, None)

    async def run(self) -> None:
        """Look whenever that is due, until cancelled."""
        while True:
            while not self._due:
                self._wanted = trio.Event()
                await self._wanted.wait()
            await trio.sleep_until(next(iter(self._due.values())))
            now = trio.current_time()
            looks = 0
            while self._due and next(iter(self._due.values())) <= now:
                self._look(now)
                looks += 1
                if looks % LOOKS_AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()

    def _look(self, now: float) -> None:
        """Look where it is due first, and put that behind all others."""
        look, _ = self._due.popitem(last=False)
        self._due[look] = self._next_due(now)
        look()

    def _next_due(self, now: float) -> float:
        """A tick from now, but at the beginning of the grain."""
        return now + self.tick_s - now % self._grain_s
