"""Everything that is measured, each by a name: what runs, and the figures that it gives."""

from __future__ import annotations

import functools
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

import trionode
from tests.benchmarks import references, runs, unary
from tests.benchmarks.systems import SYSTEMS

if TYPE_CHECKING:
    from collections.abc import Callable

    Figures = dict[str, float]
    Measured = dict[str, list[float]]

MIB = 1024 * 1024


@attrs.frozen
class Measurement:
    """One thing that is measured once a round.

    Attributes:
        run: does it, given the scale and what was measured so far, and returns figures by name.
        missing: why it cannot be done here; empty when it can.
        rounds_max: how often at most; for those that take a minute.
    """

    run: Callable[[float, Measured], Figures]
    missing: Callable[[], str] = str
    rounds_max: int = 1000


def _count(full: int, scale: float) -> str:
    return str(max(100, int(full * scale)))


def _bench(count: int, *flags: str) -> Measurement:
    """`trionode bench` at full speed only; its objects per second."""
    return Measurement(lambda scale, _: {"": _speed(count, scale, *flags)["objects_per_s"]})


def _speed(count: int, scale: float, *flags: str) -> dict[str, float]:
    return runs.trionode("--count", _count(count, scale), "--rate", "0", *flags)


def _plain(scale: float, _: Measured) -> Figures:
    found = runs.trionode("--count", _count(300_000, scale), "--rate", "0")
    return {"": found["objects_per_s"], "start_s": found["start_s"][0]}


def _large(scale: float, _: Measured) -> Figures:
    flags = ("--payload-bytes", str(MIB), "--credit", "64")
    return {"bytes_per_s": _speed(1_000, scale, *flags)["objects_per_s"] * MIB}


def _backlog(waiting: int, *flags: str) -> Measurement:
    def run(scale: float, _: Measured) -> Figures:
        more = ("--backlog", _count(waiting, scale), *flags)
        found = _speed(100_000, scale, *more)
        figures = {"": found["objects_per_s"], "pushed": found["pushed_into_backlog_per_s"]}
        if found["bytes_per_held_object"]:
            figures["bytes_per_held"] = found["bytes_per_held_object"] - found["size"]
        return figures

    return Measurement(run, rounds_max=5 if waiting < 1_000_000 else 3)


def _latency(scale: float, _: Measured) -> Figures:
    found = runs.trionode("--count", _count(1_000, min(scale, 1.0)), "--rate", "200")
    return {name: found["latency_ms"][name] for name in ("p50", "p99")}


def _half_load(scale: float, so_far: Measured) -> Figures:
    rate = int(statistics.median(so_far.get("raw", [20_000.0])) / 2)
    found = runs.trionode("--count", _count(200_000, scale), "--rate", str(rate))
    return {name: found["latency_ms"][name] for name in ("p50", "p99")}


def _idle(scale: float, _: Measured) -> Figures:
    clients = max(10, int(1_000 * min(scale, 1.0)))
    # Each client sends a PING once in 15 to 20 s: in a shorter time there are all of them, or none.
    flags = ("--clients", str(clients), "--credit", "64", "--idle", str(max(0.2, 20 * scale)))
    idle = runs.trionode("--count", "100", "--rate", "0", *flags)["idle"]
    return {
        name: idle[name] for name in ("core_percent", "bytes_per_client") if idle[name] is not None
    }


def _clients(count: int) -> Measurement:
    def run(scale: float, _: Measured) -> Figures:
        # Half of them push, half of them take. A window so small that all of them get some.
        clients = max(1, int(count * min(scale, 1.0)) // 2)
        flags = ("--clients", str(clients), "--credit", "16")
        return {"": _speed(50_000, scale, *flags)["objects_per_s"]}

    return Measurement(run)


def push_ms(count: int, *, durable: bool) -> float:
    """How long one producer at rest waits for its push to be acknowledged; the median."""

    async def push(address: str) -> list[float]:
        times = []
        async with trionode.connect(address) as client:
            for _ in range(count):
                began = time.perf_counter()
                await client.push(bytes(128), type="bench.Push")
                times.append((time.perf_counter() - began) * 1e3)
        return times

    with (
        tempfile.TemporaryDirectory(prefix="bench-push-") as directory,
        runs.node_process(Path(directory), durable=durable) as address,
    ):
        return statistics.median(trio.run(push, address))


def _pushes(scale: float, _: Measured) -> Figures:
    count = int(_count(1_000, scale))
    memory_ms = push_ms(count, durable=False)
    figures = {
        "durable": push_ms(count, durable=True),
        "memory": memory_ms,
        "fsync": references.fsync_ms(count),
        "fsync_at_rest": references.fsync_ms(count, memory_ms / 1e3),
    }
    return {f"{name}_ms": value for name, value in figures.items()}


def _peer(key: str, count: int) -> Measurement:
    system = SYSTEMS[key]
    return Measurement(
        lambda scale, _: {"": runs.peer(key, int(_count(count, scale)))}, system.missing
    )


def _unary(server: str) -> Measurement:
    return Measurement(
        lambda scale, _: {"": unary.calls_per_s(server, int(_count(20_000, scale)))},
        functools.partial(unary.missing, server),
    )


MEASUREMENTS: dict[str, Measurement] = {
    "raw": Measurement(_plain),
    "nats": _peer("nats", 200_000),
    "redis": _peer("redis", 200_000),
    "jetstream-memory": _peer("jetstream-memory", 60_000),
    "durable": _bench(200_000, "--durable"),
    "redis-aof": _peer("redis-aof", 150_000),
    "jetstream-file": _peer("jetstream-file", 60_000),
    "jetstream-always": _peer("jetstream-always", 20_000),
    "rabbitmq": _peer("rabbitmq", 15_000),
    "beanstalkd": _peer("beanstalkd", 20_000),
    "typed": _bench(200_000, "--typed"),
    "two-nodes": _bench(200_000, "--nodes", "2"),
    "three-nodes": _bench(50_000, "--nodes", "3"),
    "1KiB": _bench(150_000, "--payload-bytes", "1024"),
    "64KiB": _bench(10_000, "--payload-bytes", "65536"),
    "1MiB": Measurement(_large),
    "relay": Measurement(
        lambda scale, _: {"bytes_per_s": references.relay_bytes_per_s(int(scale * 1024 * MIB))}
    ),
    "latency": Measurement(_latency),
    "ping": Measurement(lambda scale, _: references.ping_pong_ms(int(_count(2_000, scale)))),
    "half-load": Measurement(_half_load),
    "push": Measurement(_pushes),
    "unary": _unary("trionode"),
    "grpcio": _unary("grpcio"),
    "grpclib": _unary("grpclib"),
    "10-types": _bench(100_000, "--types", "10"),
    "1000-types": _bench(100_000, "--types", "1000"),
    "2-clients": _clients(2),
    "100-clients": _clients(100),
    "2000-clients": _clients(2_000),
    "idle": Measurement(_idle),
    "backlog-1k": _backlog(1_000),
    "backlog-100k": _backlog(100_000),
    "backlog-1m": _backlog(1_000_000),
    "durable-backlog-1k": _backlog(1_000, "--durable"),
    "durable-backlog-1m": _backlog(1_000_000, "--durable"),
}
"""By name, in the order of a round."""
