"""`trionode store`: care of a node's durable store, while it runs where that is possible."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from trionode.cli.root import Failed
from trionode.cli.tables import size
from trionode.config import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.config import Config

_EPILOG = """\b
info, verify, backup and export may run while the node does. compact and
import need the store for themselves.

\b
Examples:
  trionode store info --name n1
  trionode store verify --data-dir /var/lib/trionode
  trionode store backup /backup/n1.sqlite --name n1
  trionode store export --name n1 | gzip > n1.jsonl.gz
  zcat n1.jsonl.gz | trionode store import --name n2

\b
A backup is put back as store.sqlite in an empty data directory. It has its
node's id: never run both.
"""


@click.group(epilog=_EPILOG)
def command() -> None:
    """Look after a node's durable store."""


def _place(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that `serve` finds its data directory by, as the parameter `place`."""
    for option in (
        click.option("--data-dir", metavar="DIR", help="The node's data directory."),
        click.option("--name", metavar="NAME", help="The node's name.  [default: this machine's]"),
        click.option("--config", "path", metavar="FILE", help="The node's configuration."),
    ):
        function = option(function)
    return function


def _config(place: dict[str, Any]) -> Config:
    flags = {"--name": place["name"], "--data-dir": place["data_dir"]}
    return load(place["path"], os.environ, flags)


def _directory(place: dict[str, Any]) -> Path:
    return Path(_config(place).node.data_dir)


@command.command()
@_place
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def info(as_json: bool, **place: Any) -> None:  # noqa: FBT001  # click's signature
    """Show what the store holds."""
    from trionode.store import sqlite_tools  # noqa: PLC0415  # only when a subcommand needs it

    found = sqlite_tools.info(_directory(place))
    if as_json:
        click.echo(json.dumps(attrs.asdict(found)))
        return
    lines = {
        "store": found.path,
        "used by": found.used_by or "nobody",
        "schema": found.schema,
        "node": f"{found.node}, incarnation {found.incarnation}",
        "size": f"{size(found.size_bytes)}, {size(found.free_bytes)} of it free",
        "log": size(found.log_bytes),
        "objects": found.objects,
        **{f"  {name}": f"{count}, {size(held)}" for name, (count, held) in found.types.items()},
        "producers": found.producers,
        "definitions": found.definitions,
        "open offers": f"{found.offers_given} given, {found.offers_taken} taken",
        "settled": found.settled,
        "keys": found.keys,
        "set aside": found.set_aside,
    }
    width = max(map(len, lines)) + 2
    for name, value in lines.items():
        click.echo(f"{name:{width}}{value}")


@command.command()
@_place
def verify(**place: Any) -> None:
    """Read every record and check it; exit status 1 where something is damaged.

    What is damaged is set aside, or repaired, when its node starts the next time.
    """
    from trionode.store import sqlite_tools  # noqa: PLC0415  # only when a subcommand needs it

    damage, aside = sqlite_tools.verify(_directory(place))
    for each in damage:
        click.echo(f"damaged: {each}")
    for line in aside:
        click.echo(line)
    if damage:
        raise Failed(f"the store is damaged in {len(damage)} place(s)")
    click.echo("all records are sound")


@command.command()
@click.argument("file", type=click.Path(path_type=Path))
@_place
def backup(file: Path, **place: Any) -> None:
    """Copy the store as it is now into FILE, which must not exist."""
    from trionode.store import sqlite_tools  # noqa: PLC0415  # only when a subcommand needs it

    if file.exists():
        raise Failed(f"{file} is there already: name a new file")
    sqlite_tools.backup(_directory(place), file)


@command.command()
@_place
def compact(**place: Any) -> None:
    """Give the room of settled objects back to the disk; the node must not run."""
    from trionode.store import sqlite_tools  # noqa: PLC0415  # only when a subcommand needs it

    before, after = sqlite_tools.compact(_directory(place))
    click.echo(f"{size(before)} before, {size(after)} now")


@command.command()
@_place
def export(**place: Any) -> None:
    """Write every object to stdout, one JSON line each; then what else an import takes.

    That is the settled objects that are kept, and the keys of pushes of late.
    """
    from trionode.store import object_lines, sqlite_tools  # noqa: PLC0415  # see above

    skipped: list[str] = []
    for record in sqlite_tools.exported(_directory(place), skipped):
        sys.stdout.buffer.write(object_lines.line_of(record))
    sys.stdout.buffer.flush()
    if skipped:
        raise Failed(f"{len(skipped)} damaged record(s) left out: see trionode store verify")


@command.command("import")
@_place
def import_(**place: Any) -> None:
    """Take what was exported from stdin into the store; the node must not run.

    What the store has already is left as it is. Settled objects are taken where the node keeps
    them (store.retention_s). Keys of pushes are taken, so that a push that is repeated within
    the window is known.
    """
    import time  # noqa: PLC0415  # see above

    from trionode.store import Retention, SqliteStore  # noqa: PLC0415  # see above
    from trionode.store.importing import Import  # noqa: PLC0415  # see above

    config = _config(place)
    bounds = config.store
    retention = Retention(bounds.retention_s, bounds.retention_objects, bounds.retention_bytes)
    directory = Path(config.node.data_dir)
    store = SqliteStore(directory, "that takes an import", os.urandom, retention)
    store.open(int(time.time() * 1000))
    try:
        into = Import(store)
        into.take(sys.stdin.buffer)
    finally:
        store.close()
    taken = into.taken
    click.echo(f"{taken.objects} objects taken, {taken.known} were there already")
    if taken.settled or taken.keys:
        click.echo(f"{taken.settled} settled objects and {taken.keys} keys of pushes taken")
    if taken.unkept:
        click.echo(
            f"{taken.unkept} settled objects left out: this node keeps none (store.retention_s)"
        )
