"""`mesh(n)`: n real nodes in one process."""

from __future__ import annotations

import contextlib
import time
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs
import trio

from trionode import logs
from trionode.client.connecting import ClientBlock
from trionode.client.connector import ClientOptions
from trionode.config import Config
from trionode.net.dialler import parse_address
from trionode.node import Node
from trionode.store import MemoryStore
from trionode.testing.network import MemoryNetwork

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from trionode.client import Client
    from trionode.store import Store

Stores: TypeAlias = "Callable[[str], Store]"
"""The store of a node at each of its starts, by the node's name."""
Links: TypeAlias = "Callable[[int], list[int]]"
"""Which of the nodes before it a node dials."""

ALL_BEFORE: Links = lambda index: list(range(index))  # noqa: E731  # a value of that type
"""Everybody knows everybody."""
FIRST_ONLY: Links = lambda index: [0] if index else []  # noqa: E731  # the same
"""Everybody knows the first: discovery does the rest."""
ONE_BEFORE: Links = lambda index: [index - 1] if index else []  # noqa: E731  # the same
"""A chain, where discovery is off."""


class NodeUnderTest:
    """A node of a mesh under test.

    Attributes:
        name: its name.
        address: where it is found in the mesh's network.
    """

    def __init__(self, mesh: MeshUnderTest, name: str, address: str, config: Config) -> None:
        self.name = name
        self.address = address
        self._mesh = mesh
        self._config = config
        self._node: Node | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()

    def rename(self, name: str) -> None:
        """Give it another name at its next start."""
        self._config = attrs.evolve(self._config, node=attrs.evolve(self._config.node, name=name))

    async def start(self) -> None:
        """Run it (again); as a memory node with a new id, unless the mesh has other stores."""
        mesh = self._mesh
        self._node = node = Node(
            self._config,
            mesh.make_store(self.name),
            log=logs.get_logger(node=self.name),
            random_bytes=mesh.random.randbytes,
            unix_time=time.time,
            network=mesh.network,
        )
        self._scope, self._ended = trio.CancelScope(), trio.Event()
        await mesh.nursery.start(self._run, node, name=self.name)

    async def _run(self, node: Node, task_status: trio.TaskStatus[str]) -> None:
        try:
            with self._scope:
                await node.run(task_status=task_status)
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """Have it drain, and wait for its end."""
        self.node.stop()
        await self._ended.wait()

    async def kill(self) -> None:
        """End it at once, with all that it holds in memory."""
        await self._mesh.network.cut(self.address)
        self._scope.cancel()
        await self._ended.wait()
        self._mesh.network.heal(self.address)

    @property
    def node(self) -> Node:
        """The running node."""
        assert self._node is not None, f"node {self.name} was not started"
        return self._node

    def status(self) -> dict[str, Any]:
        """What `trionode status --json` would print."""
        return self.node.status()

    async def until(self, predicate: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until the status is as awaited."""
        await self.node.context.engine.until(lambda: predicate(self.status()))
        return self.status()

    async def linked(self, count: int) -> None:
        """Wait until it is linked to so many peers."""
        await self.until(lambda status: linked_peers(status) >= count)


@attrs.define(eq=False)
class MeshUnderTest:
    """Nodes, and the network they share; `random` makes their ids, `store` their stores."""

    nursery: trio.Nursery
    store: Stores | None = None
    network: MemoryNetwork = attrs.field(factory=MemoryNetwork)
    random: Random = attrs.field(factory=lambda: Random(0))  # noqa: S311  # a test is to repeat
    nodes: list[NodeUnderTest] = attrs.field(factory=list)

    def connect(self, *nodes: NodeUnderTest) -> AbstractAsyncContextManager[Client]:
        """A client, as `trionode.connect` gives one, of these nodes; of the first when none."""

        async def dial(address: str) -> trio.abc.Stream:
            host, port = parse_address(address)
            return await self.network.dial(host, port, timeout_s=1)

        return ClientBlock(
            [node.address for node in nodes or self.nodes[:1]], ClientOptions(), dial
        )

    def make_store(self, name: str) -> Store:
        """A store for the next start of a node."""
        return MemoryStore(self.random.randbytes) if self.store is None else self.store(name)

    def __getitem__(self, index: int) -> NodeUnderTest:
        return self.nodes[index]

    def __len__(self) -> int:
        return len(self.nodes)


def linked_peers(status: dict[str, Any]) -> int:
    """How many peers a node is linked to."""
    return sum(peer["state"] == "linked" for peer in status["peers"])


@contextlib.asynccontextmanager
async def mesh(
    count: int,
    *,
    links: Links = ALL_BEFORE,
    config: Config | None = None,
    store: Stores | None = None,
    start: bool = True,
) -> AsyncIterator[MeshUnderTest]:
    """So many nodes, linked as asked, in memory, until the end of the block.

    Args:
        count: how many.
        links: which of the nodes before it each node dials.
        config: of all of them; name, address and peers are set here.
        store: makes their stores; nothing is kept when it is left out.
        start: start them, and wait until those that dial are linked to whom they dial.
    """
    base = config or Config()
    async with trio.open_nursery() as nursery:
        under_test = MeshUnderTest(nursery, store)
        addresses = [f"node{index}:7400" for index in range(count)]
        for index, address in enumerate(addresses):
            name = f"node{index}"
            own = attrs.evolve(
                base,
                node=attrs.evolve(base.node, name=name, listen=(address,), data_dir="/nowhere"),
                peers=attrs.evolve(
                    base.peers, addresses=tuple(addresses[other] for other in links(index))
                ),
            )
            under_test.nodes.append(NodeUnderTest(under_test, name, address, own))
        if start:
            for index, each in enumerate(under_test.nodes):
                await each.start()
                await each.linked(len(links(index)))
        yield under_test
        nursery.cancel_scope.cancel()
