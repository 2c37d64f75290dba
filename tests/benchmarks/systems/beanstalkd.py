"""beanstalkd: one call per job, to put, to reserve and to delete it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.benchmarks.servers import free_port, program, server
from tests.benchmarks.systems.base import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.systems.base import Load, Run

JOB_MAX_BYTES = 4 * 1024 * 1024


class Beanstalkd:
    """In memory: without a log, as it starts by default."""

    key = "beanstalkd"
    name = "beanstalkd"
    promise = "at least once, memory, one call per job"

    def missing(self) -> str:
        """See `System`."""
        return lacking({"greenstalk": "greenstalk"}, {"beanstalkd": "beanstalkd"})

    @contextlib.contextmanager
    def serve(self, directory: Path) -> Iterator[str]:
        """See `System`."""
        port = free_port()
        executable = program("beanstalkd")
        assert executable is not None
        command = [executable, "-l", "127.0.0.1", "-p", str(port), "-z", str(JOB_MAX_BYTES)]
        with server(command, port, directory):
            yield f"127.0.0.1:{port}"

    async def produce(self, load: Load, run: Run) -> None:
        """Put job by job."""
        client = _client(load)
        await run.go()
        for number in range(load.count):
            client.put(load.payload(number))
        client.close()

    async def consume(self, load: Load, run: Run) -> int:
        """Reserve and delete job by job."""
        client = _client(load)
        await run.go()
        while not run.complete:
            job = client.reserve(60)
            run.note(job.body)
            client.delete(job)
        run.end()
        found = client.stats()
        client.close()
        return int(found["current-jobs-ready"]) + int(found["current-jobs-reserved"])


def _client(load: Load):  # the library is untyped and may be missing
    import greenstalk  # noqa: PLC0415  # see base

    host, _, port = load.address.partition(":")
    return greenstalk.Client((host, int(port)), encoding=None)
