"""The runs of `trionode bench`: workers are started, told to go, and what they did is checked."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.cli.bench_workers import Job
from trionode.cli.root import Failed
from trionode.cli.statistics import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.cli.bench_nodes import Nodes
    from trionode.cli.processes import Child, Children

WORKERS = "trionode.cli.bench_workers"
SETTLED_TIMEOUT_S = 10.0
"""How long the node may take to count the last settles of consumers that have left."""
POLL_S = 0.01
REST_S = 1.0
"""What connecting began is over by then: the figures after it are those of rest."""
NANOSECONDS_PER_S = 1e9


@attrs.frozen(kw_only=True)
class Workload:
    """What is asked for; see the command's options."""

    count: int
    size: int
    credit: int
    rate: int
    typed: bool
    types: int
    clients: int
    backlog: int
    idle: float


class Runs:
    """Everything measured on some nodes, run after run.

    Args:
        processes: where workers are started.
        nodes: what is measured.
        load: what is asked for.
        advance: told how many objects more have been taken.
    """

    def __init__(
        self, processes: Children, nodes: Nodes, load: Workload, advance: Callable[[int], None]
    ) -> None:
        self._processes = processes
        self._nodes = nodes
        self._load = load
        self._advance = advance

    async def run(self, count: int, rate: int = 0, backlog: int = 0) -> Outcome:
        """Push, deliver and settle so many objects, behind a backlog.

        Raises:
            Failed: not every object, those of the backlog too, was settled exactly once.
        """
        job = self._job()
        filled = await self._fill(job, backlog) if backlog else _Filled()
        taking = attrs.evolve(
            job,
            addresses=self._nodes.take_at,
            count=count + backlog,
            credit=self._load.credit,
            measured=count,
        )
        consumer = await self._worker("consume", taking)
        pushing = attrs.evolve(job, first=backlog, count=count, rate=rate)
        producer = await self._worker("produce", pushing)
        await consumer.send("go")
        found: dict[str, Any] = {}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, consumer, count + backlog, found)
            began_ns, ended_ns = await self._push(producer)
        await self._check(job, found, count + backlog)
        seconds = (max(ended_ns, found["ended_ns"]) - began_ns) / NANOSECONDS_PER_S
        return Outcome(count, self._load.size, seconds, found["latencies_ms"], **filled.told)

    async def rest(self) -> dict[str, Any]:
        """What a node takes for clients that are subscribed while nothing happens."""
        nodes, load = self._nodes, self._load
        memory_bytes = nodes.memory_bytes()
        job = attrs.evolve(self._job(), addresses=nodes.push_at, credit=load.credit)
        worker = await self._worker("rest", job)
        await trio.sleep(REST_S)
        begun_s = nodes.processor_s()
        await trio.sleep(load.idle)
        used_s, used_bytes = nodes.processor_s(), nodes.memory_bytes()
        await worker.send("go")
        await self._processes.stop(worker)
        if begun_s is None or used_s is None or memory_bytes is None or used_bytes is None:
            return {"clients": load.clients, "core_percent": None, "bytes_per_client": None}
        return {
            "clients": load.clients,
            "core_percent": round(100 * (used_s - begun_s) / load.idle, 2),
            "bytes_per_client": round((used_bytes - memory_bytes) / load.clients),
        }

    def _job(self) -> Job:
        """What the producers and consumers of one run have in common."""
        load, prefix = self._load, f"bench.{secrets.token_hex(6)}"
        return Job(
            addresses=self._nodes.push_at,
            types=[f"{prefix}.{index}" for index in range(load.types)],
            payload_bytes=load.size,
            typed=load.typed,
            clients=load.clients,
            count=1,
        )

    async def _fill(self, job: Job, backlog: int) -> _Filled:
        """Push a backlog that nobody takes."""
        before = self._nodes.memory_bytes()
        producer = await self._worker("produce", attrs.evolve(job, count=backlog))
        began_ns, ended_ns = await self._push(producer)
        after = self._nodes.memory_bytes()
        held = None if before is None or after is None else (after - before) / backlog
        return _Filled(backlog / ((ended_ns - began_ns) / NANOSECONDS_PER_S), held)

    async def _worker(self, work: str, job: Job) -> Child:
        child = await self._processes.spawn(work, [work, job.to_json()], WORKERS)
        line = await child.receive()
        if line != "ready":
            raise Failed(f"the {work} worker said {line!r} where 'ready' was due")
        return child

    async def _push(self, producer: Child) -> tuple[int, int]:
        """Have a producer push all it is to; when it began and when all was acknowledged."""
        await producer.send("go")
        began_ns = int(json.loads(await producer.receive())["began_ns"])
        ended_ns = int(json.loads(await producer.receive())["ended_ns"])
        await self._processes.stop(producer)
        return began_ns, ended_ns

    async def _follow(self, consumer: Child, count: int, found: dict[str, Any]) -> None:
        """Task: follow a consumer to its end; adds what it told then to `found`."""
        seen = 0
        while "step" in (said := json.loads(await consumer.receive())):
            seen += said["step"]
            self._advance(said["step"])
        self._advance(count - seen)
        await self._processes.stop(consumer)
        found.update(said)

    async def _check(self, job: Job, found: dict[str, Any], count: int) -> None:
        wrong = {key: found[key] for key in ("missing", "duplicates", "strangers") if found[key]}
        settled = -1
        with trio.move_on_after(SETTLED_TIMEOUT_S):
            while (  # noqa: ASYNC110  # a node tells nobody when it has settled something
                settled := await self._nodes.settled(job.types)
            ) < count:
                await trio.sleep(POLL_S)
        if wrong or settled != count:
            raise Failed(
                f"of {count} objects {settled} were settled at the node; {wrong or 'all came'}"
            )


@attrs.frozen
class _Filled:
    """What filling a backlog showed."""

    pushed_per_s: float | None = None
    bytes_per_held: float | None = None

    @property
    def told(self) -> dict[str, Any]:
        return attrs.asdict(self)
