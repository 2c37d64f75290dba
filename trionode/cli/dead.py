"""`trionode dead`: dead letters looked at, tried again, thrown away."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

import trionode
from trionode.cli import objects
from trionode.cli.options import node_option
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.cli.views import choice_options, json_line, listing_options, object_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.client.inspection import DeadLettersDone, ObjectView

SHOWN_BYTES = 256 * 1024
_EPILOG = """\b
Examples:
  trionode dead list Order
  trionode dead show Order 5f3a...-17
  trionode dead retry Order 5f3a...-17 5f3a...-18
  trionode dead retry Order --all --reason "connection refused"
  trionode dead discard Order --all --older-than 604800

\b
A dead letter is at the node where it died. Retried ones begin at attempt 1 and
keep their history. --reason and --older-than choose among --all.
"""


@click.group(epilog=_EPILOG)
def command() -> None:
    """Look after dead letters: objects that will not be tried again by themselves."""


@command.command("list")
@click.argument("type_name", metavar="TYPE")
@choice_options
@listing_options
@node_option
def list_(type_name: str, node: tuple[str, ...], **wanted: Any) -> None:
    """List the dead letters of a type, and why each died."""
    run(objects.show, node, type_name, objects.Wanted(state="dead", **wanted))


@command.command()
@click.argument("type_name", metavar="TYPE")
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print it as a JSON line.")
@node_option
def show(type_name: str, id_: str, as_json: bool, node: tuple[str, ...]) -> None:  # noqa: FBT001  # click's signature
    """Show one dead letter, with its history and payload."""
    view = run(_look, node, id_)
    if view is None or view.type != type_name or view.state != "dead":
        raise Failed(f"the node has no dead letter {id_} of {type_name}")
    click.echo(json_line(view) if as_json else object_text(view))


async def _look(node: tuple[str, ...], id_: str) -> ObjectView | None:
    async with trionode.connect(*node) as client:
        return await client.object(id_, preview_bytes=SHOWN_BYTES)


def _hand_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what says which dead letters are meant."""
    for add in (
        click.argument("ids", metavar="[ID]...", nargs=-1),
        click.argument("type_name", metavar="TYPE"),
        click.option("--all", "every", is_flag=True, help="All that the other options choose."),
        choice_options,
        node_option,
    ):
        function = add(function)
    return function


@command.command()
@_hand_options
def retry(type_name: str, ids: tuple[str, ...], **options: Any) -> None:
    """Try dead letters again: those with these ids, or --all."""
    _deal("retry", "to be tried again", type_name, ids, **options)


@command.command()
@_hand_options
def discard(type_name: str, ids: tuple[str, ...], **options: Any) -> None:
    """Throw dead letters away for good: those with these ids, or --all."""
    _deal("discard", "discarded", type_name, ids, **options)


def _deal(  # noqa: PLR0913  # what the two commands were asked
    action: str,
    word: str,
    type_name: str,
    ids: tuple[str, ...],
    *,
    every: bool,
    reason: str,
    older_than: float,
    node: tuple[str, ...],
) -> None:
    if bool(ids) is every:
        raise click.UsageError("say which dead letters: their ids, or --all")
    if ids and (reason or older_than):
        raise click.UsageError("--reason and --older-than choose among --all")

    async def ask() -> DeadLettersDone:
        async with trionode.connect(*node) as client:
            deal = client.retry if action == "retry" else client.discard
            return await deal(type_name, *ids, all=every, reason=reason, older_than=older_than)

    outcome = run(ask)
    click.echo(f"{outcome.done} {word}")
    if outcome.refused:
        first, why = next(iter(outcome.refused.items()))
        raise Failed(f"not done to {len(outcome.refused)}, the first of them {first}: {why}")
