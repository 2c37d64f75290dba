"""A simulated mesh without its clients: nodes on a network with a clock, watched by the checkers.

`simulation.py` lets random clients and faults loose in it; tests of scenarios put in their own.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from trionode.simulation import topology
from trionode.simulation.answers import UNDISTURBED, Answers
from trionode.simulation.clocks import NodeClock
from trionode.simulation.consumers import GOOD, Consumer
from trionode.simulation.figures import Figures
from trionode.simulation.generator import Generator
from trionode.simulation.invariants import Invariants
from trionode.simulation.network import Network
from trionode.simulation.node import SimulatedNode
from trionode.simulation.producers import Producer
from trionode.simulation.scheduler import Scheduler
from trionode.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.simulation.consumers import Habit
    from trionode.simulation.host import Host
    from trionode.simulation.settings import Settings

STEP_S = 0.5
"""How often progress is looked at, in simulated seconds."""


class World:
    """Nodes, linked in the topology of the settings and started, at time zero."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.generator = Generator(settings.seed)
        self.scheduler = Scheduler()
        self.trace = Trace(settings.keep_trace)
        self.network = Network(self.scheduler, self.generator.fork(1))
        self.types = [f"t.{number}" for number in range(settings.types)]
        self.nodes: list[SimulatedNode] = []
        self.by_name: dict[str, SimulatedNode] = {}
        self._hosts: list[Host] = []
        self.invariants = Invariants(
            settings.options,
            self._hosts,
            every=settings.every,
            faults=settings.faults,
        )
        self._times = self.invariants.ledger.times
        self.answers = Answers(
            self.invariants,
            self.nodes,
            self.by_name,
            every=settings.every,
            calm=UNDISTURBED.issuperset(settings.faults),
        )
        self.figures = Figures()
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        self.slow_disks = False
        self.consumers_die = False
        self.nodes_max = settings.nodes + max(2, settings.nodes // 4)
        self._random = self.generator.fork(2)
        for _ in range(settings.nodes):
            self._new_node()
        for one, other in topology.edges(settings.topology, settings.nodes, self._random):
            self.network.join(self.nodes[one], self.nodes[other])
        for node in self.nodes:
            node.start()

    def _new_node(self) -> SimulatedNode:
        index = len(self.nodes)
        random = self._random
        rate, base = 1.0, 1000.0 * random.below(1000)
        if "clocks" in self.settings.faults:
            rate += random.between(-0.001, 0.001)
        durable = random.below(10) >= self.settings.memory_nodes
        clock = NodeClock(base, rate, self.scheduler.time)
        node = SimulatedNode(self, index, clock, durable=durable)
        self.nodes.append(node)
        self._hosts.append(node.host)
        return node

    # --- clients -------------------------------------------------------------------------------

    def add_consumer(
        self,
        node: SimulatedNode,
        keys: tuple[str, ...],
        credit: int,
        habit: Habit = GOOD,
        generator: Generator | None = None,
    ) -> Consumer:
        """A consumer of these types at a node; it connects when it is told to."""
        generator = generator or self.generator.fork(10_000 + len(self.consumers))
        consumer = Consumer(self, generator, node, keys, credit, habit)
        self.consumers.append(consumer)
        return consumer

    def add_producer(self, node: SimulatedNode) -> Producer:
        """A producer at a node; its number decides its type. It connects when it is told to."""
        number = len(self.producers)
        producer = Producer(self, self.generator.fork(20_000 + number), number, node)
        self.producers.append(producer)
        return producer

    # --- for the parts -------------------------------------------------------------------------

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """Every event of every brain passes here, with what it caused."""
        time = self._times.time = self.scheduler.time
        self.trace.event(time, host.index, event, out)
        self.figures.observe(host.index, event, out)
        self.invariants.observe(host, event, out, now)

    def note(self, text: str) -> None:
        """Something happened that is no event of a brain."""
        self.trace.note(self.scheduler.time, text)

    def any_node(self, generator: Generator) -> SimulatedNode | None:
        """A node that is up and means to stay."""
        staying = [node for node in self.nodes if node.up and not (node.draining or node.leaving)]
        return generator.pick(staying) if staying else None

    def add_node(self, generator: Generator) -> None:
        """A node joins with links to two others."""
        others = [node for node in self.nodes if node.up and not node.leaving]
        node = self._new_node()
        node.start()
        generator.shuffle(others)
        for other in others[:2]:
            self.network.join(node, other)

    def disconnect_for_good(self, node: SimulatedNode) -> None:
        """Remove a node's links; its neighbours are linked in a row, so that none is cut off."""
        others = [other for line in node.lines for other in line.nodes if other is not node]
        for line in list(node.lines):
            self.network.remove(line)
        for one, other in itertools.pairwise(others):
            if not any(other in line.nodes for line in one.lines):
                self.network.join(one, other)

    def connect_anew(self, node: SimulatedNode) -> None:
        """A node that had left comes back."""
        others = [other for other in self.nodes if other is not node and not other.leaving]
        for other in others[:2]:
            self.network.join(node, other)

    def run_until(
        self, time: float, progress: Callable[[float], None] = lambda _time: None
    ) -> None:
        """Let everything happen that is to happen until a time."""
        while self.scheduler.time < time:
            self.scheduler.run(min(time, self.scheduler.time + STEP_S))
            progress(self.scheduler.time)

    @property
    def turns(self) -> int:
        """Events that brains have taken."""
        return sum(node.host.turns for node in self.nodes)
