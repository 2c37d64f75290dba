"""`trionode query`: find objects by their properties and fields."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

import click

import trionode
from trionode.cli.options import node_option
from trionode.cli.query_formats import FORMATS
from trionode.cli.root import Failed
from trionode.cli.running import run

if TYPE_CHECKING:
    from collections.abc import Callable

STATES = ("ready", "blocked", "delayed", "leased", "transferring", "dead", "settled", "expired")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_AGO = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhd])")

_EPILOG = """\b
TYPE is the name of a type, or a pattern: billing.* is every type with one more
segment, billing.> with one or more. * alone is every type.

\b
Conditions compare fields of JSON payloads (customer.city, lines[0].sku,
["first name"]) and properties ($id $state $created $settled $attempt $size
$priority $key $ordering_key $parent $deadline $due $hops $version $failure
$dead $possibly_duplicate $encoding $type) with values:
  = != < <= > >=   in ("a", "b")   like "R%"   is null   and or not ( )
A comparison holds only where the field is there and of the value's kind.

\b
Examples:
  trionode query Order --where 'total > 100 and customer.city = "Riga"'
  trionode query Order --state dead --order-by '$created desc' --limit 10
  trionode query 'billing.>' --state dead
  trionode query '*' --since 2h --everywhere --format jsonl | jq .id
  trionode query Order --state settled --format csv > settled.csv

\b
Settled objects are found where the node keeps them (store.retention_s). Exit
status 1 where a node did not answer; what the others found is printed.
"""


def _time(
    _ctx: click.Context, _parameter: click.Parameter, value: str | None
) -> dt.datetime | None:
    """An RFC 3339 time, or how long ago."""
    if value is None:
        return None
    ago = _AGO.fullmatch(value)
    try:
        if ago is not None:
            seconds = float(ago[1]) * _UNITS_S[ago[2]]
            return dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
        found = dt.datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        text = f"{value!r} is no time: 2026-11-25T10:00:00Z, or 90s, 15m, 2h, 7d ago"
        raise click.BadParameter(text) from None
    return found if found.tzinfo is not None else found.astimezone()


@click.command(epilog=_EPILOG)
@click.argument("type_name", metavar="TYPE")
@node_option
@click.option("--where", default="", metavar="CONDITION", help="What objects must fulfil.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(STATES),
    help="Only objects in this state; may be repeated.",
)
@click.option("--since", callback=_time, metavar="TIME", help="Created at this time or later.")
@click.option("--until", callback=_time, metavar="TIME", help="Created before this time.")
@click.option(
    "--order-by",
    default="",
    metavar="FIELD [desc]",
    help="Sort by a field or property; about as they came otherwise.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="The most objects that are printed.",
)
@click.option("--after", default="", metavar="CURSOR", help="Go on where an earlier query ended.")
@click.option(
    "--format",
    "form",
    type=click.Choice(list(FORMATS)),
    default="table",
    show_default=True,
    help="How objects are printed.",
)
@click.option("--everywhere", is_flag=True, help="Ask every node that can be reached.")
def command(  # noqa: PLR0913  # click's signature: one parameter an option
    *,
    type_name: str,
    node: tuple[str, ...],
    where: str,
    states: tuple[str, ...],
    since: dt.datetime | None,
    until: dt.datetime | None,
    order_by: str,
    limit: int,
    after: str,
    form: str,
    everywhere: bool,
) -> None:
    """Find objects of a type by their properties and fields."""
    asked: dict[str, Any] = {
        "where": where,
        "states": states,
        "since": since,
        "until": until,
        "order_by": order_by,
        "limit": limit,
        "after": after,
        "everywhere": everywhere,
    }
    query = run(_print, node, type_name, asked, FORMATS[form])
    if query.after is not None:
        click.echo(f"there may be more: --after {query.after}", err=True)
    if query.silent:
        names = ", ".join(
            f"{each.name or each.address or each.node} ({each.error})" for each in query.silent
        )
        raise Failed(f"{len(query.silent)} node(s) did not answer: {names}")


async def _print(
    node: tuple[str, ...],
    type_name: str,
    asked: dict[str, Any],
    form: Callable[[], Any],
) -> trionode.Query[Any]:
    writer = form()
    async with trionode.connect(*node) as client:
        query = client.query(type_name, **asked)
        async for found in query:
            for line in writer.take(found):
                click.echo(line)
        for line in writer.end():
            click.echo(line)
        return query
