"""Options that several subcommands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    Decorated = TypeVar("Decorated", bound=Callable[..., Any])

NODE_VARIABLE = "TRIONODE_NODE"
NODE_DEFAULT = "127.0.0.1:7400"


def addresses(
    _ctx: click.Context, _parameter: click.Parameter, value: str | None
) -> tuple[str, ...]:
    """Split and check addresses, none of them for no value; blanks around them are dropped."""
    if value is None:
        return ()
    from trionode.net.dialler import parse_address  # noqa: PLC0415  # only when a command needs it

    found = tuple(part.strip() for part in value.split(",") if part.strip())
    if not found:
        raise click.BadParameter("no address given: HOST:PORT, or several separated by commas")
    for address in found:
        try:
            parse_address(address)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return found


def node_option(function: Decorated) -> Decorated:
    """Add `--node`: the addresses of nodes to connect to, as the parameter `node`."""
    return click.option(
        "--node",
        "node",
        callback=addresses,
        metavar="HOST:PORT[,...]",
        envvar=NODE_VARIABLE,
        default=NODE_DEFAULT,
        show_default=f"${NODE_VARIABLE}, else {NODE_DEFAULT}",
        help="Node to use; of several, the next is tried when one fails.",
    )(function)
