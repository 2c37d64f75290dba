"""The status document of a node: what `trionode status --json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.node.context import Phase
from trionode.routing.custody import FLOWS_IN, FLOWS_OUT, TypeTable
from trionode.routing.model import State
from trionode.routing.patterns import is_pattern
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trionode.node.context import NodeContext
    from trionode.node.mesh import Mesh
    from trionode.routing.subscriptions import Subscription
    from trionode.store import Store

NOT_SERVING = "not_serving"
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
    keys = {*brain.context.subscriptions.demands, *brain.interest.routes}
    patterns = sorted(key for key in keys if is_pattern(key))
    names = sorted({*custody.tables, *brain.context.subscriptions.demands}.difference(patterns))
    kept = store.status()
    return {
        "format": FORMAT,
        "version": context.version,
        "protocol": frames.PROTOCOL,
        "name": context.name,
        "id": context.identity.node,
        "incarnation": context.identity.incarnation,
        "state": _state(context),
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
        "watchers": len(custody.watching),
        "patterns": {key: _pattern_status(context, key) for key in patterns},
        "memory": {"bytes": custody.memory_bytes, "limit": context.config.limits.memory_bytes},
        "counters": {
            "unknown_frames": context.counters.unknown_frames,
            "refused_pushes": context.counters.refused_pushes,
            "copies_dropped": context.counters.copies_dropped,
            "restarts": context.counters.restarts,
            "faults": context.counters.faults,
        },
    }


def _state(context: NodeContext) -> str:
    """Where the node is in its life; `not_serving` while its store fails and it takes nothing."""
    if context.phase is Phase.RUNNING and context.engine.store_failure:
        return NOT_SERVING
    return context.phase.value


def _type_status(context: NodeContext, table: TypeTable, now: float) -> dict[str, Any]:
    """What is held of a type, and who would take it by its name or by a pattern."""
    subscriptions = _subscriptions(context, table.keys)
    oldest = table.ready.oldest()
    return {
        **{name: table.counts[state] for name, state in _STATES.items()},
        "ready": table.counts[State.READY] + table.counts[State.BLOCKED],
        # Those of the ready that wait behind another of their ordering key.
        "blocked": table.counts[State.BLOCKED],
        "bytes": table.held_bytes,
        "oldest_ready_age_s": round(now - oldest.since, 3) if oldest is not None else None,
        "subscriptions": len(subscriptions),
        "credit": sum([each.free for each in subscriptions]),
        "remote_credit": _remote_credit(context, table.keys),
        **{name: table.flows[name].count for name in _FLOWS},
    }


def _pattern_status(context: NodeContext, key: str) -> dict[str, Any]:
    """The one pool of credit that all types of a pattern draw on; it shows at each of them, too."""
    subscriptions = _subscriptions(context, (key,))
    return {
        "subscriptions": len(subscriptions),
        "credit": sum([each.free for each in subscriptions]),
        "remote_credit": _remote_credit(context, (key,)),
    }


def _subscriptions(context: NodeContext, keys: Sequence[str]) -> dict[Subscription, None]:
    """The local subscriptions for any of these keys, each once."""
    demands = context.engine.brain.context.subscriptions.demands
    return {each: None for key in keys if key in demands for each in demands[key].subscriptions}


def _remote_credit(context: NodeContext, keys: Sequence[str]) -> int:
    links = context.engine.brain.interest.links.values()
    return sum([link.give[key].credit for link in links for key in keys if key in link.give])
