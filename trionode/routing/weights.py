"""What held objects take in memory beside their payloads, so that tiny ones cannot fill it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

OBJECT_OVERHEAD_BYTES = 400
"""What an object takes beside its payload: measured are 240 bytes in a node without a store, 390
with one, properties of the usual size among them."""

COVERED_BYTES = 256
"""What of an object's properties the overhead covers."""

PROPERTY_BYTES = 100
"""What a property takes beside its value."""

PART_BYTES = 50
"""What a part of a value, as an entry of a history, takes beside its content."""


def weight_of(details: Mapping[str, Any]) -> int:
    """About how many bytes of memory an object's properties take."""
    return PROPERTY_BYTES * len(details) + _content(details.values())


def _content(values: Iterable[Any]) -> int:
    """The same of values; of what is none of `_WEIGHTS`, as numbers, the content is nothing."""
    size_bytes = 0
    for value in values:
        weight = _WEIGHTS.get(type(value))
        if weight is not None:
            size_bytes += weight(value)
    return size_bytes


def _parts(value: tuple[Any, ...] | list[Any]) -> int:
    return PART_BYTES * len(value) + _content(value)


_WEIGHTS: dict[type, Callable[[Any], int]] = {
    str: len,
    bytes: len,
    tuple: _parts,
    list: _parts,
    dict: lambda value: _parts([*value.keys(), *value.values()]),
}


class Weights:
    """The objects whose properties take more than the overhead covers, by id, and by how much.

    `note` is told whenever the properties of an object in custody change.
    """

    __slots__ = ("_last", "_last_bytes", "beyond", "total_bytes")

    def __init__(self) -> None:
        self.beyond: dict[int, int] = {}
        self.total_bytes = 0
        self._last: Mapping[str, Any] | None = None
        self._last_bytes = 0

    def note(self, id_: int, details: Mapping[str, Any] | None) -> None:
        """Weigh the properties of an object; those of a batch often share them."""
        if details is not self._last:
            self._last = details
            weight_bytes = 0 if details is None else weight_of(details)
            self._last_bytes = max(0, weight_bytes - COVERED_BYTES)
        size_bytes = self._last_bytes
        if size_bytes or self.beyond:
            self.total_bytes += size_bytes - self.beyond.pop(id_, 0)
            if size_bytes:
                self.beyond[id_] = size_bytes

    @property
    def weightless(self) -> bool:
        """Whether what was noted last need not be noted again for others that share it."""
        return not self._last_bytes and not self.beyond

    def drop(self, ids: Iterable[int]) -> None:
        """These are in custody no longer."""
        if self.beyond:
            self.total_bytes -= sum([self.beyond.pop(id_, 0) for id_ in ids])
