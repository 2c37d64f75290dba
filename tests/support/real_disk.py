"""The SQLite store in the place of a simulated disk: worlds run, and crash, on real files."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.stores import QUICK_FOLDER, random_bytes
from trionode.store.sqlite import SqliteStore
from trionode.store.sqlite_retention import Retention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.routing.events import Recovered
    from trionode.routing.records import GivenRecord, KeysRecord, ObjectRecord
    from trionode.store import Batch


class RealDisks:
    """Makes disks, all in one folder that is deleted in the end."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(dir=QUICK_FOLDER))
        self._numbers = itertools.count(1)
        self.made: list[RealDisk] = []

    def __call__(self) -> RealDisk:
        disk = RealDisk(self)
        self.made.append(disk)
        return disk

    def folder(self) -> Path:
        """A place for one life of a disk."""
        return self._folder / str(next(self._numbers))

    def close(self) -> None:
        """Delete everything."""
        for disk in self.made:
            disk.store.close()
        shutil.rmtree(self._folder)


class RealDisk:
    """See `trionode.simulation.disk.Disk`, which it takes the place of.

    What was not closed when its node begins its next life is left as a crash leaves it: the next
    life has a copy of the files as they are then, the log not folded into the database.
    """

    def __init__(self, disks: RealDisks) -> None:
        self._disks = disks
        self.crashes = 0
        self.stamp = 0
        self._opened = itertools.count(1)
        self.store = self._open(disks.folder())

    def _open(self, folder: Path) -> SqliteStore:
        store = SqliteStore(folder, "n", random_bytes, Retention(10.0, 20, 100_000))
        store.open(1000 * next(self._opened))
        return store

    @property
    def objects(self) -> dict[int, ObjectRecord]:
        """What is kept, read from a copy, so that the store itself goes on."""
        return {each.id: each for part in self._parts() for each in part.objects}

    @property
    def keys(self) -> list[KeysRecord]:
        """The same of keys."""
        return [each for part in self._parts() for each in part.keys]

    @property
    def given(self) -> dict[tuple[str, int, int], GivenRecord]:
        """The same of offers that are open, by peer, incarnation and sequence."""
        found = [each for part in self._parts() for each in part.given]
        return {(each.peer, each.incarnation, each.sequence): each for each in found}

    def _parts(self) -> list[Recovered]:
        store = self._copied()
        try:
            return list(store.recover(0.0))
        finally:
            store.close()

    def _copied(self) -> SqliteStore:
        folder = self._disks.folder()
        folder.mkdir()
        for suffix in ("", "-wal"):
            path = self.store.path.with_name(self.store.path.name + suffix)
            if path.exists():
                shutil.copyfile(path, folder / path.name)
        return self._open(folder)

    def write(self, batch: Batch) -> None:
        """Apply a batch."""
        self.store.write(batch)
        self.stamp = batch.stamp

    def payloads(self, ids: list[int]) -> list[bytes | None]:
        """The payloads of objects; None for one that is not there."""
        return self.store.payloads(ids)

    def read(self, offset_s: float) -> Iterator[Recovered]:
        """What a node finds that begins a life on it."""
        if self.stamp:
            self.crashes += 1
            crashed, self.store = self.store, self._copied()
            crashed.close()
        yield from self.store.recover(offset_s)
        assert self.store.damage() == []
