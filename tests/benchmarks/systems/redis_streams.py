"""Redis Streams: a stream and a consumer group, pipelined; what is acknowledged is deleted."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from tests.benchmarks.servers import free_port, program, server
from tests.benchmarks.systems.base import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.systems.base import Load, Run


class RedisStreams:
    """XADD, XREADGROUP, XACK and XDEL, a window of them to a pipeline."""

    def __init__(self, key: str, name: str, promise: str, flags: list[str]) -> None:
        self.key = key
        self.name = name
        self.promise = promise
        self._flags = flags

    def missing(self) -> str:
        """See `System`."""
        return lacking({"redis": "redis"}, {"redis-server": "redis-server"})

    @contextlib.contextmanager
    def serve(self, directory: Path) -> Iterator[str]:
        """See `System`."""
        port = free_port()
        executable = program("redis-server")
        assert executable is not None
        flags = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", *self._flags]
        with server([executable, "--dir", str(directory), *flags], port, directory):
            yield f"redis://127.0.0.1:{port}"

    async def produce(self, load: Load, run: Run) -> None:
        """Add by pipelines of a window each, answered before the next."""
        import redis  # noqa: PLC0415  # see base

        client = redis.Redis.from_url(load.address)
        await run.go()
        for first in range(0, load.count, load.window):
            pipe = client.pipeline(transaction=False)
            for number in range(first, min(first + load.window, load.count)):
                pipe.xadd("bench", {"o": load.payload(number)})
            pipe.execute()
        client.close()

    async def consume(self, load: Load, run: Run) -> int:
        """Read by windows, acknowledge and delete each whole."""
        import redis  # noqa: PLC0415  # see base

        client = redis.Redis.from_url(load.address)
        client.xgroup_create("bench", "bench", id="0", mkstream=True)
        await run.go()
        while not run.complete:
            for _, entries in client.xreadgroup(
                "bench", "one", {"bench": ">"}, count=load.window, block=1000
            ):
                ids = []
                for id_, fields in entries:
                    run.note(fields[b"o"])
                    ids.append(id_)
                pipe = client.pipeline(transaction=False)
                pipe.xack("bench", "bench", *ids)
                pipe.xdel("bench", *ids)
                pipe.execute()
        run.end()
        left = client.xlen("bench")
        client.close()
        return int(left)
