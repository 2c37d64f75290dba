"""`trionode forget`: the books closed on a node that is gone for good."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.root import Failed
from trionode.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPILOG = """\b
Examples:
  trionode forget n2 --everywhere
  trionode forget 4f1d2c3b4a5968778695 --node 10.0.0.1:7400

\b
Objects that were offered to the node and not answered become ready again,
marked as possibly duplicate. A node that is linked is refused, and so is a name
that several nodes have: give the id then. What only the lost node held is not
brought back by this.
"""


@click.command(epilog=_EPILOG)
@click.argument("gone", metavar="NODE")
@click.option("--everywhere", is_flag=True, help="Have every node do so that can be reached.")
@click.option("--json", "as_json", is_flag=True, help="Print what was closed as JSON.")
@node_option
def command(gone: str, everywhere: bool, as_json: bool, node: tuple[str, ...]) -> None:  # noqa: FBT001  # click's signature
    """Close the books on NODE, by its id or name, which is gone for good."""
    found = run(_ask, node, gone, everywhere)
    click.echo(json.dumps(found) if as_json else _text(found))
    failed = [each for each in found["nodes"] if each["error"]]
    if failed:
        raise Failed(f"not done at node {failed[0]['at']}: {failed[0]['error']}")
    if found["silent"]:
        raise Failed(f"no answer from {', '.join(found['silent'])}")


async def _ask(node: tuple[str, ...], gone: str, everywhere: bool) -> Mapping[str, Any]:  # noqa: FBT001  # see command
    async with trionode.connect(*node) as client:
        return await client.forget(gone, everywhere=everywhere)


def _text(found: Mapping[str, Any]) -> str:
    lines = []
    for each in found["nodes"]:
        if each["error"]:
            continue
        line = (
            f"node {each['at']}: {each['ready_again']} objects ready again,"
            f" {each['numbers']} numbers forgotten"
        )
        if each["configured"]:
            line += f"; it goes on dialling {', '.join(each['configured'])}, which is configured"
        lines.append(line)
    return "\n".join(lines)
