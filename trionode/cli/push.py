"""`trionode push`: objects from the command line or from stdin into the mesh."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import attrs
import click
import trio

import trionode
from trionode.cli.options import node_option
from trionode.cli.payloads import check_json
from trionode.cli.pipes import LINE_MAX_BYTES, STDIN, Writer, read_lines
from trionode.cli.progress import progress
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.ids import format_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from trionode.client import Pusher, Receipt

UNPRINTED_MAX = 4096
"""How many pushes may wait for their ids to be printed; the pusher's window is the other bound."""
_EPILOG = """\b
Examples:
  trionode push Order '{"number": "o-1", "total": "99.50"}'
  trionode push Reading -5 21.5
  trionode push Order --node 10.0.0.1:7400,10.0.0.2:7400 < orders.jsonl

\b
Ids are printed one a line, in order, each once the node has custody of its
object. Empty lines of stdin are skipped. A line that is not JSON, or that the
node refuses, ends the command with status 1 and the line's number, after all
objects before it were acknowledged.
"""


@click.command(epilog=_EPILOG, context_settings={"ignore_unknown_options": True})
@click.argument("type_name", metavar="TYPE")
@click.argument("documents", metavar="[JSON]...", nargs=-1, type=click.UNPROCESSED)
@node_option
def command(type_name: str, documents: tuple[str, ...], node: tuple[str, ...]) -> None:
    """Push each JSON argument, or each line of stdin when there is none."""
    if type_name.startswith("-"):
        raise click.NoSuchOption(type_name.partition("=")[0])
    payloads = [_argument(text) for text in documents]
    if payloads:
        run(_push_arguments, node, type_name, payloads)
    else:
        run(_push_stdin, node, type_name)


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


async def _push_arguments(node: tuple[str, ...], type_name: str, payloads: list[bytes]) -> None:
    async with _pushing(node, type_name) as pushing:
        for position, payload in enumerate(payloads, 1):
            await pushing.push(f"object {position}", payload)


async def _push_stdin(node: tuple[str, ...], type_name: str) -> None:
    if os.isatty(STDIN):
        click.echo("one JSON document a line; Ctrl-D ends", err=True)
    with progress("pushing", _size_of_file(STDIN)) as advance:
        async with _pushing(node, type_name, advance) as pushing:
            number = 0
            async for lines, _ in read_lines():
                for line in lines:
                    number += 1
                    await pushing.push_line(number, line)


def _size_of_file(fd: int) -> int | None:
    """How many bytes there are to read, when it is a file."""
    status = os.fstat(fd)
    return status.st_size if stat.S_ISREG(status.st_mode) else None
