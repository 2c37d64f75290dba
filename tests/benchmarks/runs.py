"""One run of one system: what it did per second, and that it lost and doubled nothing.

trionode is measured by its own `trionode bench`, in the way that its users can repeat it; the
others by workers that do the same: one producer process, one server, one consumer process, from the
first push to the last confirmed settle.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.systems import SYSTEMS
from tests.benchmarks.systems.base import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300.0
NANOSECONDS_PER_S = 1e9


class NotExactlyOnce(Exception):  # noqa: N818  # what it says is what is wrong
    """A run lost or doubled something: its figure is worth nothing."""


def trionode(*flags: str) -> dict[str, Any]:
    """What `trionode bench` measures with these flags.

    Raises:
        NotExactlyOnce: bench says so, or failed in another way.
    """
    command = [sys.executable, "-m", "trionode", "bench", "--json", *flags]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode:
        raise NotExactlyOnce(f"trionode bench {' '.join(flags)}: {done.stderr.strip()[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peer(key: str, count: int, payload_bytes: int = 128) -> float:
    """Objects per second through a peer.

    Raises:
        NotExactlyOnce: not every object came once and was settled.
    """
    system = SYSTEMS[key]
    with (
        tempfile.TemporaryDirectory(
            prefix=f"bench-{key}-", ignore_cleanup_errors=True
        ) as directory,
        system.serve(Path(directory)) as address,
    ):
        load = Load(address, count, payload_bytes)
        with _worker(key, "consume", load) as consumer, _worker(key, "produce", load) as producer:
            for process in (consumer, producer):
                _write(process, "go")
            pushed = json.loads(read_line(producer))
            taken = json.loads(read_line(consumer))
    check(system.name, count, taken)
    ended_ns = max(pushed["ended_ns"], taken["ended_ns"])
    return float(count / ((ended_ns - pushed["began_ns"]) / NANOSECONDS_PER_S))


def check(name: str, count: int, taken: dict[str, int]) -> None:
    """Hold what a consumer told to what it should have been.

    Raises:
        NotExactlyOnce: something is missing, came twice, was never pushed, or is still held.
    """
    wrong = {
        key: taken[key] for key in ("missing", "duplicates", "strangers", "left") if taken[key]
    }
    if wrong:
        raise NotExactlyOnce(f"{name}: of {count} objects {wrong}")


@contextlib.contextmanager
def _worker(key: str, job: str, load: Load) -> Iterator[subprocess.Popen[str]]:
    """A worker that is ready, for the length of a block."""
    with python("tests.benchmarks.worker", key, job, load.to_json()) as process:
        said = read_line(process)
        if said != "ready":
            raise RuntimeError(f"the {job} worker of {key} said {said!r} where 'ready' was due")
        yield process


@contextlib.contextmanager
def python(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process with pipes for the length of a block; ended at its end, whatever it does."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def node_process(directory: Path, *, durable: bool = False) -> Iterator[str]:
    """A node for the length of a block; its address."""
    arguments = ["serve", "--name", "bench", "--listen", "127.0.0.1:0"]
    arguments += [] if durable else ["--memory"]
    with python("trionode", *arguments, "--data-dir", str(directory)) as process:
        yield read_line(process).rpartition(" ")[2]


def _write(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line of a worker, which says why when it has none.

    Raises:
        RuntimeError: it has ended.
    """
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a worker ended: {process.stderr.read().strip()[-1000:]}")
    return line.strip()
