"""Both cores against a perfect node, with losses at any moment: what must hold in every order."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from trionode.client.consumer_core import ConsumerCore
from trionode.client.consumer_stream import ACK, Arrived, Confirmed, Ended
from trionode.client.leases import LeaseState
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


class Node:
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
        self.nodes: list[Node] = []
        self.subscriptions: list = []
        self.held: list = []
        self.ended: dict[int, object] = {}
        self.acked: list[tuple[int, int]] = []
        self.count = 0

    # --- the user ---------------------------------------------------------------------------------

    @rule(credit=st.integers(0, 4))
    def subscribe(self, credit):
        self.subscriptions.append(self.core.subscribe(["A"], credit, 100))

    @rule(data=st.data(), credit=st.integers(0, 4))
    def set_credit(self, data, credit):
        if self.subscriptions:
            self.core.set_credit(data.draw(st.sampled_from(self.subscriptions)), credit)

    @rule(data=st.data())
    def take(self, data):
        if self.subscriptions:
            taken = self.core.take(data.draw(st.sampled_from(self.subscriptions)))
            if taken is not None:
                assert taken.lease.state is LeaseState.HELD
                self.held.append(taken.lease)

    @rule(data=st.data(), way=st.sampled_from([ACK, ("nack", None, "x", "json"), None]))
    def settle(self, data, way):
        held = [lease for lease in self.held if lease.state is LeaseState.HELD]
        if held:
            lease = data.draw(st.sampled_from(held))
            if way is None:
                self.core.replace(lease, b"new", "json")
            else:
                self.core.settle(lease, way)

    @rule(data=st.data(), failure=st.sampled_from(["", "ValueError"]))
    def close(self, data, failure):
        if self.subscriptions:
            subscription = data.draw(st.sampled_from(self.subscriptions))
            self.subscriptions.remove(subscription)
            self.note(self.core.close(subscription, failure))

    # --- the nodes --------------------------------------------------------------------------------

    @rule()
    def connect(self):
        self.nodes.append(Node(self.core.open_stream()))

    @rule(data=st.data())
    def lose(self, data):
        if self.nodes:
            node = data.draw(st.sampled_from(self.nodes))
            self.nodes.remove(node)
            self.note(node.stream.lose("cut"))

    @rule(data=st.data())
    def send(self, data):
        if self.nodes:
            node = data.draw(st.sampled_from(self.nodes))
            node.heard += node.stream.next_frames()
            assert not node.stream.has_frames

    @rule(data=st.data(), refuse=st.booleans())
    def answer(self, data, refuse):
        nodes = [node for node in self.nodes if node.heard]
        if nodes:
            self.process(data.draw(st.sampled_from(nodes)), refuse=refuse)

    @rule(data=st.data(), count=st.integers(1, 3))
    def deliver(self, data, count):
        open_windows = [
            (node, number)
            for node in self.nodes
            for number, credit in node.credit.items()
            if len(node.leased[number]) + count <= credit
        ]
        if open_windows:
            node, number = data.draw(st.sampled_from(open_windows))
            first, self.count = self.count + 1, self.count + count
            node.leased[number].update({(first + index, 1): None for index in range(count)})
            frame = frames.Deliver(number, "A", [(first, count)], [b""] * count)
            self.note(node.stream.receive(frame))

    @rule(data=st.data())
    def take_back(self, data):
        leased = [
            (node, number, name)
            for node in self.nodes
            for number, names in node.leased.items()
            for name in names
        ]
        if leased:
            node, number, name = data.draw(st.sampled_from(leased))
            del node.leased[number][name]
            self.note(node.stream.receive(frames.Lost([(name[0], 1)], [name[1]], "mine")))

    def process(self, node: Node, *, refuse: bool) -> None:
        frame = node.heard.pop(0)
        status, refused = Status.OK, []
        if isinstance(frame, frames.Started):
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

    def settled(self, node: Node, frame: frames.Settle, *, refuse: bool):
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
        for _ in range(3):  # a refused replacement is nacked after
            for node in self.nodes:
                node.heard += node.stream.next_frames()
                while node.heard:
                    self.process(node, refuse=False)
        assert self.core._subscriptions == {}
        assert all(subscription.closed for subscription in closed)
        for node in self.nodes:
            assert node.stream.idle
            assert not any(node.leased.values())
        for lease in self.held:
            assert lease.state not in (LeaseState.HELD, LeaseState.SETTLING)


TestPushing = Pushing.TestCase
TestConsuming = Consuming.TestCase
