"""A line of ready objects, first come first served, and whose turn it is among several lines.

Theory of operation
-------------------
A plan of transfers looks at a line from its front. Some of what it meets may not be moved yet (R3,
R6), and what may not must not hide what stands behind it; nor may it be met again in each plan,
or a plan would cost as much as the backlog. So a line is a row of runs: what a plan has met and
passed over *rests* in a run of its own, with the earliest time at which one of its objects may be
moved, and until then plans step over the whole run at once. Leases take no notice: the order of
the line is that of its runs. Where nothing rests, which is nearly always, the row is one run.

The last run is what was appended and nothing else, so what stands there became ready in the order
in which it stands; what was put back at the front is in runs before it.

Adjacent runs that rest become one, the smaller being added to the larger, so that runs stay few
and the cost of joining them is logarithmic per object.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from trionode.routing.model import HeldObject, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from trionode.routing.effects import Handle

Way = tuple["Handle", str]
"""A link and the key under which objects may be offered on it."""

AWAKE = float("-inf")
"""The `until` of a run that does not rest."""


@attrs.define(eq=False)
class Run:
    """Objects that stand together in a line. `until`: plans step over them before that time.

    `wishes`: how many of them could be moved at once if that way had credit.
    """

    objects: deque[HeldObject]
    until: float = AWAKE
    wishes: dict[Way, int] = attrs.field(factory=dict)

    @property
    def awake(self) -> bool:
        """Whether no plan has met them."""
        return self.until == AWAKE


class Line:
    """Ready objects in order. Entries of objects that are not ready any more are skipped."""

    __slots__ = ("ahead", "entries")

    def __init__(self) -> None:
        self.ahead: deque[Run] = deque()
        """The runs before the last one; none while nothing rests and nothing was put back."""
        self.entries: deque[HeldObject] = deque()
        """The last run."""

    def __bool__(self) -> bool:
        return bool(self.entries or self.ahead)

    def __len__(self) -> int:
        """How many entries there are, with those of objects that are not ready any more."""
        count = len(self.entries)
        return count + sum([len(run.objects) for run in self.ahead]) if self.ahead else count

    def put_back(self, held: HeldObject) -> None:
        """Add at the front."""
        if self.ahead and self.ahead[0].awake:
            self.ahead[0].objects.appendleft(held)
        else:
            self.ahead.appendleft(Run(deque([held])))

    def first(self) -> HeldObject | None:
        """The ready object at the front."""
        while (run := self.front()) and run[0].state != State.READY:
            run.popleft()
        return run[0] if run else None

    def pop(self) -> HeldObject:
        """Remove what `first` has just returned."""
        return self.front().popleft()

    def front(self) -> deque[HeldObject]:
        """The run at the front; empty only if the line is."""
        while self.ahead:
            run = self.ahead[0].objects
            if run:
                return run
            self.ahead.popleft()
        return self.entries

    def rouse(self) -> None:
        """Let nothing rest."""
        for run in self.ahead:
            run.until = AWAKE
            run.wishes.clear()

    def sweep(self) -> None:
        """Drop the entries of objects that are not ready any more."""
        for run in self.ahead:
            run.objects = deque(held for held in run.objects if held.state == State.READY)
        self.entries = deque(held for held in self.entries if held.state == State.READY)

    def __iter__(self) -> Iterator[HeldObject]:
        for run in self.ahead:
            yield from run.objects
        yield from self.entries


class Walk:
    """A plan's way along a line; `leave` puts what was not taken where it stood.

    Args:
        line: nothing else may touch it meanwhile.
        now: runs that rest beyond it are stepped over,
        credited: but for those with objects that only waited for the credit of one of these.
    """

    __slots__ = (
        "_credited",
        "_ended",
        "_line",
        "_now",
        "_passed",
        "_tail",
        "appended",
        "resting",
        "until",
        "wishes",
    )

    def __init__(self, line: Line, now: float, credited: frozenset[Way]) -> None:
        self._line = line
        self._now = now
        self._credited = credited
        self._passed: deque[Run] = deque()
        self._tail: list[HeldObject] = []
        """What was passed over of the last run without having to rest."""
        self._ended = False
        self.appended = False
        """Whether what `pop` returned last stood in the last run."""
        self.resting = 0
        """How many objects were stepped over,"""
        self.until = float("inf")
        """until when at the earliest,"""
        self.wishes: dict[Way, int] = {}
        """and how many of them could be moved if a way had credit."""

    def next(self) -> HeldObject | None:
        """The next ready object to look at; it stays there until `pop`."""
        if self._ended:
            return None
        ahead = self._line.ahead
        while ahead:
            run = ahead[0]
            while run.objects and run.objects[0].state != State.READY:
                run.objects.popleft()
            if not run.objects:
                ahead.popleft()
            elif run.until > self._now and self._credited.isdisjoint(run.wishes):
                self._step_over(ahead.popleft())
            else:
                run.until = AWAKE
                run.wishes.clear()
                return run.objects[0]
        return self._line.first()

    def _step_over(self, run: Run) -> None:
        self.resting += len(run.objects)
        self.until = min(self.until, run.until)
        for way, count in run.wishes.items():
            self.wishes[way] = self.wishes.get(way, 0) + count
        passed = self._passed
        if passed and not passed[-1].awake:
            run = _joined(passed.pop(), run)
        passed.append(run)

    def pop(self) -> HeldObject:
        """Remove what `next` has just returned: it is to be moved, or passed over."""
        self.appended = not self._line.ahead
        return self._line.pop()

    def pass_over(self, held: HeldObject, until: float, wishes: Iterable[Way] = ()) -> None:
        """Have an object stay where it stood, resting until `until`."""
        if self.appended and until == AWAKE:
            self._tail.append(held)
            return
        passed = self._passed
        if self._tail:
            passed.append(Run(deque(self._tail)))
            self._tail = []
        if not passed or passed[-1].awake != (until == AWAKE):
            passed.append(Run(deque(), until))
        run = passed[-1]
        run.objects.append(held)
        run.until = min(run.until, until)
        for way in wishes:
            run.wishes[way] = run.wishes.get(way, 0) + 1

    def end(self) -> None:
        """Look no further in this line."""
        self._ended = True

    def leave(self) -> None:
        """Put all that was passed over back where it stood."""
        self._line.entries.extendleft(reversed(self._tail))
        while self._passed:
            _add_left(self._line.ahead, self._passed.pop())


def _add_left(runs: deque[Run], run: Run) -> None:
    """Put a run before others; two that both rest, or both do not, become one."""
    if runs and runs[0].awake == run.awake:
        run = _joined(run, runs.popleft())
    runs.appendleft(run)


def _joined(left: Run, right: Run) -> Run:
    if len(left.objects) < len(right.objects):
        right.objects.extendleft(reversed(left.objects))
        objects = right.objects
    else:
        left.objects.extend(right.objects)
        objects = left.objects
    wishes = dict(left.wishes)
    for way, count in right.wishes.items():
        wishes[way] = wishes.get(way, 0) + count
    return Run(objects, min(left.until, right.until), wishes)


PRIORITIES = 10
"""From 0, the lowest, to 9."""
DEFAULT_PRIORITY = 5
TURNS = 8
"""Of so many leases at least one goes to a lower priority, if one waits."""
BOUND = TURNS * (PRIORITIES - 1)
"""Of so many leases of a type at least one goes to each priority that waits all that time."""


def priority_of(held: HeldObject) -> int:
    """An object's priority; what a peer may have sent beyond the range counts as its end."""
    priority: int = held.detail("priority", DEFAULT_PRIORITY)
    return min(max(priority, 0), PRIORITIES - 1)


@attrs.define
class Turns:
    """Which priority is served next, so that none starves.

    The highest that waits is, but for each `TURNS`-th lease made while lower ones wait too: that
    one goes to the lower priority whose last such turn is longest ago. There are at most eight
    others that are lower than some other, so each has a turn in nine, and so in `BOUND` leases.
    """

    passed: int = 0
    """Leases of the highest since a lower one had a turn."""
    count: int = 0
    last: tuple[int, ...] = (0,) * PRIORITIES

    def copy(self) -> Turns:
        """The same, to be kept while this one goes on."""
        return Turns(self.passed, self.count, self.last)

    def choose(self, waiting: list[int]) -> int:
        """The one of these priorities, from the highest to the lowest, that is served now."""
        if len(waiting) == 1:
            return waiting[0]
        if self.passed < TURNS - 1:
            self.passed += 1
            return waiting[0]
        chosen = min(waiting[1:], key=self.last.__getitem__)
        self.passed = 0
        self.count += 1
        self.last = (*self.last[:chosen], self.count, *self.last[chosen + 1 :])
        return chosen
