"""Patterns as keys of interest: which of them a type belongs to.

A key of interest is a type's name or a pattern over its segments: `*` stands for one segment, `>`
at the end for one or more. What belongs together is worked out when a pattern or a type is first
met, so that objects on their way cost no comparison: each type's table knows its keys, each pattern
its tables.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

from trionode.routing.model import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from trionode.routing.custody import TypeTable

ONE_SEGMENT = "*"
ALL_BELOW = ">"


def is_pattern(key: str) -> bool:
    """Whether a key is a pattern; no type's name has either sign."""
    return ONE_SEGMENT in key or ALL_BELOW in key


def matches(pattern: str, name: str) -> bool:
    """Whether a type belongs to a pattern."""
    wanted, found = pattern.split("."), name.split(".")
    if wanted[-1] == ALL_BELOW:
        wanted.pop()
        if len(found) <= len(wanted):
            return False
        del found[len(wanted) :]
    return len(wanted) == len(found) and all(
        one in (ONE_SEGMENT, other) for one, other in zip(wanted, found, strict=True)
    )


@attrs.define(eq=False)
class Pattern:
    """A pattern that somebody uses: the tables that belong to it, and those with objects.

    `waiting` holds every table with ready objects that nobody here has credit for, and may hold
    some without; `holders` the same of objects in any state. `uses` counts who opened it.
    """

    key: str
    uses: int = 0
    tables: dict[TypeTable, None] = attrs.field(factory=dict)
    waiting: OrderedDict[TypeTable, None] = attrs.field(factory=OrderedDict)
    holders: dict[TypeTable, None] = attrs.field(factory=dict)

    def add(self, table: TypeTable) -> None:
        """Note a table that belongs to the pattern."""
        table.keys = (*table.keys, self.key)
        self.tables[table] = None
        if table.counts[State.READY]:
            self.waiting[table] = None
        if table.held:
            self.holders[table] = None

    def backlog(self) -> Iterator[TypeTable]:
        """The tables with ready objects, each once, the one that was served last at the end.

        A table that the caller leaves with ready objects must be told to wait again.
        """
        waiting = self.waiting
        for _ in range(len(waiting)):
            table, _none = waiting.popitem(last=False)
            if table.counts[State.READY]:
                yield table


class Patterns:
    """The patterns in use at this node, by its own subscriptions or by what peers told."""

    def __init__(self, tables: dict[str, TypeTable]) -> None:
        self._tables = tables
        self.open_ones: dict[str, Pattern] = {}

    def open(self, key: str) -> None:
        """Somebody begins to use a key."""
        if not is_pattern(key):
            return
        pattern = self.open_ones.get(key)
        if pattern is None:
            pattern = self.open_ones[key] = Pattern(key)
            for table in self._tables.values():
                if matches(key, table.name):
                    pattern.add(table)
        pattern.uses += 1

    def close(self, key: str) -> None:
        """Somebody who opened a key uses it no longer."""
        pattern = self.open_ones.get(key)
        if pattern is None:
            return
        pattern.uses -= 1
        if not pattern.uses:
            del self.open_ones[key]
            for table in pattern.tables:
                table.keys = tuple(each for each in table.keys if each != key)

    def came(self, table: TypeTable) -> None:
        """A type was first met."""
        for pattern in self.open_ones.values():
            if matches(pattern.key, table.name):
                pattern.add(table)

    def went(self, table: TypeTable) -> None:
        """A type is remembered no longer."""
        for key in table.keys[1:]:
            pattern = self.open_ones[key]
            pattern.tables.pop(table)
            pattern.waiting.pop(table, None)
            pattern.holders.pop(table, None)

    def wait(self, table: TypeTable) -> None:
        """A type with patterns has ready objects that nobody here has credit for.

        If it waits already it keeps its place: more of it coming must not cost it its turn.
        """
        for key in table.keys[1:]:
            self.open_ones[key].waiting[table] = None

    def hold(self, table: TypeTable) -> None:
        """Objects of a type with patterns came into custody."""
        for key in table.keys[1:]:
            self.open_ones[key].holders[table] = None

    def tables_of(self, key: str) -> Iterable[TypeTable]:
        """The tables of a key that there are."""
        pattern = self.open_ones.get(key)
        if pattern is not None:
            return pattern.tables
        table = self._tables.get(key)
        return () if table is None else (table,)

    def backlog_of(self, key: str) -> Iterator[TypeTable]:
        """The tables of a key that have ready objects."""
        pattern = self.open_ones.get(key)
        if pattern is not None:
            return _those(pattern.waiting, lambda table: table.counts[State.READY])
        table = self._tables.get(key)
        return iter((table,) if table is not None and table.counts[State.READY] else ())

    def holders_of(self, key: str) -> Iterator[TypeTable]:
        """The tables of a key that have objects."""
        pattern = self.open_ones.get(key)
        if pattern is not None:
            return _those(pattern.holders, lambda table: table.held)
        return iter(self.tables_of(key))


def _those(tables: dict[TypeTable, None], count: Callable[[TypeTable], int]) -> Iterator[TypeTable]:
    """The tables of which there are some; the others are dropped, each when it is met."""
    over = []
    try:
        for table in tables:
            if count(table):
                yield table
            else:
                over.append(table)
    finally:
        for table in over:
            del tables[table]
