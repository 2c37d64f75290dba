"""What is left of a SQLite store when its process, or the power, goes at any moment."""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from tests.support.store_writer import batch_of, expected
from tests.support.stores import NOW_MS, QUICK_FOLDER, batch, contents, opened, read, record
from trionode.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("TRIONODE_TEST_KILLS", "10"))
"""How many processes are killed; more of them for a thorough run."""
POWER_LOSSES = int(os.environ.get("TRIONODE_TEST_POWER_LOSSES", "60"))
WRITER = [sys.executable, "-m", "tests.support.store_writer"]
SECTOR_BYTES = 512


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where fsync need not be waited for: these tests look at what was asked for."""
    made = Path(tempfile.mkdtemp(dir=QUICK_FOLDER))
    yield made
    shutil.rmtree(made)


def round_of(directory: Path, confirmed: int) -> int:
    """The round that a store is at: the last confirmed, or the one after it as a whole."""
    found, damage = read(directory)
    assert damage == []
    for round_ in (confirmed, confirmed + 1):
        if found.objects == expected(round_):
            return round_
    raise AssertionError(
        f"{len(found.objects)} objects, not those of round {confirmed} or the next"
    )


def test_a_killed_process_loses_nothing_that_was_confirmed(tmp_path: Path) -> None:
    draw = random.Random(11)
    confirmed = 0
    for _ in range(KILLS):
        arguments = [str(tmp_path / "data"), str(confirmed + 1), "1000000"]
        with subprocess.Popen([*WRITER, *arguments], cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(draw.randrange(1, 60)):
                process.stdout.readline()
            process.kill()
            said = process.stdout.read().split()
        # Lines that were in the pipe count as well; with none left, ask the store.
        lowest = int(said[-1]) if said else confirmed
        found, damage = read(tmp_path / "data")
        assert damage == []
        newest = max(each.stamp for each in found.objects.values())
        assert newest >= lowest
        assert found.objects == expected(newest)
        confirmed = newest


@attrs.frozen
class Change:
    kind: int
    path: str
    offset: int
    data: bytes


WRITE, SYNC, TRUNCATE, UNLINK = 1, 2, 3, 4


def changes_of(log: bytes) -> list[Change]:
    changes = []
    at = 0
    while at < len(log):
        kind, offset, size, path_size = struct.unpack_from("=4q", log, at)
        at += 32
        path = log[at : at + path_size].decode()
        at += path_size
        data = log[at : at + size] if kind == WRITE else b""
        at += len(data)
        changes.append(Change(kind, path, offset, data))
    return changes


class Disk:
    """Files as a disk may have them: what was synced for sure, of the rest any part."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._synced: dict[str, bytearray] = {}
        self._pending: dict[str, list[Change]] = {}

    def apply(self, change: Change) -> None:
        if change.kind == UNLINK:
            self._synced.pop(change.path, None)
            self._pending.pop(change.path, None)
        elif change.kind == SYNC and change.path not in self._pending:
            return  # a directory, or nothing to do
        elif change.kind == SYNC:
            content = self._synced.setdefault(change.path, bytearray())
            for each in self._pending.pop(change.path, []):
                self._perform(content, each, each.data)
        else:
            self._pending.setdefault(change.path, []).append(change)

    @staticmethod
    def _perform(content: bytearray, change: Change, data: bytes) -> None:
        if change.kind == TRUNCATE:
            del content[change.offset :]
            content.extend(bytes(change.offset - len(content)))
        elif data:
            content.extend(bytes(max(0, change.offset - len(content))))
            content[change.offset : change.offset + len(data)] = data

    def after_power_loss(self) -> dict[str, bytes]:
        """Of each write that was not synced nothing, all, or some of its sectors."""
        left = {}
        kept = self._draw.random()
        for path in {*self._synced, *self._pending}:
            content = bytearray(self._synced.get(path, b""))
            for each in self._pending.get(path, []):
                data = each.data
                if self._draw.random() > kept:
                    if each.kind == TRUNCATE or self._draw.random() < 0.5:
                        continue
                    data = data[
                        : self._draw.randrange(len(data) // SECTOR_BYTES + 1) * SECTOR_BYTES
                    ]
                self._perform(content, each, data)
            left[path] = bytes(content)
        return left


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that records what a process does to files."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to make the recorder with")
    library = tmp_path_factory.mktemp("recorder") / "file_log.so"
    source = ROOT / "tests/support/file_log.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return str(library)


def test_a_loss_of_power_takes_nothing_that_was_confirmed(recorder: str, folder: Path) -> None:
    data, log = folder / "data", folder / "log"
    opened(data).close()
    first = batch_of(1)
    store = opened(data)
    store.write(first)
    store.close()
    confirmations = str(data / "confirmed")
    before = {str(path): path.read_bytes() for path in data.iterdir()}
    environment = {
        **os.environ,
        "LD_PRELOAD": recorder,
        "FILE_LOG": str(log),
        "FILE_LOG_FOLDER": str(data),
    }
    arguments = [str(data), "2", "260", confirmations]
    subprocess.run([*WRITER, *arguments], cwd=ROOT, check=True, env=environment)
    changes = changes_of(log.read_bytes())
    draw = random.Random(12)
    outcomes = set()
    for _ in range(POWER_LOSSES):
        disk = Disk(draw)
        for path, content in before.items():
            disk.apply(Change(WRITE, path, 0, content))
            disk.apply(Change(SYNC, path, 0, b""))
        confirmed = 1
        for change in changes[: draw.randrange(len(changes))]:
            if change.path == confirmations:
                confirmed = int(change.data)
            else:
                disk.apply(change)
        shutil.rmtree(data)
        data.mkdir()
        for path, content in disk.after_power_loss().items():
            if not path.endswith("-shm"):
                Path(path).write_bytes(content)
        outcomes.add(round_of(data, confirmed) - confirmed)
    assert outcomes == {0, 1}


def test_what_was_written_is_on_disk_when_write_returns(folder: Path) -> None:
    store = opened(folder / "data")
    contents(store)
    for round_ in range(1, 30):
        store.write(batch_of(round_))
        copy = folder / f"copy{round_}"
        copy.mkdir()
        for suffix in ("", "-wal"):
            name = store.path.name + suffix
            shutil.copyfile(store.path.with_name(name), copy / name)
        assert round_of(copy, round_) == round_
    store.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from tests.support.stores import opened, contents, batch, record
from trionode.store import StoreError

store = opened(Path(sys.argv[1]))
contents(store)
written = 0
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))
refused = 0
for number in range(1, 400):
    try:
        store.write(batch(record(number, number, bytes(5000)), stamp=number))
        written += 1
    except StoreError as error:
        refused += 1
        assert "disk" in str(error), error
        assert store.status().state != "ok"
        if refused == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert refused == 3
assert store.status().state == "ok"
store.close()
print(written)
"""


def test_a_full_disk_refuses_batches_as_a_whole_until_there_is_room(folder: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    found, damage = read(folder / "data")
    assert damage == []
    assert len(found.objects) == int(done.stdout) == 396


FULL_AT_START = """
import resource, sys
from pathlib import Path
from tests.support.stores import opened
from trionode.store import StoreError

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in (0, 5_000, 40_000):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        opened(Path(sys.argv[1])).close()
    except StoreError as error:
        print("refused", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
opened(Path(sys.argv[1])).close()
"""


@pytest.mark.parametrize("new", [True, False])
def test_a_disk_that_is_full_at_the_start_is_said_and_costs_nothing(
    folder: Path, new: bool
) -> None:
    if not new:
        store = opened(folder / "data")
        store.write(batch(record(1)))
        store.close()
    command = [sys.executable, "-c", FULL_AT_START, str(folder / "data")]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    assert "disk" in done.stdout
    assert list(read(folder / "data")[0].objects) == ([] if new else [1])


def test_a_batch_that_fails_changes_nothing(folder: Path) -> None:
    store = opened(folder / "data")
    store.write(batch(record(1), record(2)))
    assert store._connection is not None
    store._connection.execute("PRAGMA query_only = ON")
    change = batch(record(3, stamp=2), stamp=2, gone=(1,))
    with pytest.raises(StoreError):
        store.write(change)
    store._connection.execute("PRAGMA query_only = OFF")
    assert store.status().state != "ok"
    store.write(batch(record(4, stamp=3), stamp=3))
    assert store.status().state == "ok"
    store.write(change)
    store.close()
    assert list(read(folder / "data")[0].objects) == [2, 4, 3]


def test_a_repair_that_was_interrupted_is_finished(folder: Path) -> None:
    store = opened(folder / "data", NOW_MS)
    store.write(batch(record(1)))
    store.close()
    path = store.path
    shutil.copyfile(path, path.with_name(path.name + ".repaired"))
    path.write_bytes(b"what was damaged")
    path.with_name(path.name + "-wal").write_bytes(b"its log")
    assert list(read(folder / "data")[0].objects) == [1]
    kept = path.with_name(path.name + ".damaged-1")
    assert kept.read_bytes() == b"what was damaged"
    assert kept.with_name(kept.name + "-wal").read_bytes() == b"its log"
