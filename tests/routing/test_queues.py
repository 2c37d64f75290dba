"""The ready queue against a plain list, and the timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.support.brains import Mesh
from trionode.routing.custody import TypeTable
from trionode.routing.model import HeldObject, Shape, State
from trionode.routing.queues import COMPACT_FROM, SWEEP_TIMERS_FROM, ReadyQueue, Timers

TABLE = TypeTable("T")


def objects(sizes: list[tuple[int, bool]]) -> list[HeldObject]:
    return [
        HeldObject(
            index, TABLE, bytes(size), Shape(), 0.0, 0.0, details={"suspect": True} if bad else None
        )
        for index, (size, bad) in enumerate(sizes)
    ]


SIZES = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=12)


@given(SIZES, st.data(), st.integers(0, 12), st.integers(0, 20), st.none() | st.integers(0, 3))
def test_take_is_what_a_plain_list_would_give(sizes, data, count, size_bytes, suspects) -> None:
    every = objects(sizes)
    front = data.draw(st.integers(0, len(every)))
    queue = ReadyQueue()
    queue.append(every[front:])
    queue.put_back(every[:front])
    for item in every:
        if data.draw(st.booleans()):
            item.state = State.SETTLED
    ready = [item for item in every if item.state == State.READY]
    expected, left = [], size_bytes
    allowed = len(every) if suspects is None else suspects
    line = [item for item in ready if item.suspect][:allowed]
    for item in [*line, *(item for item in ready if not item.suspect)]:
        if len(expected) == count or left <= 0:
            break
        expected.append(item)
        left -= len(item.payload)
    assert queue.take(count, size_bytes, suspects) == expected
    rest = [item for item in ready if item not in expected]
    assert list(queue) == [i for i in rest if i.suspect] + [i for i in rest if not i.suspect]
    assert queue.oldest() is next(iter(queue), None)


def test_stale_entries_are_swept_out_when_they_outnumber_the_others() -> None:
    every = objects([(1, False)] * 300)
    queue = ReadyQueue()
    queue.append(every)
    for item in every[:200]:
        item.state = State.SETTLED
    queue.sweep(100)
    assert len(queue._plain) == 100
    assert queue.take(1000, 1000) == every[200:]


def test_a_few_stale_entries_are_left_alone() -> None:
    every = objects([(1, False)] * COMPACT_FROM)
    queue = ReadyQueue()
    queue.append(every)
    for item in every[1:]:
        item.state = State.SETTLED
    queue.sweep(1)
    assert len(queue._plain) == COMPACT_FROM


@given(st.lists(st.integers(0, 20)), st.integers(0, 20))
def test_timers_fire_in_order_of_time_and_then_of_setting(whens, now) -> None:
    timers = Timers()
    for key, when in enumerate(whens):
        timers.set(float(when), "kind", key)
    assert timers.next() == (min(whens) if whens else None)
    due = list(timers.due(float(now)))
    assert due == sorted(
        (float(when), "kind", key) for key, when in enumerate(whens) if when <= now
    )
    later = [when for when in whens if when > now]
    assert timers.next() == (min(later) if later else None)


def test_timers_of_objects_that_are_gone_are_swept_out() -> None:
    mesh = Mesh("a")
    node = mesh["a"]
    consumer = node.consumer("T", credit=1000)
    for _ in range(3 * SWEEP_TIMERS_FROM // 500):
        node.push("T", count=500, deadline=node.now + 86_400.0)
        consumer.ack(*consumer.take())
    assert node.held() == set()
    assert len(node.brain.context.timers) <= SWEEP_TIMERS_FROM


def test_a_sweep_keeps_the_timers_of_what_waits() -> None:
    mesh = Mesh("a")
    node = mesh["a"]
    node.push("D", count=SWEEP_TIMERS_FROM, due=node.now + 50.0)
    node.push("E", count=SWEEP_TIMERS_FROM, deadline=node.now + 60.0)
    assert len(node.brain.context.timers) >= 2 * SWEEP_TIMERS_FROM
    mesh.wait(51.0)
    assert node.table("D").counts[State.READY] == SWEEP_TIMERS_FROM
    mesh.wait(10.0)
    assert node.flow("E", "expired") == SWEEP_TIMERS_FROM


def test_an_object_on_offer_keeps_its_deadline_over_a_sweep() -> None:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    mesh["b"].consumer("T")
    mesh["a"].push("T", deadline=mesh["a"].now + 40.0)
    mesh.run()
    mesh["a"].push("U", count=2 * SWEEP_TIMERS_FROM, due=mesh["a"].now + 1000.0)
    mesh.cut("a", "b")
    mesh.wait(31.0)
    assert mesh["a"].table("T").counts[State.READY] == 1
    mesh.wait(10.0)
    assert mesh["a"].flow("T", "expired") == 1
