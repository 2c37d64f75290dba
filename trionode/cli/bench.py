"""`trionode bench`: how fast objects go through a node, and how long one takes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import attrs
import click

from trionode.cli.bench_nodes import Nodes, start_chain
from trionode.cli.bench_runs import Runs, Workload
from trionode.cli.bench_workers import BURST, STAMP, TYPED_MIN_BYTES
from trionode.cli.options import NODE_VARIABLE, addresses
from trionode.cli.processes import children
from trionode.cli.progress import progress
from trionode.cli.running import run
from trionode.cli.statistics import report

PAYLOAD_MAX_BYTES = 4 * 1024 * 1024
PACED_S = 2.0
"""How long the run at a modest rate takes."""
_EPILOG = """\b
One process pushes, one subscribes and acknowledges, at full speed; then again
at a modest rate, where the latency is that of the node and not of a queue.
Every object is checked to have come, and been settled, exactly once.

\b
Without --node the benchmark starts nodes of its own on free ports, in memory:
--nodes 2 pushes at one and takes at another, --nodes 3 has a relay between.

\b
Examples:
  trionode bench
  trionode bench --typed --payload-bytes 1024 --credit 4096
  trionode bench --nodes 2 --durable
  trionode bench --backlog 1000000 --rate 0
  trionode bench --node 10.0.0.1:7400 --take-at 10.0.0.2:7400
  trionode bench --node 10.0.0.1:7400 --json | jq .latency_ms.p99
"""


_Option: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]


def _number(name: str, *more: str, default: int, low: int, high: int, text: str) -> _Option:
    """An option that is a whole number within bounds."""
    names = (name, *more)
    bounds = click.IntRange(min=low, max=high)
    return click.option(*names, type=bounds, default=default, show_default=True, help=text)


@click.command(epilog=_EPILOG)
@click.option(
    "--node",
    "node",
    callback=addresses,
    metavar="HOST:PORT[,...]",
    envvar=NODE_VARIABLE,
    help="Node to push at, and to take at.  [default: one of its own]",
)
@click.option(
    "--take-at",
    callback=addresses,
    metavar="HOST:PORT[,...]",
    help="Node to take at instead, elsewhere in the mesh.",
)
@_number("--nodes", default=1, low=1, high=8, text="Own nodes, in a chain.")
@click.option(
    "--durable/--memory", default=False, help="Own nodes: on disk, or in memory (default)."
)
@_number("--count", default=200_000, low=1, high=100_000_000, text="Objects at full speed.")
@_number(
    "--payload-bytes",
    "--size",
    "size",
    default=128,
    low=STAMP.size,
    high=PAYLOAD_MAX_BYTES,
    text="Payload of each object.",
)
@click.option("--typed", is_flag=True, help="Objects of an attrs class, not bytes.")
@_number("--types", default=1, low=1, high=10_000, text=f"Types, in turns of {BURST} objects.")
@_number(
    "--clients",
    default=1,
    low=1,
    high=10_000,
    text="Clients that push, and as many that take; each has a connection of its own.",
)
@_number("--credit", default=1024, low=1, high=1_000_000, text="Unsettled deliveries of a client.")
@_number(
    "--backlog", default=0, low=0, high=10_000_000, text="Objects that wait at the node before."
)
@_number(
    "--rate",
    default=1000,
    low=0,
    high=1_000_000,
    text="Objects per second of the paced run; 0: no such run.",
)
@click.option(
    "--idle",
    type=click.FloatRange(min=0, max=3600),
    default=0.0,
    metavar="SECONDS",
    help="Also watch an own node for so long while the clients do nothing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    node: tuple[str, ...],
    take_at: tuple[str, ...],
    nodes: int,
    durable: bool,  # noqa: FBT001  # click's signature
    as_json: bool,  # noqa: FBT001  # click's signature
    **given: Any,
) -> None:
    """Measure push, deliver and ack through a node, or from one to another."""
    load = Workload(**given)
    if load.typed and load.size < TYPED_MIN_BYTES:
        raise click.UsageError(f"--typed objects take at least {TYPED_MIN_BYTES} bytes")
    if node and (nodes > 1 or durable or load.idle):
        raise click.UsageError("--nodes, --durable and --idle are for nodes of its own")
    if take_at and not node:
        raise click.UsageError("--take-at goes with --node")
    found = run(_measure, node, take_at, _Own(nodes, durable), load)
    click.echo(json.dumps(found) if as_json else _text(found))


@attrs.frozen
class _Own:
    """Which nodes to start where none are given."""

    count: int
    durable: bool

    def __str__(self) -> str:
        where = "on disk" if self.durable else "in memory"
        return f"its own, {where}" if self.count == 1 else f"{self.count} of its own, {where}"


async def _measure(
    node: tuple[str, ...], take_at: tuple[str, ...], own: _Own, load: Workload
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="trionode-bench-") as directory:
        async with children() as processes:
            if node:
                nodes = Nodes(list(node), list(take_at or node))
            else:
                path = Path(directory)
                nodes = await start_chain(processes, path, own.count, durable=own.durable)
            paced_count = min(load.count, int(load.rate * PACED_S))
            with progress("measuring", load.count + load.backlog + paced_count) as advance:
                runs = Runs(processes, nodes, load, advance)
                idle = await runs.rest() if load.idle else None
                full = await runs.run(load.count, backlog=load.backlog)
                paced = await runs.run(paced_count, load.rate) if paced_count else None
    settings = attrs.asdict(load, filter=lambda field, _: field.name not in {"count", "idle"})
    where = ",".join(node) if node else str(own)
    more = {"nodes": len(nodes.own) or None, "start_s": nodes.start_s, "idle": idle}
    return report(full, paced, **settings, node=where, **more)


def _text(found: dict[str, Any]) -> str:
    full, paced, idle = found["latency_at_full_speed_ms"], found["latency_ms"], found["idle"]
    lines = []
    lines.append(
        f"{found['objects_per_s']:,.0f} objects/s ({found['mib_per_s']:,.1f} MiB/s):"
        f" {found['objects']:,} of {found['size']} bytes pushed, delivered and acknowledged in"
        f" {found['seconds']:.2f} s, each settled exactly once"
    )
    if found["pushed_into_backlog_per_s"]:
        held_bytes = found["bytes_per_held_object"]
        lines.append(
            f"backlog of {found['backlog']:,}: {found['pushed_into_backlog_per_s']:,.0f} pushes/s"
            + (f", {held_bytes:,} bytes of memory per object" if held_bytes else "")
        )
    if paced:
        lines.append(
            f"latency at {found['rate']} objects/s: p50 {paced['p50']} ms, p99 {paced['p99']} ms,"
            f" p99.9 {paced['p99_9']} ms"
        )
    lines.append(f"latency at full speed: p50 {full['p50']} ms, p99 {full['p99']} ms")
    if idle:
        lines.append(
            f"at rest with {idle['clients']:,} clients: {idle['core_percent']} % of a core,"
            f" {idle['bytes_per_client']:,} bytes per client"
        )
    if found["start_s"]:
        lines.append(f"start to ready: {', '.join(f'{each:.2f} s' for each in found['start_s'])}")
    return "\n".join(lines)
