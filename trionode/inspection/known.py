"""What nodes are called: a bounded memory of names and addresses, also of nodes that are gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

KNOWN_MAX = 4096
"""Nodes remembered; beyond it, those that were heard of the longest time ago are forgotten."""
LOST_SAID_S = 600.0
"""How long a node that was linked and is gone counts as missing."""


@attrs.frozen
class KnownNode:
    """A node as it introduced itself, or as a peer told of it."""

    node: str
    name: str
    address: str


class KnownNodes:
    """Node ids and their names; both this node's own and those heard of."""

    def __init__(self, own: str, name: str) -> None:
        self._own = own
        self._lost: dict[str, float] = {}
        """When the link to a node ended, of those that were not linked again."""
        self._nodes: dict[str, KnownNode] = {own: KnownNode(own, name, "")}

    def learn(self, node: str, name: str, address: str) -> None:
        """Note what a node is called now."""
        if node == self._own:
            return
        self._lost.pop(node, None)
        self._nodes.pop(node, None)
        self._nodes[node] = KnownNode(node, name, address)
        if len(self._nodes) > KNOWN_MAX:
            self.forget(next(each for each in self._nodes if each != self._own))

    def lose(self, node: str, now: float) -> None:
        """Note that the link to a node has ended."""
        if node in self._nodes:
            self._lost[node] = now

    def lost(self, now: float, present: Collection[str]) -> list[KnownNode]:
        """The nodes lost not long ago, but those present, or another at whose address is."""
        for node in [each for each, when in self._lost.items() if when < now - LOST_SAID_S]:
            del self._lost[node]
        addresses = {self._nodes[node].address for node in present if node in self._nodes}
        return [
            known
            for node in self._lost
            if node not in present and (known := self._nodes[node]).address not in addresses
        ]

    def familiar(self, peers: Iterable[KnownNode], now: float) -> list[KnownNode]:
        """Every node that belongs to the mesh as far as this one knows.

        Args:
            peers: those linked or dialled; of the latter, the address may be all that is known.
            now: the same clock as for `lose`.
        """
        found = {peer.node or peer.address: peer for peer in peers}
        return [*found.values(), *self.lost(now, found)]

    def forget(self, node: str) -> None:
        """Forget a node."""
        if node != self._own:
            self._nodes.pop(node, None)
            self._lost.pop(node, None)

    def get(self, node: str) -> KnownNode:
        """What is known of an id, which may be nothing but the id."""
        return self._nodes.get(node) or KnownNode(node, "", "")

    def ids(self) -> set[str]:
        """All ids that are remembered, this node's own among them."""
        return set(self._nodes)

    def word_for(self, node: str) -> str:
        """A node for people: its name, or its id where no name is known."""
        return f"node {self.get(node).name or node}"

    def named(self, name: str) -> list[KnownNode]:
        """The nodes of that name, of which there may be several."""
        return [each for each in self._nodes.values() if each.name == name]
