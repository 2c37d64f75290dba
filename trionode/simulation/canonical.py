"""A fingerprint of a node's state: the same for two that nothing that follows can tell apart."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing import RoutingOptions
from trionode.routing.custody import Flow
from trionode.routing.queues import ReadyQueue, Timers
from trionode.routing.weights import Weights
from trionode.store import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST_BYTES = 16
LONG_AGO_S = 1000.0
"""Ages beyond this are alike: every back-off and timeout is over."""

_ATOMS = (int, float, str, bytes, bool, type(None))


def canonical(*parts: Any, now: float) -> bytes:
    """Fingerprint of these values and all they refer to, with points in time as ages."""
    text = repr(_Walk(now).of(parts))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


class _Walk:
    def __init__(self, now: float) -> None:
        self._now = now
        self._met: dict[int, int] = {}
        self._special: dict[type, Callable[[Any], Any]] = {
            Timers: self._timers,
            ReadyQueue: lambda queue: [self.of(item) for item in queue],
            Flow: lambda flow: bool(flow.count),
            RoutingOptions: lambda _options: "options",
            Weights: lambda _weights: "weights",  # they follow from the objects
            dict: self._dict,
            OrderedDict: self._dict,
            list: self._list,
            tuple: self._list,
            deque: self._list,
            range: lambda numbers: (numbers.start, numbers.stop),
            Waiting: lambda waiting: self.of(waiting.facts()),
            set: self._set,
            frozenset: self._set,
        }

    def of(self, value: Any) -> Any:
        kind = type(value)
        if kind is float:
            return self._time(value)
        if isinstance(value, _ATOMS):
            return value
        special = self._special.get(kind)
        if special is not None:
            return special(value)
        if callable(value):
            return "call"
        return self._object(kind, value)

    def _time(self, value: float) -> float:
        """Most floats are points in time; durations among them come out as well, shifted."""
        return max(-LONG_AGO_S, min(LONG_AGO_S, round(value - self._now, 6)))

    def _list(self, value: Any) -> Any:
        return [self.of(each) for each in value]

    def _dict(self, value: dict[Any, Any]) -> Any:
        return [
            (self.of(key), self.of(each)) for key, each in value.items() if key not in _TOLD_ONLY
        ]

    def _set(self, value: Any) -> Any:
        return sorted(repr(self.of(each)) for each in value)

    def _timers(self, value: Timers) -> Any:
        heap = sorted(value._heap, key=lambda entry: entry[:2])  # noqa: SLF001  # there is no other way to look at all
        return [(self._time(when), kind, self.of(key)) for when, _, kind, key in heap]

    def _object(self, kind: type, value: Any) -> Any:
        met = self._met.get(id(value))
        if met is not None:
            return ("met", met)
        self._met[id(value)] = len(self._met)
        if attrs.has(kind):
            names = [field.name for field in attrs.fields(kind)]
        elif hasattr(value, "__dict__"):
            names = list(vars(value))
        else:
            names = list(kind.__slots__)  # type: ignore[attr-defined]  # what else it may have
        skipped = _SKIPPED.get(kind.__name__, ())
        return (
            kind.__name__,
            [(name, self.of(getattr(value, name))) for name in names if name not in skipped],
        )


_TOLD_ONLY = ("history", "history_dropped")
"""Rare properties of objects that are for people: nothing depends on them."""
_SKIPPED: dict[str, tuple[str, ...]] = {
    "Brain": ("_handlers", "_wakers"),
    "Leases": ("_actions",),
    "Grants": ("_seen",),
    "Moves": ("_seen", "hops", "returns", "returned", "_by_name"),
}
"""Attributes that are the same in every state, or that only count."""
