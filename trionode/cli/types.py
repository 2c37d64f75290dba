"""`trionode types`: the definitions that a node knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.payloads import on_one_line
from trionode.cli.root import Failed
from trionode.cli.running import run

if TYPE_CHECKING:
    from trionode.schema.definition import Definition

_EPILOG = """\b
One line per definition: type, fingerprint, JSON Schema. A type may have
several, of services of different age; objects without a definition need none.

\b
Examples:
  trionode types
  trionode types Order | cut -d' ' -f3- | jq .
"""


@click.command(epilog=_EPILOG)
@click.argument("name", required=False)
@node_option
def command(name: str | None, node: tuple[str, ...]) -> None:
    """Show the definitions and fingerprints of one type, or of all."""
    definitions = run(_ask, node, name or "")
    if name and not definitions:
        raise Failed(f"the node knows no definition of {name}")
    for each in definitions:
        schema = on_one_line(each.schema.encode()).decode()
        click.echo(f"{each.type} {each.fingerprint} {schema}")


async def _ask(node: tuple[str, ...], name: str) -> list[Definition]:
    async with trionode.connect(*node) as client:
        return await client.types(name)
