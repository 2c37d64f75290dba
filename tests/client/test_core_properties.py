"""Both cores against a perfect node, with losses at any moment: what must hold in every order."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.strategies import CREDITS
from trionode.client.consumer_core import ConsumerCore
from trionode.client.consumer_stream import ACK
from trionode.client.leases import LeaseState
from trionode.client.news import Arrived, Confirmed, Ended
from trionode.client.producer_core import PendingPush, ProducerCore, PushState, Shape
from trionode.errors import Status
from trionode.ids import from_runs
from trionode.wire import frames


class Pushing(RuleBasedStateMachine):
    """A push has one outcome, which is true; the node accepts each number once."""

    pushes = Bundle("pushes")

    def __init__(self) -> None:
        super().__init__()
        self.core = ProducerCore(bytes(10))
        self.accepted: dict[int, bytes] = {}
        self.unanswered: list[int] = []
        self.floor = 0
        self.open = False
        self.made: list[tuple[PendingPush, bytes]] = []
        self.told: list[PendingPush] = []
        self.count = 0

    @rule(shape=st.sampled_from([Shape("A"), Shape("B", "raw")]), target=pushes)
    def push(self, shape):
        self.count += 1
        payload = b"%d" % self.count
        push = PendingPush(shape, payload)
        self.core.push(push)
        self.made.append((push, payload))
        return push

    @rule(push=consumes(pushes))
    def withdraw(self, push):
        state = push.state
        never_left = self.core.withdraw(push)
        assert never_left == (state is PushState.QUEUED)

    @rule()
    def connect(self):
        hello = self.core.open_stream()
        assert hello.acknowledged >= self.floor
        self.floor = hello.acknowledged
        self.unanswered.clear()
        self.open = True

    @rule()
    def lose(self):
        self.core.lose_stream()
        self.unanswered.clear()
        self.open = False

    @rule(limit_bytes=st.integers(1, 20))
    def send(self, limit_bytes):
        made, _ = self.core.next_frames(limit_bytes)
        assert self.open or not made
        for frame in made:
            assert frame.acknowledged >= self.floor
            self.floor = frame.acknowledged
            for number, payload in enumerate(frame.payloads, frame.first):
                assert number > self.floor
                assert self.accepted.setdefault(number, payload) == payload
                self.unanswered.append(number)

    @rule(count=st.integers(1, 5))
    def answer(self, count):
        answered, self.unanswered = self.unanswered[:count], self.unanswered[count:]
        if answered:
            self.told += self.core.receive(frames.Pushed([(each, 1) for each in answered]))

    @rule()
    def refuse(self):
        if self.unanswered:
            number = self.unanswered.pop()
            self.told += self.core.receive(frames.PushRefused(number, 1, Status.INTERNAL, "no"))

    @invariant()
    def an_outcome_is_told_once_and_true(self):
        assert len(set(map(id, self.told))) == len(self.told)
        payloads = {id(push): payload for push, payload in self.made}
        for push in self.told:
            assert push.state in (PushState.PUSHED, PushState.FAILED)
            if push.state is PushState.PUSHED:
                assert self.accepted[push.sequence] == payloads[id(push)]

    def teardown(self):
        self.connect()
        self.send(10**9)
        self.answer(10**9)
        for push, _ in self.made:
            assert push.state in (PushState.PUSHED, PushState.FAILED, PushState.WITHDRAWN)
        assert not self.core.wants_stream
        assert self.core.acknowledged == max(self.accepted, default=0) or not self.accepted


class NodeSide:
    """A node's side of one Consume stream: what it has leased, and frames it has not answered."""

    def __init__(self, stream) -> None:
        self.stream = stream
        self.leased: dict[int, dict[tuple[int, int], None]] = {}
        self.credit: dict[int, int] = {}
        self.heard: list = []


class Consuming(RuleBasedStateMachine):
    """Windows hold, a lease ends once, the node agrees on who has what, and nothing is stranded."""

    def __init__(self) -> None:
        super().__init__()
        self.core = ConsumerCore()
        self.nodes: list[NodeSide] = []
        self.subscriptions: list = []
        self.held: list = []
        self.ended: dict[int, object] = {}
        self.acked: list[tuple[int, int]] = []
        self.count = 0

    @initialize()
    def begin(self):
        self.subscribe(4)
        self.connect()
        self.pump()

    @rule()
    def pump(self):
        """Everything that was said is heard and answered."""
        for node in self.nodes:
            node.heard += node.stream.next_frames()
            while node.heard:
                self.process(node, refuse=False)

    # --- the user ---------------------------------------------------------------------------------

    @rule(credit=CREDITS)
    def subscribe(self, credit):
        self.subscriptions.append(self.core.subscribe(["A"], credit, 100))

    @rule(data=st.data(), credit=CREDITS)
    def set_credit(self, data, credit):
        if self.subscriptions:
            self.core.set_credit(data.draw(st.sampled_from(self.subscriptions)), credit)

    @precondition(lambda self: any(each.batches for each in self.subscriptions))
    @rule(data=st.data())
    def take(self, data):
        full = [each for each in self.subscriptions if each.batches]
        lease = self.core.take(data.draw(st.sampled_from(full)))
        if lease is not None:
            assert lease.state is LeaseState.HELD
            self.held.append(lease)

    def in_hand(self):
        return [lease for lease in self.held if lease.state is LeaseState.HELD]

    @precondition(lambda self: self.in_hand())
    @rule(data=st.data(), way=st.sampled_from([ACK, ("nack", None, "x", "json"), None]))
    def settle(self, data, way):
        lease = data.draw(st.sampled_from(self.in_hand()))
        if way is None:
            self.core.replace(lease, b"new", "json")
        else:
            self.core.settle(lease, way)

    @precondition(lambda self: len(self.subscriptions) > 1)
    @rule(data=st.data(), failure=st.sampled_from(["", "ValueError"]))
    def close(self, data, failure):
        subscription = data.draw(st.sampled_from(self.subscriptions))
        self.subscriptions.remove(subscription)
        self.note(self.core.close(subscription, failure))

    # --- the nodes --------------------------------------------------------------------------------

    @rule()
    def connect(self):
        self.nodes.append(NodeSide(self.core.open_stream()))

    @precondition(lambda self: len(self.nodes) > 1)
    @rule(data=st.data())
    def lose(self, data):
        node = data.draw(st.sampled_from(self.nodes))
        self.nodes.remove(node)
        self.note(node.stream.lose("cut"))

    @precondition(lambda self: any(node.stream.has_frames for node in self.nodes))
    @rule(data=st.data())
    def send(self, data):
        talking = [node for node in self.nodes if node.stream.has_frames]
        node = data.draw(st.sampled_from(talking))
        node.heard += node.stream.next_frames()
        assert not node.stream.has_frames

    @precondition(lambda self: any(node.heard for node in self.nodes))
    @rule(data=st.data(), refuse=st.booleans())
    def answer(self, data, refuse):
        listening = [node for node in self.nodes if node.heard]
        self.process(data.draw(st.sampled_from(listening)), refuse=refuse)

    def room(self):
        return [
            (node, number, credit - len(node.leased[number]))
            for node in self.nodes[-1:]  # older ones drain: they deliver nothing new
            for number, credit in node.credit.items()
            if credit > len(node.leased[number])
        ]

    @precondition(lambda self: self.room())
    @rule(data=st.data())
    def deliver(self, data):
        node, number, room = data.draw(st.sampled_from(self.room()))
        count = data.draw(st.integers(1, room))
        first, self.count = self.count + 1, self.count + count
        node.leased[number].update({(first + index, 1): None for index in range(count)})
        frame = frames.Deliver(number, "A", [(first, count)], [b""] * count)
        self.note(node.stream.receive(frame))

    def leased(self):
        return [
            (node, number, name)
            for node in self.nodes
            for number, names in node.leased.items()
            for name in names
        ]

    @precondition(lambda self: self.leased())
    @rule(data=st.data())
    def take_back(self, data):
        node, number, name = data.draw(st.sampled_from(self.leased()))
        del node.leased[number][name]
        self.note(node.stream.receive(frames.Lost([(name[0], 1)], [name[1]], "mine")))

    def process(self, node: NodeSide, *, refuse: bool) -> None:
        frame = node.heard.pop(0)
        status, refused = Status.OK, []
        if isinstance(frame, (frames.Started, frames.Heard)):
            return
        if isinstance(frame, frames.Subscribe):
            node.credit[frame.subscription] = frame.credit
            node.leased.setdefault(frame.subscription, {})
        elif isinstance(frame, frames.Unsubscribe):
            node.credit.pop(frame.subscription, None)
            node.leased.pop(frame.subscription, None)
        else:
            status, refused = self.settled(node, frame, refuse=refuse)
        self.note(node.stream.receive(frames.Answered(frame.number, status, "no", "", refused)))

    def settled(self, node: NodeSide, frame: frames.Settle, *, refuse: bool):
        if frame.action == "replace" and refuse:
            return Status.INVALID_ARGUMENT, []
        refused = []
        for value in from_runs(frame.ids):
            owners = [names for names in node.leased.values() if (value, 1) in names]
            if owners:
                del owners[0][value, 1]
                self.acked.append((value, 1))
            else:
                refused.append((value.to_bytes(16, "big"), 1, "not yours"))
        return Status.OK, refused

    def note(self, events) -> None:
        for event in events:
            assert isinstance(event, (Arrived, Confirmed, Ended))
            for lease in event.leases if isinstance(event, Ended) else ():
                assert id(lease) not in self.ended, "a lease ended twice"
                self.ended[id(lease)] = lease
                assert lease.state not in (LeaseState.HELD, LeaseState.SETTLING)

    # --- what holds -------------------------------------------------------------------------------

    @invariant()
    def a_settled_lease_was_settled_at_its_node_once(self):
        assert len(set(self.acked)) == len(self.acked)
        for lease in self.held:
            if lease.state is LeaseState.SETTLED:
                assert (lease.id, lease.attempt) in self.acked
            elif lease.state in (LeaseState.HELD, LeaseState.LOST):
                assert (lease.id, lease.attempt) not in self.acked

    @invariant()
    def what_is_unsettled_on_all_streams_fits_the_largest_window(self):
        """What a node leased to a window that has shrunk since may still be there."""
        for subscription in self.subscriptions:
            unsettled = sum(each.buffered + len(each.held) for each in subscription.windows)
            assert unsettled <= max(4, subscription.credit)

    @invariant()
    def reports_never_exceed_what_was_delivered(self):
        for stream in self.core.streams:
            for window in stream.windows.values():
                assert window.reported <= window.started <= window.delivered
                assert window.outstanding >= 0
                assert window.settling >= 0

    def teardown(self):
        for subscription in self.subscriptions:
            self.note(self.core.close(subscription))
        closed = list(self.core._subscriptions.values())
        self.pump()
        self.pump()  # new content that was refused before is nacked
        assert self.core._subscriptions == {}
        assert all(subscription.closed for subscription in closed)
        for node in self.nodes:
            assert node.stream.idle
            assert not any(node.leased.values())
        for lease in self.held:
            assert lease.state not in (LeaseState.HELD, LeaseState.SETTLING)


TestPushing = Pushing.TestCase
TestConsuming = Consuming.TestCase
