"""What broke NATS, NSQ, RabbitMQ and Dask, told again to our brains in the simulator.

Each test says what went wrong there and shows what must happen here, with every checker at every
event. The same stories with real nodes are in `tests/node/test_scenarios.py` and `tests/e2e`.
"""

from __future__ import annotations

import pytest

from tests.support.scenes import LATENCY_S, Ear, Scene
from trionode.routing import effects, events
from trionode.routing.model import State
from trionode.simulation.books import check_no_interest
from trionode.simulation.consumers import GOOD, HABITS, Habit
from trionode.simulation.generator import Generator

SILENT = next(habit for habit in HABITS if habit.silent)

pytestmark = pytest.mark.usefixtures("each_disk")


def test_unsubscribing_races_subscribing():
    """NATS 8233: increments overtook each other, and a peer lost a live subscriber for good."""
    scene = Scene(3, types=100, faults=("delays",))
    ear, random = Ear(scene, scene.nodes[0]), Generator(4)
    live: set[str] = set()
    scene.nodes[0].turn(events.ConsumerCame(ear.stream))

    def turn(event: object) -> None:
        scene.nodes[0].turn(event)

    for line in scene.network.lines:
        line.slow_s = 0.2
    number = 0
    for wave in range(10):
        for name in scene.types:
            number += 1
            at = scene.scheduler.time + random.between(0.0, 0.3)
            scene.scheduler.at(at, turn, events.Subscribed(ear.stream, number, (name,), 1, 1000))
            if wave == 9 and random.chance(0.5):
                live.add(name)
            else:
                at += random.between(0.0, 0.3)
                scene.scheduler.at(at, turn, events.Unsubscribed(ear.stream, number))
        scene.pass_(0.6)
    scene.pass_(5.0)
    assert 20 < len(live) < 80
    assert scene.interest(1) == scene.interest(2) == live
    assert scene.interest(0) == set()
    scene.nodes[0].turn(events.ConsumerGone(ear.stream, died=False))
    scene.pass_(5.0)
    assert scene.interest(1) == scene.interest(2) == set()


@pytest.mark.parametrize("over_s", [0.0, 1.0])
def test_ten_thousand_subscriptions_join_at_once(over_s):
    """News of interest must grow with types and links, not with subscriptions."""
    scene = Scene(4, types=20, every=False)
    told = scene.figures.interest_updates
    ear, random = Ear(scene, scene.nodes[0]), Generator(5)
    scene.nodes[0].turn(events.ConsumerCame(ear.stream))
    for number in range(10_000):
        key = (scene.types[number % 20],)
        at = scene.scheduler.time + over_s * random.unit()
        event = events.Subscribed(ear.stream, number, key, 1, 1000)
        scene.scheduler.at(at, scene.nodes[0].turn, event)
    scene.pass_(over_s + 1.0)
    assert scene.figures.interest_updates - told == 20 * 3
    assert all(scene.interest(node) == set(scene.types) for node in (1, 2, 3))
    scene.nodes[0].turn(events.ConsumerGone(ear.stream, died=True))
    scene.pass_(1.0)
    assert scene.figures.interest_updates - told == 2 * 20 * 3


def test_uneven_numbers_of_consumers_share_the_work_evenly():
    """NATS 1144: consumers at other nodes than the producer's got far less than their part."""
    scene = Scene(3, every=False)
    consumers = [scene.steady(node) for node in (0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2)]
    scene.push(scene.producer(0), 10_000)
    scene.drain()
    mean = 10_000 / len(consumers)
    assert sum(consumer.handled for consumer in consumers) == 10_000
    assert max(consumer.handled for consumer in consumers) <= 1.3 * mean
    scene.finish()


def test_consumers_that_vanish_do_not_make_objects_bounce():
    """NATS NoQueueSubscribersBounce: what came for a session that had died went to and fro."""
    scene = Scene(2, faults=("consumers",))
    many = [scene.steady(0, credit=1) for _ in range(100)]
    scene.steady(1, credit=8, each_s=0.002)
    scene.push(scene.producer(1), 1000)
    scene.until(lambda: sum(consumer.handled for consumer in many) >= 20)
    for consumer in many:
        consumer.closed = True
        consumer.die(0.0)
    scene.drain()
    # The rate is bounded by a checker of each single object; this is the mesh as a whole.
    assert scene.transfers <= 2 * 1000
    assert max(scene.invariants.moves.hops, default=0) <= 3
    scene.finish()


@pytest.mark.parametrize(
    ("nodes", "topology", "hops"), [(2, "mesh", 1), (4, "ring", 2), (4, "mesh", 1)]
)
def test_an_object_goes_one_way_and_is_delivered_once(nodes, topology, hops):
    """Duplicate interest, on one session or over two paths, must not duplicate a delivery."""
    scene = Scene(nodes, topology)
    there = 2 if topology == "ring" else 1
    ear = Ear(scene, scene.nodes[there])
    scene.nodes[there].turn(events.ConsumerCame(ear.stream))
    for number in (1, 2):
        scene.nodes[there].turn(events.Subscribed(ear.stream, number, ("t.0",), 200, 1 << 20))
    scene.push(scene.producer(0), 300)
    scene.pass_(5.0)
    delivered = [item.id for each in ear.heard for item in getattr(each, "objects", ())]
    assert len(delivered) == len(set(delivered)) == 300
    assert scene.invariants.moves.hops == dict.fromkeys(range(1, hops + 1), 300)
    assert scene.invariants.moves.returns == 0


def test_a_link_that_returns_brings_a_full_snapshot():
    """Interest that went while the link was down must be gone when it is back."""
    scene = Scene(2, types=3, faults=("links",))
    ear = Ear(scene, scene.nodes[1])
    scene.nodes[1].turn(events.ConsumerCame(ear.stream))
    for number, name in enumerate(scene.types[:2]):
        scene.nodes[1].turn(events.Subscribed(ear.stream, number, (name,), 1, 1000))
    scene.until(lambda: scene.interest(0) == {"t.0", "t.1"})
    scene.network.cut(scene.line(0, 1), 0.0)
    scene.nodes[1].turn(events.Unsubscribed(ear.stream, 0))
    scene.nodes[1].turn(events.Subscribed(ear.stream, 7, ("t.2",), 1, 1000))
    scene.until(lambda: scene.interest(0) == set())
    scene.until(lambda: scene.interest(0) == {"t.1", "t.2"})
    scene.pass_(20.0)
    assert scene.interest(0) == {"t.1", "t.2"}


def test_interest_returns_to_zero():
    """Whatever comes and goes, and dies in between, must leave nothing in any table."""
    scene = Scene(3, types=5, faults=("consumers", "links"))
    random = Generator(7)
    ears: dict[int, tuple[Ear, int]] = {}
    for step in range(10_000):
        node = scene.nodes[random.below(3)]
        if random.chance(0.01):
            scene.network.cut(random.pick(scene.network.lines), 0.1)
        if node.index in ears and random.chance(0.5):
            ear, number = ears.pop(node.index)
            if random.chance(0.5):
                node.turn(events.Unsubscribed(ear.stream, number))
            node.turn(events.ConsumerGone(ear.stream, died=random.chance(0.5)))
            del node.streams[ear.stream]
        else:
            ear, number = ears.get(node.index) or (Ear(scene, node), 0)
            if not number:
                node.turn(events.ConsumerCame(ear.stream))
            key = (random.pick(scene.types),)
            node.turn(events.Subscribed(ear.stream, step + 1, key, 1, 1000))
            ears[node.index] = (ear, step + 1)
        scene.pass_(0.001)
    for index, (ear, _) in ears.items():
        scene.nodes[index].turn(events.ConsumerGone(ear.stream, died=True))
    scene.pass_(20.0)
    for node in scene.nodes:
        assert node.host.brain is not None
        check_no_interest(node.host.brain)


def test_relayed_interest_in_a_cycle_takes_the_shortest_way_and_no_loop():
    """A late joiner must reach the one subscriber that is left, and nothing may go around."""
    scene = Scene(6, "ring", faults=("membership",))
    first, last = scene.consumer(1), scene.consumer(4)
    scene.push(scene.producer(0), 200)
    scene.drain()
    assert max(scene.invariants.moves.hops) == 2
    first.close()
    scene.pass_(3.0)
    assert paths(scene, 0) == [(1, 2, 3, 4), (5, 4)], "by each link the shortest way, and no other"
    scene.push(scene.producers[0], 200)
    scene.drain()
    joined = scene._new_node()
    joined.start()
    scene.network.join(joined, scene.nodes[1])
    scene.pass_(3.0)
    assert paths(scene, joined.index) == [(1, 0, 5, 4)]
    scene.push(scene.producer(joined.index), 100)
    scene.drain()
    assert last.stream
    assert scene.settled == 500
    assert max(scene.invariants.moves.hops) == 4
    assert scene.invariants.moves.returns == 0
    scene.finish()


def paths(scene: Scene, node: int) -> list[tuple[int, ...]]:
    """The ways to a consumer that a node knows of, as numbers of nodes."""
    brain = scene.nodes[node].host.brain
    assert brain is not None
    routes = brain.interest.routes["t.0"].values()
    return sorted(tuple(scene.by_name[name].index for name in each.path) for each in routes)


def test_the_ack_overtakes_the_hand_over():
    """JetStream's pre-ack: done at the receiver before the giver knew that it had been taken."""
    scene = Scene(2, faults=("partitions",))
    scene.consumer(1, habit=Habit(0.0))
    scene.pass_(1.0)
    producer = scene.producer(0)
    scene.push(producer, 1)
    scene.until(lambda: scene.counts.get("offers", 0) == 1)
    scene.silence(1, 0)
    scene.until(lambda: scene.settled == 1)
    scene.pass_(2.0)
    assert (scene.held(0), scene.held(1)) == (1, 0)
    scene.network.heal(scene.line(0, 1))
    scene.pass_(1.0)
    assert (scene.held(0), scene.held(1)) == (0, 0)
    scene.finish()
    assert (scene.settled, scene.deliveries) == (1, 1)


def test_a_storm_of_consumers_that_scale_up_while_links_flap():
    """JetStream's work queue stood still: it must drain, with progress in every 2 s."""
    scene = Scene(5, faults=("links", "consumers"), every=False)
    random = Generator(10)
    producer = scene.producer(0)

    def join(left: int) -> None:
        scene.steady(random.below(5), each_s=0.05, nacks=100)
        if left:
            scene.scheduler.after(0.1, join, left - 1)

    def flap() -> None:
        scene.network.cut(random.pick(scene.network.lines), random.pick((0.0, 0.3)))
        scene.scheduler.after(0.75, flap)

    join(50)
    flap()
    scene.push(producer, 8000)
    while scene.settled < 8000:
        before = scene.settled
        scene.pass_(2.0)
        assert scene.settled > before, f"no progress in 2 s, {before} are settled"
    assert len(scene.consumers) == 51
    assert scene.counts["settles by nack"] > 500
    assert scene.transfers > 1000


def test_two_equal_nodes_do_not_play_ping_pong():
    """Dask's stealing moved tasks to and fro for ever; moves must become zero by the third round.

    Both nodes have the same load and consumers that settle nothing; credit is now here, now there.
    """
    scene = Scene(2)
    consumers = [scene.consumer(node, credit=4, habit=SILENT) for node in (0, 1)]
    for node in (0, 1):
        scene.push(scene.producer(node), 100)
    moves = []
    for _ in range(6):
        before = scene.transfers
        for now in (0, 1):
            consumers[now].resubscribe()  # which returns what it has leased
            consumers[now].set_credit(4)
            consumers[1 - now].resubscribe()
            consumers[1 - now].set_credit(0)
            scene.pass_(1.0)
        moves.append(scene.transfers - before)
    assert moves[0] <= 16
    assert moves[2:] == [0] * 4, moves
    for consumer in consumers:
        consumer.habit = GOOD
        consumer.set_credit(64)
        consumer.resubscribe()
    scene.finish()


def test_a_new_node_at_an_old_address_is_nobodys_ghost():
    """Dask: work went to the worker that had died, whose address another one had taken."""
    scene = Scene(2, types=2, faults=("disks",))
    scene.consumer(1, "t.0")
    scene.pass_(1.0)
    assert scene.interest(0) == {"t.0"}
    old = scene.nodes[1].host.node
    scene.nodes[1].crash(written=True, notice_max_s=5.0)
    scene.nodes[1].lose_disk()
    scene.consumers[0].closed = True
    scene.nodes[1].start()
    assert scene.nodes[1].host.node != old
    scene.until(lambda: scene.line(0, 1).up)
    assert scene.interest(0) == set()
    scene.push(scene.producer(0), 20)
    scene.pass_(40.0)
    assert (scene.held(0), scene.held(1)) == (20, 0)
    assert scene.counts.get("offers", 0) == 0
    scene.consumer(1, "t.0")
    scene.finish()


def test_the_peer_that_accepts_while_a_node_drains_dies_half_way():
    """Dask RetireWorker: nothing may be lost, and the rest must find another node."""
    scene = Scene(3, faults=("crashes", "drains"), volatile=(0,))
    scene.push(scene.producer(0), 8000)
    scene.pass_(1.0)
    assert scene.held(0) == 8000
    scene.nodes[0].drain()
    scene.until(lambda: scene.held(1) > 0)
    scene.nodes[1].crash(written=False, notice_max_s=0.5)
    scene.pass_(2.0)
    assert scene.held(2) > 0
    scene.pass_(40.0)  # in doubt for 30 s are the offers that the dead one had not answered
    assert scene.held(0) == 0
    scene.nodes[1].start()
    assert scene.held(1) + scene.held(2) >= 8000
    scene.consumer(2)
    scene.consumer(1)
    for consumer in scene.consumers:
        consumer.connect()
    scene.drain()
    fates = scene.invariants.ledger.fates.values()
    assert all(fate.settled >= 1 and not fate.lost for fate in fates)


@pytest.mark.parametrize("moment", ["written and not answered", "answered and not forgotten"])
def test_a_crash_between_the_disk_and_the_answer(moment):
    """NSQ 1354: it may end in a duplicate, never in a loss."""
    scene = Scene(2, faults=("crashes",))
    taker = scene.consumer(1, habit=SILENT)
    scene.pass_(1.0)
    scene.push(scene.producer(0), 10)
    giver, receiver = scene.nodes[0].host, scene.nodes[1].host
    if moment == "written and not answered":
        scene.until(lambda: receiver.writing is not None and bool(receiver.writing.kept))
        scene.nodes[1].crash(written=True, notice_max_s=0.0)
        assert receiver.disk is not None
        assert receiver.disk.objects
        assert scene.held(0) == 10
        scene.nodes[1].start()
    else:
        scene.until(lambda: giver.writing is not None and bool(giver.writing.gone))
        scene.nodes[0].crash(written=False, notice_max_s=0.0)
        assert giver.disk is not None
        assert giver.disk.objects
        scene.nodes[0].start()
    taker.habit = GOOD
    taker.resubscribe()
    scene.finish()
    fates = scene.invariants.ledger.fates.values()
    assert {fate.settled for fate in fates} == {1}, "the giver asks, and need not even duplicate"


def test_delays_deadlines_and_attempts_survive_a_restart():
    """NSQ 1107: a delay was forgotten with the process; the times are those of before."""
    scene = Scene(1, faults=("crashes",))
    producer = scene.producer(0)
    scene.pass_(0.1)
    producer.says = {"deadline": scene.scheduler.time + 8.0}
    scene.push(producer, 1)
    producer.says = {"due": scene.scheduler.time + 6.0}
    scene.push(producer, 1)
    producer.says = {}
    scene.push(producer, 1)
    scene.pass_(0.5)
    ear = Ear(scene, scene.nodes[0])
    scene.nodes[0].turn(events.ConsumerCame(ear.stream))
    scene.nodes[0].turn(events.Subscribed(ear.stream, 1, ("t.0",), 10, 1000))
    leased = [item.id for each in ear.heard for item in getattr(each, "objects", ())]
    assert len(leased) == 2
    nack = events.Settled(ear.stream, 1, "nack", leased, None, 10.0, "no")
    scene.nodes[0].turn(nack)
    nacked_at = scene.scheduler.time
    scene.pass_(1.0)
    scene.nodes[0].crash(written=True, notice_max_s=0.0)
    scene.pass_(1.0)
    scene.nodes[0].start()
    consumer = scene.consumer(0, habit=GOOD)
    scene.pass_(6.0)
    fates = list(scene.invariants.ledger.fates.values())
    assert [fate.deliveries for fate in fates] == [1, 1, 1], "only the second was due"
    assert fates[0].expired
    scene.until(lambda: scene.settled == 2)
    assert scene.scheduler.time - nacked_at == pytest.approx(10.0, abs=0.05)
    assert fates[2].attempt == 2
    assert consumer.stream
    scene.finish()


def test_a_late_ack_is_refused_with_the_reason():
    """NATS 4786: the first attempt's ack ended the second one."""
    scene = Scene(1)
    scene.push(scene.producer(0), 1)
    scene.pass_(0.1)
    ears = [Ear(scene, scene.nodes[0]) for _ in range(2)]
    turn = scene.nodes[0].turn
    for ear in ears:
        turn(events.ConsumerCame(ear.stream))
    turn(events.Subscribed(ears[0].stream, 1, ("t.0",), 1, 1000))
    (id_,) = [item.id for each in ears[0].heard for item in getattr(each, "objects", ())]
    turn(events.Settled(ears[0].stream, 1, "nack", [id_], [1], 0.0, "no"))
    turn(events.Unsubscribed(ears[0].stream, 1))
    scene.pass_(0.1)
    turn(events.Subscribed(ears[1].stream, 1, ("t.0",), 1, 1000))
    assert [each.objects[0].attempt for each in ears[1].heard] == [2]
    turn(events.Settled(ears[0].stream, 2, "ack", [id_], [1]))
    answer = ears[0].heard[-1]
    assert type(answer) is effects.AnswerSettle
    ((refused, attempt, reason),) = answer.refused
    assert (refused, attempt) == (id_, 1)
    assert "attempt 2, not 1" in reason
    turn(events.Settled(ears[1].stream, 1, "ack", [id_], [2]))
    assert ears[1].heard[-1].refused == []
    assert scene.settled == 1


@pytest.mark.parametrize("notice_s", [0.0, 9.0])
def test_a_consumer_dies_with_a_thousand_leases(notice_s):
    """NATS 4716 waited for minutes: all are ready as soon as the connection is seen dead."""
    scene = Scene(1, faults=("consumers",))
    scene.consumers_die = True
    dying = scene.consumer(0, credit=1000, habit=SILENT)
    scene.push(scene.producer(0), 1000)
    brain = scene.nodes[0].host.brain
    assert brain is not None
    table = brain.context.custody.tables["t.0"]
    scene.until(lambda: table.counts[State.LEASED] == 1000)
    scene.pass_(0.1)
    begun = scene.invariants.ledger.leases[0]._started[dying.stream, 1]
    assert 900 < begun <= 1000
    dying.closed = True
    dying.die(notice_s)
    scene.pass_(notice_s)
    assert table.counts[State.LEASED] == 1000
    scene.pass_(2 * LATENCY_S)
    assert table.counts[State.READY] == 1000
    attempts = [item.attempt for item in brain.context.custody.objects.values()]
    assert (attempts.count(2), attempts.count(1)) == (begun, 1000 - begun)


def test_a_slow_consumer_does_not_slow_the_fast_ones():
    """NATS 5394: the fast ones must lose less than 5 % of their throughput."""

    def handled(slow: bool) -> int:
        scene = Scene(1, every=False)
        fast = [scene.steady(0, credit=16) for _ in range(5)]
        if slow:
            scene.steady(0, credit=64, each_s=3.0)
        producer = scene.producer(0)
        end = scene.scheduler.time + 10.0
        while scene.scheduler.time < end:
            producer.push(12)
            scene.pass_(0.01)
        return sum(consumer.handled for consumer in fast)

    alone, beside = handled(slow=False), handled(slow=True)
    assert alone > 4500
    assert beside > 0.95 * alone
