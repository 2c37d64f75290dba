"""Orderings: the queue of ready objects of a type, and the timers. O(1) and O(log n)."""

from __future__ import annotations

import heapq
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
    skipped when met, and swept out when stale entries outnumber the live ones.
    """

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: deque[HeldObject] = deque()

    def append(self, objects: Iterable[HeldObject]) -> None:
        """Add at the back."""
        self._entries.extend(objects)

    def put_back(self, objects: list[HeldObject]) -> None:
        """Add at the front, keeping the order of `objects`."""
        self._entries.extendleft(reversed(objects))

    def take(self, count: int, size_bytes: int) -> list[HeldObject]:
        """Remove up to `count` objects from the front, until their payloads reach `size_bytes`."""
        taken: list[HeldObject] = []
        entries = self._entries
        while entries and len(taken) < count and size_bytes > 0:
            held = entries.popleft()
            if held.state == State.READY:
                taken.append(held)
                size_bytes -= len(held.payload)
        return taken

    def oldest(self) -> HeldObject | None:
        """The object that would be taken next."""
        entries = self._entries
        while entries and entries[0].state != State.READY:
            entries.popleft()
        return entries[0] if entries else None

    def sweep(self, ready: int) -> None:
        """Drop stale entries when they outnumber the `ready` ones."""
        if len(self._entries) > COMPACT_FROM and len(self._entries) > 2 * ready:
            self._entries = deque(held for held in self._entries if held.state == State.READY)

    def __iter__(self) -> Any:
        return (held for held in self._entries if held.state == State.READY)


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
