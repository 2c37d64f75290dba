"""The status document of a node: what `trionode status --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.routing.custody import FLOWS_IN, FLOWS_OUT, TypeTable
from trionode.routing.model import State
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.node.context import NodeContext
    from trionode.node.mesh import Mesh
    from trionode.store import Store

FORMAT = 1
"""Of the document; a new number when a key changes its meaning."""

_STATES = {
    "ready": State.READY,
    "delayed": State.DELAYED,
    "leased": State.LEASED,
    "transferring": State.TRANSFERRING,
    "dead": State.DEAD,
}
_FLOWS = [name for name in (*FLOWS_IN, *FLOWS_OUT) if name not in ("replaced_in", "replaced_out")]


def status_of(
    context: NodeContext, store: Store, mesh: Mesh, *, started: float, now: float
) -> dict[str, Any]:
    """The document as it stands at `now`; `started` is when the node was ready."""
    brain = context.engine.brain
    custody = brain.context.custody
    names = sorted({*custody.tables, *brain.context.subscriptions.demands})
    kept = store.status()
    return {
        "format": FORMAT,
        "version": context.version,
        "protocol": frames.PROTOCOL,
        "name": context.name,
        "id": context.identity.node,
        "incarnation": context.identity.incarnation,
        "state": context.phase.value,
        "uptime_s": round(now - started, 3),
        "store": {
            "kind": kept.kind,
            "path": kept.path,
            "state": context.engine.store_failure or kept.state,
            "bytes": kept.size_bytes,
        },
        "peers": mesh.peers_status(),
        "types": {
            name: _type_status(context, custody.tables.get(name) or TypeTable(name), now)
            for name in names
        },
        "memory": {"bytes": custody.resident_bytes, "limit": context.config.limits.memory_bytes},
        "counters": {
            "unknown_frames": context.counters.unknown_frames,
            "refused_pushes": context.counters.refused_pushes,
            "restarts": context.counters.restarts,
            "faults": context.counters.faults,
        },
    }


def _type_status(context: NodeContext, table: TypeTable, now: float) -> dict[str, Any]:
    brain = context.engine.brain
    demand = brain.context.subscriptions.demands.get(table.name)
    links = brain.interest.links.values()
    accounts = [link.give[table.name] for link in links if table.name in link.give]
    oldest = table.ready.oldest()
    return {
        **{name: table.counts[state] for name, state in _STATES.items()},
        "bytes": table.held_bytes,
        "oldest_ready_age_s": round(now - oldest.since, 3) if oldest is not None else None,
        "subscriptions": len(demand.subscriptions) if demand is not None else 0,
        "credit": demand.free if demand is not None else 0,
        "remote_credit": sum(account.credit for account in accounts),
        **{name: table.flows[name].count for name in _FLOWS},
    }
