"""A whole simulated mesh: built from settings, run to its end, judged by the checkers.

First come pushes and faults, then the faults heal and good consumers take all that is left (I5),
then everyone leaves and no interest may be left (I7).
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from trionode.routing.model import State
from trionode.simulation import topology
from trionode.simulation.books import check_no_interest, check_nothing_in_doubt, check_sums, recount
from trionode.simulation.clocks import NodeClock
from trionode.simulation.consumers import HABITS, Consumer
from trionode.simulation.faults import Faults
from trionode.simulation.figures import Figures
from trionode.simulation.generator import Generator
from trionode.simulation.invariants import Invariants
from trionode.simulation.ledger import InvariantBroken
from trionode.simulation.network import Network
from trionode.simulation.node import SimulatedNode
from trionode.simulation.producers import Producer
from trionode.simulation.scheduler import Scheduler
from trionode.simulation.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.simulation.host import Host
    from trionode.simulation.settings import Settings

DRAIN_MAX_S = 900.0
"""I5: within this time after the last fault everything that can be delivered must be."""
QUIET_S = 20.0
"""After the last consumer has gone, so long until all must have heard of it."""
STEP_S = 0.5
"""How often progress is looked at, in simulated seconds."""
PUSH_MAX = 12
"""Objects in one push."""
CREDIT = 64
REACH = 6
"""A good consumer of each type is put within so many links of every node at the end."""


class World:
    """One simulation; `run` does all of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.generator = Generator(settings.seed)
        self.scheduler = Scheduler()
        self.trace = Trace(settings.keep_trace)
        self.network = Network(self.scheduler, self.generator.fork(1))
        self.types = [f"t{number}" for number in range(settings.types)]
        self.nodes: list[SimulatedNode] = []
        self.by_name: dict[str, SimulatedNode] = {}
        self._hosts: list[Host] = []
        self.invariants = Invariants(
            settings.options, self._hosts, every=settings.every, calm=not settings.faults
        )
        self.figures = Figures()
        self.faults = Faults(self)
        self.producers: list[Producer] = []
        self.consumers: list[Consumer] = []
        self.slow_disks = False
        self.consumers_die = False
        self.nodes_max = settings.nodes + max(2, settings.nodes // 4)
        self._random = self.generator.fork(2)
        self._pushed = 0
        self._build()
        self.consumers_max = 2 * len(self.consumers) + 2

    def _build(self) -> None:
        settings = self.settings
        for _ in range(settings.nodes):
            self._new_node()
        for one, other in topology.edges(settings.topology, settings.nodes, self._random):
            self.network.join(self.nodes[one], self.nodes[other])
        for node in self.nodes:
            node.start()
        count = settings.consumers or max(3 * settings.types, settings.nodes // 2)
        for number in range(count):
            node = self._random.pick(self.nodes)
            keys: tuple[str, ...] = (self.types[number % len(self.types)],)
            if number % 4 == 3:
                keys = (*keys, self.types[(number + 1) % len(self.types)])
            habit = HABITS[0]
            if "consumers" in settings.faults:
                habit = self._random.pick(HABITS)
            credit = CREDIT if number % 3 else 4
            consumer = Consumer(
                self, self.generator.fork(10_000 + number), node, keys, credit, habit
            )
            self.consumers.append(consumer)
            self.scheduler.after(0.2 * self._random.unit(), consumer.connect)
        for number in range(max(len(self.types), settings.nodes // 2)):
            node = self._random.pick(self.nodes)
            producer = Producer(self, self.generator.fork(20_000 + number), number, node)
            self.producers.append(producer)
            self.scheduler.after(0.2 * self._random.unit(), producer.connect)

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

    # --- for the parts -------------------------------------------------------------------------

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """Every event of every brain passes here, with what it caused."""
        time = self.invariants.ledger.time = self.scheduler.time
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

    # --- the run -------------------------------------------------------------------------------

    def run(self, progress: Callable[[float], None] = lambda _time: None) -> None:
        """Run to the end.

        Raises:
            InvariantBroken: one of the checkers objects.
        """
        self._push_soon()
        self.faults.start()
        self._run_until(self.settings.seconds, progress)
        while self._pushed < self.settings.objects:
            self._run_until(self.scheduler.time + STEP_S, progress)
        self.faults.stop()
        self.figures.fault_free_from = self.scheduler.time
        self._send_good_consumers()
        self._drain(progress)
        self._leave()
        self._judge()

    def _run_until(self, time: float, progress: Callable[[float], None]) -> None:
        while self.scheduler.time < time:
            self.scheduler.run(min(time, self.scheduler.time + STEP_S))
            progress(self.scheduler.time)

    def _push_soon(self) -> None:
        settings = self.settings
        if self._pushed >= settings.objects:
            return
        count = min(1 + self._random.below(PUSH_MAX), settings.objects - self._pushed)
        producer = self._random.pick(self.producers)
        self._pushed += producer.push(count)
        mean_s = settings.seconds * 0.9 * (PUSH_MAX + 1) / 2 / settings.objects
        self.scheduler.after(2 * mean_s * self._random.unit(), self._push_soon)

    def _send_good_consumers(self) -> None:
        """Let nobody be in the way, and somebody wait for each type near every node."""
        for consumer in self.consumers:
            consumer.habit = HABITS[0]
            consumer.set_credit(max(1, consumer.credit))
            consumer.resubscribe()
        up = [node for node in self.nodes if node.up]
        self._random.shuffle(up)
        served: dict[SimulatedNode, None] = {}
        for node in up:
            if node not in served:
                served.update(dict.fromkeys(_served_by(node)))
                generator = self.generator.fork(30_000 + node.index)
                consumer = Consumer(self, generator, node, tuple(self.types), CREDIT)
                self.consumers.append(consumer)
                consumer.connect()

    def _drain(self, progress: Callable[[float], None]) -> None:
        """I5: everything comes to its end within a bounded time."""
        end = self.scheduler.time + DRAIN_MAX_S
        while not self._is_drained():
            if self.scheduler.time >= end:
                self._name_stranded()
            self._run_until(self.scheduler.time + STEP_S, progress)
        self.figures.drained_at = self.scheduler.time

    def _is_drained(self) -> bool:
        if any(producer.open for producer in self.producers):
            return False
        for node in self.nodes:
            brain = node.host.brain
            if brain is not None:
                for table in brain.context.custody.tables.values():
                    if table.held != table.counts[State.DEAD]:
                        return False
        return True

    def _name_stranded(self) -> None:
        for node in self.nodes:
            brain = node.host.brain
            for id_, item in brain.context.custody.objects.items() if brain is not None else ():
                if item.state != State.DEAD:
                    text = f"{item.table.name} is {item.state.name} at n{node.index} for ever"
                    raise InvariantBroken("I5", text, id_)
        raise InvariantBroken("I5", "a producer waits for an acknowledgement for ever")

    def _leave(self) -> None:
        for consumer in self.consumers:
            consumer.close()
        self._run_until(self.scheduler.time + QUIET_S, lambda _time: None)

    def _judge(self) -> None:
        """What must hold when nothing moves any more."""
        ledger = self.invariants.ledger
        for node in self.nodes:
            brain = node.host.brain
            if brain is not None:
                check_sums(brain, len(ledger.held[node.index]))
                recount(brain)
                check_no_interest(brain)
                check_nothing_in_doubt(brain)
        for id_, fate in ledger.fates.items():
            if fate.acknowledged and not fate.over and not fate.dead:
                raise InvariantBroken("I1", "an acknowledged object was never settled", id_)
            if not self.settings.faults and fate.settled != 1 and not fate.expired:
                raise InvariantBroken("I2", f"settled {fate.settled} times", id_)

    @property
    def turns(self) -> int:
        """Events that brains have taken."""
        return sum(node.host.turns for node in self.nodes)


def _served_by(node: SimulatedNode) -> list[SimulatedNode]:
    """The nodes whose objects can come to a consumer at `node`: R2 keeps durable ones durable."""
    found, last = {node: None}, [node]
    for _ in range(REACH):
        before = [
            other
            for here in last
            for line in here.lines
            for other in line.nodes
            if other not in found and (here.durable or not other.durable)
        ]
        last = list(dict.fromkeys(before))
        found.update(dict.fromkeys(last))
    return list(found)
