"""Orderings: the queue of ready objects of a type, and the timers. O(1) and O(log n)."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from trionode.routing.model import HeldObject, State

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPACT_FROM = 64
"""Below this length, entries that are no longer ready are not worth sweeping out."""


class ReadyQueue:
    """Ready objects of one type in lease order.

    An object that stops being ready without being taken (it expired) leaves a stale entry, which is
    skipped when met, and swept out when stale entries outnumber the live ones. Suspects stand in a
    line of their own before the others, so that passing them over costs nothing.
    """

    __slots__ = ("_entries", "_suspects")

    def __init__(self) -> None:
        self._entries: deque[HeldObject] = deque()
        self._suspects: deque[HeldObject] = deque()

    def append(self, objects: Iterable[HeldObject]) -> None:
        """Add at the back."""
        for held in objects:
            (self._suspects if held.suspect else self._entries).append(held)

    def put_back(self, objects: list[HeldObject]) -> None:
        """Add at the front, keeping the order of `objects`."""
        for held in reversed(objects):
            (self._suspects if held.suspect else self._entries).appendleft(held)

    def take(self, count: int, size_bytes: int, suspects: int | None = None) -> list[HeldObject]:
        """Remove up to `count` objects from the front, until their payloads reach `size_bytes`.

        Args:
            count: of all.
            size_bytes: of all; the last one may reach beyond it.
            suspects: how many suspects may be among them; None: any number.
        """
        taken: list[HeldObject] = []
        line = self._suspects if suspects != 0 else self._entries
        while len(taken) < count and size_bytes > 0:
            if line is self._suspects and (not line or len(taken) == suspects):
                line = self._entries
            if not line:
                break
            held = line.popleft()
            if held.state == State.READY:
                taken.append(held)
                size_bytes -= len(held.payload)
        return taken

    def oldest(self) -> HeldObject | None:
        """The object that would be taken next."""
        for line in (self._suspects, self._entries):
            while line and line[0].state != State.READY:
                line.popleft()
            if line:
                return line[0]
        return None

    def sweep(self, ready: int) -> None:
        """Drop stale entries when they outnumber the `ready` ones."""
        entries = len(self._entries) + len(self._suspects)
        if entries > COMPACT_FROM and entries > 2 * ready:
            self._entries = deque(held for held in self._entries if held.state == State.READY)
            self._suspects = deque(held for held in self._suspects if held.state == State.READY)

    def __iter__(self) -> Any:
        lines = itertools.chain(self._suspects, self._entries)
        return (held for held in lines if held.state == State.READY)


class Timers:
    """A heap of (when, kind, key). Entries are not cancelled: who is woken checks what is due."""

    __slots__ = ("_count", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Any]] = []
        self._count = 0

    def set(self, when: float, kind: str, key: Any) -> None:
        """Wake `kind` with `key` at `when`."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, kind, key))

    def due(self, now: float) -> Iterable[tuple[float, str, Any]]:
        """Remove and return what is due, in order of time."""
        heap = self._heap
        found = []
        while heap and heap[0][0] <= now:
            when, _, kind, key = heapq.heappop(heap)
            found.append((when, kind, key))
        return found

    def next(self) -> float | None:
        """When the earliest timer is due."""
        return self._heap[0][0] if self._heap else None
