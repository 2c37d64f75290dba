"""The keys of pushes of late: the same key of the same type again means the object that it meant.

Entries stand in the order in which they were made and go from the oldest on, when their window is
over or there are too many: who repeats a key that was forgotten makes a new object. A key is kept
as a digest, so that an entry takes the same memory however long the key is.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionode.routing.records import KeysRecord

DIGEST_BYTES = 16
FORGET_PARTS = 64
"""Into how many parts a window is divided: about that often the store hears what is over."""
FORGET_MANY = 10_000
"""So many that are forgotten are told at once."""
ENTRY_BYTES = 300
"""About what one entry takes in memory."""


def digest_of(type_name: str, key: str) -> bytes:
    """What stands for a key of a type: by this length, two that are alike never happen."""
    made = blake2b(type_name.encode(), digest_size=DIGEST_BYTES)
    made.update(b"\0")  # no name of a type has one
    made.update(key.encode())
    return made.digest()


@attrs.define
class _Moment:
    """How many of the entries were made at one time."""

    at: float
    count: int


class Keys:
    """What the keys of the last `window_s` seconds stand for, at most the last `limit` of them."""

    def __init__(self, window_s: float, limit: int) -> None:
        self._window_s = window_s
        self._limit = limit
        self._ids: dict[bytes, int] = {}
        self._order: deque[bytes] = deque()
        """The keys, oldest first: from the front of a dict they would be slow to remove."""
        self._moments: deque[_Moment] = deque()
        self._forgotten: float | None = None
        """Everything made up to then is forgotten, and the store has not heard of it."""
        self.unsaid = 0
        """So many are forgotten that the store has not heard of."""

    def __len__(self) -> int:
        return len(self._ids)

    @property
    def wake_at(self) -> float | None:
        """When there will be something to forget, soon enough and not too often."""
        if not self._moments:
            return None
        return self._moments[0].at + self._window_s * (1 + 1 / FORGET_PARTS)

    def find(self, digest: bytes, now: float) -> int | None:
        """The id of the object that a key stands for."""
        self._drop_old(now)
        return self._ids.get(digest)

    def add(self, digest: bytes, id_: int, at: float) -> None:
        """Have a key that stands for nothing stand for an object; `at` never goes back."""
        self._ids[digest] = id_
        self._order.append(digest)
        if self._moments and self._moments[-1].at >= at:
            self._moments[-1].count += 1
        else:
            self._moments.append(_Moment(at, 1))
        while len(self._ids) > self._limit:
            self._drop(self._moments[0], 1)

    def forget(self, now: float) -> float | None:
        """Forget what is over; everything made up to the time returned may leave the store."""
        self._drop_old(now)
        forgotten, self._forgotten, self.unsaid = self._forgotten, None, 0
        return forgotten

    def restore(self, kept: Sequence[KeysRecord], now: float) -> None:
        """Take over all that a store kept, oldest first; of one key the last entry counts.

        A time ahead, of a clock that was set back since, is now.
        """
        found: dict[bytes, tuple[int, float]] = {}
        for record in reversed(kept):
            for digest, id_ in reversed(record.keys):
                found.setdefault(digest, (id_, min(record.at, now)))
        for digest, (id_, at) in reversed(found.items()):
            self.add(digest, id_, at)
        self._drop_old(now)

    def _drop_old(self, now: float) -> None:
        moments = self._moments
        while moments and moments[0].at + self._window_s <= now:
            self._drop(moments[0], moments[0].count)

    def _drop(self, oldest: _Moment, count: int) -> None:
        for _ in range(count):
            del self._ids[self._order.popleft()]
        self.unsaid += count
        oldest.count -= count
        if not oldest.count:
            self._moments.popleft()
            self._forgotten = oldest.at
