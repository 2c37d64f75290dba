"""Object ids and sets of them. Pure values, shared by every layer.

An object id is 128 bits: the producer's 80-bit id, then a 48-bit sequence that the producer counts
up from 1. Ids of one producer are consecutive, so they travel and are remembered as runs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Iterable

SEQUENCE_BITS = 48
PRODUCER_BITS = 80
PRODUCER_BYTES = PRODUCER_BITS // 8
OBJECT_ID_BYTES = (PRODUCER_BITS + SEQUENCE_BITS) // 8
SEQUENCE_MASK = (1 << SEQUENCE_BITS) - 1

ObjectId = NewType("ObjectId", int)
"""producer id << 48 | sequence."""

Run = tuple[int, int]
"""(first object id, count): that many consecutive ids."""

_TEXT = re.compile(r"([0-9a-f]{20})-([1-9][0-9]{0,14})")


def object_id(producer: int, sequence: int) -> ObjectId:
    """Join a producer's id and one of its sequence numbers."""
    return ObjectId(producer << SEQUENCE_BITS | sequence)


def format_id(value: int) -> str:
    """The text form that commands print: 20 hexadecimal digits, a dash, the decimal sequence."""
    return f"{value >> SEQUENCE_BITS:020x}-{value & SEQUENCE_MASK}"


def parse_id(text: str) -> ObjectId:
    """Read `format_id`'s text form.

    Raises:
        ValueError: the text is not an object id.
    """
    match = _TEXT.fullmatch(text)
    if match is None or int(match[2]) > SEQUENCE_MASK:
        raise ValueError(f"{text!r} is not an object id (20 hexadecimal digits, a dash, a number)")
    return object_id(int(match[1], 16), int(match[2]))


def to_runs(ids: Iterable[int]) -> list[Run]:
    """Fold ids, in their order, into runs of consecutive ones."""
    runs: list[Run] = []
    first = end = -1
    for value in ids:
        if value == end:
            end += 1
            continue
        if end != first:
            runs.append((first, end - first))
        first, end = value, value + 1
    if end != first:
        runs.append((first, end - first))
    return runs


def from_runs(runs: Iterable[Run]) -> list[ObjectId]:
    """Unfold runs into the ids they stand for, in order."""
    ids: list[int] = []
    for first, count in runs:
        ids.extend(range(first, first + count))
    return ids  # type: ignore[return-value]  # ObjectId is an int at run time; a cast per id would cost
