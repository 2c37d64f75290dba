"""`trionode objects`: look at what a node holds, without touching it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.running import run
from trionode.cli.views import (
    PREVIEW_BYTES,
    choice_options,
    json_line,
    listing_options,
    objects_table,
)

if TYPE_CHECKING:
    from trionode.client.inspection import ObjectView

STATES = ("ready", "blocked", "delayed", "leased", "transferring", "dead")
TABLE_ROWS = 200
"""Rows of one table: its columns are as wide as its widest cells, so it waits for all of them."""
_EPILOG = """\b
Examples:
  trionode objects Order
  trionode objects Order --state ready --limit 20 --payload
  trionode objects Order --state leased --json | jq -r '.waits_for[0]'

\b
Objects come in the order in which the node took them. Other nodes may hold
more of the type: ask them too.
"""


@click.command(epilog=_EPILOG)
@click.argument("type_name", metavar="TYPE")
@click.option("--state", type=click.Choice(STATES), default=None, help="Only those in this state.")
@choice_options
@listing_options
@node_option
def command(type_name: str, node: tuple[str, ...], state: str | None, **wanted: Any) -> None:
    """List the objects of a type that a node holds, and why each waits."""
    run(show, node, type_name, Wanted(state=state or "", **wanted))


@attrs.frozen(kw_only=True)
class Wanted:
    """What a listing was asked for; see the options of the command."""

    state: str
    reason: str
    older_than: float
    limit: int | None
    payload: bool
    as_json: bool


async def show(node: tuple[str, ...], type_name: str, wanted: Wanted) -> None:
    """Print the objects that are asked for, as they come."""
    rows: list[ObjectView] = []
    async with trionode.connect(*node) as client:
        async for view in client.objects(
            type_name,
            state=wanted.state,
            limit=wanted.limit,
            preview_bytes=PREVIEW_BYTES if wanted.payload else 0,
            reason=wanted.reason,
            older_than=wanted.older_than,
        ):
            if wanted.as_json:
                click.echo(json_line(view))
                continue
            rows.append(view)
            if len(rows) == TABLE_ROWS:
                click.echo("\n".join(objects_table(rows, payload=wanted.payload)))
                rows = []
    if rows:
        click.echo("\n".join(objects_table(rows, payload=wanted.payload)))
