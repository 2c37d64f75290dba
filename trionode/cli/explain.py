"""`trionode explain`: where an object is, and why it waits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.cli.tables import duration
from trionode.cli.views import object_text
from trionode.ids import parse_id

if TYPE_CHECKING:
    from trionode.client.inspection import Explanation

_EPILOG = """\b
Examples:
  trionode explain 5f3a0c2e9b7d4f118a60-17
  trionode explain 5f3a0c2e9b7d4f118a60-17 --node 10.0.0.3:7400 --json | jq .summary

\b
Any node can be asked; it asks all others. Nodes that do not answer in time are
named. Exit status 1 when no node knows the object.
"""


def _id(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        parse_id(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return value


@click.command(epilog=_EPILOG)
@click.argument("id_", metavar="ID", callback=_id)
@click.option("--json", "as_json", is_flag=True, help="Print all that was found as JSON.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, max=60),
    metavar="SECONDS",
    default=3.0,
    show_default=True,
    help="How long nodes have to answer.",
)
@node_option
def command(id_: str, as_json: bool, timeout: float, node: tuple[str, ...]) -> None:  # noqa: FBT001  # click's signature
    """Say where in the mesh an object is, what happened to it and why it waits."""
    found = run(_ask, node, id_, timeout)
    if not found.known:
        if as_json:
            click.echo(json.dumps(found.document))
        raise Failed(found.summary)
    click.echo(json.dumps(found.document) if as_json else _text(found))


async def _ask(node: tuple[str, ...], id_: str, timeout: float) -> Explanation:  # noqa: ASYNC109  # the nodes' own
    async with trionode.connect(*node) as client:
        return await client.explain(id_, timeout=timeout)


def _text(found: Explanation) -> str:
    lines = [found.summary]
    for holder in found.holders:
        lines += ["", f"at node {holder.name} ({holder.address}):", object_text(holder.object)]
    if found.trail:
        lines.append("")
    lines += [
        f"given by node {step['from']['name']} to node {step['to']['name'] or step['to']['id']}"
        f" {duration(step['ago_s'])} ago"
        for step in found.document["trail"]
    ]
    lines += [
        f"node {each['name']} failed to say: {each['error']}" for each in found.document["errors"]
    ]
    return "\n".join(lines)
