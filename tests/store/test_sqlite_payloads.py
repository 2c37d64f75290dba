"""Payloads read back from a SQLite store while it is written to."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.support.stores import batch, contents, opened, read, record
from trionode.ids import object_id
from trionode.routing.model import Spilled
from trionode.store import StoreError

if TYPE_CHECKING:
    from pathlib import Path

FIRST, SECOND, THIRD = (object_id(7, number) for number in (1, 2, 3))


@pytest.fixture
def store(tmp_path: Path):
    made = opened(tmp_path)
    contents(made)
    yield made
    made.close()


def test_payloads_come_in_the_order_in_which_they_are_asked_for(store) -> None:
    store.write(batch(record(FIRST, payload=b"1"), record(SECOND, payload=b"2")))
    store.write(batch(record(THIRD, payload=b"3")))
    assert store.payloads([THIRD, FIRST, SECOND]) == [b"3", b"1", b"2"]


def test_what_is_gone_or_never_was_has_none(store) -> None:
    store.write(batch(record(FIRST, payload=b"1"), record(SECOND)))
    store.write(batch(gone=(SECOND,)))
    assert store.payloads([FIRST, SECOND, THIRD]) == [b"1", None, None]


def test_a_damaged_payload_is_none_and_its_neighbours_are_not(store, tmp_path: Path) -> None:
    store.write(batch(*(record(each, payload=b"%d" % each) for each in (FIRST, SECOND, THIRD))))
    other = sqlite3.connect(store.path)
    other.execute("UPDATE objects SET payload = x'00' WHERE seq = 2")
    other.commit()
    other.close()
    assert store.payloads([FIRST, SECOND, THIRD]) == [b"%d" % FIRST, None, b"%d" % THIRD]


def test_a_record_without_its_payload_keeps_the_one_that_is_there(store, tmp_path: Path) -> None:
    store.write(batch(record(FIRST, payload=b"kept"), record(SECOND, payload=b"other")))
    change = batch(record(FIRST, 2, attempt=5, details={"dead": "no"}), stamp=2)
    change.kept[FIRST] = attrs.evolve(change.kept[FIRST], payload=Spilled(4))
    change.partial = True
    store.write(change)
    store.close()
    found, damage = read(tmp_path)
    back = found.objects[FIRST]
    assert (back.payload, back.attempt, back.details) == (b"kept", 5, {"dead": "no"})
    assert (list(found.objects), damage) == ([FIRST, SECOND], [])


def test_a_damaged_one_is_not_written_over(store, tmp_path: Path) -> None:
    store.write(batch(record(FIRST, payload=b"kept"), record(SECOND, payload=b"other")))
    other = sqlite3.connect(store.path)
    other.execute("UPDATE objects SET payload = x'00' WHERE seq = 1")
    other.commit()
    other.close()
    change = batch(record(FIRST, 2, attempt=5), record(THIRD, 2), stamp=2)
    change.kept[FIRST] = attrs.evolve(change.kept[FIRST], payload=Spilled(4))
    change.partial = True
    store.write(change)
    store.close()
    found, damage = read(tmp_path)
    assert list(found.objects) == [SECOND, THIRD]
    assert [each.type for each in damage] == ["Order"]


def test_a_store_that_cannot_be_read_says_so(store) -> None:
    store.write(batch(record(FIRST)))
    store.path.rename(store.path.with_suffix(".away"))
    with pytest.raises(StoreError, match="unable to open"):
        store.payloads([FIRST])
