"""Settled objects are kept within bounds of age, number and bytes; no commit takes long for it."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.support.stores import NOW_MS, contents, random_bytes
from trionode.query import Selection
from trionode.routing import effects
from trionode.routing.custody import TypeTable
from trionode.routing.model import HeldObject, Shape, Spilled
from trionode.store import Retention, SqliteStore
from trionode.store import sqlite_schema as schema
from trionode.store import sqlite_tools as tools
from trionode.store.batch import Batch
from trionode.store.sqlite_query import SqliteQueries
from trionode.store.sqlite_retention import TRIM_IDLE, TRIM_LEAST

if TYPE_CHECKING:
    from pathlib import Path

MUCH = Retention(1000.0, 1000, 1_000_000)
UNIX_S = NOW_MS / 1000


def opened(directory: Path, retention: Retention = MUCH) -> SqliteStore:
    store = SqliteStore(directory, "n1", random_bytes, retention)
    store.open(NOW_MS)
    contents(store)
    return store


def held(*ids: int, payload: bytes | Spilled = b'{"n": 1}') -> list[HeldObject]:
    return [
        HeldObject(id_, TypeTable("Order"), payload, Shape(), float(id_), float(id_)) for id_ in ids
    ]


def write(store: SqliteStore, *told: effects.StoreEffect, tidy_at: float | None = None) -> None:
    """One commit of effects, on a clock that is Unix time less `UNIX_S`."""
    batch = Batch(store.last_stamp, UNIX_S, retains=store.retains, tidy_at=tidy_at)
    for effect in told:
        batch.add(effect)
    store.write(batch)


def settled(*ids: int, at: float = 5.0) -> effects.Forget:
    return effects.Forget(list(ids), "settled", at)


def rows(directory: Path, query: str = "SELECT number, id FROM settled ORDER BY number"):
    path = directory / schema.DATABASE_FILE
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return connection.execute(query).fetchall()


def ids(directory: Path) -> list[int]:
    return [int.from_bytes(id_, "big") for _, id_ in rows(directory)]


def test_without_retention_nothing_is_written_for_settled_objects(tmp_path: Path) -> None:
    store = opened(tmp_path, Retention())
    write(store, effects.Keep(held(1, 2), fresh=True))
    write(store, settled(1))
    write(store, effects.Keep(held(3), fresh=True), settled(3))
    store.close()
    assert rows(tmp_path) == []


def test_a_settled_object_is_kept_as_it_was_and_left_custody(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1, 2, 3), fresh=True))
    write(store, settled(1, 3, at=7.0))
    store.close()
    assert ids(tmp_path) == [1, 3]
    assert rows(tmp_path, "SELECT settled, outcome, payload FROM settled")[0] == (
        UNIX_S + 7.0,
        "settled",
        b'{"n": 1}',
    )
    store = opened(tmp_path)
    assert list(store._numbers) == [2]  # what custody was taken of again
    store.close()
    assert tools.verify(tmp_path) == ([], [])
    assert tools.info(tmp_path).settled == 2


def test_an_object_settled_before_its_commit_is_kept_too(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1), fresh=True), settled(1))
    store.close()
    assert ids(tmp_path) == [1]


def test_what_changed_in_the_commit_in_which_it_is_settled_is_kept_as_changed(tmp_path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1), fresh=True))
    write(store, effects.Keep(held(1, payload=b"2")), settled(1))
    store.close()
    assert rows(tmp_path, "SELECT payload FROM settled") == [(b"2",)]


def test_what_changed_while_only_the_store_had_its_payload_is_kept_as_changed(tmp_path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1, 2), fresh=True))
    spilled = held(1, payload=Spilled(8))
    spilled[0].attempt = 7
    write(store, effects.Keep(spilled), effects.Forget([1], "expired", 5.0))
    store.close()
    assert rows(tmp_path, "SELECT payload, attempt FROM settled") == [(b'{"n": 1}', 7)]
    assert tools.verify(tmp_path) == ([], [])


def test_what_expired_is_kept_and_what_went_to_another_node_is_not(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1, 2), fresh=True))
    write(store, effects.Forget([1], "expired", 5.0), effects.Forget([2]))
    store.close()
    assert rows(tmp_path, "SELECT outcome FROM settled") == [("expired",)]
    assert ids(tmp_path) == [1]


@pytest.mark.parametrize(
    ("retention", "left"),
    [
        (Retention(1000.0, 3, 1_000_000), [8, 9, 10]),
        (Retention(1000.0, 1000, 2 * len(b'{"n": 1}')), [9, 10]),
        (Retention(2.5, 1000, 1_000_000), [8, 9, 10]),
    ],
)
def test_the_oldest_go_beyond_each_bound(tmp_path: Path, retention, left) -> None:
    store = opened(tmp_path, retention)
    for number in range(1, 11):
        write(store, effects.Keep(held(number), fresh=True))
        write(store, settled(number, at=float(number)))
    store.close()
    assert ids(tmp_path) == left


def test_what_is_old_goes_although_nothing_comes(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1, 2), fresh=True), settled(1), settled(2, at=600.0))
    assert not store.tidying_due(UNIX_S + 900)
    assert store.tidying_due(UNIX_S + 1100)
    write(store, tidy_at=UNIX_S + 1100)
    assert not store.tidying_due(UNIX_S + 1100)
    write(store, tidy_at=UNIX_S + 2000)
    assert not store.tidying_due(UNIX_S + 9999)
    write(store, effects.Keep(held(3), fresh=True), settled(3, at=9999.0))
    store.close()
    assert ids(tmp_path) == [3]


def test_a_commit_deletes_a_bounded_number_and_the_rest_goes_in_the_next_ones(tmp_path) -> None:
    count = TRIM_LEAST * 3
    store = opened(tmp_path)
    for first in range(1, count, 50):
        some = range(first, min(first + 50, count + 1))
        write(store, effects.Keep(held(*some), fresh=True), settled(*some))
    store.close()
    store = opened(tmp_path, Retention(1000.0, 1, 1_000_000))
    write(store, effects.Keep(held(1000), fresh=True), settled(1000))
    assert len(rows(tmp_path)) == count + 1 - TRIM_LEAST
    assert count < TRIM_IDLE
    assert store.tidying_due(UNIX_S + 5)
    write(store, tidy_at=UNIX_S + 5)
    assert ids(tmp_path) == [1000]
    store.close()


def test_what_was_kept_goes_once_retention_is_switched_off(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1), fresh=True), settled(1))
    store.close()
    store = opened(tmp_path, Retention())
    assert store.tidying_due(UNIX_S)
    write(store, tidy_at=UNIX_S)
    assert not store.tidying_due(UNIX_S)
    store.close()
    assert rows(tmp_path) == []


def test_the_file_does_not_grow_once_the_bounds_are_reached(tmp_path: Path) -> None:
    store = opened(tmp_path, Retention(1000.0, 500, 1_000_000))
    sizes = []
    for turn in range(40):
        some = range(turn * 100 + 1, turn * 100 + 101)
        write(store, effects.Keep(held(*some, payload=b"x" * 1000), fresh=True))
        write(store, settled(*some, at=float(turn)))
        store._log.fold()  # so that the file shows what is in use
        sizes.append(store.path.stat().st_size)
    store.close()
    assert sizes[-1] <= sizes[15]


async def test_settled_objects_are_found_with_their_state(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1, 2, 3), fresh=True))
    write(store, settled(1, at=5.0))
    write(store, settled(2, at=8.0))
    queries = SqliteQueries(store.path, "aa", lambda _id: "ready")

    async def found(**asked) -> list[int]:
        selection = Selection.read("Order", **asked)
        return [each.place.id async for part in queries.windows(selection) for each in part.found]

    try:
        assert await found() == [3, 1, 2]
        assert await found(states=["settled"]) == [1, 2]
        assert await found(states=["ready"]) == [3]
        assert await found(where=f"$settled > {UNIX_S + 6.0}") == [2]
        assert await found(where="$state = 'settled'", order_by="$settled desc") == [2, 1]
        settled_ones = Selection.read("Order", states=["settled"], limit=1)
        (one, *_) = [each async for part in queries.windows(settled_ones) for each in part.found]
        (row,) = await queries.rows([one], 1000)
        assert row is not None
        assert row.left == (UNIX_S + 5.0, "settled")
        assert row.record.payload == b'{"n": 1}'
    finally:
        await queries.aclose()
        store.close()


def test_a_flipped_bit_in_when_it_was_settled_is_found(tmp_path: Path) -> None:
    store = opened(tmp_path)
    write(store, effects.Keep(held(1), fresh=True), settled(1))
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("UPDATE settled SET settled = settled + 1")
    damage, _ = tools.verify(tmp_path)
    assert [each.table for each in damage] == ["settled"]


def test_a_rebuild_keeps_what_was_settled_and_brings_none_of_it_back(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for first in range(1, 400, 40):
        write(store, effects.Keep(held(*range(first, first + 40)), fresh=True))
        write(store, settled(*range(first, first + 20)))
    store.close()
    before = ids(tmp_path)
    # Without its schema nothing of the file can be opened: all is found page by page.
    content = bytearray(store.path.read_bytes())
    content[100:108] = bytes(8)
    store.path.write_bytes(content)
    store = opened(tmp_path)
    assert set(ids(tmp_path)) == set(before)
    assert not set(store._numbers) & set(before)  # what custody was taken of again
    store.close()
