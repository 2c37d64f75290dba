"""`trionode serve`: run a node."""

from __future__ import annotations

import os

import click
import trio

from trionode.config import describe, load
from trionode.errors import ConfigurationError

_EPILOG = """\b
Examples:
  trionode serve
  trionode serve --name n1 --listen 127.0.0.1:7401 --memory
  trionode serve --name n2 --listen 127.0.0.1:0 --peer 127.0.0.1:7401
  trionode serve --config /etc/trionode.toml --check

\b
Flags override variables TRIONODE_CONF_<SECTION>__<KEY>, which override the
file, which overrides the defaults. When the node is ready it prints
"trionode NAME listening on HOST:PORT" to stdout; logs go to stderr.

\b
The first SIGTERM or SIGINT drains the node and ends it with status 0, the
second ends it at once; SIGHUP reads the configuration again.
"""


@click.command(epilog=_EPILOG)
@click.option("--config", "path", metavar="FILE", help="Read the configuration from a TOML file.")
@click.option("--name", metavar="NAME", help="The node's name.  [default: this machine's]")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    help="Where clients and peers connect; port 0 is a free one.  [default: 127.0.0.1:7400]",
)
@click.option(
    "--peer",
    "peers",
    metavar="HOST:PORT",
    multiple=True,
    help="Another node; one of a mesh is enough. May be repeated.",
)
@click.option("--data-dir", metavar="DIR", help="Where the node keeps its identity and objects.")
@click.option("--memory", is_flag=True, help="Keep objects in memory only: they die with the node.")
@click.option("--check", is_flag=True, help="Check the configuration, print it, and exit.")
def command(
    path: str | None,
    check: bool,  # noqa: FBT001  # click's signature
    memory: bool,  # noqa: FBT001  # click's signature
    **given: str | tuple[str, ...] | None,
) -> int:
    """Run a node, until SIGTERM or SIGINT."""
    flags = {
        "--name": given["name"],
        "--listen": given["listen"],
        "--peer": given["peers"],
        "--data-dir": given["data_dir"],
        "--memory": memory,
    }
    try:
        load(None, {}, flags)
    except ConfigurationError as error:
        raise click.UsageError(str(error)) from error
    config = load(path, os.environ, flags)
    if check:
        click.echo(describe(config))
        return 0
    # Not needed by --check, and slow to import.
    from trionode.node import run_node  # noqa: PLC0415

    def say_ready(address: str) -> None:
        click.echo(f"trionode {config.node.name} listening on {address}")

    async def serve() -> int:
        return await run_node(
            config, on_ready=say_ready, reread=lambda: load(path, os.environ, flags)
        )

    return trio.run(serve)
