"""Three brains under faults: nothing is lost (I1), leases and books are right (I2, I6, I8), and all
is settled once faults stop (I5).

Two nodes have disks and one has not. Links drop with what is under way, nodes crash, commits wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.strategies import CREDITS, PICKS, TYPE_NAMES, pick
from tests.support.books import check_books, check_no_interest_left
from tests.support.brains import Mesh
from trionode.ids import object_id
from trionode.routing import effects

if TYPE_CHECKING:
    from tests.support.brains import Consumer, Lease, Node

DURABLE = ("a", "b")
NODES = ("a", "b", "m")
PAIRS = (("a", "b"), ("b", "m"), ("a", "m"))
NAMES = st.sampled_from(NODES)
WANTED = st.sampled_from([("T",), ("U",), ("T", "U"), ("*",), (">",)])


class MeshUnderFaults(RuleBasedStateMachine):
    @initialize(
        busy=st.booleans(),
        late=st.sets(st.sampled_from(DURABLE)),
        volatile=st.booleans(),
        last=st.sampled_from([("T", "U"), ("*",)]),
    )
    def begin(self, busy: bool, late: set[str], volatile: bool, last) -> None:
        """Half of all examples begin with an object on its way from a to b."""
        self.mesh = Mesh(
            *DURABLE,
            memory=("m",),
            transfer_after_s=0.5,
            overflow_after_s=0.1,
            overflow_cap_s=2.0,
            in_doubt_timeout_s=5.0,
            max_attempts=4,
            relay_window=3,
            allow_volatile=volatile,
        )
        self.volatile = volatile
        self.last = last
        """What the consumers want that settle everything in the end."""
        self.faults = False
        self.pushed: dict[int, str] = {}
        """Every id -> its type."""
        self.due: set[int] = set()
        """Acknowledged, not settled, and not in the memory of a node that died."""
        self.settled: dict[int, int] = {}
        if busy:
            self.mesh.link("a", "b")
            self.come("b", ("T",), 2)
            self.mesh.run()
        for name in late:
            self.mesh[name].auto_commit = False
        if busy:
            self.push("a", "T", 1)
            while not self.mesh["a"].of(effects.SendOffer):
                for node in self.mesh.nodes.values():
                    node.tick()
                self.messages_arrive(("a", "b"), back=False, count=1)
                self.messages_arrive(("a", "b"), back=True, count=1)

    # --- clients -------------------------------------------------------------------------------

    @rule(name=NAMES, type_=TYPE_NAMES, count=st.integers(1, 4))
    def push(self, name: str, type_: str, count: int) -> None:
        for id_ in self.mesh[name].push(type_, count=count):
            self.pushed[id_] = type_

    @rule(name=NAMES, keys=WANTED, credit=CREDITS)
    def come(self, name: str, keys, credit: int) -> None:
        self.mesh[name].consumer(*keys, credit=credit)

    def consumers(self) -> list[Consumer]:
        return [consumer for name in NODES for consumer in self.mesh[name].consumers.values()]

    @precondition(lambda self: self.consumers())
    @rule(which=PICKS, died=st.booleans(), started=st.integers(0, 2))
    def leave(self, which: int, died: bool, started: int) -> None:
        consumer = pick(self.consumers(), which)
        del consumer.node.consumers[consumer.handle]
        consumer.start(started)
        if died:
            self.faults = True
            consumer.die()
        else:
            consumer.leave()

    def leased(self) -> list[tuple[Consumer, Lease]]:
        return [(each, lease) for each in self.consumers() for lease in each.delivered]

    @precondition(lambda self: self.leased())
    @rule(which=PICKS, action=st.sampled_from(["ack", "ack", "nack", "return", "replace"]))
    def settle(self, which: int, action: str) -> None:
        consumer, lease = pick(self.leased(), which)
        consumer.delivered.remove(lease)
        if action == "ack":
            self._ack(consumer, lease)
        else:
            self.faults |= action == "nack"
            consumer.settle(action, lease, delay_s=0.5, payloads=[b"new"])

    def _ack(self, consumer: Consumer, lease: Lease) -> None:
        """I6: whoever has the lease can settle, once."""
        assert consumer.ack(lease) == []
        self.settled[lease.id] = self.settled.get(lease.id, 0) + 1
        self.due.discard(lease.id)
        assert consumer.ack(lease) != []

    # --- messages, time, commits ---------------------------------------------------------------

    @rule(pair=st.sampled_from(PAIRS), back=st.booleans(), count=st.integers(1, 6))
    def messages_arrive(self, pair, back: bool, count: int) -> None:
        giver, taker = reversed(pair) if back else pair
        while count and taker in self.mesh[giver].links and self.mesh.under_way(giver, taker):
            self.mesh.step(giver, taker)
            count -= 1

    @rule()
    def all_messages_arrive(self) -> None:
        self.mesh.run()

    @rule(seconds=st.sampled_from([0.0, 0.6]))
    def all_tick(self, seconds: float) -> None:
        """Nothing arrives meanwhile."""
        self.mesh.now += seconds
        for node in self.mesh.nodes.values():
            node.tick()

    @rule(seconds=st.sampled_from([0.6, 6.0]))
    def time_passes(self, seconds: float) -> None:
        self.mesh.wait(seconds)

    @rule(name=st.sampled_from(DURABLE))
    def commits_wait_or_not(self, name: str) -> None:
        node = self.mesh[name]
        node.auto_commit = not node.auto_commit

    @rule(name=st.sampled_from(DURABLE))
    def commit(self, name: str) -> None:
        self.mesh[name].commit()

    # --- faults --------------------------------------------------------------------------------

    @rule(pair=st.sampled_from(PAIRS))
    def link_or_cut(self, pair) -> None:
        one, other = pair
        if other in self.mesh[one].links:
            self.faults = True
            self.mesh.cut(one, other)
        else:
            self.mesh.link(one, other)

    @rule(name=NAMES)
    def crash(self, name: str) -> None:
        node = self.mesh[name]
        self.faults = True
        self._acknowledged()
        if not node.durable:
            self.due -= node.held()
        node.crash()
        # What was acked by a consumer and not yet on disk comes back: a duplicate, no loss.

    # --- what must be true ---------------------------------------------------------------------

    def _acknowledged(self) -> None:
        for node in self.mesh.nodes.values():
            for first, count in node.acknowledged:
                ids = {object_id(node.producer, first + index) for index in range(count)}
                self.due |= ids - set(self.settled)
            node.acknowledged.clear()

    @invariant()
    def what_was_acknowledged_is_in_custody(self) -> None:
        """I1: in a node, or where a node could come back from."""
        self._acknowledged()
        held = set().union(*(node.held() for node in self.mesh.nodes.values()))
        assert self.due <= held, "I1: lost"
        for node in self.mesh.nodes.values():
            for id_ in node.held() & self.due:
                if node.durable and len(self._holders(id_)) == 1:
                    staged = node.disk.staged
                    assert id_ in node.disk.objects or staged, "I1: acknowledged and not on disk"

    def _holders(self, id_: int) -> list[Node]:
        return [node for node in self.mesh.nodes.values() if id_ in node.held()]

    @invariant()
    def without_faults_an_object_has_one_holder_and_is_settled_once(self) -> None:
        """I2."""
        if self.faults:
            return
        assert all(times == 1 for times in self.settled.values())
        for id_ in self.pushed:
            holders = self._holders(id_)
            giving = [n for n in holders if n.item(id_).state.name == "TRANSFERRING"]
            assert len(holders) - len(giving) <= 1
            if id_ in self.settled:
                assert len(giving) == len(holders)
            else:
                assert holders

    @invariant()
    def books_are_right(self) -> None:
        for node in self.mesh.nodes.values():
            check_books(node.brain)

    def teardown(self) -> None:
        """I5: faults stop, credit comes everywhere, and all is settled; nothing is left of it."""
        if not hasattr(self, "mesh"):
            return
        mesh = self.mesh
        for node in mesh.nodes.values():
            node.auto_commit = True
            node.commit()
        for one, other in PAIRS:
            if other not in mesh[one].links:
                mesh.link(one, other)
        for consumer in self.consumers():
            consumer.leave()
            del consumer.node.consumers[consumer.handle]
        for name in NODES:
            mesh[name].consumer(*self.last, credit=2)
        for _ in range(60):
            mesh.wait(1.0)
            for consumer, lease in self.leased():
                consumer.delivered.remove(lease)
                self._ack(consumer, lease)
        self._acknowledged()
        living = {node.id for node in mesh.nodes.values()}
        for node in mesh.nodes.values():
            assert {node.item(id_).state.name for id_ in node.held()} <= {"DEAD"}, "I5: not settled"
            assert set(node.disk.objects) == (node.held() if node.durable else set())
            assert (node.disk.given, node.brain.givings.open) == ({}, {})
            # Nobody will ever close the numbers of a node without a disk that died.
            assert {giver for giver, _, _ in node.disk.taken}.isdisjoint(living)
            assert set(node.brain.takings.taken).isdisjoint(living)
        for consumer in self.consumers():
            consumer.leave()
        mesh.wait(5.0)
        for node in mesh.nodes.values():
            check_no_interest_left(node.brain)


TestMeshUnderFaults = MeshUnderFaults.TestCase
TestMeshUnderFaults.settings = settings(max_examples=100, stateful_step_count=40)
