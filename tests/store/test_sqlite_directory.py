"""Whose a data directory is, and what a SQLite store says of one that it cannot use."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stores import (
    NOW_MS,
    Contents,
    batch,
    contents,
    opened,
    random_bytes,
    read,
    record,
    varied_batches,
)
from trionode.store import SqliteStore, StoreError
from trionode.store import sqlite_schema as schema
from trionode.store import sqlite_tools as tools
from trionode.store.sqlite_records import book_row

ROOT = Path(__file__).parents[2]
NOBODY = 65534
KEYS_SINCE = 3
"""The first schema that has keys of pushes."""


def refusal(directory: Path) -> str:
    store = SqliteStore(directory, "n2", random_bytes)
    with pytest.raises(StoreError) as caught:
        store.open(NOW_MS)
    store.close()
    return str(caught.value)


def test_a_data_directory_is_made_for_its_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "far" / "away" / "data"
    store = opened(directory)
    store.write(batch(record(1)))
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
    store.close()


def test_a_second_store_is_told_which_process_has_the_directory(tmp_path: Path) -> None:
    store = opened(tmp_path)
    message = refusal(tmp_path)
    assert f"in use by node n1, process {os.getpid()}" in message
    assert "--data-dir" in message
    store.close()
    read(tmp_path)


def test_a_second_process_is_told_which_process_has_the_directory(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.support.stores import opened;"
        "store = opened(Path(sys.argv[1])); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        assert f"process {process.pid};" in refusal(tmp_path)
        process.kill()
    # The lock goes with its process, however it ended.
    read(tmp_path)


def test_a_store_that_could_not_be_opened_gives_the_directory_free(tmp_path: Path) -> None:
    (tmp_path / schema.DATABASE_FILE).write_bytes(b"a letter to somebody" * 1000)
    for _ in range(2):
        assert "is not a store of trionode" in refusal(tmp_path)


@pytest.mark.parametrize("content", [b"", b"x", bytes(8192), b"SQLite format 3\0" + bytes(5000)])
def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / schema.DATABASE_FILE
    path.write_bytes(content)
    assert "is not a store of trionode" in refusal(tmp_path)
    assert path.read_bytes() == content


def test_a_database_of_somebody_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / schema.DATABASE_FILE
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE objects (seq INTEGER PRIMARY KEY, id BLOB)")
    content = path.read_bytes()
    assert "is not a store of trionode" in refusal(tmp_path)
    assert path.read_bytes() == content


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text("")
    assert f"cannot make the data directory {path}" in refusal(path)


AS_NOBODY = """
import os, sys
from pathlib import Path
from trionode.store import SqliteStore, StoreError

store = SqliteStore(Path(sys.argv[1]), "n1", os.urandom)
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
try:
    store.open(1)
except StoreError as error:
    print(error)
"""


def refusal_to_nobody(directory: Path) -> str:
    """What a process without privileges is told."""
    for path in (directory, *directory.parents[:3]):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(directory)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


def test_a_directory_that_cannot_be_written_is_refused_with_the_reason(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o555)
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
    message = refusal_to_nobody(directory)
    assert f"cannot write in the data directory {directory}: it is read-only" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_directory_of_another_user_is_refused_naming_both(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    directory.mkdir(mode=0o755)
    message = refusal_to_nobody(directory)
    assert "it belongs to root, and this process runs as nobody" in message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")
def test_a_database_of_another_user_is_refused_naming_both(tmp_path: Path) -> None:
    directory = tmp_path / "data"
    opened(directory).close()
    (directory / "lock").unlink()
    directory.chmod(0o777)
    message = refusal_to_nobody(directory)
    assert "store.sqlite: it belongs to root, and this process runs as nobody" in message


def test_a_newer_schema_is_refused_naming_both_versions(tmp_path: Path) -> None:
    opened(tmp_path).close()
    path = tmp_path / schema.DATABASE_FILE
    newer = schema.SCHEMA_VERSION + 6
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
        rows = [book_row("identity", copy, ("aa", 1, newer)) for copy in (1, 2)]
        connection.executemany("INSERT OR REPLACE INTO identity VALUES (?, ?, ?)", rows)
    content = path.read_bytes()
    message = refusal(tmp_path)
    assert f"the store has schema {newer}" in message
    assert f"knows schemas up to {schema.SCHEMA_VERSION}" in message
    assert path.read_bytes() == content


def test_a_flipped_bit_in_the_version_does_not_pass_for_a_newer_schema(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1)))
    store.close()
    content = bytearray(store.path.read_bytes())
    content[63] ^= 4
    store.path.write_bytes(content)
    found, damage = read(tmp_path)
    assert list(found.objects) == [1]
    assert [each.table for each in damage] == ["structure"]


def test_migrations_run_in_order_and_once(tmp_path: Path) -> None:
    def second(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE objects ADD COLUMN tenant TEXT")

    def third(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE objects SET tenant = 'somebody'")

    store = opened(tmp_path)
    store.write(batch(record(1)))
    store.close()
    steps = (*schema.MIGRATIONS, second, third)
    with contextlib.closing(schema.connect(store.path)) as connection:
        assert schema.migrate(connection, steps) == schema.SCHEMA_VERSION
        assert schema.migrate(connection, steps) == schema.SCHEMA_VERSION + 2
        assert connection.execute("SELECT tenant FROM objects").fetchall() == [(b"somebody",)]


def test_a_migration_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    def second(connection: sqlite3.Connection) -> None:
        connection.execute("ALTER TABLE objects ADD COLUMN tenant TEXT")

    def third(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE nothing SET tenant = 'somebody'")

    store = opened(tmp_path)
    store.write(batch(record(1)))
    store.close()
    with contextlib.closing(schema.connect(store.path)) as connection:
        with pytest.raises(sqlite3.Error):
            schema.migrate(connection, (*schema.MIGRATIONS, second, third))
        assert schema.user_version(connection) == schema.SCHEMA_VERSION
    assert list(read(tmp_path)[0].objects) == [1]


RELEASED = {
    int(path.stem.removeprefix("schema_")): path.read_text()
    for path in Path(__file__).parent.glob("schema_*.sql")
}
"""Version -> its statements, as they were released."""


def test_every_schema_has_a_dump_of_its_own() -> None:
    assert sorted(RELEASED) == list(range(1, schema.SCHEMA_VERSION + 1))


@pytest.mark.parametrize("version", sorted(RELEASED))
def test_a_schema_is_what_it_was_when_it_was_released(version: int) -> None:
    # A released schema never changes: add a migration and a dump of the new one instead.
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, schema.MIGRATIONS[:version])
        statements = connection.execute("SELECT sql FROM sqlite_schema ORDER BY rowid")
        assert "".join(f"{sql};\n" for (sql,) in statements) == RELEASED[version]


@pytest.mark.parametrize("version", sorted(RELEASED))
def test_a_store_of_every_released_schema_is_taken_over_whole(tmp_path: Path, version: int) -> None:
    expected = Contents()
    store = opened(tmp_path)
    contents(store)
    for each in varied_batches(20):
        store.write(each)
        expected.apply(each)
    store.close()
    if version < KEYS_SINCE:
        expected.keys.clear()
    # The same rows in a file of that version, as its own trionode would have left it.
    old = tmp_path / "old.sqlite"
    with contextlib.closing(schema.connect(old)) as connection:
        connection.executescript(RELEASED[version])
        connection.execute("ATTACH ? AS new", (str(store.path),))
        for (name,) in connection.execute("SELECT name FROM main.sqlite_schema").fetchall():
            table = name.decode()
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM new.{table}")
        value = ("aa" * 10, NOW_MS, version)
        rows = [book_row("identity", copy, value) for copy in (1, 2)]
        connection.executemany("INSERT OR REPLACE INTO identity VALUES (?, ?, ?)", rows)
        connection.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {version}")
    old.rename(store.path)
    for suffix in ("-wal", "-shm"):
        store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
    for _ in range(2):
        found, damage = read(tmp_path)
        assert found == expected
        assert damage == []
    with contextlib.closing(sqlite3.connect(store.path)) as connection:
        assert schema.user_version(connection) == schema.SCHEMA_VERSION
    assert tools.verify(tmp_path) == ([], [])


def test_contents_survive_a_process_that_never_closed_its_store(tmp_path: Path) -> None:
    store = opened(tmp_path / "one")
    contents(store)
    store.write(batch(record(1)))
    copy = tmp_path / "two"
    copy.mkdir()
    for name in (schema.DATABASE_FILE, f"{schema.DATABASE_FILE}-wal"):
        (copy / name).write_bytes((tmp_path / "one" / name).read_bytes())
    store.close()
    assert list(read(copy)[0].objects) == [1]
