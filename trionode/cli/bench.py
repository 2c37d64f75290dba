"""`trionode bench`: how fast objects go through a node, and how long one takes."""

from __future__ import annotations

import json
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

import trionode
from trionode.cli.options import NODE_VARIABLE, addresses
from trionode.cli.processes import children
from trionode.cli.progress import progress
from trionode.cli.root import Failed
from trionode.cli.running import run
from trionode.cli.statistics import Outcome, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.cli.processes import Child, Children

STAMP_BYTES = 16
"""What the benchmark itself writes into each payload: the object's number and its time."""
PAYLOAD_MAX_BYTES = 4 * 1024 * 1024
PACED_S = 2.0
"""How long the run at a modest rate takes."""
WORKERS = "trionode.cli.bench_workers"
_EPILOG = """\b
One process pushes, one subscribes and acknowledges, at full speed; then again
at a modest rate, where the latency is that of the node and not of a queue.
Every object is checked to have come, and been settled, exactly once.

\b
Without --node the benchmark starts a node of its own on a free port.

\b
Examples:
  trionode bench
  trionode bench --count 1000000 --size 1024 --credit 1024
  trionode bench --node 10.0.0.1:7400 --json | jq .latency_ms.p99
"""


@attrs.frozen
class Workload:
    """What is asked for."""

    count: int
    size: int
    credit: int
    rate: int


@click.command(epilog=_EPILOG)
@click.option(
    "--node",
    "node",
    callback=addresses,
    metavar="HOST:PORT[,...]",
    envvar=NODE_VARIABLE,
    help="Node to measure.  [default: one of its own]",
)
@click.option(
    "--count",
    type=click.IntRange(min=1, max=100_000_000),
    default=200_000,
    show_default=True,
    help="Objects of the run at full speed.",
)
@click.option(
    "--size",
    type=click.IntRange(min=STAMP_BYTES, max=PAYLOAD_MAX_BYTES),
    default=128,
    show_default=True,
    metavar="BYTES",
    help="Payload of each object.",
)
@click.option(
    "--credit",
    type=click.IntRange(min=1, max=1_000_000),
    default=1024,
    show_default=True,
    help="Unsettled deliveries that the consumer takes.",
)
@click.option(
    "--rate",
    type=click.IntRange(min=1, max=1_000_000),
    default=1000,
    show_default=True,
    metavar="N",
    help="Objects per second of the paced run.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def command(
    node: tuple[str, ...],
    as_json: bool,  # noqa: FBT001  # click's signature
    **given: int,
) -> None:
    """Measure push, deliver and ack through a node."""
    found = run(_measure, node, Workload(**given))
    click.echo(json.dumps(found) if as_json else _text(found))


async def _measure(node: tuple[str, ...], load: Workload) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="trionode-bench-") as directory:
        async with children() as processes:
            own = not node
            if own:
                where = ["--listen", "127.0.0.1:0", "--data-dir", str(Path(directory) / "node")]
                _, address = await processes.spawn_node("bench", [*where, "--memory"])
                node = (address,)
            paced_count = max(1, min(load.count, int(load.rate * PACED_S)))
            with progress("measuring", load.count + paced_count) as advance:
                full = await _run_once(processes, node, load, load.count, 0, advance)
                paced = await _run_once(processes, node, load, paced_count, load.rate, advance)
    settings = attrs.asdict(load) | {"node": "its own, in memory" if own else ",".join(node)}
    return report(full, paced, **{key: settings[key] for key in ("size", "credit", "rate", "node")})


async def _run_once(  # noqa: PLR0913, PLR0917  # a run is this many things
    processes: Children,
    node: tuple[str, ...],
    load: Workload,
    count: int,
    rate: int,
    advance: Callable[[int], None],
) -> Outcome:
    """One run with a producer and a consumer process; everything is settled exactly once."""
    type_name = f"bench.{secrets.token_hex(6)}"
    common = [",".join(node), type_name, str(count), str(load.size)]
    consumer = await processes.spawn("consumer", ["consume", *common, str(load.credit)], WORKERS)
    await _expect(consumer, "ready")
    producer = await processes.spawn("producer", ["produce", *common, str(rate)], WORKERS)
    await _expect(producer, "ready")
    await producer.send("go")
    began_ns = int(json.loads(await producer.receive())["began_ns"])
    seen = 0
    while "step" in (said := json.loads(await consumer.receive())):
        seen += said["step"]
        advance(said["step"])
    advance(count - seen)
    await processes.stop(producer)
    await processes.stop(consumer)
    wrong = {key: said[key] for key in ("missing", "duplicates", "strangers") if said[key]}
    settled = await _settled(node, type_name)
    if wrong or settled != count:
        raise Failed(
            f"of {count} objects {settled} were settled at the node; {wrong or 'all came'}"
        )
    seconds = (said["ended_ns"] - began_ns) / 1e9
    return Outcome(count, load.size, seconds, said["latencies_ms"])


async def _expect(child: Child, word: str) -> None:
    line = await child.receive()
    if line != word:
        raise Failed(f"the {child.name} said {line!r} where {word!r} was due")


async def _settled(node: tuple[str, ...], type_name: str) -> int:
    """How many objects of a type the node has settled."""
    async with trionode.connect(*node) as client:
        status = await client.status()
        return int(status["types"].get(type_name, {}).get("settled", 0))


def _text(found: dict[str, Any]) -> str:
    paced, full = found["latency_ms"], found["latency_at_full_speed_ms"]
    return (
        f"{found['objects_per_s']:,.0f} objects/s ({found['mib_per_s']:,.1f} MiB/s):"
        f" {found['objects']:,} of {found['size']} bytes pushed, delivered and acknowledged in"
        f" {found['seconds']:.2f} s, each settled exactly once\n"
        f"latency at {found['rate']} objects/s: p50 {paced['p50']} ms, p99 {paced['p99']} ms,"
        f" p99.9 {paced['p99_9']} ms\n"
        f"latency at full speed: p50 {full['p50']} ms, p99 {full['p99']} ms"
    )
