"""Which sequences of which producer were accepted (R11).

Repeats are recognised exactly, in memory bounded by what is open between a producer and this node.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from trionode.routing.records import ProducerRecord


@attrs.define
class AcceptedSequences:
    """A set of integers as sorted disjoint intervals; everything up to `floor` is resolved.

    A producer never sends again what lies at or below its floor, so intervals there are dropped.
    """

    floor: int = 0
    starts: list[int] = attrs.field(factory=list)
    ends: list[int] = attrs.field(factory=list)
    """Half-open: interval i is starts[i] <= sequence < ends[i]."""

    def __contains__(self, sequence: int) -> bool:
        if sequence <= self.floor:
            return True
        index = bisect_right(self.starts, sequence) - 1
        return index >= 0 and sequence < self.ends[index]

    def missing(self, first: int, count: int) -> list[tuple[int, int]]:
        """The parts of [first, first + count) that are not in the set, as (first, count)."""
        gaps = []
        at, stop = max(first, self.floor + 1), first + count
        index = bisect_right(self.starts, at) - 1
        if index >= 0:
            at = max(at, self.ends[index])
        index += 1
        while at < stop:
            next_start = self.starts[index] if index < len(self.starts) else stop
            if next_start > at:
                gaps.append((at, min(next_start, stop) - at))
            if index >= len(self.starts):
                break
            at = max(at, self.ends[index])
            index += 1
        return gaps

    def add(self, first: int, count: int) -> None:
        """Add [first, first + count), which must not overlap the set."""
        stop = first + count
        index = bisect_right(self.starts, first)
        joins_left = index > 0 and self.ends[index - 1] == first
        joins_right = index < len(self.starts) and self.starts[index] == stop
        if joins_left and joins_right:
            self.ends[index - 1] = self.ends[index]
            del self.starts[index], self.ends[index]
        elif joins_left:
            self.ends[index - 1] = stop
        elif joins_right:
            self.starts[index] = first
        else:
            self.starts.insert(index, first)
            self.ends.insert(index, stop)

    def raise_floor(self, floor: int) -> None:
        """Forget everything up to `floor`: it is resolved for the producer."""
        if floor <= self.floor:
            return
        self.floor = floor
        keep = bisect_right(self.ends, floor + 1)
        del self.starts[:keep], self.ends[:keep]
        if self.starts and self.starts[0] <= floor:
            self.starts[0] = floor + 1


class Producers:
    """The accepted sequences of the producers heard of last, at most `limit` of them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._books: OrderedDict[int, AcceptedSequences] = OrderedDict()

    def book(self, producer: int) -> tuple[AcceptedSequences, int | None]:
        """A producer's book, and the producer that was forgotten to make room, if any."""
        book = self._books.get(producer)
        if book is not None:
            self._books.move_to_end(producer)
            return book, None
        book = self._books[producer] = AcceptedSequences()
        forgotten = None
        if len(self._books) > self._limit:
            forgotten, _ = self._books.popitem(last=False)
        return book, forgotten

    def find(self, producer: int) -> AcceptedSequences | None:
        """A producer's book for reading, if there is one; nobody is remembered or forgotten."""
        return self._books.get(producer)

    def restore(self, record: ProducerRecord) -> None:
        """Take over the book of a producer as a store kept it."""
        book, _ = self.book(record.producer)
        book.floor = record.floor
        for first, count in sorted(record.accepted):
            book.add(first, count)

    def __len__(self) -> int:
        return len(self._books)
