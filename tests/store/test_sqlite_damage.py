"""Flipped bits, torn and missing pages: what they cost, and that nobody is left in the dark."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.support.stores import (
    QUICK_FOLDER,
    Contents,
    batch,
    contents,
    opened,
    read,
    record,
    varied_batches,
)
from trionode.ids import object_id
from trionode.store import sqlite_schema as schema
from trionode.store.batch import ProducerChange
from trionode.store.sqlite_records import unpack
from trionode.store.sqlite_schema import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.store import Damage

FLIPS = int(os.environ.get("TRIONODE_TEST_FLIPS", "80"))
"""How many bits are flipped, one at a time, in the database and in its log."""
BOOKS = ("producers", "given", "taken", "definitions", "keys")


@attrs.define
class Sample:
    """The files of a store, and what it held."""

    files: dict[str, bytes]
    held: Contents
    folder: Path

    def reopened(self, name: str = "", content: bytes = b"") -> tuple[Contents, list[Damage]]:
        """What a store finds in the files, one of them changed; twice, and it stays so."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for path, whole in {**self.files, **({name: content} if name else {})}.items():
            (self.folder / path).write_bytes(whole)
        found, damage = read(self.folder)
        again, damage_again = read(self.folder)
        assert again == found
        assert damage_again == []
        return found, damage

    def lost(self, found: Contents) -> list[int]:
        """The objects that are missing or different."""
        return [id_ for id_, held in self.held.objects.items() if found.objects.get(id_) != held]


def sample(folder: Path, *, folded: bool) -> Sample:
    """A store of some hundred objects; with a log that is long, or folded into the database."""
    store = opened(folder / "made")
    contents(store)
    held = Contents()
    for number, each in enumerate(varied_batches(60)):
        store.write(each)
        held.apply(each)
        if number == 20:
            store._log.fold()
    if folded:
        store.close()
    names = [schema.DATABASE_FILE] if folded else [store.path.name, store.path.name + "-wal"]
    files = {name: store.path.with_name(name).read_bytes() for name in names}
    store.close()
    return Sample(files, held, folder / "data")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(dir=QUICK_FOLDER))
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def at_rest(folder: Path) -> Sample:
    return sample(folder / "at rest", folded=True)


@pytest.fixture(scope="module")
def at_work(folder: Path) -> Sample:
    return sample(folder / "at work", folded=False)


@pytest.mark.parametrize("file", ["store.sqlite", "store.sqlite-wal"])
def test_a_flipped_bit_costs_one_record_at_most_and_is_reported(
    file: str, at_rest: Sample, at_work: Sample
) -> None:
    made = at_work if file.endswith("-wal") else at_rest
    whole = made.files[file]
    draw = random.Random(21)
    for _ in range(FLIPS):
        at = draw.randrange(len(whole))
        if draw.random() < 0.3:  # the headers of pages, more often than their share
            at = min(at - at % PAGE_BYTES + draw.randrange(120), len(whole) - 1)
        content = bytearray(whole)
        content[at] ^= 1 << draw.randrange(8)
        found, damage = made.reopened(file, bytes(content))
        lost = made.lost(found)
        books = [name for name in BOOKS if getattr(found, name) != getattr(made.held, name)]
        assert len(lost) <= 1, f"byte {at}: {lost}"
        assert damage or (not lost and not books), f"byte {at}"
        if lost:
            counted = sum(each.count for each in damage if each.table != "structure")
            assert counted == 1, f"byte {at}: {damage}"


@pytest.mark.parametrize("page", range(1, 60, 4))
def test_a_page_that_is_lost_costs_what_was_on_it_and_is_counted(
    page: int, at_rest: Sample
) -> None:
    whole = at_rest.files[schema.DATABASE_FILE]
    start = (page - 1) * PAGE_BYTES
    for filler in (bytes(PAGE_BYTES), random.Random(page).randbytes(PAGE_BYTES)):
        content = whole[:start] + filler + whole[start + PAGE_BYTES :]
        found, damage = at_rest.reopened(schema.DATABASE_FILE, content)
        lost = at_rest.lost(found)
        assert len(lost) <= PAGE_BYTES // 60
        if not any(each.table == "state" for each in damage):
            counted = sum(each.count for each in damage if each.table == "objects")
            assert counted <= len(lost)
        assert damage or not lost


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
def test_a_truncated_database_keeps_what_is_left_and_counts_the_rest(
    share: float, at_rest: Sample
) -> None:
    whole = at_rest.files[schema.DATABASE_FILE]
    found, damage = at_rest.reopened(schema.DATABASE_FILE, whole[: int(len(whole) * share)])
    lost = at_rest.lost(found)
    assert len(lost) < len(at_rest.held.objects)
    # One that was settled may be found on a page that nothing refers to any more (at least once).
    back = found.objects.keys() - at_rest.held.objects.keys()
    counted = sum(each.count for each in damage if each.table == "objects")
    assert counted == len(lost) - len(back)


def test_a_truncated_log_rolls_back_to_a_whole_transaction(at_work: Sample) -> None:
    name = f"{schema.DATABASE_FILE}-wal"
    whole = at_work.files[name]
    states = []
    history = Contents()
    for each in varied_batches(60):
        history.apply(each)
        states.append(list(history.objects))
    for size in range(len(whole), 0, -len(whole) // 7 - 1):
        found, damage = at_work.reopened(name, whole[:size])
        assert damage == []
        assert list(found.objects) in states


def test_objects_of_a_producer_whose_book_is_damaged_are_recognised_when_pushed_again(
    tmp_path: Path,
) -> None:
    store = opened(tmp_path)
    change = batch(record(object_id(7, 5)), record(object_id(7, 6)))
    change.producers[7] = ProducerChange([(1, 9)])
    store.write(change)
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("UPDATE producers SET crc = crc + 1")
    found, damage = read(tmp_path)
    assert [each.table for each in damage] == ["producers"]
    assert (found.producers[7].starts, found.producers[7].ends) == ([5], [7])
    assert read(tmp_path) == (found, [])


def test_a_damaged_object_is_set_aside_for_a_person_to_look_at(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1), record(2, payload=b"precious"), record(3)))
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("UPDATE objects SET payload = x'00' || payload WHERE seq = 2")
    found, damage = read(tmp_path)
    assert list(found.objects) == [1, 3]
    assert [(each.table, each.number, each.type, each.size_bytes) for each in damage] == [
        ("objects", 2, "Order", 9)
    ]
    assert "its checksum differs" in str(damage[0])
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        ((body,),) = connection.execute("SELECT body FROM damaged").fetchall()
    table, number, _, _, row = unpack(body)
    assert (table, number, row[-1]) == ("objects", 2, b"\0precious")


def test_a_lost_row_of_state_is_made_anew(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1, stamp=9), stamp=9))
    store.close()
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as connection:
        connection.execute("UPDATE state SET crc = crc + 1")
    store = opened(tmp_path)
    assert store.last_stamp == 9
    contents(store)
    assert [each.table for each in store.damage()] == ["state"]
    store.close()
    assert read(tmp_path)[1] == []


def test_a_node_keeps_its_id_where_one_of_its_two_rows_is_damaged(tmp_path: Path) -> None:
    opened(tmp_path).close()
    path = tmp_path / schema.DATABASE_FILE
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        rows = [body for (body,) in connection.execute("SELECT body FROM identity")]
        connection.execute("UPDATE identity SET crc = crc + 1 WHERE number = 1")
    store = opened(tmp_path)
    assert [each.table for each in store.damage()] == ["identity"]
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        kept = [body for (body,) in connection.execute("SELECT body FROM identity")]
    assert {unpack(body)[0] for body in kept} == {unpack(body)[0] for body in rows}
