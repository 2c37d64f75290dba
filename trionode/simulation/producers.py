"""Simulated producers: they push in runs, and push again what was not acknowledged (R11)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.ids import object_id
from trionode.routing import effects, events
from trionode.routing.model import Shape

if TYPE_CHECKING:
    from trionode.simulation.generator import Generator
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.world import World

LATENCY_S = 0.0003
WINDOW = 256
"""Pushes a producer has open at most."""
AGAIN_S = 0.5
"""How long a producer waits before it connects again."""
LARGE_BYTES = 1000
KEYS = 4
"""How many keys one producer uses at one time, so that it repeats them."""
KEYS_EACH = 64
"""After so many objects it uses others."""
TIMES = ("due", "deadline")
"""Properties that are points in time; a push carries what remains until then (R7)."""
SHAPE = Shape("json", "")


class Producer:
    """One client that pushes objects of one type, with sequences from 1.

    What it pushes again goes in the runs in which it went the first time.
    """

    def __init__(
        self, world: World, generator: Generator, number: int, node: SimulatedNode
    ) -> None:
        self._world = world
        self._generator = generator
        self.id = (generator.bits() << 16 | number) & ((1 << 80) - 1)
        self.type = world.types[number % len(world.types)]
        self.node = node
        self.stream = 0
        self.open: dict[int, None] = {}
        """Sequences of what is not acknowledged, in their order."""
        self._rare: dict[int, dict[str, Any]] = {}
        """Sequence -> rare properties that were pushed with it; times are simulated ones."""
        self._next = 1
        self._first_at: dict[int, str] = {}
        self._streams = 0

    # --- pushing -------------------------------------------------------------------------------

    def push(self, count: int) -> int:
        """Push so many new objects, or fewer if too many are open; returns how many."""
        count = min(count, WINDOW - len(self.open))
        if count <= 0:
            return 0
        first, world = self._next, self._world
        self._next += count
        for sequence in range(first, first + count):
            rare = self.rare(sequence)
            if rare:
                self._rare[sequence] = rare
            self.open[sequence] = None
            id_ = object_id(self.id, sequence)
            world.invariants.ledger.attempted(id_, self.type, self.payload(sequence), rare)
            world.invariants.order.attempted(id_, self.type, rare.get("ordering_key"))
        if self.stream:
            self._send(first, count)
        return count

    @property
    def pushed(self) -> int:
        """How many objects it has tried to push."""
        return self._next - 1

    def rare(self, sequence: int) -> dict[str, Any]:
        """The properties of an object, if it has any: of its own, and for its place in order."""
        rare = self._order(sequence)
        times_and_keys = self._times_and_keys()
        return {**times_and_keys, **rare} if times_and_keys else rare

    def _times_and_keys(self) -> dict[str, Any]:
        """Now and then an object that must wait, that expires, or with a key: its properties."""
        draw = self._generator.below(64)
        now = self._world.scheduler.time
        if draw == 0:
            return {"due": now + self._generator.between(0.1, 5.0)}
        if draw == 1:
            kept = {"keep_expired": True} if self._generator.chance(0.5) else {}
            until = now + self._generator.between(0.1, self._generator.pick((1.0, 30.0)))
            return {"deadline": until, **kept}
        if draw == 2 or (draw < 16 and self.id % 4 == 1):
            number = self._next // KEYS_EACH * KEYS + self._generator.below(KEYS)
            return {"key": f"{self.id & 0xFFFF} {number}"}
        return {}

    def _order(self, sequence: int) -> dict[str, Any]:
        """Of some an ordering key of the producer's few, or a priority; some producers always."""
        kind, producer = sequence * 11 % 16, self.id & 0xFFFF
        if kind < 3:
            return {"ordering_key": f"{producer}-{kind}"}
        if kind < 5 or producer % 3 == 0:
            return {"priority": sequence * 7 % 10}
        return {}

    def _send(self, first: int, count: int) -> None:
        floor = min(self.open, default=self._next) - 1
        frame = (self.stream, first, count, floor)
        self._world.scheduler.after(LATENCY_S, self._arrive, self.node, *frame)

    def _arrive(self, node: SimulatedNode, stream: int, first: int, count: int, floor: int) -> None:
        if node.paused:
            node.inbox.append((self._arrive, (node, stream, first, count, floor)))
            return
        if stream not in node.streams or node.draining:
            return
        now, time = node.now(), self._world.scheduler.time
        payloads = [self.payload(first + index) for index in range(count)]
        details: dict[int, dict[str, Any]] = {}
        for index in range(count):
            rare = self._rare.get(first + index)
            if rare is not None:
                details[index] = {
                    name: now + max(0.0, value - time) if name in TIMES else value
                    for name, value in rare.items()
                }
            self._note_node(first + index, node)
        node.turn(events.Pushed(stream, self.id, first, self.type, SHAPE, payloads, floor, details))

    def payload(self, sequence: int) -> bytes:
        """One of its own under each number; one in sixteen is large."""
        payload = b"%d-%d" % (self.id & 0xFFFF, sequence)
        return payload.ljust(LARGE_BYTES, b".") if sequence % 16 == 3 else payload

    def _note_node(self, sequence: int, node: SimulatedNode) -> None:
        before = self._first_at.setdefault(sequence, node.host.node)
        if before != node.host.node:
            fate = self._world.invariants.ledger.fates[object_id(self.id, sequence)]
            fate.excuse("pushed to another node")

    # --- the stream ----------------------------------------------------------------------------

    def connect(self) -> None:
        """Open a stream to the node, or to another one if it is away, and push what is open."""
        if self.stream:
            return
        if not self.node.up or self.node.draining or self.node.leaving:
            if self._generator.chance(0.3):
                self.node = self._world.any_node(self._generator) or self.node
            self._world.scheduler.after(AGAIN_S, self.connect)
            return
        self.stream = self._world.network.handle()
        self.node.streams[self.stream] = self
        self._streams += 1
        for first, count in _runs(self.open):
            self._send(first, count)

    def disconnect(self, *, elsewhere: bool) -> None:
        """Lose the stream. What was sent on it may still be read; what was answered is not."""
        if not self.stream:
            return
        stream, node = self.stream, self.node
        self.stream = 0
        self._world.scheduler.after(
            self._generator.between(0.0, 1.0), lambda: node.streams.pop(stream, None)
        )
        if elsewhere:
            self.node = self._world.any_node(self._generator) or self.node
        self._world.scheduler.after(AGAIN_S * self._generator.unit(), self.connect)

    def node_died(self) -> None:
        """The connection is gone with the node."""
        self.stream = 0
        self._world.scheduler.after(AGAIN_S, self.connect)

    def node_drains(self) -> None:
        """The node asked to go elsewhere."""
        self.disconnect(elsewhere=True)

    def told(self, effect: Any) -> None:
        """The node acknowledges pushes."""
        assert type(effect) is effects.AcknowledgePush
        others = dict(effect.others)
        ids = [
            object_id(self.id, sequence)
            for first, count in effect.sequences
            for sequence in range(first, first + count)
            if sequence not in others
        ]
        ledger = self._world.invariants.ledger
        ledger.acknowledged(ids)
        for sequence, other in others.items():
            ledger.repeated(object_id(self.id, sequence), other)
        if effect.stream == self.stream:
            self._world.scheduler.after(LATENCY_S, self._acknowledged, effect)

    def _acknowledged(self, effect: effects.AcknowledgePush) -> None:
        if effect.stream == self.stream:
            for first, count in effect.sequences:
                for sequence in range(first, first + count):
                    self.open.pop(sequence, None)


def _runs(sequences: dict[int, Any]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for sequence in sequences:
        if runs and runs[-1][0] + runs[-1][1] == sequence and runs[-1][1] < 64:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((sequence, 1))
    return runs
