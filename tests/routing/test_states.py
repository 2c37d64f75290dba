"""The one table of states: every (state, step) goes where the table says, or is refused."""

from __future__ import annotations

import pytest

from trionode.routing.custody import Custody
from trionode.routing.model import (
    ENDED_STATES,
    ENDS,
    HELD_STATES,
    MOVES,
    HeldObject,
    Shape,
    State,
    Step,
    jitter,
)

NEXT = {
    "LEASE": "READY->LEASED",
    "SETTLE": "LEASED->SETTLED",
    "RETURN": "LEASED->READY",
    "DELAY": "READY->DELAYED LEASED->DELAYED",
    "BURY": "READY->DEAD LEASED->DEAD DELAYED->DEAD BLOCKED->DEAD",
    "DUE": "DELAYED->READY",
    "OFFER": ("READY->TRANSFERRING DELAYED->TRANSFERRING DEAD->TRANSFERRING BLOCKED->TRANSFERRING"),
    "GIVE": "TRANSFERRING->GIVEN",
    "KEEP": "TRANSFERRING->READY",
    "RETRY": "DEAD->READY",
    "EXPIRE": "READY->EXPIRED DELAYED->EXPIRED LEASED->EXPIRED BLOCKED->EXPIRED",
    "DISCARD": "DEAD->DISCARDED",
    "REPLACE": "LEASED->READY",
    "LOSE": "READY->DAMAGED DELAYED->DAMAGED DEAD->DAMAGED BLOCKED->DAMAGED",
    "BLOCK": "READY->BLOCKED",
    "UNBLOCK": "BLOCKED->READY",
}
"""Written down a second time, by hand."""

ALLOWED = {
    (step, *pair.split("->")): None for step, pairs in NEXT.items() for pair in pairs.split()
}
TARGETS = {(step, source): target for step, source, target in ALLOWED}
EVERY = [(step, state) for step in Step for state in State]


def held(custody: Custody, state: State) -> HeldObject:
    item = HeldObject(7, custody.table("T"), b"payload", Shape(), 0.0, 0.0, state)
    if state in ENDED_STATES:
        return item
    custody.admit(item.table, [item], "accepted")
    return item


def name(value) -> str:
    return value.name


@pytest.mark.parametrize(("step", "state"), EVERY, ids=name)
def test_a_step_leads_where_the_table_says_or_is_refused(step, state) -> None:
    custody = Custody()
    item = held(custody, state)
    target = TARGETS.get((step.name, state.name))
    before = list(item.table.counts)
    ends = target in {each.name for each in ENDED_STATES}
    if target is None or ends:
        with pytest.raises(AssertionError):
            custody.move([item], step)
        assert (item.state, item.table.counts) == (state, before)
    if target is None or not ends:
        with pytest.raises(AssertionError):
            custody.remove([item], step, "settled")
        assert (item.state, item.table.counts) == (state, before)
    if ends:
        assert custody.remove([item], step, "settled") == [7]
        assert (item.state.name, item.held) == (target, False)
        assert (item.table.held, item.table.held_bytes, custody.objects) == (0, 0, {})
    elif target is not None:
        custody.move([item], step)
        assert (item.state.name, item.held) == (target, True)
        assert item.table.held == 1


def test_every_state_is_in_custody_or_terminal_and_nothing_leaves_a_terminal_one() -> None:
    assert (*HELD_STATES, *ENDED_STATES) == tuple(State)
    for table in (MOVES, ENDS):
        assert {row[state] for row in table for state in ENDED_STATES} == {None}


def test_an_object_that_is_held_is_not_admitted_a_second_time() -> None:
    custody = Custody()
    item = held(custody, State.READY)
    with pytest.raises(AssertionError, match="merged"):
        custody.admit(item.table, [item], "accepted")


def test_the_properties_of_one_object_change_for_it_alone() -> None:
    shared = {"deadline": 5.0}
    one, other = (
        HeldObject(id_, Custody().table("T"), b"", Shape(), 0.0, 0.0, details=shared)
        for id_ in (1, 2)
    )
    one.amend(due=3.0)
    assert (one.details, other.details) == ({"deadline": 5.0, "due": 3.0}, shared)
    one.amend(due=None, deadline=None)
    assert one.details is None
    assert shared == {"deadline": 5.0}


def test_jitter_spreads_evenly_and_is_the_same_each_time() -> None:
    values = [jitter(key, salt) for key in range(1000) for salt in (1, 2)]
    assert values == [jitter(key, salt) for key in range(1000) for salt in (1, 2)]
    assert all(0 <= value < 1 for value in values)
    tenths = [sum(1 for value in values if int(value * 10) == tenth) for tenth in range(10)]
    assert min(tenths) > 140
