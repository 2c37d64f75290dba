"""`trionode push`: objects from the command line or from stdin into the mesh."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import stat
from typing import TYPE_CHECKING

import attrs
import click
import trio

import trionode
from trionode.cli.options import node_option
from trionode.cli.patience import Patience
from trionode.cli.payloads import check_json
from trionode.cli.pipes import LINE_MAX_BYTES, STDIN, Writer, read_lines
from trionode.cli.progress import progress
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.errors import Error
from trionode.ids import format_id
from trionode.wire.frames import PRIORITY_MAX, PRIORITY_USUAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Unpack

    from trionode.client import Pusher, Receipt
    from trionode.client.properties import PushOptions

UNPRINTED_MAX = 4096
"""How many pushes may wait for their ids to be printed; the pusher's window is the other bound."""
SECONDS = click.FloatRange(min=0.0, max=1e9)
ONE_KEY = "--key names one object; push the others with keys of their own"
_EPILOG = """\b
Examples:
  trionode push Order '{"number": "o-1", "total": "99.50"}'
  trionode push Reading -5 21.5
  trionode push Mail '{"to": "a@example.org"}' --delay 60 --key welcome-17
  trionode push Order --node 10.0.0.1:7400,10.0.0.2:7400 < orders.jsonl

\b
Ids are printed one a line, in order, each once the node has custody of its
object. Empty lines of stdin are skipped. A line that is not JSON, or that the
node refuses, ends the command with status 1 and the line's number, after all
objects before it were acknowledged. When a node keeps it waiting, it says on
stderr for what, and goes on by itself. Pushes are pipelined: when a node refuses a
line, some that follow may have been taken, and the message says how many.
"""


@click.command(epilog=_EPILOG, context_settings={"ignore_unknown_options": True})
@click.argument("type_name", metavar="TYPE")
@click.argument("documents", metavar="[JSON]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--delay", "delay_s", type=SECONDS, metavar="S", help="Deliver S seconds from now.")
@click.option(
    "--deadline", "deadline_s", type=SECONDS, metavar="S", help="Drop what is left S seconds on."
)
@click.option("--keep-expired", is_flag=True, help="Keep what its deadline ends as a dead letter.")
@click.option(
    "--priority",
    type=click.IntRange(0, PRIORITY_MAX),
    help=f"Within the type the higher ones go first; {PRIORITY_USUAL} is usual.",
)
@click.option("--key", help="Of one object: a push that repeats it stores nothing new.")
@click.option("--ordering-key", help="Process these objects one after another.")
@node_option
def command(
    type_name: str,
    documents: tuple[str, ...],
    node: tuple[str, ...],
    delay_s: float | None,
    deadline_s: float | None,
    **rest: Unpack[PushOptions],
) -> None:
    """Push each JSON argument, or each line of stdin when there is none."""
    if type_name.startswith("-"):
        raise click.NoSuchOption(type_name.partition("=")[0])
    payloads = [_argument(text) for text in documents]
    options: PushOptions = {**rest, "delay": delay_s, "deadline": _duration(deadline_s)}
    _check_options(options, len(payloads))
    if payloads:
        run(_push_arguments, node, type_name, payloads, options)
    else:
        run(_push_stdin, node, type_name, options)


def _duration(seconds: float | None) -> dt.timedelta | None:
    return None if seconds is None else dt.timedelta(seconds=seconds)


def _check_options(options: PushOptions, count: int) -> None:
    """Find a wrong use before anything is pushed."""
    from trionode.client.properties import properties_of  # noqa: PLC0415  # it brings in the codecs

    try:
        properties_of(0.0, options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if options.get("key") is not None and count > 1:
        raise click.UsageError(ONE_KEY)


def _argument(text: str) -> bytes:
    """One JSON argument as a payload; unknown options come here too, because of `-5`."""
    payload = os.fsencode(text)
    try:
        check_json(payload)
    except ValueError as error:
        if text.startswith("-"):
            raise click.NoSuchOption(text.partition("=")[0]) from error
        raise click.BadParameter(f"{text!r} is not JSON: {error}", param_hint="JSON") from error
    return payload


async def _push_arguments(
    node: tuple[str, ...], type_name: str, payloads: list[bytes], options: PushOptions
) -> None:
    async with _pushing(node, type_name, options) as pushing:
        for position, payload in enumerate(payloads, 1):
            await pushing.push(f"object {position}", payload)


async def _push_stdin(node: tuple[str, ...], type_name: str, options: PushOptions) -> None:
    if os.isatty(STDIN):
        click.echo("one JSON document a line; Ctrl-D ends", err=True)
    with progress("pushing", _size_of_file(STDIN), prints=True) as advance:
        async with _pushing(node, type_name, options) as pushing:
            number = 0
            async for lines, _ in read_lines():
                for line in lines:
                    number += 1
                    await pushing.push_line(number, line)
                    advance(1 + len(line or b""))


def _size_of_file(fd: int) -> int | None:
    """How many bytes there are to read, when it is a file."""
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextlib.asynccontextmanager
async def _pushing(
    node: tuple[str, ...], type_name: str, options: PushOptions
) -> AsyncIterator[_Pushing]:
    """A block that pushes; at its end every id has been printed."""
    async with (
        trionode.connect(*node) as client,
        client.pusher(type=type_name) as pusher,
    ):
        # Inside the pusher, which would else be the first to tell of a failure, without its line.
        patience = Patience(client, node)
        pushing = _Pushing(pusher, options, patience)
        async with trio.open_nursery() as asides:
            asides.start_soon(patience.watch, name="patience")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(pushing.print_ids, name="ids")
                yield pushing
                pushing.end()
            asides.cancel_scope.cancel()


@attrs.frozen
class _Sent:
    """A push and what to call it in a message; or, without a receipt, why there is none."""

    where: str
    receipt: Receipt | None
    problem: str = ""


class _Pushing:
    """Pushes one object after the other, and prints their ids."""

    def __init__(self, pusher: Pusher, options: PushOptions, patience: Patience) -> None:
        self._pusher = pusher
        self._patience = patience
        self._options = options
        self._pushed = 0
        self._sent, self._unprinted = trio.open_memory_channel[_Sent](UNPRINTED_MAX)
        self._on_their_way = 0
        self._failed = False

    async def push(self, where: str, payload: bytes) -> None:
        """Push a payload that is known to be JSON."""
        if self._failed:
            await trio.sleep_forever()
        self._on_their_way += 1
        self._pushed += 1
        if self._pushed > 1 and self._options.get("key") is not None:
            await self._stop(where, ONE_KEY)
        try:
            receipt = await self._pusher.send(payload, encoding="json", **self._options)
        except trionode.PushFailed as error:
            # So many have failed that no more are taken; the first of them is told with its place.
            await self._stop(where, str(error))
        else:
            await self._sent.send(_Sent(where, receipt))

    async def push_line(self, number: int, line: bytes | None) -> None:
        """Push a line of stdin; None is one that is too long."""
        where = f"line {number}"
        if line is None:
            self._on_their_way += 1
            await self._stop(where, f"longer than {LINE_MAX_BYTES} bytes")
        elif line.strip():
            try:
                check_json(line)
            except ValueError as error:
                self._on_their_way += 1
                await self._stop(where, f"not JSON: {error}")
            await self.push(where, line)

    def end(self) -> None:
        """There is no more to come."""
        self._sent.close()

    async def _stop(self, where: str, problem: str) -> None:
        """Have everything before a bad line acknowledged and printed, then end."""
        await self._sent.send(_Sent(where, None, problem))
        await trio.sleep_forever()

    async def print_ids(self) -> None:
        """Task: print the ids in order, as they are acknowledged; end the command at a failure."""
        writer = Writer()
        acknowledged = 0
        async for each in self._unprinted:
            self._on_their_way -= 1
            self._patience.since = trio.current_time()
            name, problem = await _outcome(each)
            self._patience.since = None
            if problem:
                self._failed = True
                behind = await self._count_behind()
                also = f", {behind} of what follows it too" if behind else ""
                raise Failed(f"{each.where}: {problem}; {acknowledged} acknowledged before{also}")
            await writer.write(name.encode() + b"\n")
            acknowledged += 1

    async def _count_behind(self) -> int:
        """How many pushes were taken that were on their way when one before them was refused."""
        taken = 0
        while self._on_their_way:
            each = await self._unprinted.receive()
            self._on_their_way -= 1
            _, problem = await _outcome(each)
            taken += not problem
        return taken


async def _outcome(sent: _Sent) -> tuple[str, str]:
    """The id of an object once it is acknowledged, or the problem."""
    if sent.receipt is None:
        return "", sent.problem
    try:
        return format_id(await sent.receipt.wait()), ""
    except Error as error:
        return "", str(error)
