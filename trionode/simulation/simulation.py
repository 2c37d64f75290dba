"""One simulation from settings to its end: random clients and faults, judged by the checkers.

First come pushes and faults, then the faults heal and good consumers take all that is left (I5),
then everyone leaves and no interest may be left (I7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.simulation.consumers import ALL_TYPES, HABITS
from trionode.simulation.endings import is_drained, judge, name_stranded
from trionode.simulation.faults import Faults
from trionode.simulation.operators import Operator
from trionode.simulation.world import STEP_S, World

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.settings import Settings

DRAIN_MAX_S = 900.0
"""I5: within this time after the last fault everything that can be delivered must be."""
QUIET_S = 20.0
"""After the last consumer has gone, so long until all must have heard of it."""
PUSH_MAX = 12
"""Objects in one push."""
CREDIT = 64
REACH = 6
"""A good consumer of each type is put within so many links of every node at the end."""


class Simulation(World):
    """A world with random clients and faults; `run` does all of it."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.faults = Faults(self)
        self.operator = Operator(self, self.generator.fork(3))
        self._pushed = 0
        self._add_clients()
        self.consumers_max = 2 * len(self.consumers) + 2

    def _add_clients(self) -> None:
        settings = self.settings
        count = settings.consumers or max(3 * settings.types, settings.nodes // 2)
        for number in range(count):
            node = self._random.pick(self.nodes)
            keys: tuple[str, ...] = (self.types[number % len(self.types)],)
            if number % 4 == 3:
                keys = (*keys, self.types[(number + 1) % len(self.types)])
            elif number % 4 == 2:
                keys = (ALL_TYPES,)
            habit = HABITS[0]
            if "consumers" in settings.faults:
                habit = self._random.pick(HABITS)
            credit = CREDIT if number % 3 else 4
            consumer = self.add_consumer(node, keys, credit, habit)
            self.scheduler.after(0.2 * self._random.unit(), consumer.connect)
        for _ in range(max(len(self.types), settings.nodes // 2)):
            node = self._random.pick(self.nodes)
            producer = self.add_producer(node)
            self.scheduler.after(0.2 * self._random.unit(), producer.connect)

    def run(self, progress: Callable[[float], None] = lambda _time: None) -> None:
        """Run to the end.

        Raises:
            InvariantBroken: one of the checkers objects.
        """
        self._push_soon()
        self.faults.start()
        self.operator.start()
        self.run_until(self.settings.seconds, progress)
        while self._pushed < self.settings.objects:
            self.run_until(self.scheduler.time + STEP_S, progress)
        self.faults.stop()
        self.figures.fault_free_from = self.scheduler.time
        self._send_good_consumers()
        self._drain(progress)
        self._leave()
        judge(self)

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
            consumer.begin_anew()
        up = [node for node in self.nodes if node.up]
        self._random.shuffle(up)
        served: dict[SimulatedNode, None] = {}
        for node in up:
            if node not in served:
                served.update(dict.fromkeys(_served_by(node)))
                generator = self.generator.fork(30_000 + node.index)
                keys = generator.pick((tuple(self.types), (ALL_TYPES,)))
                self.add_consumer(node, keys, CREDIT, generator=generator).connect()

    def _drain(self, progress: Callable[[float], None]) -> None:
        """I5: everything comes to its end within a bounded time."""
        end = self.scheduler.time + DRAIN_MAX_S
        while not is_drained(self):
            if self.scheduler.time >= end:
                name_stranded(self)
            self.run_until(self.scheduler.time + STEP_S, progress)
        self.figures.drained_at = self.scheduler.time

    def _leave(self) -> None:
        self.operator.stop()
        for consumer in self.consumers:
            consumer.close()
        self.run_until(self.scheduler.time + QUIET_S, lambda _time: None)


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
