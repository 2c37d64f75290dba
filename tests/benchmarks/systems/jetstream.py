"""JetStream: streams of NATS with acknowledgements, in memory or in files."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from tests.benchmarks.systems.base import lacking
from tests.benchmarks.systems.nats_core import PACKAGES, nats_server, nats_version

if TYPE_CHECKING:
    from pathlib import Path

    from tests.benchmarks.systems.base import Load, Run

SYNC_ALWAYS_SINCE = (2, 10)
"""The first version of the server that can sync before it acknowledges."""


class JetStream:
    """A work queue stream and one durable pull consumer, acknowledged message by message."""

    def __init__(self, key: str, name: str, promise: str, storage: str, *, always: bool) -> None:
        self.key = key
        self.name = name
        self.promise = promise
        self._storage = storage
        self._always = always

    def missing(self) -> str:
        """See `System`."""
        absent = lacking(*PACKAGES)
        if not absent and self._always and nats_version() < SYNC_ALWAYS_SINCE:
            return "sync_interval: always needs nats-server 2.10"
        return absent

    def serve(self, directory: Path) -> contextlib.AbstractContextManager[str]:
        """See `System`."""
        store = directory / "jetstream"
        sync = "sync_interval: always" if self._always else ""
        config = f'jetstream {{ store_dir: "{store}"\n max_memory_store: 2GB\n {sync} }}\n'
        return nats_server(directory, config)

    async def produce(self, load: Load, run: Run) -> None:
        """Publish with a window of unacknowledged messages."""
        import nats  # noqa: PLC0415  # see base

        client = await nats.connect(load.address)
        stream = client.jetstream(publish_async_max_pending=load.window)
        await run.go()
        for number in range(load.count):
            await stream.publish_async("bench", load.payload(number), wait_stall=60)
        await stream.publish_async_completed()
        await client.close()

    async def consume(self, load: Load, run: Run) -> int:
        """Fetch by batches, acknowledge each message; the last one and be answered."""
        import nats  # noqa: PLC0415  # see base
        from nats.js import api  # noqa: PLC0415  # see base

        client = await nats.connect(load.address)
        stream = client.jetstream()
        await stream.add_stream(
            name="bench",
            subjects=["bench"],
            storage=api.StorageType(self._storage),
            retention=api.RetentionPolicy.WORK_QUEUE,
        )
        config = api.ConsumerConfig(max_ack_pending=4 * load.window)
        puller = await stream.pull_subscribe("bench", durable="bench", config=config)
        await run.go()
        while not run.complete:
            with contextlib.suppress(nats.errors.TimeoutError):
                for message in await puller.fetch(load.window, timeout=5):
                    run.note(message.data)
                    await message.ack()
        await client.flush()
        run.end()
        left = await _left(stream)
        await client.close()
        return left


async def _left(stream: object) -> int:
    """What the stream holds once it has settled the last acknowledgements, or gave up to."""
    for _ in range(200):
        info = await stream.stream_info("bench")  # type: ignore[attr-defined]  # untyped library
        if not info.state.messages:
            return 0
        await asyncio.sleep(0.02)
    return int(info.state.messages)
