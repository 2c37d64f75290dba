"""`trionode subscribe`: print the objects of some types as they come."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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

_EPILOG = """\b
Each object is one line of JSON:
  {"id":"...","type":"Order","attempt":1,"encoding":"json","object":{...}}
A payload that is not JSON is a base64 string, with the encoding "raw".

\b
Examples:
  trionode subscribe Order | jq .object
  trionode subscribe Order Invoice --count 10 --timeout 5
  trionode subscribe 'billing.*'                   (every type with one more segment)
  trionode subscribe 'billing.>' '*.Order'         (one or more; any first segment)
  trionode subscribe Order --count 1 --no-ack      (look, don't take)
"""


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
def command(
    types: tuple[str, ...],
    node: tuple[str, ...],
    count: int | None,
    timeout_s: float | None,
    no_ack: bool,  # noqa: FBT001  # click's signature
) -> None:
    """Print objects of these types as they come, and acknowledge each once it is written."""
    window = Window(count, settles=not no_ack)
    run(_print_all, node, types, window, timeout_s)
    if count is not None and not window.complete:
        raise Failed(f"{window.printed} of {count} objects came within {timeout_s:g} s")


async def _print_all(
    node: tuple[str, ...], types: tuple[str, ...], window: Window, timeout_s: float | None
) -> None:
    """Print until the window is complete or the time is over."""
    with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
        async with (
            trionode.connect(*node) as client,
            client.subscribe(*types, credit=window.credit) as deliveries,
        ):
            await _print_deliveries(deliveries, window)


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
