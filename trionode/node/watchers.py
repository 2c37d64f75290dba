"""Watchers: copies out to those who look on, within their buffers, and a word of what was dropped.

A watcher that is slow slows nobody: what its buffer has no place for is dropped, counted and said
in the next frame that it gets (G7).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from trionode.node import convert
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.node.context import Counters
    from trionode.routing import effects
    from trionode.wire.kinds import Frame

Key = tuple[int, int]
"""Stream and number of the subscription."""


@attrs.define(eq=False)
class Buffers:
    """Those of all watchers on one stream, and how much they may hold together."""

    limit_bytes: int
    size_bytes: int = 0
    watchers: int = 0


@attrs.define(eq=False)
class Watcher:
    """One watching subscription: its buffer, and the sizes of what is in it.

    `sent` copies were sent, of which `taken` are with its handler; `dropped` are not said yet.
    """

    types: tuple[str, ...]
    buffers: Buffers
    credit: int = 0
    credit_bytes: int = 0
    sent: int = 0
    taken: int = 0
    sizes: deque[int] = attrs.field(factory=deque)
    size_bytes: int = 0
    dropped: int = 0

    def take(self, count: int) -> None:
        """The handler has taken the first `count` copies."""
        for _ in range(min(count, self.sent) - self.taken):
            self.taken += 1
            size_bytes = self.sizes.popleft()
            self.size_bytes -= size_bytes
            self.buffers.size_bytes -= size_bytes

    def room_for(self, sizes: list[int]) -> int:
        """How many of these copies the buffer has a place for, whose places are then taken."""
        fitting = 0
        buffers = self.buffers
        for size_bytes in sizes:
            if len(self.sizes) >= self.credit or self.size_bytes >= self.credit_bytes:
                break
            if buffers.size_bytes and buffers.size_bytes + size_bytes > buffers.limit_bytes:
                break
            self.sizes.append(size_bytes)
            self.size_bytes += size_bytes
            buffers.size_bytes += size_bytes
            fitting += 1
        self.sent += fitting
        return fitting


class Watchers:
    """All watchers of a node.

    Args:
        tell: sends a frame on a stream.
        clock: the brain's.
        counters: where what was dropped is counted.
        limit_bytes: how much may be under way to all watchers of a stream, or else one object.
    """

    def __init__(
        self,
        tell: Callable[[int, Frame], None],
        clock: Callable[[], float],
        counters: Counters,
        *,
        limit_bytes: int,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._counters = counters
        self._limit_bytes = limit_bytes
        self._watchers: dict[Key, Watcher] = {}
        self._buffers: dict[int, Buffers] = {}
        """By stream."""

    def find(self, key: Key) -> Watcher | None:
        """A watcher by its stream and number."""
        return self._watchers.get(key)

    def begin(self, key: Key, types: tuple[str, ...]) -> Watcher:
        """A watcher begins."""
        buffers = self._buffers.setdefault(key[0], Buffers(self._limit_bytes))
        buffers.watchers += 1
        watcher = self._watchers[key] = Watcher(types, buffers)
        return watcher

    def end(self, key: Key) -> None:
        """A watcher ends."""
        watcher = self._watchers.pop(key)
        buffers = watcher.buffers
        buffers.size_bytes -= watcher.size_bytes
        buffers.watchers -= 1
        if not buffers.watchers:
            del self._buffers[key[0]]

    def gone(self, stream: int) -> None:
        """A stream ended."""
        for key in [key for key in self._watchers if key[0] == stream]:
            self.end(key)

    def took(self, key: Key, count: int) -> None:
        """A watcher has taken the first `count` copies; it is told what was dropped meanwhile."""
        watcher = self._watchers[key]
        watcher.take(count)
        if watcher.dropped and len(watcher.sizes) < watcher.credit:
            dropped, watcher.dropped = watcher.dropped, 0
            self._tell(key[0], frames.Copies(key[1], watcher.types[0], [], [], dropped=dropped))

    def show(self, effect: effects.Copy) -> None:
        """Send copies to each watcher that has room for them."""
        sizes = [len(item.payload) for item in effect.objects]
        for key in effect.watchers:
            watcher = self._watchers.get(key)
            if watcher is None:
                continue
            fitting = watcher.room_for(sizes)
            dropped, watcher.dropped = watcher.dropped, len(sizes) - fitting
            self._counters.copies_dropped += watcher.dropped
            if not fitting:
                watcher.dropped += dropped
                continue
            for frame in convert.copies(key[1], effect, fitting, self._clock()):
                self._tell(key[0], attrs.evolve(frame, dropped=dropped))
                dropped = 0
