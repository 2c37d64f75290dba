"""What every system does in the comparison: take a producer's objects, hand them to a consumer.

A system's module needs its client library only when its work begins: what is not installed is
skipped with a word.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
import time
from struct import Struct
from typing import TYPE_CHECKING, Protocol

import attrs

from tests.benchmarks.servers import program
from trionode.cli.statistics import Tally

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

STAMP = Struct(">QQ")
"""The object's number and when it was pushed, the first bytes of each payload."""


@attrs.frozen
class Load:
    """One run's work."""

    address: str
    count: int
    payload_bytes: int = 128
    window: int = 256
    """Objects of one batch, or unconfirmed ones, whichever the system has."""

    def to_json(self) -> str:
        """The form in which it travels on a worker's command line."""
        return json.dumps(attrs.asdict(self))

    def payload(self, number: int) -> bytes:
        """The object of a number, as pushed now."""
        return STAMP.pack(number, time.monotonic_ns()) + bytes(self.payload_bytes - STAMP.size)


class Run:
    """One worker's part of a run: when it begins and ends, and what has come."""

    def __init__(self, count: int) -> None:
        self.tally = Tally(count)
        self.began_ns = 0
        self.ended_ns = 0

    async def go(self) -> None:
        """Say that all is ready, and wait for the parent's word."""
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        self.began_ns = time.monotonic_ns()

    def note(self, payload: bytes) -> None:
        """Count an object that came."""
        self.tally.note(STAMP.unpack_from(payload)[0])

    @property
    def complete(self) -> bool:
        """Whether every object has come."""
        return not self.tally.missing

    def end(self) -> None:
        """The work is done."""
        self.ended_ns = time.monotonic_ns()


class System(Protocol):
    """One system in the comparison."""

    name: str
    """As the table calls it."""
    key: str
    """As the command line and the JSON call it."""
    promise: str
    """What it promises of an object that it took."""

    def missing(self) -> str:
        """What is not installed; empty when the system can run."""

    def serve(self, directory: Path) -> AbstractContextManager[str]:
        """A server for the length of a block; the address of it."""

    async def produce(self, load: Load, run: Run) -> None:
        """Push all objects, once `run.go` returns, until they are confirmed, if they are."""

    async def consume(self, load: Load, run: Run) -> int:
        """Take and settle objects until the run is complete; how many the system still holds.

        `run.end` is called once the system has confirmed the last settle, before it is asked what
        it holds.
        """


def lacking(modules: dict[str, str], programs: dict[str, str]) -> str:
    """What of these Python modules and programs is not installed; each with its package."""
    absent = [package for name, package in modules.items() if not importlib.util.find_spec(name)]
    absent += [package for name, package in programs.items() if program(name) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""
