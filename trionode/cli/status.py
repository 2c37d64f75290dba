"""`trionode status`: a node, its peers and what it holds."""

from __future__ import annotations

import json

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.running import run
from trionode.cli.tables import status_text

_EPILOG = """\b
Examples:
  trionode status
  trionode status --node 10.0.0.1:7400 --json | jq '.types.Order.ready'
"""


@click.command(epilog=_EPILOG)
@node_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole status as JSON.")
def command(node: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001  # click's signature
    """Show a node, its peers and what it holds, per type."""
    status = run(_ask, node)
    click.echo(status if as_json else status_text(json.loads(status)))


async def _ask(node: tuple[str, ...]) -> bytes:
    async with trionode.connect(*node) as client:
        return await client.status_json()
