"""Orderings: the queue of ready objects of a type, and the timers. O(1) and O(log n)."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, Any

from trionode.routing.lines import AWAKE, DEFAULT_PRIORITY, Line, Turns, Walk, priority_of
from trionode.routing.model import HeldObject, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trionode.routing.lines import Way
    from trionode.routing.ordering import Ordering

COMPACT_FROM = 64
"""Below this length, entries that are no longer ready are not worth sweeping out."""

SUSPECTS = 99
"""What stands for the line of suspects among priorities: above all of them."""


class ReadyQueue:
    """Ready objects of one type in lease order: first in, first out within each priority.

    An object that stops being ready without being taken (it expired) leaves a stale entry, which is
    skipped when met, and swept out when stale entries outnumber the live ones. Suspects stand in a
    line of their own before all others, so that passing them over costs nothing. Objects without
    rare properties, nearly all of them, are never looked into.
    """

    __slots__ = ("_before", "_ordering", "_others", "_plain", "_suspects", "_turns", "moves")

    def __init__(self, ordering: Ordering | None = None) -> None:
        self._ordering = ordering
        self._plain = Line()
        """Those of the default priority."""
        self._suspects = Line()
        self._others: dict[int, Line] = {}
        """Lines of other priorities that somebody stands in, or stood in lately."""
        self._turns = Turns()
        self._before: list[Turns] = []
        """The turns before each of the objects that were taken last, where priorities differ."""
        self.moves = Turns()
        """The turns of transfers: what they take of a priority is no lease of it."""

    def append(self, objects: Iterable[HeldObject]) -> None:
        """Add at the back."""
        plain = self._plain.entries
        shared: dict[str, Any] | None = None
        entries = plain
        for held in objects:
            details = held.details
            if details is None:
                plain.append(held)
            elif details is shared:
                entries.append(held)
            elif self._may_stand(held, front=False):
                entries = self._line_of(held).entries
                entries.append(held)
                shared = None if "ordering_key" in details else details

    def put_back(self, objects: list[HeldObject]) -> None:
        """Add at the front, keeping the order of `objects`."""
        for held in reversed(objects):
            if held.details is None or self._may_stand(held, front=True):
                self._line_of(held).put_back(held)

    def give_back(self, objects: list[HeldObject]) -> None:
        """Put the last of what `take` has just returned back: they have had no turn."""
        if self._before:
            before = self._before[-len(objects) :]  # suspects, which have no turns, come first
            self._turns = before[0]
            del self._before[-len(objects) :]
        self.put_back(objects)

    def _may_stand(self, held: HeldObject, *, front: bool) -> bool:
        """Whether no other object of its ordering key comes first."""
        if self._ordering is None or held.detail("ordering_key") is None:
            return True
        return self._ordering.join(held, front=front)

    def _line_of(self, held: HeldObject) -> Line:
        if held.details is None:
            return self._plain
        if "suspect" in held.details:
            return self._suspects
        priority = priority_of(held)
        if priority == DEFAULT_PRIORITY:
            return self._plain
        line = self._others.get(priority)
        if line is None:
            line = self._others[priority] = Line()
        return line

    def take(self, count: int, size_bytes: int, suspects: int | None = None) -> list[HeldObject]:
        """Remove up to `count` objects from the front, until their payloads reach `size_bytes`.

        Args:
            count: of all.
            size_bytes: of all; the last one may reach beyond it.
            suspects: how many suspects may be among them; None: any number.
        """
        taken: list[HeldObject] = []
        if self._before:
            self._before = []
        if self._suspects and suspects != 0:
            size_bytes -= self._take_suspects(taken, count, size_bytes, suspects)
        plain = self._plain
        if self._others:
            self._take_in_turns(taken, count, size_bytes)
            return taken
        while (run := plain.front()) and len(taken) < count and size_bytes > 0:
            while run and len(taken) < count and size_bytes > 0:
                held = run.popleft()
                if held.state == State.READY:
                    taken.append(held)
                    size_bytes -= len(held.payload)
        return taken

    def _take_suspects(
        self, taken: list[HeldObject], count: int, size_bytes: int, suspects: int | None
    ) -> int:
        """Take suspects alone; returns their bytes."""
        most = count if suspects is None else min(count, suspects)
        taken_bytes = 0
        while len(taken) < most and taken_bytes < size_bytes and self._suspects.first():
            taken.append(self._suspects.pop())
            taken_bytes += len(taken[-1].payload)
        return taken_bytes

    def _take_in_turns(self, taken: list[HeldObject], count: int, size_bytes: int) -> None:
        """Take by priority, with the turns of lower ones."""
        lines = self._by_priority()
        waiting = [priority for priority, line in lines.items() if line.first() is not None]
        while waiting and len(taken) < count and size_bytes > 0:
            self._before.append(self._turns.copy())
            chosen = self._turns.choose(waiting)
            line = lines[chosen]
            held = line.pop()
            taken.append(held)
            size_bytes -= len(held.payload)
            if line.first() is None:
                waiting.remove(chosen)
        for priority in [each for each, line in self._others.items() if not line]:
            del self._others[priority]

    def _by_priority(self) -> dict[int, Line]:
        """All lines but that of suspects, from the highest priority to the lowest."""
        if not self._others:
            return {DEFAULT_PRIORITY: self._plain}
        lines = {**self._others, DEFAULT_PRIORITY: self._plain}
        return dict(sorted(lines.items(), reverse=True))

    def _lines(self) -> list[Line]:
        return [self._suspects, *self._by_priority().values()]

    def waiting(self) -> list[int]:
        """The priorities of which a ready object waits, suspects apart."""
        lines = self._by_priority()
        return [priority for priority, line in lines.items() if line.first() is not None]

    def oldest(self) -> HeldObject | None:
        """Of the objects that stand first, the one that became ready first."""
        heads = [head for line in self._lines() if (head := line.first()) is not None]
        return min(heads, key=lambda held: held.since, default=None)

    def sweep(self, ready: int) -> None:
        """Drop stale entries when they outnumber the `ready` ones."""
        entries = len(self._plain) + len(self._suspects)
        if self._others:
            entries += sum(map(len, self._others.values()))
        if entries > COMPACT_FROM and entries > 2 * ready:
            self.purge()

    def purge(self) -> None:
        """Drop every stale entry, before an object that may have one comes back."""
        for line in self._lines():
            line.sweep()

    def rouse(self) -> None:
        """Have the next plan look at all again: what rests may be moved now."""
        for line in self._lines():
            line.rouse()

    def __iter__(self) -> Iterator[HeldObject]:
        lines = itertools.chain.from_iterable(self._lines())
        return (held for held in lines if held.state == State.READY)


class Scan:
    """One plan's way through a queue in lease order; see `Walk`.

    Turns of priorities count for what is taken only: what is passed over has had none.
    """

    def __init__(
        self, queue: ReadyQueue, now: float, credited: frozenset[Way] = frozenset()
    ) -> None:
        self._queue = queue
        self._walks = {
            priority: Walk(line, now, credited)
            for priority, line in (
                (SUSPECTS, queue._suspects),  # noqa: SLF001  # the queue's other half
                *queue._by_priority().items(),  # noqa: SLF001  # the same
            )
            if line
        }
        self._turns = queue.moves.copy()
        self._at: Walk | None = None

    def next(self) -> HeldObject | None:
        """Take the next object out: to be moved, or to be given to `pass_over`."""
        waiting = []
        for priority, walk in self._walks.items():
            if walk.next() is not None:
                waiting.append(priority)
                if priority == SUSPECTS:
                    break
        if not waiting:
            return None
        self._at = self._walks[waiting[0] if len(waiting) == 1 else self._turns.choose(waiting)]
        return self._at.pop()

    def took(self) -> None:
        """The last object is being moved."""
        if len(self._walks) > 1:
            self._queue.moves = self._turns.copy()

    def pass_over(self, held: HeldObject, until: float, wishes: Iterable[Way] = ()) -> None:
        """Have the last object stay; plans step over it until that time."""
        assert self._at is not None
        self._at.pass_over(held, until, wishes)

    @property
    def appended(self) -> bool:
        """Whether all behind the last object in its line became ready after it."""
        assert self._at is not None
        return self._at.appended

    def end_line(self, held: HeldObject) -> None:
        """Have the last object stay, and with it all that stands behind it in its line."""
        assert self._at is not None
        self._at.pass_over(held, AWAKE)
        self._at.end()

    def leave(self) -> None:
        """End the scan: what was passed over stands where it stood."""
        for walk in self._walks.values():
            walk.leave()

    @property
    def resting(self) -> int:
        """How many objects were stepped over."""
        return sum(walk.resting for walk in self._walks.values())

    @property
    def until(self) -> float:
        """When the first of these is to be looked at again."""
        return min((walk.until for walk in self._walks.values()), default=float("inf"))

    def wishes(self, way: Way) -> int:
        """How many of these could be moved at once if a way had credit."""
        return sum(walk.wishes.get(way, 0) for walk in self._walks.values())


SWEEP_TIMERS_FROM = 4096
"""Timers below which none are worth sweeping out."""


def _is_stale(kind: str, key: Any) -> bool:
    if kind == "due":
        return bool(key.state != State.DELAYED)
    return kind == "deadline" and not key.held


class Timers:
    """A heap of (when, kind, key). Entries are not cancelled: who is woken checks what is due.

    Objects that are gone would stay in it until their deadlines, so it is swept whenever it has
    grown to twice what the last sweep left: each entry pays for one look at another.
    """

    __slots__ = ("_count", "_heap", "_sweep_at")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, str, Any]] = []
        self._count = 0
        self._sweep_at = SWEEP_TIMERS_FROM

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, when: float, kind: str, key: Any) -> None:
        """Wake `kind` with `key` at `when`."""
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, kind, key))
        if len(self._heap) >= self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Drop what would wake an object that no longer waits for it."""
        self._heap = [entry for entry in self._heap if not _is_stale(entry[2], entry[3])]
        heapq.heapify(self._heap)
        self._sweep_at = max(SWEEP_TIMERS_FROM, 2 * len(self._heap))

    def due(self, now: float) -> list[tuple[float, str, Any]]:
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
