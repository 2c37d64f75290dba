"""RabbitMQ: a quorum queue with publisher confirms."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from tests.benchmarks.servers import free_port, program, server
from tests.benchmarks.systems.base import lacking

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.systems.base import Load, Run

LEFT_TRIES = 100


class RabbitMq:
    """Publish with a window of unconfirmed messages; consume with as many unacknowledged."""

    key = "rabbitmq"
    name = "RabbitMQ quorum queue, confirms"
    promise = "at least once, on disk"

    def missing(self) -> str:
        """See `System`."""
        return lacking(
            {"aio_pika": "aio-pika"}, {"rabbitmq-server": "rabbitmq-server", "epmd": "erlang-base"}
        )

    @contextlib.contextmanager
    def serve(self, directory: Path) -> Iterator[str]:
        """See `System`."""
        port, distribution, epmd = free_port(), free_port(), free_port()
        # Debian's wrapper insists on being the user rabbitmq; the script behind it does not.
        executable = program("/usr/lib/rabbitmq/bin/rabbitmq-server", "rabbitmq-server")
        assert executable is not None
        environment = os.environ | {
            "RABBITMQ_NODENAME": f"bench{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "HOME": str(directory),
        }
        (directory / "plugins").write_text("[].\n")
        (directory / "rabbitmq.conf").write_text("")
        names = program("epmd")
        assert names is not None
        with (
            # Erlang would start one itself, and leave it behind.
            server([names, "-port", str(epmd), "-address", "127.0.0.1"], epmd, directory),
            server([executable], port, directory, environment),
        ):
            yield f"amqp://guest:guest@127.0.0.1:{port}/"

    async def produce(self, load: Load, run: Run) -> None:
        """Publish persistent messages, at most a window of them unconfirmed."""
        import aio_pika  # noqa: PLC0415  # see base

        connection = await aio_pika.connect(load.address)
        channel = await connection.channel(publisher_confirms=True)
        await run.go()
        room = asyncio.Semaphore(load.window)

        async def publish(number: int) -> None:
            message = aio_pika.Message(load.payload(number), delivery_mode=2)
            try:
                await channel.default_exchange.publish(message, routing_key="bench")
            finally:
                room.release()

        async with asyncio.TaskGroup() as tasks:
            for number in range(load.count):
                await room.acquire()
                tasks.create_task(publish(number))
        await connection.close()

    async def consume(self, load: Load, run: Run) -> int:
        """Acknowledge message by message."""
        import aio_pika  # noqa: PLC0415  # see base

        connection = await aio_pika.connect(load.address)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=load.window)
        arguments = {"x-queue-type": "quorum"}
        queue = await channel.declare_queue("bench", durable=True, arguments=arguments)
        done = asyncio.Event()

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            run.note(message.body)
            await message.ack()
            if run.complete:
                done.set()

        tag = await queue.consume(take)
        await run.go()
        await done.wait()
        await queue.cancel(tag)
        run.end()
        left = await self._left(connection)
        await connection.close()
        return left

    @staticmethod
    async def _left(connection: object) -> int:
        """What the queue holds, acknowledged or not: its own count lags behind."""
        for _ in range(LEFT_TRIES):
            channel = await connection.channel()  # type: ignore[attr-defined]  # see base
            queue = await channel.declare_queue("bench", passive=True)
            left = int(queue.declaration_result.message_count)
            await channel.close()
            if not left:
                break
            await asyncio.sleep(0.05)
        return left
