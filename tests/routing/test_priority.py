"""Priorities within a type: order, and the bound that keeps high ones from starving low ones."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.support.brains import Mesh
from trionode.routing.custody import TypeTable
from trionode.routing.lines import BOUND, TURNS
from trionode.routing.model import HeldObject, Shape
from trionode.routing.queues import ReadyQueue, Scan

TABLE = TypeTable("T")


def objects(*priorities: int | None) -> list[HeldObject]:
    return [
        HeldObject(
            index,
            TABLE,
            b"x",
            Shape(),
            0.0,
            0.0,
            details=None if priority is None else {"priority": priority},
        )
        for index, priority in enumerate(priorities)
    ]


def priorities(taken: list[HeldObject]) -> list[int]:
    return [held.detail("priority", 5) for held in taken]


def test_the_highest_priority_goes_first_and_each_is_first_in_first_out() -> None:
    queue = ReadyQueue()
    every = objects(None, 9, 1, None, 9, 7)
    queue.append(every)
    assert [held.id for held in queue.take(6, 100)] == [1, 4, 5, 0, 3, 2]


def test_no_priority_is_the_fifth() -> None:
    queue = ReadyQueue()
    queue.append(objects(4, None, 5, 6))
    assert [held.id for held in queue.take(4, 100)] == [3, 1, 2, 0]


def test_of_every_eight_leases_one_goes_to_a_lower_priority() -> None:
    queue = ReadyQueue()
    queue.append(objects(*[9] * 100, *[0] * 100))
    taken = priorities(queue.take(80, 1000))
    assert TURNS == 8
    for start in range(len(taken) - TURNS + 1):
        assert 0 in taken[start : start + TURNS]
    assert Counter(taken) == {9: 70, 0: 10}


@given(st.data())
def test_no_priority_waits_longer_than_the_stated_bound(data) -> None:
    """Whatever else comes: of `BOUND` leases one is of each priority that waits all that time."""
    queue = ReadyQueue()
    waited = dict.fromkeys(range(10), 0)
    standing = Counter[int]()
    for _ in range(data.draw(st.integers(1, 40))):
        coming = data.draw(st.lists(st.integers(0, 9), max_size=30))
        queue.append(objects(*coming))
        standing.update(coming)
        for held in queue.take(data.draw(st.integers(1, 30)), 10_000):
            served = held.detail("priority")
            for priority in waited:
                idle = priority == served or not standing[priority]
                waited[priority] = 0 if idle else waited[priority] + 1
                assert waited[priority] < BOUND
            standing[served] -= 1


def test_the_bound_is_met_where_all_priorities_wait() -> None:
    queue = ReadyQueue()
    queue.append(objects(*[each for each in range(10) for _ in range(200)]))
    taken = priorities(queue.take(2 * BOUND, 10_000))
    for start in range(len(taken) - BOUND + 1):
        assert len(set(taken[start : start + BOUND])) == 10


def test_plans_that_move_nothing_use_up_no_turns() -> None:
    queue = ReadyQueue()
    queue.append(objects(*[9] * 100, *[0] * 100))
    taken = []
    for _ in range(40):
        scan = Scan(queue, 0.0)
        for _ in range(9):
            scan.pass_over(scan.next(), float("-inf"))
        scan.leave()
        taken += priorities(queue.take(1, 1))
    assert Counter(taken) == {9: 35, 0: 5}


def test_what_is_given_back_has_used_up_no_turn() -> None:
    """As where payloads are not in memory yet."""
    queue = ReadyQueue()
    queue.append(objects(*[9] * 100, *[0] * 100))
    taken = []
    for _ in range(40):
        batch = queue.take(5, 100)
        queue.give_back(batch[1:])
        taken += priorities(batch[:1])
    assert Counter(taken) == {9: 35, 0: 5}


def test_an_object_that_comes_back_stands_first_in_its_priority_again() -> None:
    mesh = Mesh("a")
    consumer = mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T", count=2, priority=3)
    mesh["a"].push("T", count=2, priority=7)
    mesh["a"].push("T", count=1)
    (first,) = consumer.take()
    consumer.settle("return", first)
    order = []
    while leases := consumer.take():
        order += [lease.id & 0xFF for lease in leases]
        consumer.ack(*leases)
    assert order == [3, 4, 5, 1, 2]


def test_the_same_order_holds_for_transfers() -> None:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    mesh["a"].push("T", count=3, priority=1)
    mesh["a"].push("T", count=3)
    mesh["a"].push("T", count=3, priority=8)
    mesh["a"].effects.clear()
    consumer = mesh["b"].consumer("T", credit=9)
    mesh.run()
    assert consumer.sequences() == [7, 8, 9, 4, 5, 6, 1, 2, 3]


def test_a_low_priority_is_not_starved_by_a_stream_of_high_ones() -> None:
    mesh = Mesh("a")
    (low,) = mesh["a"].push("T", priority=0)
    consumer = mesh["a"].consumer("T", credit=0)
    mesh["a"].push("T", count=20, priority=9)
    consumer.subscribe("T", credit=1)
    order = []
    while low not in order:
        mesh["a"].push("T", priority=9)
        (lease,) = consumer.take()
        order.append(lease.id)
        consumer.ack(lease)
    assert len(order) <= TURNS


def test_a_priority_out_of_range_from_a_peer_counts_as_the_nearest() -> None:
    queue = ReadyQueue()
    queue.append(objects(-3, 0, 9, 1_000))
    assert [held.id for held in queue.take(4, 100)] == [2, 3, 0, 1]
