"""Keys of pushes in a SQLite store: written with their commit, deleted from the oldest on."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.support.stores import batch, contents, keys_at, opened, read, record, with_keys
from trionode.routing import effects
from trionode.store import StoreError
from trionode.store.batch import Batch

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def until(at: float) -> Batch:
    made = Batch(1, 0.0)
    made.keys_until = at
    return made


def rows(tmp_path: Path) -> int:
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        (count,) = connection.execute("SELECT count(*) FROM keys").fetchone()
        return count


def test_keys_come_back_in_order_and_their_times_on_the_brains_clock(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(with_keys(with_keys(batch(record(1)), 1000.0, ONE), 1001.0, TWO, THREE))
    store.close()
    store = opened(tmp_path)
    assert contents(store, 900.0).keys == [keys_at(100.0, ONE), keys_at(101.0, TWO, THREE)]
    store.close()


def test_what_may_be_forgotten_goes_with_its_row_and_the_rest_stays(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for at, digest in ((1.0, ONE), (2.0, TWO), (3.0, THREE)):
        store.write(with_keys(batch(), at, digest))
    store.write(until(0.5))
    assert rows(tmp_path) == 3
    store.write(until(2.0))
    assert rows(tmp_path) == 1
    store.close()
    store = opened(tmp_path)
    assert contents(store).keys == [keys_at(3.0, THREE)]
    store.write(until(3.0))
    store.write(with_keys(batch(), 4.0, ONE))
    store.close()
    assert read(tmp_path)[0].keys == [keys_at(4.0, ONE)]


def test_one_batch_may_forget_the_old_and_remember_the_new(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(with_keys(batch(), 1.0, ONE))
    made = until(1.0)
    store.write(with_keys(made, 2.0, TWO))
    store.close()
    assert read(tmp_path)[0].keys == [keys_at(2.0, TWO)]


def test_a_batch_forgets_what_it_was_to_remember(tmp_path: Path) -> None:
    made = Batch(0, 1000.0)
    made.add(effects.RememberKeys(1.0, ((ONE, 7),)))
    made.add(effects.RememberKeys(2.0, ((TWO, 8),)))
    made.add(effects.ForgetKeys(1.0))
    assert made
    assert made.keys_until == 1001.0
    assert [(each.at, each.keys) for each in made.keys] == [(1002.0, ((TWO, 8),))]
    store = opened(tmp_path)
    store.write(made)
    store.close()
    assert [each.at for each in read(tmp_path)[0].keys] == [1002.0]


def test_a_failed_write_of_keys_can_be_tried_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(with_keys(batch(), 1.0, ONE))
    store._connection.execute(
        "CREATE TRIGGER no BEFORE INSERT ON keys BEGIN SELECT raise(FAIL, 'x'); END"
    )
    change = with_keys(until(1.0), 2.0, TWO)
    for _ in range(2):
        with pytest.raises(StoreError):
            store.write(change)
    store._connection.execute("DROP TRIGGER no")
    store.write(change)
    store.close()
    assert read(tmp_path)[0].keys == [keys_at(2.0, TWO)]


def test_a_damaged_row_costs_its_keys_and_the_others_are_forgotten_in_time(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for at, digest in ((1.0, ONE), (2.0, TWO), (3.0, THREE)):
        store.write(with_keys(batch(), at, digest))
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.sqlite")) as connection:
        connection.execute("UPDATE keys SET crc = crc + 1 WHERE number = 2")
        connection.commit()
    store = opened(tmp_path)
    assert contents(store).keys == [keys_at(1.0, ONE), keys_at(3.0, THREE)]
    assert [(each.table, each.number) for each in store.damage()] == [("keys", 2)]
    store.write(until(1.0))
    assert rows(tmp_path) == 1
    store.write(until(3.0))
    assert rows(tmp_path) == 0
    store.close()
