"""A simulated mesh for a told story: nodes, consumers and producers where a test wants them.

Every checker looks at every event, unless a story has too many objects for that (`every`); `finish`
ends a story with everything that must hold then.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from trionode.routing import RoutingOptions
from trionode.simulation.consumers import LATENCY_S, Consumer
from trionode.simulation.endings import is_drained, judge, name_stranded
from trionode.simulation.producers import Producer
from trionode.simulation.settings import Settings
from trionode.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.simulation.network import Line
    from trionode.simulation.node import SimulatedNode

PLENTY_BYTES = 1 << 20
QUIET_S = 20.0
STEP_S = 0.0002
"""How finely a story waits for a moment: as long as a pass of a node's loop."""


class Steady(Consumer):
    """Handles one object after another, each for the same time; of `nacks` in 1,000 it fails."""

    each_s = 0.01
    nacks = 0
    handled = 0
    pending: deque[tuple[int, int]]
    busy = False

    def _received(self, stream: int, subscription: int, batch: list[tuple[int, int]]) -> None:
        if stream != self.stream or subscription != self.subscription:
            return
        if not self.busy:
            self.pending = deque()
        self.pending.extend(batch)
        if not self.busy:
            self._next(stream)

    def _next(self, stream: int) -> None:
        self.busy = stream == self.stream and bool(self.pending)
        if self.busy:
            lease = self.pending.popleft()
            self._world.scheduler.after(self.each_s, self._done, stream, lease)

    def _done(self, stream: int, lease: tuple[int, int]) -> None:
        if stream == self.stream:
            nack = self._generator.below(1000) < self.nacks
            self.handled += not nack
            self._settle("nack" if nack else "ack", [lease])
        self._next(stream)


class Plain(Producer):
    """Pushes objects whose rare properties the test says: `due` and `deadline`, simulated times."""

    says: dict[str, Any] = {}

    def rare(self, sequence: int) -> dict[str, Any]:  # all have the same
        return self.says


class Ear:
    """A consumer stream of which a test says every word: `heard` is what the node sent to it."""

    def __init__(self, scene: Scene, node: SimulatedNode) -> None:
        self.stream = scene.network.handle()
        self.node = node
        self.heard: list[Any] = []
        node.streams[self.stream] = self

    def told(self, effect: Any) -> None:
        self.heard.append(effect)

    def node_died(self) -> None:
        self.stream = 0

    def node_drains(self) -> None:
        """Stays where it is."""


class Scene(World):
    """A world at time zero whose links are up."""

    def __init__(
        self,
        nodes: int,
        topology: str = "mesh",
        *,
        types: int = 1,
        faults: tuple[str, ...] = (),
        seed: int = 1,
        volatile: tuple[int, ...] = (),
        every: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(
            Settings(
                nodes=nodes,
                seed=seed,
                topology=topology,
                types=types,
                faults=faults,
                memory_nodes=0,
                every=every,
                keep_trace=200,
                options=RoutingOptions(**options),
            )
        )
        for index in volatile:
            node = self.nodes[index]
            node.crash(written=True, notice_max_s=0.0)
            node.lose_disk()
            node.durable = False
            node.start()
        self.pass_(2.0)
        assert all(line.up for line in self.network.lines)

    # --- who is there --------------------------------------------------------------------------

    def consumer(self, node: int, *keys: str, credit: int = 64, habit: Any = None) -> Consumer:
        consumer = self.add_consumer(self.nodes[node], keys or ("t.0",), credit)
        consumer.credit_bytes = PLENTY_BYTES
        if habit is not None:
            consumer.habit = habit
        consumer.connect()
        return consumer

    def steady(
        self, node: int, *keys: str, credit: int = 4, each_s: float = 0.01, nacks: int = 0
    ) -> Steady:
        number = len(self.consumers)
        consumer = Steady(
            self, self.generator.fork(10_000 + number), self.nodes[node], keys or ("t.0",), credit
        )
        consumer.credit_bytes = PLENTY_BYTES
        consumer.each_s, consumer.nacks = each_s, nacks
        self.consumers.append(consumer)
        consumer.connect()
        return consumer

    def producer(self, node: int) -> Plain:
        number = len(self.producers)
        producer = Plain(self, self.generator.fork(20_000 + number), number, self.nodes[node])
        self.producers.append(producer)
        producer.connect()
        return producer

    def push(self, producer: Producer, count: int) -> None:
        """Push so many plain objects, as fast as their acknowledgements let it."""
        while count:
            count -= producer.push(min(count, 12))
            self.pass_(0.001)

    # --- time ----------------------------------------------------------------------------------

    def pass_(self, seconds: float) -> None:
        self.run_until(self.scheduler.time + seconds)

    def until(self, done: Callable[[], bool], within_s: float = 60.0) -> None:
        """Step finely until something is so."""
        end = self.scheduler.time + within_s
        while not done():
            assert self.scheduler.time < end, "it did not come to that"
            self.scheduler.run(self.scheduler.time + STEP_S)

    def drain(self, within_s: float = 120.0) -> None:
        """Run until no object waits for anything but a person."""
        end = self.scheduler.time + within_s
        while not is_drained(self):
            if self.scheduler.time >= end:
                name_stranded(self)
            self.pass_(0.05)

    def finish(self) -> None:
        """Everything comes to its end, everyone leaves, and nothing may be left of it."""
        self.drain()
        for consumer in self.consumers:
            consumer.close()
        self.pass_(QUIET_S)
        judge(self)

    # --- looking -------------------------------------------------------------------------------

    @property
    def counts(self) -> dict[str, int]:
        return self.invariants.ledger.counts

    @property
    def settled(self) -> int:
        return self.counts.get("settled", 0)

    @property
    def transfers(self) -> int:
        return self.counts.get("transfers", 0)

    @property
    def deliveries(self) -> int:
        return sum(fate.deliveries for fate in self.invariants.ledger.fates.values())

    def held(self, node: int) -> int:
        brain = self.nodes[node].host.brain
        return len(brain.context.custody.objects) if brain is not None else 0

    def interest(self, node: int) -> set[str]:
        """Types for which a node knows of a consumer elsewhere."""
        brain = self.nodes[node].host.brain
        return set(brain.interest.routes) if brain is not None else set()

    def line(self, one: int, other: int) -> Line:
        ends = (self.nodes[one], self.nodes[other])
        return next(line for line in self.network.lines if set(line.nodes) == set(ends))

    def silence(self, one: int, other: int) -> None:
        """Let nothing from `one` arrive at `other`, until the line is healed."""
        line = self.line(one, other)
        self.network.block(line, line.nodes.index(self.nodes[other]))


__all__ = ["LATENCY_S", "Ear", "Plain", "Scene", "Steady"]
