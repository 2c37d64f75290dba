"""Care of a store from outside: counted, verified, copied, compacted, exported and imported."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from tests.store.test_sqlite_contents import object_records
from tests.support.stores import batch, contents, opened, read, record, varied_batches
from trionode.ids import object_id
from trionode.routing.records import ObjectRecord
from trionode.store import StoreError, sqlite_tools
from trionode.store import sqlite_schema as schema
from trionode.store.importing import Import
from trionode.store.object_lines import line_of, record_of_line

if TYPE_CHECKING:
    from pathlib import Path


def filled(directory: Path) -> None:
    store = opened(directory)
    contents(store)
    for each in varied_batches(30):
        store.write(each)
    store.close()


def test_info_counts_what_a_running_store_holds(tmp_path: Path) -> None:
    store = opened(tmp_path)
    kept = (record(1, payload=b"12345"), record(2, payload=b"123", type="Invoice"), record(3))
    store.write(batch(*kept))
    found = sqlite_tools.info(tmp_path)
    assert found.types == {"Invoice": (1, 3), "Order": (2, 7)}
    assert (found.objects, found.set_aside) == (3, 0)
    assert found.used_by == f"node n1, process {os.getpid()}"
    # Somebody who looked does not keep the store from going on.
    store.write(batch(record(4, stamp=2), stamp=2))
    store.close()
    assert sqlite_tools.info(tmp_path).used_by == ""


def test_tools_say_where_there_is_no_store(tmp_path: Path) -> None:
    for tool in (sqlite_tools.info, sqlite_tools.verify, sqlite_tools.compact):
        with pytest.raises(StoreError, match=r"there is no store in .*--data-dir"):
            tool(tmp_path)


@pytest.mark.parametrize("running", [True, False])
def test_verify_finds_nothing_in_a_sound_store(tmp_path: Path, running: bool) -> None:
    filled(tmp_path)
    store = opened(tmp_path)
    contents(store)
    if not running:
        store.close()
    assert sqlite_tools.verify(tmp_path) == ([], [])
    store.close()


def test_verify_names_damaged_records_and_leaves_them_for_recovery(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / schema.DATABASE_FILE
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE objects SET attempt = attempt + 1 WHERE seq = 20")
    for _ in range(2):
        damage, aside = sqlite_tools.verify(tmp_path)
        assert [(each.table, each.number) for each in damage] == [("objects", 20)]
        assert aside == []
    skipped: list[str] = []
    left = list(sqlite_tools.exported(tmp_path, skipped))
    assert all(each.attempt < 4 for each in left if isinstance(each, ObjectRecord))
    assert skipped == ["record 20 of objects"]
    _, found = read(tmp_path)
    assert [(each.table, each.number) for each in found] == [("objects", 20)]
    damage, aside = sqlite_tools.verify(tmp_path)
    assert damage == []
    assert [line.split(",")[0] for line in aside] == ["record 20 of objects"]


@pytest.mark.parametrize("at", [20, 5000, 9000])
def test_verify_names_damaged_structure(tmp_path: Path, at: int) -> None:
    filled(tmp_path)
    path = tmp_path / schema.DATABASE_FILE
    content = bytearray(path.read_bytes())
    content[at - at % 4096 if at > 4096 else at] ^= 0x40
    path.write_bytes(content)
    damage, _ = sqlite_tools.verify(tmp_path)
    assert "structure" in {each.table for each in damage}
    assert path.read_bytes() == bytes(content)


def test_a_backup_of_a_running_store_is_a_store(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    store = opened(tmp_path / "data")
    held = contents(store)
    target = tmp_path / "backup"
    sqlite_tools.backup(tmp_path / "data", target)
    store.write(batch(record(object_id(9, 1), stamp=99), stamp=99))
    store.close()
    assert target.stat().st_mode & 0o777 == 0o600
    restored = tmp_path / "restored"
    restored.mkdir()
    target.rename(restored / schema.DATABASE_FILE)
    assert read(restored) == (held, [])


def test_a_backup_overwrites_nothing(tmp_path: Path) -> None:
    filled(tmp_path / "data")
    target = tmp_path / "backup"
    target.write_text("precious")
    with pytest.raises(StoreError, match="File exists"):
        sqlite_tools.backup(tmp_path / "data", target)
    assert target.read_text() == "precious"


def test_compacting_gives_room_back_and_keeps_what_is_held(tmp_path: Path) -> None:
    store = opened(tmp_path)
    ids = range(1, 3000)
    store.write(batch(*(record(id_, payload=bytes(500)) for id_ in ids)))
    store.write(batch(stamp=2, gone=tuple(ids[:-5])))
    with pytest.raises(StoreError, match="in use by node n1"):
        sqlite_tools.compact(tmp_path)
    store.close()
    before, after = sqlite_tools.compact(tmp_path)
    assert after < before / 10
    found, damage = read(tmp_path)
    assert (list(found.objects), damage) == (list(ids[-5:]), [])


@given(object_records)
def test_an_exported_object_is_imported_as_it_was(made) -> None:
    line = line_of(made)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert record_of_line(line, made.stamp) == made


def test_properties_that_json_cannot_say_are_exported_all_the_same() -> None:
    made = record(object_id(1, 1), details={"of the future": [b"\xff", 2**63]})
    assert record_of_line(line_of(made), made.stamp) == made


def test_an_import_leaves_what_is_there_alone_and_is_recognised_when_pushed(tmp_path: Path) -> None:
    filled(tmp_path / "one")
    lines = [line_of(each) for each in sqlite_tools.exported(tmp_path / "one", [])]
    store = opened(tmp_path / "two")
    store.write(batch(record_of_line(lines[0], 1)))
    into = Import(store := _again(store))
    into.take([*lines, b"\n", lines[1]])
    count = into.taken.objects + into.taken.keys
    assert (count, into.taken.known) == (len(lines) - 1, 2)
    store.close()
    found, damage = read(tmp_path / "two")
    assert damage == []
    assert [line_of(each) for each in found.objects.values()] == lines[: len(found.objects)]
    assert len(found.objects) == into.taken.objects + 1
    for id_ in list(found.objects)[1:]:
        assert id_ & (2**48 - 1) in found.producers[id_ >> 48]


def _again(store):
    store.close()
    return opened(store.path.parent)


def test_an_import_says_which_line_is_wrong_and_keeps_those_before(tmp_path: Path) -> None:
    store = opened(tmp_path)
    into = Import(store)
    good = line_of(record(object_id(1, 1)))
    bads = (
        *(b"no json\n", b"[]\n", b"{}\n", good.replace(b"payload", b"pay")),
        *(b'{"keys": {"00": "1"}, "keys_at": 1}\n', b'{"object": {}, "settled": 1}\n'),
    )
    for bad in bads:
        with pytest.raises(StoreError, match="line 2: "):
            into.take([good, bad])
    store.close()
    assert list(read(tmp_path)[0].objects) == [object_id(1, 1)]
