"""Where objects went: a bounded memory of what was given to other nodes, for people who ask.

One entry stands for what went to a node in one go, as runs of ids, so that a transfer costs an
entry and not one for each object.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from trionode.ids import to_runs

if TYPE_CHECKING:
    from trionode.ids import Run

FORWARDED_MAX = 65_536
"""Objects remembered, the last ones: at most some megabytes, and nearly always some kilobytes."""


@attrs.frozen
class Forward:
    """What went to a node at a time on the brain's clock."""

    peer: str
    when: float
    runs: list[Run]
    count: int


class Forwarded:
    """Remembers for the last objects that were given away where they went."""

    def __init__(self, limit: int = FORWARDED_MAX) -> None:
        self._limit = limit
        self._entries: deque[Forward] = deque()
        self._count = 0

    def gave(self, peer: str, ids: list[int], now: float) -> None:
        """Note that a node has taken custody of these."""
        self._entries.append(Forward(peer, now, to_runs(ids), len(ids)))
        self._count += len(ids)
        while self._count > self._limit and len(self._entries) > 1:
            self._count -= self._entries.popleft().count

    def find(self, id_: int) -> Forward | None:
        """Where an object went last, if that is remembered."""
        for entry in reversed(self._entries):
            for first, count in entry.runs:
                if first <= id_ < first + count:
                    return entry
        return None

    def __len__(self) -> int:
        return self._count
