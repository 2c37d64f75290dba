"""Child processes of `demo` and `bench`: nodes, line-protocol clients, workers. Always ended.

Each child's stdout is read line by line as it comes; its stderr is kept, the last lines of it, for
the message should something go wrong.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING

import trio

from trionode.cli.lines import LineSplitter
from trionode.cli.root import Failed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

END_TIMEOUT_S = 10.0
"""How long a child may take to end in order before it is killed."""
STDERR_LINES = 5
LINE_MAX_BYTES = 16 * 1024 * 1024
READY_LINE = re.compile(r"trionode (?P<name>.+) listening on (?P<address>\S+)")


class Child:
    """A running `python -m ...` with pipes; made by `spawn`."""

    def __init__(self, name: str, process: trio.Process) -> None:
        self.name = name
        self._process = process
        self._lines: trio.MemorySendChannel[str]
        self._lines, self.output = trio.open_memory_channel[str](1024)
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def send(self, line: str) -> None:
        """Write a line to its stdin.

        Raises:
            Failed: it has ended.
        """
        assert self._process.stdin is not None
        try:
            await self._process.stdin.send_all(line.encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self.failure() from error

    async def receive(self) -> str:
        """The next line of its stdout.

        Raises:
            Failed: it has ended.
        """
        try:
            return await self.output.receive()
        except trio.EndOfChannel:
            with trio.move_on_after(END_TIMEOUT_S):
                await self._process.wait()
            raise self.failure() from None

    def failure(self) -> Failed:
        """What to tell the user when it ended too early."""
        said = f": {' / '.join(self._stderr)}" if self._stderr else ""
        return Failed(f"{self.name} ended with status {self._process.returncode}{said}")

    async def close_input(self) -> None:
        """End its stdin: a line-protocol client then ends."""
        assert self._process.stdin is not None
        await self._process.stdin.aclose()

    async def wait(self) -> int:
        """Wait for its end; returns its exit status."""
        return await self._process.wait()

    async def end(self) -> None:
        """Ask it to end, wait, and kill it when it doesn't; not interrupted by cancellation."""
        with trio.CancelScope(shield=True):
            if self._process.stdin is not None:
                await self._process.stdin.aclose()
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.terminate()
            with trio.move_on_after(END_TIMEOUT_S):
                await self._process.wait()
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()

    async def read_output(self) -> None:
        """Task: pass its stdout on, line by line."""
        assert self._process.stdout is not None
        with self._lines:
            async for line in _lines(self._process.stdout):
                await self._lines.send(line)

    async def read_stderr(self) -> None:
        """Task: keep the last lines of its stderr."""
        assert self._process.stderr is not None
        async for line in _lines(self._process.stderr):
            self._stderr.append(line)


async def _lines(stream: trio.abc.ReceiveStream) -> AsyncIterator[str]:
    splitter = LineSplitter(LINE_MAX_BYTES)
    async for chunk in stream:
        for line in splitter.feed(bytes(chunk)):
            yield (line or b"").decode(errors="replace")


@contextlib.asynccontextmanager
async def children() -> AsyncIterator[Children]:
    """A block at whose end every child that was spawned in it has ended."""
    async with trio.open_nursery() as readers:
        group = Children(readers)
        try:
            yield group
        finally:
            await group.end()
            readers.cancel_scope.cancel()


class Children:
    """The processes of one block; see `children`."""

    def __init__(self, readers: trio.Nursery) -> None:
        self._readers = readers
        self._running: list[Child] = []

    async def spawn(self, name: str, arguments: Sequence[str], module: str = "trionode") -> Child:
        """Start `python -m MODULE ARGUMENTS` without trionode's variables of our environment."""
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("TRIONODE_")
        }
        with trio.CancelScope(shield=True):  # a process that was started is a process to be ended
            process = await trio.lowlevel.open_process(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                # Ctrl-C in a terminal signals the whole process group: the order is ours.
                start_new_session=True,
            )
        child = Child(name, process)
        self._running.append(child)
        self._readers.start_soon(child.read_output, name=f"{name} stdout")
        self._readers.start_soon(child.read_stderr, name=f"{name} stderr")
        return child

    async def spawn_node(self, name: str, arguments: Sequence[str]) -> tuple[Child, str]:
        """Start a node; returns it and its address once it is ready."""
        child = await self.spawn(f"node {name}", ["serve", "--name", name, *arguments])
        line = await child.receive()
        match = READY_LINE.fullmatch(line)
        if match is None:
            raise Failed(f"node {name} said {line!r} where it should have said that it listens")
        return child, match["address"]

    async def stop(self, child: Child) -> None:
        """End one child now."""
        self._running.remove(child)
        await child.end()

    async def end(self) -> None:
        """End all that still run, side by side."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for child in self._running:
                    nursery.start_soon(child.end)
        self._running.clear()


def free_address() -> str:
    """An address on the loopback interface where nobody listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
