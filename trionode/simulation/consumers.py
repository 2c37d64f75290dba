"""Simulated consumers: good ones, slow, nacking, silent and dying ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from trionode.routing import effects, events
from trionode.routing.model import Shape
from trionode.routing.subscriptions import NO_WISHES, Wishes
from trionode.simulation.families import children_of

if TYPE_CHECKING:
    from trionode.simulation.generator import Generator
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.world import World

LATENCY_S = 0.0003
AGAIN_S = 0.5
AWAY_MAX_S = 5.0
"""Beyond any `reconnect_grace_s` and the time in which a node notices that a stream is broken."""
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

    The rest is acknowledged. `silent`: it never settles. `wishes`: what it asks for with its
    subscription; with a `reconnect_grace_s` it mostly loses its connection only where others die,
    and comes back, in time or not.
    """

    work_s: float
    nacks: int = 0
    rejects: int = 0
    returns: int = 0
    replaces: int = 0
    emits: int = 0
    silent: bool = False
    wishes: Wishes = NO_WISHES


GOOD = Habit(0.01)
HABITS = (
    GOOD,
    Habit(0.02),
    Habit(0.3),
    Habit(0.03, nacks=300),
    Habit(0.03, nacks=30, rejects=3, returns=100, replaces=100),
    Habit(0.02, nacks=30, emits=300),
    Habit(0.0002, emits=300),
    Habit(0.0002),
    Habit(0.02, nacks=200, wishes=Wishes(max_attempts=2, retry_base_s=0.5, retry_cap_s=0.5)),
    Habit(0.5, silent=True),
    Habit(0.5, silent=True, wishes=Wishes(max_processing_s=2.0)),
    Habit(0.3, wishes=Wishes(max_processing_s=0.35, max_attempts=3)),
    Habit(0.1, nacks=30, wishes=Wishes(reconnect_grace_s=2.0)),
    Habit(1.0, wishes=Wishes(reconnect_grace_s=2.0)),
    Habit(2.0, nacks=100, wishes=Wishes(reconnect_grace_s=3.0, max_attempts=4)),
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
        self._life = 0
        self._secret = b""
        self._held: dict[tuple[int, int], Leased] = {}
        """With a secret: what has come and is not settled yet."""
        self._unanswered: dict[int, list[Leased]] = {}
        """The same of acks: number -> leases. They are said again after a broken connection."""
        self._resumes = 0
        """The number under which it asked what is still its own; -1: it is to ask."""

    @property
    def may_return(self) -> bool:
        """Whether it has leases that it would come back for."""
        return bool(self._held)

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
        if self.habit.wishes.reconnect_grace_s and not self._secret:
            self._secret = b"%d" % self._generator.bits()
        label = f"c{self.stream}"
        self._say(events.ConsumerCame(self.stream, label, secret=self._secret))
        if self._resumes:
            self._resume()
        else:
            self._subscribe()

    def _subscribe(self) -> None:
        self.subscription += 1
        self._delivered = 0
        self._held.clear()
        self._unanswered.clear()
        self._say_window()

    def _resume(self) -> None:
        """Go on where the broken stream ended."""
        unanswered = [lease for leases in self._unanswered.values() for lease in leases]
        held = [*self._held, *[(lease.id, lease.attempt) for lease in unanswered]]
        self._number += 1
        self._resumes = self._number
        self._say_window(events.Resumed(self._number, held, self._delivered))

    def _say_window(self, resumed: events.Resumed | None = None) -> None:
        self._say(
            events.Subscribed(
                self.stream,
                self.subscription,
                self.keys,
                self.credit,
                self.credit_bytes,
                self.habit.wishes,
                resumed,
            )
        )

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

    def begin_anew(self) -> None:
        """End the subscription and begin another one, also if it is away: then not as who it was.

        One that has settled nothing of late would come back to what it never settles.
        """
        if not self.stream:
            self._resumes = 0
            self._lose_stream()
        self.resubscribe()

    def set_credit(self, credit: int) -> None:
        """Another window for the same subscription."""
        self.credit = credit
        if self.stream:
            self._say_window()

    def close(self) -> None:
        """Leave in order and for good."""
        self.closed = True
        self._resumes = 0
        self._leave(0.0, died=False)

    def die(self, notice_s: float) -> None:
        """Die; the node notices in time, and the process is started again.

        Or lose the connection only, and come back to what was leased.
        """
        if not self.stream:
            return
        wait_s = AGAIN_S * 2 * self._generator.unit()
        if self._secret and self._generator.chance(0.8):
            wait_s = self._generator.between(
                0.0, self._generator.pick((1.0, AWAY_MAX_S, AWAY_MAX_S))
            )
            self._resumes = -1
        self._leave(notice_s, died=True)
        self._world.scheduler.after(wait_s, self.connect)

    def _leave(self, notice_s: float, *, died: bool) -> None:
        if self.stream:
            gone = events.ConsumerGone(self.stream, died)
            self._world.scheduler.after(LATENCY_S + notice_s, self._arrive, self.node, gone)
            self._lose_stream()

    def _lose_stream(self) -> None:
        self.stream = 0
        if not self._resumes:
            self._life += 1
            self._secret = b""
            self._held.clear()
            self._unanswered.clear()

    def node_died(self) -> None:
        """The connection is gone with the node."""
        if self.stream and self.stream not in self.node.streams:
            self._resumes = -1 if self._secret else 0
            self._lose_stream()
            self._world.scheduler.after(AGAIN_S, self.connect)

    def node_drains(self) -> None:
        """The node asked to go elsewhere: finish what there is, then go."""
        stream = self.stream
        self._world.scheduler.after(1.0, self._move_on, stream)

    def _move_on(self, stream: int) -> None:
        if stream and stream == self.stream:
            self._resumes = 0
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
            if effect.stream == self.stream:
                self._unanswered.pop(effect.number, None)
                if effect.number == self._resumes:
                    self._resumed([(id_, attempt) for id_, attempt, _ in effect.refused])

    def _resumed(self, refused: list[tuple[int, int]]) -> None:
        """The node has said what is not its own any more; it says again what it acknowledged."""
        self._resumes = 0
        for each in refused:
            self._held.pop(each, None)
        unanswered, self._unanswered = self._unanswered, {}
        for leases in unanswered.values():
            self._settle("ack", [each for each in leases if each[:2] not in refused])

    def _received(self, stream: int, subscription: int, batch: list[Leased]) -> None:
        if stream != self.stream or subscription != self.subscription:
            return
        self._delivered += len(batch)
        if self._secret:
            self._held.update({lease[:2]: lease for lease in batch})
        if self._world.consumers_die:
            started = self._delivered - self._generator.below(len(batch) + 1)
            self._say(events.Started(stream, subscription, started))
        if self.habit.silent:
            return
        work_s = self.habit.work_s * self._generator.between(0.5, 1.5)
        self._world.scheduler.after(work_s, self._finish, self._life, batch)

    def _finish(self, life: int, batch: list[Leased]) -> None:
        if life != self._life:
            return
        if self._resumes:
            self._world.scheduler.after(AGAIN_S, self._finish, life, batch)
            return
        if self.habit is GOOD:
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
        if not leases:
            return
        self._number += 1
        if self._secret:
            for lease in leases:
                self._held.pop(lease[:2], None)
            if action == "ack":
                self._unanswered[self._number] = leases
        ids = [lease.id for lease in leases]
        attempts = [lease.attempt for lease in leases]
        delay_s = None
        if action == "nack":
            delay_s = self._generator.pick((None, 0.0, 0.2))
        draws = [self._generator.below(1 << 30) for _ in ids]
        self._say(
            events.Settled(
                self.stream,
                self._number,
                "ack" if action == "emit" else action,
                ids,
                attempts,
                delay_s,
                "it did not work" if action == "nack" else "",
                [b"r%d" % draw for draw in draws] if action == "replace" else [],
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
