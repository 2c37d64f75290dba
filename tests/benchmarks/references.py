"""What plain trio and the disk do on this machine: the least that any system of its kind pays.

`python -m tests.benchmarks.references echo|relay ...` is the other side of a measurement.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import trio

from tests.benchmarks.runs import python, read_line
from trionode.cli.statistics import latencies_ms

CHUNK_BYTES = 65_536
PING_BYTES = 128


def ping_pong_ms(count: int) -> dict[str, float]:
    """Round trips of 128 bytes between two trio processes, one after the other."""
    with python("tests.benchmarks.references", "echo") as process:
        return trio.run(_ping, int(read_line(process)), count)


async def _ping(port: int, count: int) -> dict[str, float]:
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    times = []
    async with stream:
        for _ in range(count):
            began = time.monotonic_ns()
            await stream.send_all(bytes(PING_BYTES))
            await _read_exactly(stream, PING_BYTES)
            times.append(time.monotonic_ns() - began)
    return latencies_ms(times)


async def _read_exactly(stream: trio.SocketStream, size: int) -> None:
    while size > 0:
        size -= len(await stream.receive_some(size))


def relay_bytes_per_s(size_bytes: int) -> float:
    """Bytes per second from one trio process through a second to a third."""
    with (
        python("tests.benchmarks.references", "sink", str(size_bytes)) as sink,
        python("tests.benchmarks.references", "relay", read_line(sink)) as relay,
    ):
        return size_bytes / trio.run(_send, int(read_line(relay)), size_bytes)


async def _send(port: int, size_bytes: int) -> float:
    """Send so many bytes; how long it took until the far end has had them all."""
    block = bytes(1024 * 1024)
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    began = time.monotonic()
    async with stream:
        for start in range(0, size_bytes, len(block)):
            await stream.send_all(block[: size_bytes - start])
        await _read_exactly(stream, 1)
        return time.monotonic() - began


def fsync_ms(count: int, pause_s: float = 0.0) -> float:
    """What an fsync of 4 KiB takes in the temporary directory, one after the other.

    With a pause before each, as where a push has one: by then the processor and the disk rest, and
    must be woken.
    """
    with tempfile.TemporaryDirectory(prefix="bench-fsync-") as directory:
        file = os.open(Path(directory) / "file", os.O_RDWR | os.O_CREAT)
        times = []
        for turn in range(count):
            if pause_s:
                time.sleep(pause_s)
            os.pwrite(file, bytes(4096), turn % 50 * 4096)
            began = time.perf_counter()
            os.fdatasync(file)
            times.append(time.perf_counter() - began)
        os.close(file)
    return statistics.median(times) * 1e3


# --- the other side -------------------------------------------------------------------------------


async def _serve_one(handler) -> None:
    """Say a free port and serve one connection to it."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    print(listener.socket.getsockname()[1], flush=True)
    async with listener, await listener.accept() as stream:
        await handler(stream)


async def _echo(stream: trio.SocketStream) -> None:
    async for chunk in stream:
        await stream.send_all(chunk)


def _relay_to(port: int):
    async def relay(stream: trio.SocketStream) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as onward:

            async def copy() -> None:
                async for chunk in _chunks(stream):
                    await onward.send_all(chunk)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(copy)
                await stream.send_all(await onward.receive_some(1))
                nursery.cancel_scope.cancel()

    return relay


def _sink_of(size_bytes: int):
    async def sink(stream: trio.SocketStream) -> None:
        left = size_bytes
        async for chunk in _chunks(stream):
            left -= len(chunk)
            if not left:
                await stream.send_all(b".")
                return

    return sink


async def _chunks(stream: trio.SocketStream):
    while chunk := await stream.receive_some(CHUNK_BYTES):
        yield chunk


if __name__ == "__main__":
    job, *rest = sys.argv[1:]
    handlers = {"echo": lambda: _echo, "relay": _relay_to, "sink": _sink_of}
    trio.run(_serve_one, handlers[job](*map(int, rest)))
