"""Real processes for end-to-end tests: the installed command, and nodes that it runs.

Nothing here waits by sleeping alone: every wait is for something, with a deadline.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from trionode import connect
from trionode.cli.processes import READY_LINE, Child, children

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

COMMAND = Path(sys.executable).with_name("trionode")
"""What pip installed beside the interpreter."""
DEADLINE_S = 30.0
"""Generous: on a loaded machine an interpreter alone takes seconds to start."""
ASK_AGAIN_S = 0.02
HELD = ("ready", "delayed", "leased", "transferring", "dead")


def environment(**variables: str) -> dict[str, str]:
    """Our environment without trionode's variables, and with these."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("TRIONODE_")}
    return kept | variables


def trionode(
    *arguments: str, stdin: bytes = b"", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    done = subprocess.run(
        [COMMAND, *arguments],
        input=stdin,
        capture_output=True,
        timeout=DEADLINE_S,
        env=environment(**variables),
        check=False,
    )
    return subprocess.CompletedProcess(
        done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
    )


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command while it runs, with pipes; killed with the block."""
    process = subprocess.Popen(
        [COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:  # closes the pipes
        try:
            yield process
        finally:
            process.kill()


def failure(done: subprocess.CompletedProcess[str], status: int = 1) -> str:
    """What a command that failed as it should said: one line, no traceback; or the usage."""
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    if status == 2:
        assert "Usage:" in done.stderr
        return done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("trionode: "), done.stderr
    return done.stderr


class NodeProcess:
    """A node in a process of its own, that can be ended and started again at its address."""

    def __init__(self, name: str, *arguments: str, listen: str, **variables: str) -> None:
        self.name = name
        self.address = listen
        kept = "--data-dir" in arguments
        self._arguments = arguments if kept else ("--memory", *arguments)
        self._variables = variables
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        self.process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        """Run it, and wait until it is ready."""
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--name", self.name, "--listen", self.address, *self._arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment(**self._variables),
            start_new_session=True,
        )
        line = self._read_line()
        match = READY_LINE.fullmatch(line)
        if match is None:
            log = self.log()
            self.close()
            raise AssertionError(f"node {self.name} said {line!r}, and on stderr: {log}")
        self.address = match["address"]

    def _read_line(self) -> str:
        assert self.process.stdout is not None
        fd, found, deadline = self.process.stdout.fileno(), b"", time.monotonic() + DEADLINE_S
        while not found.endswith(b"\n"):
            ready, _, _ = select.select([fd], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(fd, 4096) if ready else b""
            if not chunk:
                break
            found += chunk
        return found.decode().rstrip("\n")

    def log(self) -> str:
        """What it has written to stderr."""
        if self._stderr.closed:
            return "(closed)"
        return os.pread(self._stderr.fileno(), 1 << 20, 0).decode()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; its exit status."""
        status = self.process.wait(DEADLINE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def stop(self) -> int:
        """Have it drain, and wait for its end."""
        self.process.terminate()
        return self.wait()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.kill()
        self.wait()

    def close(self) -> None:
        """End it whatever it does, and forget its log."""
        if self.process.poll() is None:
            self.process.kill()
        self.wait()
        self._stderr.close()


@contextlib.contextmanager
def node_process(
    name: str, *arguments: str, listen: str = "127.0.0.1:0", **variables: str
) -> Iterator[NodeProcess]:
    """A node, ended with the block; variables are those of its environment."""
    node = NodeProcess(name, *arguments, listen=listen, **variables)
    try:
        yield node
    finally:
        node.close()


# --- what a status says -----------------------------------------------------------------------


def held(status: dict, type_name: str | None = None) -> int:
    """How many objects a node holds, of one type or of all."""
    types = status["types"] if type_name is None else {type_name: of_type(status, type_name)}
    return sum(counts.get(state, 0) for counts in types.values() for state in HELD)


def of_type(status: dict, type_name: str) -> dict:
    """The counts of a type; nothing where the node has not heard of it."""
    return status["types"].get(type_name, {})


def count(status: dict, type_name: str, key: str) -> int:
    """One of the counts of a type."""
    return of_type(status, type_name).get(key, 0)


def linked(status: dict) -> set[str]:
    """The names of the peers that a node is linked to."""
    return {peer["name"] for peer in status["peers"] if peer["state"] == "linked"}


def status_of(node: NodeProcess) -> dict:
    """The status, without a process that asks for it."""

    async def ask() -> dict:
        async with connect(node.address) as client:
            return await client.status()

    return trio.run(ask)


def push(node: NodeProcess, type_name: str, *values: object) -> None:
    """Push objects, without a process that does."""

    async def push_all() -> None:
        async with connect(node.address) as client, client.pusher(type=type_name) as pusher:
            for value in values:
                await pusher.send(value)

    trio.run(push_all)


def orders_pushed(address: str, *arguments: str) -> list[str]:
    """Push documents as orders by the command, with its options; the ids that it printed."""
    done = trionode("push", "Order", *arguments, "--node", address)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def orders_taken(address: str, count: int) -> list[dict]:
    """Take so many orders by the command."""
    arguments = ["--node", address, "--count", str(count), "--timeout", "20"]
    done = trionode("subscribe", "Order", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def define(node: NodeProcess, type_name: str, schema: str) -> None:
    """Define a type, without a process that does."""

    async def ask() -> None:
        async with connect(node.address) as client:
            await client.define(type_name, schema)

    trio.run(ask)


async def status_when(client, predicate: Callable[[dict], object]) -> dict:
    """The first status of a client's node that is as awaited; the last one in the error."""
    status: dict = {}
    with trio.move_on_after(DEADLINE_S):
        while True:
            status = await client.status()
            if predicate(status):
                return status
            await trio.sleep(ASK_AGAIN_S)
    raise AssertionError(f"waited {DEADLINE_S:g} s in vain; the status is {status}")


# --- the line protocol ------------------------------------------------------------------------


class LineClient:
    """A `trionode client` process, and what it has printed besides replies."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self._events: list[str] = []

    async def say(self, line: str) -> str:
        """Give a command; its whole reply."""
        await self.child.send(line)
        return await self.reply()

    async def reply(self) -> str:
        """The next line that is a reply."""
        while True:
            line = await self.child.receive()
            if line.split(" ")[0] in ("OK", "ERR"):
                return line
            self._events.append(line)

    async def event(self) -> str:
        """The next line that is no reply; it must come before the next reply."""
        if not self._events:
            line = await self.child.receive()
            assert line.split(" ")[0] not in ("OK", "ERR"), line
            self._events.append(line)
        return self._events.pop(0)

    @property
    def unread(self) -> list[str]:
        """Lines that came before the last reply and that nobody has asked for."""
        return list(self._events)

    async def status(self) -> dict:
        """The status of its node."""
        reply = await self.say("STATUS")
        assert reply.startswith("OK "), reply
        return json.loads(reply.removeprefix("OK "))


@contextlib.asynccontextmanager
async def line_clients(*addresses: str) -> AsyncIterator[list[LineClient]]:
    """Line-protocol clients, each at one of these nodes, for at most the deadline."""
    with trio.fail_after(2 * DEADLINE_S):
        async with children() as processes:
            yield [
                LineClient(await processes.spawn(f"client {number}", ["client", "--node", address]))
                for number, address in enumerate(addresses, 1)
            ]
