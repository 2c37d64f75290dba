"""Simulated consumers: good ones, slow, nacking, silent and dying ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from trionode.routing import effects, events
from trionode.routing.model import Shape
from trionode.routing.subscriptions import Wishes
from trionode.simulation.families import children_of

if TYPE_CHECKING:
    from trionode.simulation.generator import Generator
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.world import World

LATENCY_S = 0.0003
AGAIN_S = 0.5
ALL_TYPES = "t.*"
"""The pattern of all types that are pushed."""
SHAPE = Shape("json", "")
CREDIT_BYTES = 1 << 20
"""Byte allowance of most windows: more than their credit will ever need."""
EMITTERS = 0xFFFF
"""The last bits of consumers' ids as producers; no producer has them."""
FEW_BYTES = 600
"""The same of one in eight: less than some single objects have."""


class Leased(NamedTuple):
    """A delivery as the consumer knows it; `child`: it is the result of another object."""

    id: int
    attempt: int
    child: bool


@attrs.frozen
class Habit:
    """How a consumer behaves: seconds per delivery frame, and of 1,000 settles how many are what.

    The rest is acknowledged. `silent`: it never settles. `limit_s`: what it asks for as
    `max_processing_time`; 0: nothing.
    """

    work_s: float
    nacks: int = 0
    rejects: int = 0
    returns: int = 0
    replaces: int = 0
    emits: int = 0
    silent: bool = False
    limit_s: float = 0.0


GOOD = Habit(0.01)
HABITS = (
    GOOD,
    Habit(0.02),
    Habit(0.3),
    Habit(0.03, nacks=300),
    Habit(0.03, nacks=30, rejects=3, returns=30, replaces=30),
    Habit(0.02, nacks=30, emits=300),
    Habit(0.5, silent=True),
    Habit(0.5, silent=True, limit_s=2.0),
    Habit(0.3, limit_s=0.35),
)

FUSSY = Habit(0.02, rejects=200)
"""Rejects much, as a service does whose new version has a defect."""


class Consumer:
    """One client with one subscription to some types."""

    def __init__(  # noqa: PLR0913, PLR0917  # a consumer is this many things
        self,
        world: World,
        generator: Generator,
        node: SimulatedNode,
        keys: tuple[str, ...],
        credit: int,
        habit: Habit = GOOD,
    ) -> None:
        self._world = world
        self._generator = generator
        self.node = node
        self.keys = keys
        self.credit = credit
        self.credit_bytes = FEW_BYTES if generator.chance(0.125) else CREDIT_BYTES
        self.habit = habit
        self.stream = 0
        self.closed = False
        self.subscription = 0
        self._delivered = 0
        self._number = 0
        self._emitter = generator.bits() << 16 | EMITTERS
        """The id under which it is the producer of its results."""
        self._next_result = 1
        self._families: dict[int, dict[tuple[int, int], list[int]]] = {}
        """Settles without an answer: number -> lease -> its results."""

    # --- the stream ----------------------------------------------------------------------------

    def connect(self) -> None:
        """Open a stream and subscribe."""
        if self.stream or self.closed:
            return
        if not self.node.up or self.node.draining or self.node.leaving:
            if self._generator.chance(0.3):
                self.node = self._world.any_node(self._generator) or self.node
            self._world.scheduler.after(AGAIN_S, self.connect)
            return
        self.stream = self._world.network.handle()
        self.node.streams[self.stream] = self
        self._say(events.ConsumerCame(self.stream))
        self._subscribe()

    def _subscribe(self) -> None:
        self.subscription += 1
        self._delivered = 0
        self._say(
            events.Subscribed(
                self.stream,
                self.subscription,
                self.keys,
                self.credit,
                self.credit_bytes,
                self._wishes(),
            )
        )

    def _wishes(self) -> Wishes:
        return Wishes(max_processing_s=self.habit.limit_s)

    def _say(self, event: object) -> None:
        self._world.scheduler.after(LATENCY_S, self._arrive, self.node, event)

    def _arrive(self, node: SimulatedNode, event: Any) -> None:
        if node.paused:
            node.inbox.append((self._arrive, (node, event)))
        elif event.stream in node.streams:
            node.turn(event)
            if type(event) is events.ConsumerGone:
                node.streams.pop(event.stream, None)

    def resubscribe(self) -> None:
        """End the subscription and begin another one."""
        if self.stream:
            self._say(events.Unsubscribed(self.stream, self.subscription))
            self._subscribe()

    def set_credit(self, credit: int) -> None:
        """Another window for the same subscription."""
        self.credit = credit
        if self.stream:
            self._say(
                events.Subscribed(
                    self.stream,
                    self.subscription,
                    self.keys,
                    credit,
                    self.credit_bytes,
                    self._wishes(),
                )
            )

    def close(self) -> None:
        """Leave in order and for good."""
        self.closed = True
        self._leave(0.0, died=False)

    def die(self, notice_s: float) -> None:
        """Die; the node notices in time, and the process is started again."""
        if self.stream:
            self._leave(notice_s, died=True)
            self._world.scheduler.after(AGAIN_S * 2 * self._generator.unit(), self.connect)

    def _leave(self, notice_s: float, *, died: bool) -> None:
        if self.stream:
            gone = events.ConsumerGone(self.stream, died)
            self._world.scheduler.after(LATENCY_S + notice_s, self._arrive, self.node, gone)
            self.stream = 0

    def node_died(self) -> None:
        """The connection is gone with the node."""
        if self.stream and self.stream not in self.node.streams:
            self.stream = 0
            self._world.scheduler.after(AGAIN_S, self.connect)

    def node_drains(self) -> None:
        """The node asked to go elsewhere: finish what there is, then go."""
        stream = self.stream
        self._world.scheduler.after(1.0, self._move_on, stream)

    def _move_on(self, stream: int) -> None:
        if stream and stream == self.stream:
            self._leave(0.0, died=False)
            self.node = self._world.any_node(self._generator) or self.node
            self.connect()

    # --- deliveries ----------------------------------------------------------------------------

    def told(self, effect: Any) -> None:
        """The node sends something."""
        if type(effect) is effects.Deliver and effect.stream == self.stream:
            batch = [
                Leased(item.id, item.attempt, item.detail("parent") is not None)
                for item in effect.objects
            ]
            self._world.scheduler.after(
                LATENCY_S, self._received, self.stream, effect.subscription, batch
            )
        elif type(effect) is effects.AnswerSettle:
            families = self._families.pop(effect.number, {})
            for id_, attempt, _ in effect.refused:
                families.pop((id_, attempt), None)
            for children in families.values():
                self._world.invariants.ledger.acknowledged(children)

    def _received(self, stream: int, subscription: int, batch: list[Leased]) -> None:
        if stream != self.stream or subscription != self.subscription:
            return
        self._delivered += len(batch)
        if self._world.consumers_die:
            started = self._delivered - self._generator.below(len(batch) + 1)
            self._say(events.Started(stream, subscription, started))
        if self.habit.silent:
            return
        work_s = self.habit.work_s * self._generator.between(0.5, 1.5)
        self._world.scheduler.after(work_s, self._finish, stream, batch)

    def _finish(self, stream: int, batch: list[Leased]) -> None:
        if stream != self.stream:
            return
        if self.habit == GOOD:
            self._settle("ack", batch)
            return
        groups: dict[str, list[Leased]] = {}
        for lease in batch:
            action = self._action()
            # What came of a step goes no further: chains would never end.
            groups.setdefault("ack" if lease.child and action == "emit" else action, []).append(
                lease
            )
        for action, leases in groups.items():
            self._settle(action, leases)

    def _action(self) -> str:
        draw, habit = self._generator.below(1000), self.habit
        for action, share in (
            ("nack", habit.nacks),
            ("reject", habit.rejects),
            ("return", habit.returns),
            ("replace", habit.replaces),
            ("emit", habit.emits),
        ):
            if draw < share:
                return action
            draw -= share
        return "ack"

    def _settle(self, action: str, leases: list[Leased]) -> None:
        self._number += 1
        ids = [lease.id for lease in leases]
        attempts = [lease.attempt for lease in leases]
        delay_s = None
        if action == "nack":
            delay_s = self._generator.pick((None, 0.0, 0.2))
        payloads = [b"r%d" % self._generator.below(1 << 30) for _ in ids]
        self._say(
            events.Settled(
                self.stream,
                self._number,
                "ack" if action == "emit" else action,
                ids,
                attempts,
                delay_s,
                "it did not work" if action == "nack" else "",
                payloads if action == "replace" else [],
                SHAPE if action == "replace" else None,
                self._results(leases) if action == "emit" else [],
            )
        )

    def _results(self, leases: list[Leased]) -> list[tuple[int, events.Pushed]]:
        """One to three results of each, of one type."""
        made: list[tuple[int, events.Pushed]] = []
        families = self._families[self._number] = {}
        for index, lease in enumerate(leases):
            count = 1 + self._generator.below(3)
            first = self._next_result
            self._next_result += count
            payloads = [b"c%d-%d" % (self._emitter >> 16 & 0xFFFF, first + i) for i in range(count)]
            type_ = self._generator.pick(self._world.types)
            pushed = events.Pushed(0, self._emitter, first, type_, SHAPE, payloads)
            families[lease.id, lease.attempt] = list(children_of(pushed))
            made.append((index, pushed))
        return made
