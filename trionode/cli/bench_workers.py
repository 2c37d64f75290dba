"""The two processes of `trionode bench`: one pushes, one subscribes and acknowledges.

Each says a line of JSON on stdout when it has something to say; times are nanoseconds of the
system's monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections import deque
from decimal import Decimal
from struct import Struct
from typing import TYPE_CHECKING, Any

import attrs
import trio

import trionode
from trionode.cli.pipes import read_lines
from trionode.cli.statistics import Tally, latencies_ms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

STAMP = Struct(">QQ")
"""The object's number and when it was pushed; the first bytes of each raw payload."""
TYPED_MIN_BYTES = 112
"""What a typed object takes as JSON with nothing to fill it up, rather more than less."""
STEP = 10_000
"""Objects between two signs of progress."""
WINDOW = 4096
"""Pushes that may be on their way, of all clients together."""
BURST = 64
"""Objects of one type that are pushed in a row where there are several types."""


@attrs.frozen(kw_only=True)
class Job:
    """What a worker is to do; travels as JSON on its command line."""

    addresses: list[str]
    types: list[str]
    payload_bytes: int
    typed: bool
    clients: int
    first: int = 0
    """Of a producer: the number of the first object."""
    count: int
    """Objects to push, or to take in all."""
    rate: int = 0
    """Of a producer: objects per second of all clients together; 0: at full speed."""
    credit: int = 0
    """Of a consumer: of each client."""
    measured: int = 0
    """Of a consumer: the time of so many objects is told; what is above is a backlog."""

    def to_json(self) -> str:
        """The form that `from_json` reads."""
        return json.dumps(attrs.asdict(self))

    @staticmethod
    def from_json(text: str) -> Job:
        """Read what `to_json` wrote."""
        return Job(**json.loads(text))


def say(**told: object) -> None:
    """One line for the parent."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


async def told_to_go() -> None:
    """Say that all is ready, and wait for the parent's word."""
    print("ready", flush=True)  # noqa: T201  # the parent waits for it
    async for _ in read_lines():
        break


def classes_of(job: Job) -> list[Any]:
    """A class for each type of a run with typed objects."""
    kinds = {"number": int, "pushed_ns": int, "customer": str, "total": Decimal, "filling": str}
    fields = {name: attrs.field(type=kind) for name, kind in kinds.items()}
    return [
        trionode.object_type(name)(attrs.make_class(f"Sample{index}", dict(fields), frozen=True))
        for index, name in enumerate(job.types)
    ]


# --- pushing --------------------------------------------------------------------------------------


async def produce(job: Job) -> None:
    """Push, at so many objects per second or as fast as it goes."""
    go = trio.Event()
    work = _push_typed if job.typed else _push_raw
    async with trio.open_nursery() as nursery:
        for index in range(job.clients):
            await nursery.start(_push, job, index, work, go)
        await told_to_go()
        say(began_ns=time.monotonic_ns())
        go.set()
    say(ended_ns=time.monotonic_ns())


async def _push(
    job: Job,
    index: int,
    work: Callable[[trionode.Client, Job, range], Awaitable[None]],
    go: trio.Event,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Task: one client, which pushes every so-manieth object."""
    async with trionode.connect(*job.addresses) as client:
        task_status.started()
        await go.wait()
        await work(client, job, range(job.first + index, job.first + job.count, job.clients))


async def _push_raw(client: trionode.Client, job: Job, numbers: range) -> None:
    filling = bytes(job.payload_bytes - STAMP.size)
    pace = _Pace(job)
    window = max(2 * BURST, WINDOW // job.clients // len(job.types))
    async with contextlib.AsyncExitStack() as stack:
        pushers = [
            await stack.enter_async_context(client.pusher(type=name, window=window))
            for name in job.types
        ]
        for turn, number in enumerate(numbers):
            await pace.until(turn)
            stamp = STAMP.pack(number, time.monotonic_ns())
            pusher = pushers[turn // BURST % len(pushers)]
            await pusher.send(stamp + filling, encoding="raw")


async def _push_typed(client: trionode.Client, job: Job, numbers: range) -> None:
    filling = "x" * max(0, job.payload_bytes - TYPED_MIN_BYTES)
    customer, total = "Ada Lovelace", Decimal("99.50")
    classes = classes_of(job)
    pace = _Pace(job)
    async with client.pusher(window=max(2 * BURST, WINDOW // job.clients)) as pusher:
        for turn, number in enumerate(numbers):
            await pace.until(turn)
            cls = classes[turn // BURST % len(classes)]
            await pusher.send(cls(number, time.monotonic_ns(), customer, total, filling))


class _Pace:
    """When one client's pushes are due."""

    def __init__(self, job: Job) -> None:
        self._period_s = job.clients / job.rate if job.rate else 0.0
        self._began = trio.current_time()

    async def until(self, turn: int) -> None:
        """Wait until the push of this number, counted from 0, is due."""
        if self._period_s:
            due = self._began + turn * self._period_s
            if trio.current_time() < due:
                await trio.sleep_until(due)


# --- consuming ------------------------------------------------------------------------------------


class _Taken:
    """What all clients of a consuming process have taken, and which objects they want."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.wanted = classes_of(job) if job.typed else job.types
        self.tally = Tally(job.count)
        self.latencies_ns: list[int] = []
        self.measured_ns = 0


async def consume(job: Job) -> None:
    """Take and acknowledge so many objects."""
    taken, go = _Taken(job), trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(job.clients):
            await nursery.start(_take, taken, go, nursery.cancel_scope)
        await told_to_go()
        go.set()
    tally = taken.tally
    say(
        ended_ns=taken.measured_ns,
        missing=tally.missing,
        duplicates=tally.duplicates,
        strangers=tally.strangers,
        latencies_ms=latencies_ms(taken.latencies_ns),
    )


async def _take(
    taken: _Taken,
    go: trio.Event,
    everybody: trio.CancelScope,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Task: one client, which takes what it gets until all objects have come to some client."""
    job, tally, latencies_ns = taken.job, taken.tally, taken.latencies_ns
    read: Callable[[Any], tuple[int, int]] = _read_typed if job.typed else _read_raw
    last: deque[trionode.Delivery[Any]] = deque(maxlen=job.credit)
    async with (
        trionode.connect(*job.addresses) as client,
        client.subscribe(*taken.wanted, credit=0) as deliveries,
    ):
        task_status.started()
        await go.wait()
        await deliveries.set_credit(job.credit)
        async for delivery in deliveries:
            number, pushed_ns = read(delivery)
            latencies_ns.append(time.monotonic_ns() - pushed_ns)
            tally.note(number)
            delivery.ack()
            last.append(delivery)
            seen = len(latencies_ns)
            if not seen % STEP:
                say(step=STEP)
            if seen == job.measured:
                await delivery.settled()
                taken.measured_ns = time.monotonic_ns()
            if not tally.missing:
                break
        for delivery in last:
            await delivery.settled()
    everybody.cancel()


def _read_raw(delivery: trionode.Delivery[bytes]) -> tuple[int, int]:
    number, pushed_ns = STAMP.unpack_from(delivery.payload)
    return number, pushed_ns


def _read_typed(delivery: trionode.Delivery[Any]) -> tuple[int, int]:
    value = delivery.object
    return value.number, value.pushed_ns


# --- resting --------------------------------------------------------------------------------------


async def rest(job: Job) -> None:
    """Be so many clients that are subscribed and get nothing."""
    taken, go = _Taken(job), trio.Event()
    async with trio.open_nursery() as nursery:
        for _ in range(job.clients):
            await nursery.start(_take, taken, go, nursery.cancel_scope)
        await told_to_go()
        nursery.cancel_scope.cancel()


JOBS = {"produce": produce, "consume": consume, "rest": rest}


def main(work: str, job: str) -> None:
    """Do one of the jobs."""
    trio.run(JOBS[work], Job.from_json(job))


if __name__ == "__main__":
    main(*sys.argv[1:])
