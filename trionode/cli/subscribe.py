"""`trionode subscribe`: print the objects of some types as they come."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import click
import trio

import trionode
from trionode.cli.options import node_option
from trionode.cli.payloads import object_line
from trionode.cli.pipes import Writer
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.cli.window import Window

if TYPE_CHECKING:
    from trionode.client import Deliveries

WATCHED_MAX = 10_000
"""Copies that may wait for the terminal or pipe before more are dropped."""

_EPILOG = """\b
Each object is one line of JSON:
  {"id":"...","type":"Order","attempt":1,"encoding":"json","object":{...}}
A payload that is not JSON is a base64 string, with the encoding "raw".
With --watch there is "how" it came, too: accepted, received, emitted or replaced;
and {"dropped":N} stands where N copies had to be dropped.

\b
Examples:
  trionode subscribe Order | jq .object
  trionode subscribe Order Invoice --count 10 --timeout 5
  trionode subscribe 'billing.*'                   (every type with one more segment)
  trionode subscribe 'billing.>' '*.Order'         (one or more; any first segment)
  trionode subscribe Order --count 1 --no-ack      (look, don't take)
  trionode subscribe '>' --watch                   (copies of all that comes to the node)
  trionode subscribe Order --max-processing-time 60 --max-attempts 3 | ./handle
"""


@attrs.frozen
class _Terms:
    """What the subscription asks of the node beside its window; None: as the node is configured."""

    max_processing_time: float | None
    max_attempts: int | None
    reconnect_grace: float


@click.command(epilog=_EPILOG)
@click.argument("types", metavar="TYPE...", nargs=-1, required=True)
@node_option
@click.option(
    "--count",
    type=click.IntRange(min=1),
    metavar="N",
    help="End after N objects; no more than N are ever taken from the node.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="End after so long, with status 1 if fewer than N objects came.",
)
@click.option(
    "--no-ack",
    is_flag=True,
    help="Leave the objects to others: they return to the node when the command ends.",
)
@click.option(
    "--watch",
    is_flag=True,
    help="Only look on: copies of what the node takes custody of, which stay whose they are.",
)
@click.option(
    "--max-processing-time",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Have an object that is not acknowledged by then taken back as failed; 0: never.",
)
@click.option(
    "--max-attempts",
    type=click.IntRange(min=1),
    metavar="N",
    help="An object that fails here and has failed so often in all becomes a dead letter.",
)
@click.option(
    "--reconnect-grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0.0,
    help="Keep objects for so long while the connection is lost; others wait for them so long.",
)
def command(  # noqa: PLR0913  # click's signature
    *,
    types: tuple[str, ...],
    node: tuple[str, ...],
    count: int | None,
    timeout_s: float | None,
    no_ack: bool,
    watch: bool,
    **asked: Any,
) -> None:
    """Print objects of these types as they come, and acknowledge each once it is written."""
    window = Window(count, settles=not no_ack)
    terms = _Terms(**asked)
    if watch and terms != _Terms(None, None, 0.0):
        raise click.UsageError("copies are not settled: --watch goes with no terms of a lease")
    if watch:
        run(_watch_all, node, types, window, timeout_s)
    else:
        run(_print_all, node, types, window, timeout_s, terms)
    if count is not None and not window.complete:
        raise Failed(f"{window.printed} of {count} objects came within {timeout_s:g} s")


async def _print_all(
    node: tuple[str, ...],
    types: tuple[str, ...],
    window: Window,
    timeout_s: float | None,
    terms: _Terms,
) -> None:
    """Print until the window is complete or the time is over."""
    with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
        async with (
            trionode.connect(*node) as client,
            client.subscribe(*types, credit=window.credit, **attrs.asdict(terms)) as deliveries,
        ):
            await _print_deliveries(deliveries, window)


async def _watch_all(
    node: tuple[str, ...], types: tuple[str, ...], window: Window, timeout_s: float | None
) -> None:
    """Print copies until the window is complete or the time is over."""
    writer = Writer()
    with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
        async with (
            trionode.connect(*node) as client,
            client.subscribe(*types, credit=WATCHED_MAX, mode="watch") as copies,
        ):
            async for copy in copies:
                watched = copy.watched
                assert watched is not None, "the mode says it"
                if watched.dropped:
                    await writer.write(b'{"dropped":%d}\n' % watched.dropped)
                line = object_line(copy.type, copy.id, copy.attempt, copy.encoding, copy.payload)
                await writer.write(b'%s,"how":"%s"}\n' % (line[:-2], watched.how.encode()))
                window.after_printing()
                if window.complete:
                    return


async def _print_deliveries(deliveries: Deliveries[Any], window: Window) -> None:
    writer = Writer()
    async for delivery in deliveries:
        await writer.write(
            object_line(
                delivery.type, delivery.id, delivery.attempt, delivery.encoding, delivery.payload
            )
        )
        credit = window.after_printing()
        if credit is not None:
            # Before the ack, which would free a place in the old window.
            await deliveries.set_credit(credit)
        if window.settles:
            delivery.ack()
        if window.complete:
            if window.settles:
                await delivery.settled()
            return
