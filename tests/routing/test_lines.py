"""A line of ready objects against a plain list, with plans that pass over some of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trionode.routing.custody import TypeTable
from trionode.routing.lines import AWAKE, Line, Walk
from trionode.routing.model import HeldObject, Shape, State

TABLE = TypeTable("T")


def held(id_: int) -> HeldObject:
    return HeldObject(id_, TABLE, b"x", Shape(), 0.0, 0.0)


@given(st.data())
def test_order_is_that_of_a_plain_list_whatever_plans_do(data) -> None:
    line, plain = Line(), []
    resting: dict[int, float] = {}
    now, last = 0.0, 0
    for _ in range(data.draw(st.integers(1, 25))):
        act = data.draw(st.sampled_from(["append", "put_back", "take", "plan", "expire", "wait"]))
        if act == "append":
            last += 1
            line.entries.append(item := held(last))
            plain.append(item)
        elif act == "put_back":
            last += 1
            line.put_back(item := held(last))
            plain.insert(0, item)
        elif act == "take":
            first = line.first()
            assert first is (plain[0] if plain else None)
            if first is not None:
                assert line.pop() is plain.pop(0)
        elif act == "expire" and plain:
            data.draw(st.sampled_from(plain)).state = State.EXPIRED
            plain = [item for item in plain if item.state == State.READY]
        elif act == "wait":
            now += data.draw(st.integers(1, 4))
        elif act == "plan":
            walk = Walk(line, now, frozenset())
            for _ in range(data.draw(st.integers(0, 8))):
                item = walk.next()
                if item is None:
                    break
                assert walk.pop() is item
                fate = data.draw(st.sampled_from(["move", "stay", "rest"]))
                if fate == "move":
                    plain.remove(item)
                elif fate == "stay":
                    walk.pass_over(item, AWAKE)
                else:
                    until = now + data.draw(st.integers(1, 6))
                    resting[item.id] = until
                    walk.pass_over(item, until)
            walk.leave()
        assert [item for item in line if item.state == State.READY] == plain
    # In the end all are met again: nothing rests for longer than it was told to.
    walk = Walk(line, max([now, *resting.values()]), frozenset())
    met = []
    while (item := walk.next()) is not None:
        met.append(walk.pop())
    assert met == plain


def test_a_plan_steps_over_what_rests_and_the_next_one_goes_on_behind_it() -> None:
    line = Line()
    line.entries.extend(held(id_) for id_ in range(100))
    met = []
    for _ in range(4):
        walk = Walk(line, 0.0, frozenset())
        for _ in range(25):
            assert walk.next() is not None
            item = walk.pop()
            met.append(item.id)
            walk.pass_over(item, 5.0 + item.id)
        walk.leave()
    assert met == list(range(100))
    assert len(line.ahead) == 1, "what rests side by side is one run"
    walk = Walk(line, 4.9, frozenset())
    assert walk.next() is None
    assert (walk.resting, walk.until) == (100, 5.0)
    walk.leave()
    assert Walk(line, 5.0, frozenset()).next() is not None


def test_what_waited_for_a_links_credit_is_met_again_when_there_is_some() -> None:
    line = Line()
    line.entries.append(held(1))
    link: object = object()
    walk = Walk(line, 0.0, frozenset())
    walk.next()
    walk.pass_over(walk.pop(), 9.0, [link])
    walk.leave()
    walk = Walk(line, 0.0, frozenset([object()]))
    assert walk.next() is None
    assert walk.wishes == {link: 1}
    walk.leave()
    assert Walk(line, 0.0, frozenset([link])).next() is not None
