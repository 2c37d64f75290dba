"""What a run has shown, as plain values for `--json` and as lines for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trionode.simulation.simulation import Simulation

Report = dict[str, Any]

FORMAT = 1


def report_of(simulation: Simulation, took_s: float) -> Report:
    """The report of a run that went well; `took_s` is how long it really took."""
    settings, figures = simulation.settings, simulation.figures
    ledger, moves = simulation.invariants.ledger, simulation.invariants.moves
    fates = ledger.fates.values()
    counts = ledger.counts
    events = simulation.turns + simulation.scheduler.done
    simulated_s = max(figures.drained_at, 1e-9)
    pushed = len(ledger.fates)
    return {
        "format": FORMAT,
        "seed": settings.seed,
        "nodes": settings.nodes,
        "topology": settings.topology,
        "faults": list(settings.faults),
        "simulated_s": round(figures.drained_at, 3),
        "trace_hash": simulation.trace.digest(),
        "objects": {
            "pushed": pushed,
            "acknowledged": sum(1 for fate in fates if fate.acknowledged),
            "settled": sum(1 for fate in fates if fate.settled),
            "expired": sum(1 for fate in fates if fate.expired),
            "dead_letters": sum(1 for fate in fates if fate.dead and not fate.settled),
            "lost": {name: count for name, count in counts.items() if name.startswith("lost")},
            "unexpected": 0,
            "per_simulated_s": round(counts.get("settled", 0) / simulated_s, 1),
        },
        "deliveries": sum(fate.deliveries for fate in fates),
        "duplicates": dict(sorted(ledger.duplicates.items())),
        "settles_refused": counts.get("settles refused", 0),
        "transfers": counts.get("transfers", 0),
        "transfers_per_object": round(counts.get("transfers", 0) / max(1, pushed), 3),
        "returns": moves.returns,
        "hops": {str(hops): count for hops, count in sorted(moves.hops.items())},
        "interest_changes": figures.interest_changes,
        "interest_messages": figures.interest_updates,
        "interest_messages_per_change": round(
            figures.interest_updates / max(1, figures.interest_changes), 2
        ),
        "drain_s": round(figures.drained_at - figures.fault_free_from, 3),
        "faults_struck": dict(sorted(simulation.faults.struck.items())),
        "brain_events": simulation.turns,
        "events": events,
        "checks": "all at every event" if settings.every else "sampled",
        "took_s": round(took_s, 3),
        "events_per_s": round(events / max(took_s, 1e-9)),
        "brain_events_per_s": round(simulation.turns / max(took_s, 1e-9)),
    }


def text_of(report: Mapping[str, Any]) -> str:
    """A report for people."""
    objects = report["objects"]
    faults = ", ".join(report["faults"]) or "none"
    lost = ", ".join(f"{count} {name}" for name, count in objects["lost"].items()) or "none"
    hops = ", ".join(f"{count} x {hops}" for hops, count in report["hops"].items()) or "none"
    changes = report["interest_changes"]
    duplicates = [f"duplicates: {count} {why}" for why, count in report["duplicates"].items()]
    return "\n".join(
        (
            f"seed {report['seed']}: {report['nodes']} nodes, {report['topology']}",
            f"faults: {faults}",
            _objects(objects),
            f"lost beyond what a node can prevent: {lost}",
            f"throughput: {objects['per_simulated_s']} objects/s of simulated time",
            f"time: {report['simulated_s']} s simulated, {report['drain_s']} s of them to drain",
            f"transfers: {report['transfers']}, {report['transfers_per_object']} per object",
            f"moves: {report['returns']} returns; so many behind an arrival: {hops}",
            f"interest: {report['interest_messages']} messages for {changes} changes",
            *duplicates,
            _speed(report),
            f"trace {report['trace_hash']}",
        )
    )


def _objects(objects: Mapping[str, Any]) -> str:
    names = ("pushed", "acknowledged", "settled", "expired", "dead_letters", "unexpected")
    return "objects: " + ", ".join(f"{objects[name]} {name.replace('_', ' ')}" for name in names)


def _speed(report: Mapping[str, Any]) -> str:
    return (
        f"checked {report['checks']}: {report['events']} events"
        f" ({report['brain_events']} of brains) in {report['took_s']} s,"
        f" {report['events_per_s']} events/s"
    )
