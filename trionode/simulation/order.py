"""Checks of order: within an ordering key at each node, across nodes that stay up, of priorities.

Derived from what nodes keep, forget and deliver; of a brain's own books only which priorities wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects
from trionode.routing.lines import BOUND, priority_of
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing.effects import Effect
    from trionode.routing.model import HeldObject
    from trionode.simulation.host import Host
    from trionode.simulation.ledger import Ledger

Key = tuple[str, str]
"""A type and an ordering key."""


@attrs.define(eq=False)
class _Node:
    """What a node has of keys. `ranks`: id -> when it came, of what is to be leased in order.

    `returned` are those whose place is their node's own affair: they had been here before, or been
    dead letters, or came from another node, whose order they are part of.
    """

    ranks: dict[Key, dict[int, int]] = attrs.field(factory=dict)
    seen: dict[int, Key] = attrs.field(factory=dict)
    returned: dict[int, None] = attrs.field(factory=dict)
    idle: dict[str, dict[int, int]] = attrs.field(factory=dict)
    """Type -> of each priority that waits: leases of others since it was served."""


class Order:
    """Sees what every node does; see the module.

    Args:
        ledger: knows what is over.
        steady: nodes and links stay up, so that a key's order holds over the whole mesh.
    """

    def __init__(self, ledger: Ledger, *, steady: bool) -> None:
        self._ledger = ledger
        self._steady = steady
        self._nodes: dict[int, _Node] = {}
        self._count = 0
        self._pushed: dict[Key, list[int]] = {}

    def attempted(self, id_: int, type_: str, key: str | None) -> None:
        """A producer sends an object for the first time."""
        if key is not None:
            self._pushed.setdefault((type_, key), []).append(id_)

    def node_started(self, host: Host) -> None:
        """A life begins with what the disk has kept, in the order in which it had come."""
        assert host.brain is not None
        node = self._nodes.setdefault(host.index, _Node())
        node.idle.clear()
        found = host.brain.context.custody.objects
        for key, ranks in list(node.ranks.items()):
            node.ranks[key] = {id_: rank for id_, rank in ranks.items() if id_ in found}
        for item in found.values():
            if item.details is not None and item.detail("dead") is None:
                self._came(node, item)

    def observe(self, host: Host, out: list[Effect]) -> None:
        """A brain has put out these effects."""
        node = self._nodes[host.index]
        for effect in out:
            kind = type(effect)
            if kind is effects.Keep:
                for item in effect.objects:  # type: ignore[attr-defined]  # checked above
                    if item.details is not None and "ordering_key" in item.details:
                        self._kept(node, item)
            elif kind is effects.Forget:
                for id_ in effect.ids if node.seen else ():  # type: ignore[attr-defined]  # as above
                    if id_ in node.seen:
                        node.ranks.get(node.seen[id_], {}).pop(id_, None)
            elif kind is effects.Deliver:
                self._delivered(host, node, effect.objects)  # type: ignore[attr-defined]  # as above

    # --- keys ----------------------------------------------------------------------------------

    def _kept(self, node: _Node, item: HeldObject) -> None:
        key = (item.table.name, item.detail("ordering_key"))
        if item.detail("dead") is not None:
            node.ranks.get(key, {}).pop(item.id, None)
            node.seen.setdefault(item.id, key)
        else:
            self._came(node, item)

    def _came(self, node: _Node, item: HeldObject) -> None:
        if item.detail("ordering_key") is None:
            return
        key = (item.table.name, item.detail("ordering_key"))
        ranks = node.ranks.setdefault(key, {})
        if item.id in ranks:
            return
        if item.id in node.seen or item.detail("path"):
            node.returned[item.id] = None
        node.seen[item.id] = key
        self._count += 1
        ranks[item.id] = self._count

    def _delivered(self, host: Host, node: _Node, objects: list[HeldObject]) -> None:
        for item in objects:
            if item.id in node.seen and item.detail("ordering_key") is not None:
                self._check_key(host, node, item)
        self._check_turns(host, node, objects)

    def _check_key(self, host: Host, node: _Node, item: HeldObject) -> None:
        key = (item.table.name, item.detail("ordering_key"))
        ranks = node.ranks[key]
        leases = self._ledger.leases[host.index].valid
        for id_, rank in ranks.items():
            if id_ == item.id:
                continue
            if id_ in leases:
                text = f"node {host.index} leases two objects of the key {key[1]}"
                raise InvariantBroken("order", text, item.id)
            if rank < ranks[item.id] and not {id_, item.id} & node.returned.keys():
                text = f"an earlier object of the key {key[1]} is at node {host.index}"
                raise InvariantBroken("order", text, item.id)
        if self._steady:
            self._check_mesh(key, item)

    def _check_mesh(self, key: Key, item: HeldObject) -> None:
        fates = self._ledger.fates
        for id_ in self._pushed[key]:
            if id_ == item.id:
                return
            fate = fates[id_]
            if fate.over or fate.dead or fate.excuses or fates[item.id].excuses:
                continue
            if fate.acknowledged or fate.deliveries:
                raise InvariantBroken("order", f"an earlier object of {key[1]} goes on", item.id)

    # --- priorities ----------------------------------------------------------------------------

    def _check_turns(self, host: Host, node: _Node, objects: list[HeldObject]) -> None:
        """Of so many leases one is of each priority that waits; suspects go before all others."""
        assert host.brain is not None
        table = objects[0].table
        lines = table.ready.waiting()
        before = node.idle.pop(table.name, {})
        if not lines:
            return
        served = [priority_of(item) for item in objects if not item.suspect]
        node.idle[table.name] = idles = {}
        for priority in lines:
            idle = before.get(priority, 0)
            for each in served:
                idle = 0 if each == priority else idle + 1
                if idle >= BOUND:
                    text = f"priority {priority} of {table.name} has no turn in {idle} leases"
                    raise InvariantBroken("priority", text, objects[0].id)
            idles[priority] = idle
