"""The systems that trionode is compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.benchmarks.systems.beanstalkd import Beanstalkd
from tests.benchmarks.systems.jetstream import JetStream
from tests.benchmarks.systems.nats_core import NatsCore
from tests.benchmarks.systems.rabbitmq import RabbitMq
from tests.benchmarks.systems.redis_streams import RedisStreams

if TYPE_CHECKING:
    from tests.benchmarks.systems.base import System

_AOF = ["--appendonly", "yes", "--appendfsync", "always"]

SYSTEMS: dict[str, System] = {
    system.key: system
    for system in (
        NatsCore(),
        JetStream(
            "jetstream-memory", "JetStream, memory", "at least once, memory", "memory", always=False
        ),
        JetStream(
            "jetstream-file",
            "JetStream, file",
            "at least once, acknowledged before it is on disk",
            "file",
            always=False,
        ),
        JetStream(
            "jetstream-always",
            "JetStream, file, sync always",
            "at least once, on disk",
            "file",
            always=True,
        ),
        RedisStreams("redis", "Redis Streams", "at least once, memory", []),
        RedisStreams("redis-aof", "Redis Streams, AOF always", "at least once, on disk", _AOF),
        RabbitMq(),
        Beanstalkd(),
    )
}
"""Every peer by its key."""
