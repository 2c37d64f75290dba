"""A node that has much to recover says how far it is, and is ready only once it has all of it."""

from __future__ import annotations

import random

import attrs

from tests.support.connections import NoteLog
from tests.support.kept_store import KeptStore
from tests.support.stores import record
from trionode.config import Config
from trionode.node.node import PROGRESS_S, Node
from trionode.routing.events import Recovered
from trionode.testing.network import MemoryNetwork


class SlowStore(KeptStore):
    """Has three parts, and each takes its time."""

    def __init__(self, clock) -> None:
        super().__init__()
        self._clock = clock

    def recover(self, offset_s: float):
        for first in (1, 11, 21):
            self._clock.jump(PROGRESS_S)
            yield Recovered(objects=[record(id_) for id_ in range(first, first + 10)])


class NotingNetwork(MemoryNetwork):
    """Says when somebody listens."""

    def __init__(self, log: NoteLog) -> None:
        super().__init__()
        self._log = log

    async def listen(self, host: str, port: int):
        self._log.info("listening")
        return await super().listen(host, port)


async def test_progress_is_told_while_it_recovers_and_ready_only_after(mock_clock, nursery):
    log = NoteLog()
    config = Config()
    config = attrs.evolve(
        config, node=attrs.evolve(config.node, name="n1", listen=("n1:7400",), data_dir="/nowhere")
    )
    node = Node(
        config,
        SlowStore(mock_clock),
        log=log,
        random_bytes=random.Random(0).randbytes,
        unix_time=lambda: 0.0,
        network=NotingNetwork(log),
    )
    await nursery.start(node.run)
    told = [(event, fields.get("objects", fields.get("count"))) for _, event, fields in log.notes]
    assert told == [
        ("recovering", 10),
        ("recovering", 20),
        ("recovering", 30),
        ("objects recovered", 30),
        ("listening", None),
        ("serving", None),
    ]
    nursery.cancel_scope.cancel()
