"""Who looks on: copies of what comes into custody, for watchers of its type (G7).

A watcher is neither a subscription nor interest: it leases nothing, no peer hears of it, and it
changes nothing of where an object goes. Types that nobody watches pay one look at an empty tuple
per batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects
from trionode.routing.model import HeldObject
from trionode.routing.patterns import is_pattern, matches

if TYPE_CHECKING:
    from trionode.routing.custody import TypeTable
    from trionode.routing.effects import Handle

Watcher = tuple[int, int]
"""Stream and number of the subscription."""


class Watching:
    """The watchers of a node, and the copies of the current turn."""

    def __init__(self, tables: dict[str, TypeTable]) -> None:
        self._tables = tables
        self._keys: dict[Watcher, tuple[str, ...]] = {}
        self.out: list[effects.Effect] = []
        """Copies to be handed on at the end of the turn."""

    def begin(self, watcher: Watcher, keys: tuple[str, ...]) -> None:
        """Somebody begins to watch what belongs to these keys."""
        if watcher not in self._keys:
            self._keys[watcher] = keys
            for table in self._tables.values():
                if _belongs(table.name, keys):
                    table.watchers = (*table.watchers, watcher)

    def end(self, watcher: Watcher) -> None:
        """Somebody watches no more."""
        if self._keys.pop(watcher, None) is not None:
            for table in self._tables.values():
                if watcher in table.watchers:
                    table.watchers = tuple(each for each in table.watchers if each != watcher)

    def gone(self, stream: Handle) -> None:
        """A stream ended with all its watchers."""
        for watcher in [each for each in self._keys if each[0] == stream]:
            self.end(watcher)

    def came(self, table: TypeTable) -> None:
        """A type was first met."""
        if self._keys:
            table.watchers = tuple(
                watcher for watcher, keys in self._keys.items() if _belongs(table.name, keys)
            )

    def copy(self, table: TypeTable, objects: list[HeldObject], how: str) -> None:
        """Copy objects, as they are now, for those who watch their type."""
        copies = [
            HeldObject(
                each.id,
                table,
                each.payload,
                each.shape,
                each.created,
                each.since,
                attempt=each.attempt,
                details=each.details,
            )
            for each in objects
        ]
        self.out.append(effects.Copy(table.watchers, table.name, how, copies, after_commit=True))

    def __len__(self) -> int:
        return len(self._keys)


def _belongs(name: str, keys: tuple[str, ...]) -> bool:
    return any(key == name or (is_pattern(key) and matches(key, name)) for key in keys)
