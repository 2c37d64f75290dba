"""What a run has shown, as plain values for `--json` and as lines for people. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trionode.simulation.simulation import Simulation

Report = dict[str, Any]

FORMAT = 1


def report_of(simulation: Simulation, took_s: float, cpu_s: float) -> Report:
    """The report of a run that went well; how long it really took, and of the processor's time."""
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
            "repeated": sum(1 for fate in fates if fate.repeats),
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
        "happened": dict(sorted({**figures.happened(), **_moves(counts)}.items())),
        "events": events,
        "brain_events": simulation.turns,
        "checks": "all at every event" if settings.every else "sampled",
        "took_s": round(took_s, 3),
        "cpu_s": round(cpu_s, 3),
        "events_per_s": round(events / max(cpu_s, 1e-9)),
        "brain_events_per_s": round(simulation.turns / max(cpu_s, 1e-9)),
    }


_MOVES = (
    *("settles", "pushed", "pushes", "steps", "copies", "overdue", "retried", "discarded"),
    *("subscriptions", "leases", "consumers", "failed", "questions", "listings"),
)


def _moves(counts: Mapping[str, int]) -> dict[str, int]:
    """How often clients did what, by the ledger."""
    return {name: count for name, count in counts.items() if name.startswith(_MOVES)}


def text_of(report: Mapping[str, Any]) -> str:
    """A report for people."""
    objects = report["objects"]
    lost = _list(objects["lost"], "none")
    hops = ", ".join(f"{count} after {hops}" for hops, count in report["hops"].items()) or "none"
    changes, messages = report["interest_changes"], report["interest_messages"]
    per_change = report["interest_messages_per_change"]
    duplicates = [f"duplicates: {count} {why}" for why, count in report["duplicates"].items()]
    return "\n".join(
        (
            f"seed {report['seed']}: {report['nodes']} nodes, {report['topology']}",
            f"faults that struck: {_list(report['faults_struck'], 'none')}",
            _objects(objects),
            f"lost with a disk, or with a memory node: {lost}",
            f"throughput: {objects['per_simulated_s']} objects/s of simulated time",
            (
                f"time: {report['simulated_s']} s simulated; the last {report['drain_s']} s of them"
                " without faults, until every object had come to its end"
            ),
            f"deliveries: {report['deliveries']}; settles refused: {report['settles_refused']}",
            *duplicates,
            (
                f"transfers: {report['transfers']}, {report['transfers_per_object']} per object;"
                f" arrivals by hops: {hops}; returns: {report['returns']}"
            ),
            f"interest: {messages} messages for {changes} changes, {per_change} each",
            f"happened: {_list(report['happened'], 'nothing')}",
            *_speed(report),
            f"trace {report['trace_hash']}",
        )
    )


def _list(counts: Mapping[str, int], nothing: str) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or nothing


def _objects(objects: Mapping[str, Any]) -> str:
    names = (
        *("pushed", "repeated", "acknowledged"),
        *("settled", "expired", "dead_letters", "unexpected"),
    )
    return "objects: " + ", ".join(f"{objects[name]} {name.replace('_', ' ')}" for name in names)


def _speed(report: Mapping[str, Any]) -> tuple[str, str]:
    around = report["events"] - report["brain_events"]
    return (
        (
            f"events: {report['events']}, of which {report['brain_events']} are turns of a node's"
            f" routing and {around} steps of network, disks, timers and clients"
        ),
        (
            f"speed: {report['events_per_s']} events/s on one core ({report['cpu_s']} s),"
            f" checked: {report['checks']}"
        ),
    )
