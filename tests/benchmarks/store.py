"""How fast the durable store writes, deletes and recovers: `python tests/benchmarks/store.py`.

Prints one line per measurement. Not a test: it judges nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

from trionode.routing.records import ObjectRecord
from trionode.store import Retention
from trionode.store.batch import Batch, ProducerChange, Retired
from trionode.store.sqlite import SqliteStore

PRODUCER = 0x1234567890ABCDEF1234
PAYLOAD = os.urandom(128)


def batch_of(first: int, count: int, stamp: int) -> Batch:
    """New objects of one producer, as they come from a push."""
    batch = Batch(stamp, 0.0)
    base = PRODUCER << 48
    for sequence in range(first, first + count):
        record = ObjectRecord(
            base + sequence, "Order", PAYLOAD, "json", "f" * 24, 1.7e9 + sequence, 1, None, stamp
        )
        batch.kept[record.id] = record
    batch.producers[PRODUCER] = ProducerChange([(first, count)], first - 1)
    return batch


def quantile(times: list[float], part: float) -> float:
    return sorted(times)[int(len(times) * part)] * 1e3


def inserts(directory: Path, size: int, rows: int) -> None:
    store = SqliteStore(directory, "bench", os.urandom)
    store.open(1)
    batches = [batch_of(1 + at, size, at) for at in range(0, rows, size)]
    times = []
    cpu_begun = time.process_time()
    for batch in batches:
        begun = time.perf_counter()
        store.write(batch)
        times.append(time.perf_counter() - begun)
    cpu_s = time.process_time() - cpu_begun
    print(
        f"insert by {size}: {rows / sum(times):,.0f} rows/s"
        f" ({rows / cpu_s:,.0f} per second of processor time), commit p50"
        f" {quantile(times, 0.5):.2f} ms, p99 {quantile(times, 0.99):.2f} ms,"
        f" longest {max(times) * 1e3:.1f} ms, {store.status().size_bytes / rows:.0f} bytes/row"
    )
    times = []
    for batch in batches:
        gone = Batch(batch.stamp, 0.0)
        gone.gone.update(dict.fromkeys(batch.kept))
        begun = time.perf_counter()
        store.write(gone)
        times.append(time.perf_counter() - begun)
    print(f"delete by {size}: {rows / sum(times):,.0f} rows/s, longest {max(times) * 1e3:.1f} ms")
    store.close()


def queue(directory: Path, size: int, backlog: int, rows: int) -> None:
    """Objects come at one end and are settled at the other."""
    store = SqliteStore(directory, "bench", os.urandom)
    store.open(1)
    for at in range(0, backlog, 1000):
        store.write(batch_of(1 + at, 1000, at))
    before = store.status().size_bytes
    times = []
    for at in range(0, rows, size):
        batch = batch_of(1 + backlog + at, size, backlog + at)
        batch.gone.update(dict.fromkeys((PRODUCER << 48) + 1 + at + index for index in range(size)))
        begun = time.perf_counter()
        store.write(batch)
        times.append(time.perf_counter() - begun)
    print(
        f"insert and delete by {size} behind {backlog:,}: {rows / sum(times):,.0f} objects/s,"
        f" p99 {quantile(times, 0.99):.2f} ms, longest {max(times) * 1e3:.1f} ms,"
        f" file {before >> 20} -> {store.status().size_bytes >> 20} MiB"
    )
    store.close()


def retaining(directory: Path, size: int, rows: int, kept: int) -> None:
    """The same with settled objects kept and without, a commit of each in turns."""
    kinds = {"none": Retention(), f"{kept:,}": Retention(86_400.0, kept, 1 << 30)}
    stores = {
        name: SqliteStore(directory / str(index), "bench", os.urandom, retention)
        for index, (name, retention) in enumerate(kinds.items())
    }
    times: dict[str, list[float]] = {name: [] for name in stores}
    for store in stores.values():
        store.open(1)
        store.write(batch_of(1, 1000, 0))
    # Only once so many are kept that each commit deletes as many as it adds.
    settling = kept + rows
    for at in range(0, settling, size):
        for name, store in stores.items():
            batch = batch_of(1001 + at, size, 1000 + at)
            gone = [(PRODUCER << 48) + 1 + at + index for index in range(size)]
            batch.gone.update(dict.fromkeys(gone))
            if store.retains:
                batch.retired.update((id_, Retired(1e9 + at, "settled", None)) for id_ in gone)
            begun = time.perf_counter()
            store.write(batch)
            if at >= kept:
                times[name].append(time.perf_counter() - begun)
    for name, found in times.items():
        print(
            f"insert and settle by {size}, settled objects kept: {name}:"
            f" {len(found) * size / sum(found):,.0f} objects/s, p50 {quantile(found, 0.5):.2f} ms,"
            f" p99 {quantile(found, 0.99):.2f} ms"
        )
    pairs = [kept_s / none_s for none_s, kept_s in zip(*times.values(), strict=True)]
    print(f"so keeping them takes {quantile(pairs, 0.5) / 1e3:.2f} times as long (median of pairs)")
    for store in stores.values():
        store.close()


def recovery(directory: Path, rows: int) -> None:
    store = SqliteStore(directory, "bench", os.urandom)
    store.open(1)
    for at in range(0, rows, 1000):
        store.write(batch_of(1 + at, 1000, at))
    store.close()
    begun = time.perf_counter()
    store = SqliteStore(directory, "bench", os.urandom)
    store.open(2)
    opened = time.perf_counter() - begun
    count = sum(len(part.objects) for part in store.recover(1.0))
    print(
        f"recover {count:,} objects: opened in {opened:.2f} s, all in"
        f" {time.perf_counter() - begun:.2f} s, {store.status().size_bytes >> 20} MiB"
    )
    store.close()


def fsync_ms(directory: Path) -> float:
    """What an fsync of 4 KiB takes here and now: no commit can be faster."""
    file = os.open(directory / "fsync", os.O_RDWR | os.O_CREAT)
    times = []
    for at in range(200):
        os.pwrite(file, bytes(4096), at % 50 * 4096)
        begun = time.perf_counter()
        os.fdatasync(file)
        times.append(time.perf_counter() - begun)
    os.close(file)
    return quantile(times, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, help="where to write; default: a temporary one")
    parser.add_argument("--backlog", type=int, default=1_000_000)
    options = parser.parse_args()
    for run in (
        lambda path: print(f"fsync of 4 KiB: p50 {fsync_ms(path):.2f} ms"),
        lambda path: inserts(path, 1, 2_000),
        lambda path: inserts(path, 32, 64_000),
        lambda path: inserts(path, 256, 400_000),
        lambda path: queue(path, 256, 1_000, 200_000),
        lambda path: queue(path, 256, options.backlog, 200_000),
        lambda path: retaining(path, 256, 200_000, 50_000),
        lambda path: recovery(path, options.backlog),
    ):
        directory = Path(tempfile.mkdtemp(dir=options.directory))
        try:
            run(directory)
        finally:
            shutil.rmtree(directory)


if __name__ == "__main__":
    main()
