"""Writes to a store until it is killed; says on stdout, or in a file, what was confirmed.

Run as a process: `python -m tests.support.store_writer DIRECTORY FIRST LAST [FILE]`.
Each round keeps `KEPT` objects and forgets those of `HELD_ROUNDS` before, so that what the store
holds says which round it is at.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.stores import batch, opened, record
from trionode.ids import object_id
from trionode.store.batch import Batch, ProducerChange

if TYPE_CHECKING:
    from trionode.routing.records import ObjectRecord

KEPT = 5
HELD_ROUNDS = 40
PRODUCER = 7


def objects_of(round_: int) -> list[ObjectRecord]:
    """What one round keeps; some objects are longer than a page."""
    first = round_ * KEPT
    return [
        record(
            object_id(PRODUCER, first + index),
            round_,
            (b"%d " % round_) * (2000 if (first + index) % 17 == 0 else 20),
        )
        for index in range(KEPT)
    ]


def batch_of(round_: int) -> Batch:
    """What one round writes."""
    old = objects_of(round_ - HELD_ROUNDS) if round_ > HELD_ROUNDS else []
    made = batch(*objects_of(round_), stamp=round_, gone=tuple(each.id for each in old))
    made.producers[PRODUCER] = ProducerChange([(round_ * KEPT, KEPT)])
    return made


def expected(round_: int) -> dict[int, ObjectRecord]:
    """What the store holds after a round."""
    rounds = range(max(1, round_ - HELD_ROUNDS + 1), round_ + 1)
    return {each.id: each for number in rounds for each in objects_of(number)}


def main(directory: str, first: str, last: str, path: str = "") -> None:
    """Write the rounds from `first` to `last`."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT) if path else 1
    store = opened(Path(directory))
    for _ in store.recover(0.0):
        pass
    for round_ in range(int(first), int(last) + 1):
        store.write(batch_of(round_))
        line = b"%d\n" % round_
        if path:
            os.pwrite(file, line, 0)
        else:
            os.write(file, line)
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
