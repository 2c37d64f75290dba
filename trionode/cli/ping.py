"""`trionode ping`: does a node answer?"""

from __future__ import annotations

import click
import trio

import trionode
from trionode.cli.options import node_option
from trionode.cli.running import run
from trionode.errors import ConnectError, ConnectionLost

TRY_AGAIN_S = 0.1
_EPILOG = """\b
Examples:
  trionode ping
  trionode ping --node 10.0.0.1:7400 --wait 30    (in a script that starts one)
"""


@click.command(epilog=_EPILOG)
@node_option
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    default=0.0,
    help="Keep trying for so long.  [default: try once]",
)
def command(node: tuple[str, ...], wait_s: float) -> None:
    """Exit 0 once a node answers, and say which one."""
    run(_ping, node, wait_s)


async def _ping(node: tuple[str, ...], wait_s: float) -> None:
    deadline = trio.current_time() + wait_s
    while True:
        try:
            click.echo(await _ask(node))
        except (ConnectError, ConnectionLost):
            if trio.current_time() + TRY_AGAIN_S > deadline:
                raise
        else:
            return
        await trio.sleep(TRY_AGAIN_S)


async def _ask(node: tuple[str, ...]) -> str:
    async with trionode.connect(*node) as client:
        asked = trio.current_time()
        hello = await client.ping()
        took_ms = (trio.current_time() - asked) * 1000
        return (
            f"node {hello.name} at {client.address} answered in {took_ms:.1f} ms"
            f" (trionode {hello.version}, protocol {hello.protocol})"
        )
