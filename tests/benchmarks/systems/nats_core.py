"""NATS core: at most once, no acknowledgements."""

from __future__ import annotations

import contextlib
import re
import subprocess
from typing import TYPE_CHECKING

from tests.benchmarks.servers import free_port, program, server
from tests.benchmarks.systems.base import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.systems.base import Load, Run

PACKAGES = {"nats": "nats-py"}, {"nats-server": "nats-server"}


@contextlib.contextmanager
def nats_server(directory: Path, config: str = "") -> Iterator[str]:
    """A server for the length of a block."""
    port = free_port()
    path = directory / "nats.conf"
    # Consumers may lag by a whole run: the work is the same for all, so nothing is dropped.
    path.write_text(f'listen: "127.0.0.1:{port}"\nmax_pending: 1GB\n{config}')
    executable = program("nats-server")
    assert executable is not None
    with server([executable, "-c", str(path)], port, directory):
        yield f"nats://127.0.0.1:{port}"


def nats_version() -> tuple[int, ...]:
    """The version of the server that is installed."""
    executable = program("nats-server")
    assert executable is not None
    said = subprocess.run([executable, "--version"], capture_output=True, text=True, check=True)
    return tuple(map(int, re.findall(r"\d+", said.stdout)[:3]))


class NatsCore:
    """Subscribe, publish; the subscriber's library keeps all that it has not read."""

    key = "nats"
    name = "NATS core"
    promise = "at most once, no ack"

    def missing(self) -> str:
        """See `System`."""
        return lacking(*PACKAGES)

    def serve(self, directory: Path) -> contextlib.AbstractContextManager[str]:
        """See `System`."""
        return nats_server(directory)

    async def produce(self, load: Load, run: Run) -> None:
        """Publish with a flush, which the server answers, at the end."""
        import nats  # noqa: PLC0415  # see base

        client = await nats.connect(load.address)
        await run.go()
        for number in range(load.count):
            await client.publish("bench", load.payload(number))
        await client.flush(60)
        await client.close()

    async def consume(self, load: Load, run: Run) -> int:
        """Take what comes; there is nothing to settle."""
        import nats  # noqa: PLC0415  # see base

        client = await nats.connect(load.address)
        subscription = await client.subscribe(
            "bench", pending_msgs_limit=-1, pending_bytes_limit=-1
        )
        await client.flush()
        await run.go()
        async for message in subscription.messages:
            run.note(message.data)
            if run.complete:
                break
        run.end()
        await client.close()
        return 0
