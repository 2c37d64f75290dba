"""`trionode simulate`: many nodes in one process under faults, from one seed, checked all along."""

from __future__ import annotations

import contextlib
import gc
import json
import time
from typing import TYPE_CHECKING, Any, NoReturn

import click

from trionode.cli.progress import progress
from trionode.cli.root import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.simulation.settings import Settings
    from trionode.simulation.shrinking import Break

SEEDS_MAX = 1_000_000
COLLECT_AFTER = (50_000, 5, 2)
"""New objects after which the young are looked through, and how often before older ones are: all
of them after 500,000, which a finished run's nodes, cycles all, may take of memory."""
_EPILOG = """\b
The routing of every simulated node is the very code that `trionode serve`
runs; network, disks, clocks and clients are simulated. One seed decides
everything: the same seed gives the same trace, whose hash is printed, on any
machine. Invariants are checked all along; when one breaks, the exit status is
1 and the smallest run found that breaks it is printed with its trace.

\b
Examples:
  trionode simulate
  trionode simulate --seed 1..500
  trionode simulate --nodes 50 --seed 7 --minutes 10 --faults partitions,crashes
  trionode simulate --nodes 1000 --topology random:8 --objects 100000 --faults none
  trionode simulate --exhaustive all
"""


MESH_MAX_NODES = 100
"""Beyond this nobody links every node to every other: 1,000 have half a million pairs."""


@click.command(epilog=_EPILOG)
@click.option("--nodes", type=click.IntRange(1, 10_000), default=5, show_default=True)
@click.option("--seed", "seeds", metavar="N|A..B", default="1", show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.01),
    default=1.0,
    show_default=True,
    help="Simulated time with pushes and faults.",
)
@click.option(
    "--faults", metavar="all|none|LIST", default="all", show_default=True, help="What goes wrong."
)
@click.option(
    "--topology",
    metavar="SHAPE",
    default="",
    help="mesh, ring, chain, star or random:DEGREE.  [default: mesh; above 100 nodes random:8]",
)
@click.option("--objects", type=click.IntRange(min=1), default=1000, show_default=True)
@click.option("--types", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option(
    "--check",
    type=click.Choice(["every", "sampled"]),
    default="sampled",
    show_default=True,
    help="All invariants at every event, or the dear ones in samples.",
)
@click.option(
    "--exhaustive",
    metavar="PRESET|all|list",
    help="Explore every interleaving of a small world instead.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per run.")
def command(  # noqa: PLR0913  # one option each
    *,
    nodes: int,
    seeds: str,
    minutes: float,
    faults: str,
    topology: str,
    objects: int,
    types: int,
    check: str,
    exhaustive: str | None,
    as_json: bool,
) -> None:
    """Simulate a mesh under faults and check that it keeps its promises.

    Also how to plan capacity: the report says how objects and news of interest move.
    """
    if exhaustive is not None:
        from trionode.cli.exploring import explore  # noqa: PLC0415  # slow to import, rarely needed

        explore(exhaustive, as_json=as_json)
        return
    first, last = _range(seeds)
    settings = _settings(
        nodes=nodes,
        seed=first,
        minutes=minutes,
        faults=faults,
        topology=topology,
        objects=objects,
        types=types,
        every=check == "every",
    )
    _run_all(settings, first, last, as_json=as_json)


def _range(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not first.isdecimal() or (dots and not last.isdecimal()):
        raise click.BadParameter(f"{text!r} is no seed and no range such as 1..500")
    low, high = int(first), int(last) if dots else int(first)
    if not low <= high < low + SEEDS_MAX:
        raise click.BadParameter(f"{text!r} is empty or has more than {SEEDS_MAX} seeds")
    return low, high


def _settings(*, nodes: int, topology: str, faults: str, **more: Any) -> Settings:
    from trionode.simulation.generator import Generator  # noqa: PLC0415  # slow to import
    from trionode.simulation.settings import Settings, parse_faults  # noqa: PLC0415  # the same
    from trionode.simulation.topology import edges  # noqa: PLC0415  # the same

    topology = topology or ("mesh" if nodes <= MESH_MAX_NODES else "random:8")
    try:
        edges(topology, 2, Generator(0))
        return Settings(nodes=nodes, topology=topology, faults=parse_faults(faults), **more)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _run_all(settings: Settings, first: int, last: int, *, as_json: bool) -> None:
    import attrs  # noqa: PLC0415  # what help does not need

    runs = last - first + 1
    totals = {"settled": 0, "events": 0}
    with (
        _rare_collections(),
        progress(
            "simulating",
            runs * 100,
            prints=runs > 1,
            show=lambda: f"{totals['settled']} objects settled, {totals['events']} events",
        ) as advance,
    ):
        for seed in range(first, last + 1):
            report = _run(attrs.evolve(settings, seed=seed), advance, as_json=as_json)
            totals["settled"] += report["objects"]["settled"]
            totals["events"] += report["events"]
            if as_json:
                click.echo(json.dumps(report))
            elif runs > 1:
                click.echo(_line(report))
            else:
                from trionode.simulation.report import text_of  # noqa: PLC0415  # slow to import

                click.echo(text_of(report))
    if runs > 1 and not as_json:
        click.echo(f"all {runs} seeds hold")


@contextlib.contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for cycles of garbage rarely: a simulation keeps nearly all that it makes."""
    before = gc.get_threshold()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _run(settings: Settings, advance: Any, *, as_json: bool) -> dict[str, Any]:
    from trionode.simulation.report import report_of  # noqa: PLC0415  # slow to import
    from trionode.simulation.shrinking import broken_run, shrink  # noqa: PLC0415  # the same
    from trionode.simulation.simulation import Simulation  # noqa: PLC0415  # the same

    done = 0

    def step(simulated_s: float) -> None:
        nonlocal done
        percent = min(99, int(100 * simulated_s / settings.seconds))
        advance(percent - done)
        done = max(done, percent)

    began, cpu_began = time.perf_counter(), time.process_time()
    simulation = Simulation(settings)
    try:
        simulation.run(step)
    except Exception:  # noqa: BLE001  # whatever a brain raises is what is looked for
        found = broken_run(settings)
        assert found is not None, "the same seed gives the same run"
        _fail(found, shrink(found), as_json=as_json)
    advance(100 - done)
    return report_of(simulation, time.perf_counter() - began, time.process_time() - cpu_began)


def _line(report: dict[str, Any]) -> str:
    objects = report["objects"]
    return (
        f"seed {report['seed']} holds: {objects['settled']} of {objects['pushed']} settled,"
        f" {report['events']} events, trace {report['trace_hash']}"
    )


def _fail(first: Break, smallest: Break, *, as_json: bool) -> NoReturn:
    """Print what broke and end the command with status 1."""
    settings = smallest.settings
    again = (
        f"--nodes {settings.nodes} --seed {settings.seed} --minutes {settings.minutes:g}"
        f" --faults {','.join(settings.faults) or 'none'} --topology {settings.topology}"
        f" --objects {settings.objects} --types {settings.types}"
        f" --check {'every' if settings.every else 'sampled'}"
    )
    if as_json:
        broken = {"seed": settings.seed, "broken": smallest.text, "again": again}
        click.echo(json.dumps({**broken, "first": first.text, "trace": smallest.lines}))
    else:
        click.echo("\n".join(smallest.lines))
        click.echo(f"again: trionode simulate {again}")
    raise Failed(f"seed {settings.seed} breaks {smallest.text}")
