"""What goes wrong in a simulation, each kind on its own schedule of quiet and stormy times.

A fault only ever acts on the surroundings of brains: network, disk, clock, clients. Every schedule
has its own stream of random numbers, so that leaving one out leaves the others as they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import events
from trionode.routing.model import State
from trionode.simulation.consumers import ALL_TYPES, FUSSY, HABITS, Consumer

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.simulation.generator import Generator
    from trionode.simulation.network import Line
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.simulation import Simulation

NOTICE_S = 2.0
"""A broken connection is noticed within this: at once where a socket closes, or late."""


@attrs.frozen
class Kind:
    """One kind of fault: the mean time between two, for five nodes, and what happens."""

    mean_s: float
    strike: Callable[[Faults, Generator], None]


class Faults:
    """Lets faults happen until it is stopped, then heals everything."""

    def __init__(self, world: Simulation) -> None:
        self._world = world
        self._on = False
        self.struck: dict[str, int] = {}

    def start(self) -> None:
        """Begin all schedules."""
        self._on = True
        world = self._world
        for index, name in enumerate(KINDS):
            if name in world.settings.faults:
                generator = world.generator.fork(100 + index)
                self._quiet(name, generator)

    def _quiet(self, name: str, generator: Generator) -> None:
        """A quiet time before the next stormy one; the first is short."""
        world = self._world
        calm_s = generator.between(0.0, 0.15 * world.settings.seconds)
        storm_s = generator.between(0.1, 0.6) * world.settings.seconds
        start = world.scheduler.time + calm_s
        world.scheduler.at(start, self._next, name, generator, start + storm_s)

    def _next(self, name: str, generator: Generator, until: float) -> None:
        if not self._on:
            return
        world = self._world
        if world.scheduler.time >= until:
            self._quiet(name, generator)
            return
        mean_s = KINDS[name].mean_s * 5 / max(5, len(world.nodes))
        world.scheduler.after(generator.wait(mean_s), self._strike, name, generator, until)

    def _strike(self, name: str, generator: Generator, until: float) -> None:
        if self._on:
            self.struck[name] = self.struck.get(name, 0) + 1
            KINDS[name].strike(self, generator)
            self._next(name, generator, until)

    def stop(self) -> None:
        """No more faults: what is broken heals, who is down and can come back does."""
        self._on = False
        world = self._world
        world.slow_disks = world.consumers_die = False
        for line in world.network.lines:
            line.slow_s = 0.0
            world.network.heal(line)
        for node in world.nodes:
            if node.paused:
                node.resume()
            if node.up and node.draining:
                node.crash(written=True, notice_max_s=0.5, reason="a node was restarted")
            if not node.up and (node.host.disk is not None or not node.leaving):
                if node.leaving:
                    node.leaving = False
                    world.connect_anew(node)
                node.start()

    # --- the kinds -----------------------------------------------------------------------------

    def delays(self, generator: Generator) -> None:
        """A link, or all disks, become slow or fast again."""
        line = self._line(generator)
        if line is not None:
            line.slow_s = generator.pick((0.0, 0.002, 0.02, 0.2))
        self._world.slow_disks = generator.chance(0.5)

    def links(self, generator: Generator) -> None:
        """A connection is lost with all that is in flight."""
        line = self._line(generator)
        if line is not None:
            self._world.network.cut(line, generator.pick((0.0, 0.01, NOTICE_S)))

    def partitions(self, generator: Generator) -> None:
        """Nothing arrives at one end of some links, or at both."""
        world = self._world
        ends = generator.pick(((0,), (1,), (0, 1)))
        lines = [self._line(generator)]
        if generator.chance(0.3):
            node = self._node(generator)
            lines = [*node.lines] if node is not None else []
        for line in lines:
            if line is not None and not any(line.blocked):
                world.network.block(line, *ends)
                world.scheduler.after(generator.wait(6.0), world.network.heal, line)

    def crashes(self, generator: Generator) -> None:
        """A node dies, at any moment or during its next commit, and is started again."""
        node = self._node(generator)
        if node is None:
            return
        written, notice_s = generator.chance(0.5), generator.pick((0.0, NOTICE_S))
        if generator.chance(0.5):
            self._die(node, node.life, generator, written=written, notice_s=notice_s)
        else:
            node.at_next_commit = lambda life: self._die(
                node, life, generator, written=written, notice_s=notice_s
            )

    def _die(
        self,
        node: SimulatedNode,
        life: int,
        generator: Generator,
        *,
        written: bool,
        notice_s: float,
    ) -> None:
        if self._on and node.up and node.life == life:
            node.crash(written=written, notice_max_s=notice_s)
            self._world.scheduler.after(generator.wait(3.0), self._restart, node)

    def _restart(self, node: SimulatedNode) -> None:
        if not node.up and not node.leaving and self._on:
            node.start()

    def disks(self, generator: Generator) -> None:
        """A node dies and its disk with it; another begins in its place."""
        node = self._node(generator)
        if node is not None and node.durable:
            node.crash(written=True, notice_max_s=NOTICE_S)
            node.lose_disk()
            self._world.scheduler.after(generator.wait(3.0), self._restart, node)

    def pauses(self, generator: Generator) -> None:
        """A node stands still, as in a long garbage collection, and wakes up with old news."""
        node = self._node(generator)
        if node is not None and not node.paused:
            node.paused = True
            self._world.note(f"n{node.index} pauses")
            self._world.scheduler.after(generator.wait(4.0), self._wake, node, node.life)

    def _wake(self, node: SimulatedNode, life: int) -> None:
        if node.paused and node.life == life:
            node.resume()

    def clocks(self, generator: Generator) -> None:
        """A node's clock jumps forward."""
        node = self._node(generator)
        if node is not None and not node.paused:
            forward_s = generator.pick((0.05, 1.0, 20.0))
            self._world.invariants.ledger.clock_jumped(node.host, forward_s)
            node.clock.jump(self._world.scheduler.time, forward_s)
            node.clock_jumped()

    def consumers(self, generator: Generator) -> None:
        """A consumer dies, or changes its ways."""
        world = self._world
        world.consumers_die = True
        if world.consumers:
            consumer = generator.pick(world.consumers)
            if generator.chance(0.6):
                returning = [each for each in world.consumers if each.may_return]
                if returning and generator.chance(0.5):
                    consumer = generator.pick(returning)
                consumer.die(generator.pick((0.0, 0.0, 3.0)))
            else:
                consumer.habit = generator.pick(HABITS)

    def producers(self, generator: Generator) -> None:
        """A producer loses its connection, and pushes again here or elsewhere."""
        world = self._world
        if world.producers:
            generator.pick(world.producers).disconnect(elsewhere=generator.chance(0.2))

    def drains(self, generator: Generator) -> None:
        """A node drains and is started again, as in a rolling restart."""
        node = self._node(generator)
        if node is not None and not node.paused:
            node.drain()
            self._world.scheduler.after(
                generator.between(1.0, 5.0), self._drained, node, node.life, generator
            )

    def _drained(self, node: SimulatedNode, life: int, generator: Generator) -> None:
        if node.life == life and node.up:
            node.crash(written=True, notice_max_s=0.1, reason="a node was restarted")
            self._world.scheduler.after(generator.wait(1.0), self._restart, node)

    def churn(self, generator: Generator) -> None:
        """A subscription ends and begins, its window changes, consumers come and go."""
        world = self._world
        draw = generator.below(4)
        if draw == 0 and len(world.consumers) < world.consumers_max:
            node = world.any_node(generator)
            if node is not None:
                keys = (generator.pick((*world.types, ALL_TYPES, ">")),)
                credit = 1 + generator.below(32)
                consumer = Consumer(
                    world, generator.fork(generator.below(1 << 30)), node, keys, credit
                )
                world.consumers.append(consumer)
                consumer.connect()
        elif draw == 1 and world.consumers:
            consumer = generator.pick(world.consumers)
            world.consumers.remove(consumer)
            consumer.close()
        elif draw == 2 and world.consumers:
            generator.pick(world.consumers).set_credit(generator.below(33))
        elif world.consumers:
            generator.pick(world.consumers).resubscribe()

    def membership(self, generator: Generator) -> None:
        """A node joins, or one drains and leaves for good."""
        world = self._world
        if generator.chance(0.5) and len(world.nodes) < world.nodes_max:
            world.add_node(generator)
            return
        node = self._node(generator)
        staying = sum(1 for each in world.nodes if each.up and not each.leaving)
        if node is not None and staying > 2 and not node.paused:
            node.drain()
            world.scheduler.after(4.0, self._left, node, node.life)

    def _left(self, node: SimulatedNode, life: int) -> None:
        world = self._world
        if node.life != life or not node.up or not self._on:
            return
        node.leaving = True
        node.crash(written=True, notice_max_s=0.1, reason="a node left")
        world.disconnect_for_good(node)

    def people(self, generator: Generator) -> None:
        """A defect makes dead letters; a person retries or discards them; or forgets a node."""
        world = self._world
        draw = generator.below(10)
        if draw < 2 and world.consumers:
            generator.pick(world.consumers).habit = FUSSY
        elif draw < 5:
            nodes = [node for node in world.nodes if node.up and not node.paused]
            doubting = [node for node in nodes if _doubts(node)]
            if nodes:
                self._forget(generator.pick(doubting or nodes), generator)
        else:
            self._deal(generator)

    def _deal(self, generator: Generator) -> None:
        """A person deals with some dead letters of a node that has any."""
        nodes = [node for node in self._world.nodes if node.up and not node.paused]
        generator.shuffle(nodes)
        for node in nodes:
            assert node.host.brain is not None
            objects = node.host.brain.context.custody.objects.values()
            dead = [item.id for item in objects if item.state == State.DEAD]
            if dead:
                generator.shuffle(dead)
                make = events.Retried if generator.chance(0.7) else events.Discarded
                node.turn(make(0, dead[: 1 + generator.below(6)]))
                return

    def _forget(self, node: SimulatedNode, generator: Generator) -> None:
        """Have a node close its books on one that it is not linked to; that one may come back.

        Mostly on one with which there are open books: others are not worth the trouble.
        """
        world = self._world
        linked = {peer for peer, _, _ in node.links.values()}
        others = [
            other
            for other in world.nodes
            if other is not node and other.host.node and other.host.node not in linked
        ]
        assert node.host.brain is not None
        brain = node.host.brain
        books = {*brain.givings.open, *brain.takings.taken, *brain.context.custody.ordering.away}
        open_ones = [each for each in world.by_name if each in books - linked]
        if open_ones and generator.chance(0.9):
            gone = generator.pick(open_ones)
        elif others:
            gone = generator.pick(others).host.node
        else:
            return
        world.invariants.forgetting.begins(node.host, world.by_name[gone].host, gone)
        node.turn(events.NodeForgotten(gone))
        node.questions.known.forget(gone)

    # --- choosing ------------------------------------------------------------------------------

    def _node(self, generator: Generator) -> SimulatedNode | None:
        return self._world.any_node(generator)

    def _line(self, generator: Generator) -> Line | None:
        lines = self._world.network.lines
        return generator.pick(lines) if lines else None


def _doubts(node: SimulatedNode) -> bool:
    """Whether a node has offers open to one that it is not linked to."""
    assert node.host.brain is not None
    linked = {peer for peer, _, _ in node.links.values()}
    return any(peer not in linked for peer in node.host.brain.givings.open)


KINDS: dict[str, Kind] = {
    "delays": Kind(2.0, Faults.delays),
    "links": Kind(1.5, Faults.links),
    "partitions": Kind(5.0, Faults.partitions),
    "crashes": Kind(5.0, Faults.crashes),
    "disks": Kind(20.0, Faults.disks),
    "pauses": Kind(6.0, Faults.pauses),
    "clocks": Kind(6.0, Faults.clocks),
    "consumers": Kind(1.0, Faults.consumers),
    "producers": Kind(2.0, Faults.producers),
    "drains": Kind(10.0, Faults.drains),
    "churn": Kind(0.7, Faults.churn),
    "membership": Kind(15.0, Faults.membership),
    "people": Kind(2.0, Faults.people),
}
