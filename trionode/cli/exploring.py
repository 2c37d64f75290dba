"""`trionode simulate --exhaustive`: small worlds through every interleaving, with what was met."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import attrs
import click

from trionode.cli.progress import progress
from trionode.cli.root import Failed
from trionode.simulation.explorer import explore as explore_preset
from trionode.simulation.presets import PRESETS

if TYPE_CHECKING:
    from trionode.simulation.explorer import Explored


def explore(name: str, *, as_json: bool) -> None:
    """Explore one preset, or all of them, or list them.

    Raises:
        Failed: an invariant broke; its shortest trace is printed.
    """
    if name == "list":
        for preset in PRESETS.values():
            click.echo(f"{preset.name:<16} {preset.text}")
        return
    if name != "all" and name not in PRESETS:
        raise click.BadParameter(f"no preset {name!r}; there are all, {', '.join(PRESETS)}")
    for preset in PRESETS.values():
        if name in ("all", preset.name):
            _explore(preset.name, as_json=as_json)


def _explore(name: str, *, as_json: bool) -> None:
    states = 0
    began = time.perf_counter()
    with progress(f"exploring {name}", None, show=lambda: f"{states} states") as advance:

        def step(met: int) -> None:
            nonlocal states
            states = met
            advance(1)

        explored = explore_preset(PRESETS[name], progress=step)
    took_s = time.perf_counter() - began
    if as_json:
        click.echo(json.dumps({**attrs.asdict(explored), "took_s": round(took_s, 3)}))
    else:
        click.echo(_text(explored, took_s))
    if explored.broken:
        raise Failed(f"preset {name} breaks {explored.broken}")


def _text(explored: Explored, took_s: float) -> str:
    lines = [f"  {number:>2} {step}" for number, step in enumerate(explored.trace, 1)]
    result = "breaks after" if explored.broken else "holds to the depth of"
    lines.append(
        f"{explored.preset}: {explored.states} states, {explored.steps} steps,"
        f" {explored.ends} carried on to the end; {result} {explored.depth} steps;"
        f" {took_s:.1f} s"
    )
    return "\n".join(lines)
