"""The ready queue against a plain list, and the timers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trionode.routing.custody import TypeTable
from trionode.routing.model import HeldObject, Shape, State
from trionode.routing.queues import COMPACT_FROM, ReadyQueue, Timers

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
