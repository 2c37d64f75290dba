"""Brains on a tiny deterministic wire: tests of routing read as short scenarios.

Effects are carried out in order; those that wait for a commit wait until the node's disk has it.
Messages travel in the order in which they were sent, when `run` is called, or one by one with
`step`. Every node has a clock of its own, so that no absolute time may cross a link. After every
event the books of the brain are checked, with many objects now and then.
"""

from __future__ import annotations

import itertools
from collections import deque
from typing import Any

import attrs

from tests.support.books import check_books
from tests.support.disk import Disk
from trionode.ids import object_id
from trionode.routing import Brain, RoutingOptions, effects, events, history
from trionode.routing.model import Shape
from trionode.routing.subscriptions import Wishes

CREDIT_BYTES = 1 << 40
"""So much that only tests of bytes notice."""

CHECKED_ALWAYS = 50
"""Objects and types up to which the books are checked after every event, beyond it more rarely."""

QUIET_AFTER = 100_000
"""Steps after which a mesh that is still busy will never be quiet."""


@attrs.frozen
class Lease:
    """A delivery as the consumer sees it."""

    subscription: int
    id: int
    attempt: int
    payload: bytes


@attrs.define(eq=False)
class Consumer:
    """One consumer stream and what it was sent."""

    node: Node
    handle: int
    delivered: list[Lease] = attrs.field(factory=list)
    lost: list[tuple[int, int, str]] = attrs.field(factory=list)
    refused: dict[int, list[tuple[int, int, str]]] = attrs.field(factory=dict)
    """The answers that came: number of the settle -> what was refused of it."""
    batches: list[int] = attrs.field(factory=list)
    """The sizes of the deliveries."""

    def subscribe(
        self, *keys: str, credit=1, number=1, credit_bytes=CREDIT_BYTES, **wishes: Any
    ) -> Consumer:
        window = (self.handle, number, keys, credit, credit_bytes)
        self.node.handle(events.Subscribed(*window, Wishes(**wishes)))
        return self

    def come_back(self, *, secret: bytes, confirms: bool = False) -> Consumer:
        """The same consumer on a new stream, with all that it knows."""
        back = self.node.consumer(secret=secret, confirms=confirms)
        back.delivered, back.lost = self.delivered, self.lost
        return back

    def resume(
        self, *held: Lease, keys=("T",), credit=1, delivered=0, number=1, **wishes: Any
    ) -> list[tuple[int, int, str]]:
        """Go on with a subscription; returns which of the leases are no longer its own."""
        settle = self.node.mesh.next_handle()
        resumed = events.Resumed(settle, [(one.id, one.attempt) for one in held], delivered)
        window = (self.handle, number, keys, credit, CREDIT_BYTES)
        self.node.handle(events.Subscribed(*window, Wishes(**wishes), resumed))
        return self.refused[settle]

    def hear(self) -> None:
        """Tell that all that was lost is known."""
        told = self.node.brain.context.subscriptions.streams[self.handle].told
        self.node.handle(events.Heard(self.handle, told))

    def unsubscribe(self, number: int = 1) -> None:
        self.node.handle(events.Unsubscribed(self.handle, number))

    def start(self, count: int, number: int = 1) -> None:
        """Tell that handlers have begun with the first `count` deliveries."""
        self.node.handle(events.Started(self.handle, number, count))

    def leave(self) -> None:
        self.node.handle(events.ConsumerGone(self.handle, died=False))

    def die(self) -> None:
        self.node.handle(events.ConsumerGone(self.handle, died=True))

    def settle(self, action: str, *leases: Lease | tuple[int, int], **more: Any) -> list[str]:
        """Settle leases; returns the reasons of refusals, if the answer has come."""
        named = [(one.id, one.attempt) if isinstance(one, Lease) else one for one in leases]
        number = self.node.mesh.next_handle()
        ids, attempts = [id_ for id_, _ in named], [attempt for _, attempt in named]
        self.node.handle(events.Settled(self.handle, number, action, ids, attempts, **more))
        return [reason for _, _, reason in self.refused.get(number, [])]

    def ack(self, *leases: Lease | tuple[int, int]) -> list[str]:
        return self.settle("ack", *leases)

    def nack(self, *leases: Lease | tuple[int, int], **more: Any) -> list[str]:
        return self.settle("nack", *leases, **more)

    def take(self) -> list[Lease]:
        """What was delivered since the last call."""
        taken, self.delivered = self.delivered, []
        return taken

    def ids(self) -> list[int]:
        return [lease.id for lease in self.delivered]

    def sequences(self) -> list[int]:
        """The producer's numbers of what was delivered."""
        return [id_ & 0xFFFF_FFFF_FFFF for id_ in self.ids()]


class Node:
    """One node of a mesh: a brain, its disk if it has one, its clients and its links."""

    def __init__(
        self, mesh: Mesh, name: str, clock_s: float, *, durable: bool, options: RoutingOptions
    ) -> None:
        self.mesh = mesh
        self.name = self.id = name
        self.clock_s = clock_s
        """How far this node's clock is ahead of the mesh's."""
        self.options = options
        self.durable = durable
        self.incarnation = 1
        self.auto_commit = True
        self.disk = Disk()
        self.brain = Brain(name, 1, durable=durable, options=options)
        self.waiting: list[effects.Effect] = []
        """Effects that wait for the commit."""
        self.effects: list[effects.Effect] = []
        """Everything that the brain wanted since the test last cleared this."""
        self.consumers: dict[int, Consumer] = {}
        self.links: dict[str, int] = {}
        """Name of the neighbour -> handle of the link to it."""
        self.acknowledged: list[tuple[int, int]] = []
        self.reading: deque[effects.Fetch] = deque()
        """What the disk was asked for and has not given yet, see `read`."""
        self.answers: list[effects.AnswerPerson] = []
        """What a person was told."""
        self.others: dict[int, int] = {}
        """Sequences that were acknowledged as the objects of other ids, because of their keys."""
        self.next_sequence = 1
        self._events = 0
        self._carry = {
            effects.AcknowledgePush: self._acknowledge,
            effects.Deliver: self._deliver,
            effects.Copy: lambda _copy: None,
            effects.AnswerSettle: self._answer,
            effects.LoseLeases: self._lose,
            effects.Fetch: self._fetch,
            effects.AnswerPerson: self.answers.append,
            **dict.fromkeys(_MESSAGES, self._send),
        }

    @property
    def now(self) -> float:
        return self.mesh.now + self.clock_s

    # --- events in, effects out ----------------------------------------------------------------

    def handle(self, event: object) -> list[effects.Effect]:
        out = self.brain.handle(event, self.now)
        self._events += 1
        context = self.brain.context
        size = len(context.custody.objects) + len(context.subscriptions.demands)
        if self._events % (1 + size // CHECKED_ALWAYS) == 0:
            check_books(self.brain)
        self.effects += out
        for effect in out:
            if isinstance(effect, effects.StoreEffect):
                if self.durable:
                    self.disk.stage(effect)
            elif effect.after_commit and self.disk.staged:
                self.waiting.append(self._frozen(effect))
            else:
                self._carry[type(effect)](self._frozen(effect))
        if self.auto_commit:
            self.commit()
        return out

    def commit(self) -> None:
        """The store confirms all that was given to it."""
        written = self.disk.commit()
        waiting, self.waiting = self.waiting, []
        for effect in waiting:
            self._carry[type(effect)](effect)
        if written and self.brain.memory_short:
            self.handle(events.Written(written))

    def read(self) -> None:
        """The disk answers the oldest question for payloads."""
        effect = self.reading.popleft()
        payloads = self.disk.payloads([item.id for item in effect.objects])
        self.handle(events.Fetched(effect, payloads))

    def tick(self) -> list[effects.Effect]:
        return self.handle(events.Tick())

    def of(self, kind: type) -> list[Any]:
        """The effects of one kind since the test last cleared `effects`."""
        return [effect for effect in self.effects if type(effect) is kind]

    # --- what a test does ----------------------------------------------------------------------

    def consumer(
        self,
        *keys: str,
        credit: int = 1,
        label: str = "",
        confirms: bool = False,
        secret: bytes = b"",
        **more: Any,
    ) -> Consumer:
        """A consumer stream, subscribed to `keys` if there are any."""
        consumer = Consumer(self, self.mesh.next_handle())
        self.consumers[consumer.handle] = consumer
        self.handle(events.ConsumerCame(consumer.handle, label, confirms, secret))
        return consumer.subscribe(*keys, credit=credit, **more) if keys else consumer

    def push(self, type_: str, *payloads: bytes, count: int = 0, **rare: Any) -> list[int]:
        """Push objects, all with the properties `rare`; returns their ids."""
        batch = list(payloads) or [b"x"] * (count or 1)
        first, self.next_sequence = self.next_sequence, self.next_sequence + len(batch)
        details = {index: dict(rare) for index in range(len(batch))} if rare else {}
        self.push_again(type_, first, batch, details=details)
        return [object_id(self.producer, first + index) for index in range(len(batch))]

    @property
    def producer(self) -> int:
        """The id of the producer that `push` plays."""
        return 1 + sorted(self.mesh.nodes).index(self.name)

    def push_again(self, type_: str, first: int, batch: list[bytes], **more: Any) -> None:
        producer = more.pop("producer", self.producer)
        self.handle(events.Pushed(0, producer, first, type_, Shape(), batch, **more))

    def table(self, type_: str):
        return self.brain.context.custody.tables[type_]

    def held(self) -> set[int]:
        return set(self.brain.context.custody.objects)

    def states(self) -> list[str]:
        return [item.state.name for item in self.brain.context.custody.objects.values()]

    def item(self, id_: int):
        return self.brain.context.custody.objects[id_]

    def flow(self, type_: str, door: str) -> int:
        return self.table(type_).flows[door].count

    def drain(self) -> None:
        self.handle(events.DrainStarted())

    def end_drain(self) -> None:
        self.handle(events.DrainEnding())

    def retry(self, *ids: int) -> None:
        """A person revives dead letters; see `answers`."""
        self.handle(events.Retried(self.mesh.next_handle(), list(ids)))

    def discard(self, *ids: int) -> None:
        """A person discards dead letters; see `answers`."""
        self.handle(events.Discarded(self.mesh.next_handle(), list(ids)))

    def crash(self) -> None:
        """Lose all but what the disk has, and come back as a new incarnation."""
        for neighbour in list(self.links):
            self.mesh.cut(self.name, neighbour)
        self.disk.lose_staged()
        self.waiting, self.consumers = [], {}
        self.reading.clear()
        self.incarnation += 1
        if not self.durable:
            self.id = f"{self.name}{self.incarnation}"
        self.brain = Brain(self.id, self.incarnation, durable=self.durable, options=self.options)
        for part in self.disk.recover():
            self.handle(part)

    # --- carrying effects out ------------------------------------------------------------------

    def _frozen(self, effect: effects.Effect) -> Any:
        """What is sent is written when the brain says so, not when the wire is free."""
        return _offer(effect, self) if isinstance(effect, effects.SendOffer) else effect

    def _send(self, effect: Any) -> None:
        self.mesh.send(self, effect)

    def _acknowledge(self, effect: effects.AcknowledgePush) -> None:
        self.acknowledged += effect.sequences
        self.others.update(effect.others)

    def _deliver(self, effect: effects.Deliver) -> None:
        consumer = self.consumers.get(effect.stream)
        if consumer is not None:
            consumer.batches.append(len(effect.objects))
            consumer.delivered += [
                Lease(effect.subscription, item.id, item.attempt, item.payload)
                for item in effect.objects
            ]

    def _answer(self, effect: effects.AnswerSettle) -> None:
        if effect.stream in self.consumers:
            self.consumers[effect.stream].refused[effect.number] = effect.refused

    def _fetch(self, effect: effects.Fetch) -> None:
        self.reading.append(effect)

    def _lose(self, effect: effects.LoseLeases) -> None:
        if effect.stream in self.consumers:
            self.consumers[effect.stream].lost += [
                (id_, attempt, effect.reason) for id_, attempt in effect.leases
            ]


_MESSAGES = {
    effects.SendInterest: lambda sent, link: events.InterestTold(link, sent.full, sent.updates),
    effects.SendCredit: lambda sent, link: events.CreditGranted(link, sent.grants),
    effects.SendBacklog: lambda sent, link: events.BacklogTold(link, sent.wishes),
    events.OfferCame: lambda sent, link: attrs.evolve(sent, link=link),
    effects.SendOffer: lambda sent, link: attrs.evolve(sent, link=link),
    effects.SendAnswer: lambda sent, link: events.OfferAnswered(
        link, sent.incarnation, sent.sequence, sent.known, sent.refused
    ),
    effects.SendClose: lambda sent, link: events.OffersClosed(link, sent.numbers),
    effects.SendAsk: lambda sent, link: events.OffersAsked(
        link, sent.incarnation, sent.next_sequence, sent.numbers
    ),
    effects.SendKeysSettled: lambda sent, link: events.KeysSettled(link, sent.ids),
    effects.SendKeysAsked: lambda sent, link: events.KeysAsked(link, sent.ids),
    events.NeighboursTold: lambda sent, link: attrs.evolve(sent, link=link),
}
"""What a node sends -> the event that it becomes at the other end."""


def _shift(details: dict[str, Any], offset_s: float) -> dict[str, Any]:
    moved = {
        name: value + offset_s if name in {"due", "deadline"} else value
        for name, value in details.items()
    }
    return {**moved, **history.moved(details, offset_s)}


def _offer(sent: effects.SendOffer, giver: Node) -> Any:
    """The offer in columns, with times that mean the same on every clock."""
    objects = sent.objects
    return events.OfferCame(
        sent.link,
        sent.sequence,
        sent.key,
        sent.epoch,
        sent.type,
        objects[0].shape,
        [item.id for item in objects],
        [item.payload for item in objects],
        [giver.now - item.created for item in objects],
        [item.attempt for item in objects],
        {
            index: _shift(item.details, -giver.clock_s)
            for index, item in enumerate(objects)
            if item.details is not None
        },
        sent.draining,
    )


@attrs.define(eq=False)
class Wire:
    """One direction of one link; `sent` are messages under way."""

    giver: Node
    taker: Node
    handle: int
    """Of the link at the taker."""
    sent: deque[Any] = attrs.field(factory=deque)


class Mesh:
    """Some nodes, the links between them, and the one clock that all theirs follow."""

    def __init__(self, *names: str, memory: tuple[str, ...] = (), **options: Any) -> None:
        self.now = 0.0
        self.wires: dict[int, Wire] = {}
        """Handle of a link at the giver -> what travels on it."""
        self._handles = itertools.count(1)
        self.limits: dict[str, int] = {}
        """The largest object that a node takes, where it takes not all."""
        self.nodes: dict[str, Node] = {}
        for index, name in enumerate((*names, *memory)):
            self.nodes[name] = Node(
                self,
                name,
                1000.0 * index,
                durable=name not in memory,
                options=RoutingOptions(**options),
            )

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def next_handle(self) -> int:
        return next(self._handles)

    # --- links ---------------------------------------------------------------------------------

    def link(self, one: str, other: str, *, tell_neighbours: bool = True) -> None:
        """Open a link; both hellos are exchanged."""
        a, b = self.nodes[one], self.nodes[other]
        assert other not in a.links
        a.links[other], b.links[one] = self.next_handle(), self.next_handle()
        self.wires[a.links[other]] = Wire(a, b, b.links[one])
        self.wires[b.links[one]] = Wire(b, a, a.links[other])
        for node, peer in ((a, b), (b, a)):
            handle, limit_bytes = node.links[peer.name], self.limits.get(peer.name, 0)
            node.handle(events.LinkUp(handle, peer.id, peer.incarnation, peer.durable, limit_bytes))
        if tell_neighbours:
            self._tell_neighbours(a, b)

    def cut(self, one: str, other: str) -> None:
        """Drop a link with all that is under way on it."""
        a, b = self.nodes[one], self.nodes[other]
        for node, handle in ((a, a.links.pop(other)), (b, b.links.pop(one))):
            del self.wires[handle]
            node.handle(events.LinkDown(handle))
        self._tell_neighbours(a, b)

    def _tell_neighbours(self, *nodes: Node) -> None:
        for node in nodes:
            ids = frozenset(self.nodes[name].id for name in node.links)
            for handle in node.links.values():
                self.wires[handle].sent.append(events.NeighboursTold(0, ids))

    def send(self, giver: Node, message: Any) -> None:
        wire = self.wires.get(message.link)
        if wire is not None:
            assert wire.giver is giver
            wire.sent.append(message)

    # --- time ----------------------------------------------------------------------------------

    def step(self, one: str, other: str) -> Any:
        """Deliver the next message from `one` to `other`; returns what was sent."""
        wire = self.wires[self.nodes[one].links[other]]
        sent = wire.sent.popleft()
        event = _MESSAGES[type(sent)](sent, wire.handle)
        if isinstance(event, events.OfferCame):
            moved = {i: _shift(each, wire.taker.clock_s) for i, each in event.details.items()}
            event = attrs.evolve(event, details=moved)
        wire.taker.handle(event)
        return sent

    def under_way(self, one: str, other: str) -> list[Any]:
        return list(self.wires[self.nodes[one].links[other]].sent)

    def run(self) -> int:
        """Deliver messages and tick busy brains until all is quiet; returns how much was done."""
        for done in range(QUIET_AFTER):
            busy = False
            for wire in list(self.wires.values()):
                if wire.sent:
                    self.step(wire.giver.name, wire.taker.name)
                    busy = True
            for node in self.nodes.values():
                if node.reading:
                    node.read()
                    busy = True
                wake_at = node.brain.wake_at
                if node.brain.work_flagged or (wake_at is not None and wake_at <= node.now):
                    node.tick()
                    busy = True
            if not busy:
                return done
        raise AssertionError("never quiet")

    def wait(self, seconds: float) -> None:
        """Let time pass, stopping wherever a timer is due, and run at each stop."""
        end = self.now + seconds
        self.run()
        while True:
            wakes = [
                node.brain.wake_at - node.clock_s
                for node in self.nodes.values()
                if node.brain.wake_at is not None
            ]
            if not wakes or min(wakes) > end:
                break
            self.now = max(self.now, min(wakes))
            self._round_up()
            self.run()
        self.now = end
        self.run()

    def _round_up(self) -> None:
        """Undo what adding and subtracting clocks lost of a time."""
        for node in self.nodes.values():
            wake_at = node.brain.wake_at
            if wake_at is not None and 0 < wake_at - node.now < 1e-6:
                self.now += 2e-6
