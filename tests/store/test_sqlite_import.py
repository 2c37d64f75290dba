"""Exported lines in another store: settled objects and keys of pushes go with the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.stores import (
    NOW_MS,
    batch,
    contents,
    keys_at,
    random_bytes,
    record,
    with_keys,
)
from trionode.ids import object_id
from trionode.routing.records import KeysRecord
from trionode.store import Retention, SqliteStore, sqlite_tools
from trionode.store.batch import Retired
from trionode.store.importing import Import
from trionode.store.object_lines import SettledRecord, line_of, record_of_line

if TYPE_CHECKING:
    from pathlib import Path

KEPT = Retention(1e9, 1000, 1_000_000)
UNIX_S = NOW_MS / 1000
ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def opened(directory: Path, retention: Retention = KEPT) -> SqliteStore:
    store = SqliteStore(directory, "n1", random_bytes, retention)
    store.open(NOW_MS)
    return store


def lines_of(directory: Path) -> list[bytes]:
    skipped: list[str] = []
    lines = [line_of(each) for each in sqlite_tools.exported(directory, skipped)]
    assert skipped == []
    return lines


def filled(directory: Path) -> list[bytes]:
    """A store with an object, two settled ones and three keys; what is exported of it."""
    store = opened(directory)
    contents(store)
    one, two, three = (record(object_id(1, number)) for number in (1, 2, 3))
    store.write(with_keys(with_keys(batch(one, two), UNIX_S, ONE, TWO), UNIX_S + 1, THREE))
    change = batch(stamp=2, gone=(two.id,))
    change.retired[two.id] = Retired(UNIX_S + 5.25, "settled", None)
    change.retired[three.id] = Retired(UNIX_S + 6.5, "expired", three)
    store.write(change)
    store.close()
    return lines_of(directory)


def taken(directory: Path, lines: list[bytes], retention: Retention = KEPT) -> tuple[int, ...]:
    """Import lines; what was taken."""
    store = opened(directory, retention)
    into = Import(store)
    try:
        into.take(lines)
    finally:
        store.close()
    found = into.taken
    return found.objects, found.settled, found.keys, found.known, found.unkept


@pytest.mark.parametrize(
    "made",
    [
        keys_at(1700.125, ONE, TWO),
        SettledRecord(record(object_id(1, 2), payload=b"\xff"), 1700.125, "expired"),
    ],
)
def test_a_line_says_all_that_it_was_made_of(made: SettledRecord | KeysRecord) -> None:
    assert record_of_line(line_of(made), 1) == made


def test_another_store_exports_what_was_imported(tmp_path: Path) -> None:
    lines = filled(tmp_path / "one")
    assert len(lines) == 5
    assert taken(tmp_path / "two", lines) == (1, 2, 3, 0, 0)
    assert lines_of(tmp_path / "two") == lines
    found = sqlite_tools.info(tmp_path / "two")
    assert (found.objects, found.settled, found.keys) == (1, 2, 3)


def test_a_second_import_changes_nothing(tmp_path: Path) -> None:
    lines = filled(tmp_path / "one")
    assert taken(tmp_path / "one", lines) == (0, 0, 0, 6, 0)
    assert lines_of(tmp_path / "one") == lines


def test_settled_objects_are_left_out_where_none_are_kept(tmp_path: Path) -> None:
    assert taken(tmp_path / "two", filled(tmp_path / "one"), Retention()) == (1, 0, 3, 0, 2)
    assert sqlite_tools.info(tmp_path / "two").settled == 0


def test_settled_objects_stay_within_the_bounds_of_who_takes_them(tmp_path: Path) -> None:
    lines = [
        line_of(SettledRecord(record(object_id(1, number)), UNIX_S + number, "settled"))
        for number in range(1, 31)
    ]
    assert taken(tmp_path, lines, Retention(1e9, 10, 1_000_000))[:2] == (0, 30)
    assert lines_of(tmp_path) == lines[-10:]


def test_what_a_key_stands_for_already_stays_and_no_key_is_forgotten_early(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(with_keys(batch(), UNIX_S + 10, TWO))
    store.close()
    other = KeysRecord(UNIX_S, ((ONE, object_id(7, 1)), (TWO, object_id(7, 2))))
    assert taken(tmp_path, [line_of(other)]) == (0, 0, 1, 1, 0)
    store = opened(tmp_path)
    kept = KeysRecord(UNIX_S + 10, ((ONE, object_id(7, 1)),))
    assert contents(store).keys == [keys_at(UNIX_S + 10, TWO), kept]
    store.close()
