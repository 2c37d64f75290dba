"""How much credit `subscribe` gives, against a node that uses all of it at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.cli.window import CREDIT, Window


def handed_over(window, *, settles, backlog):
    """How many objects a node with a backlog hands over until the window is complete."""
    credit, unsettled, total = window.credit, 0, 0

    def deliver():
        nonlocal unsettled, total
        more = min(max(0, credit - unsettled), backlog - total)
        unsettled += more
        total += more

    deliver()
    while not window.complete and window.printed < total:
        change = window.after_printing()
        if change is not None:
            credit = change
            deliver()
        if settles:
            unsettled -= 1
            deliver()
    return total


@given(count=st.integers(1, 500), settles=st.booleans())
def test_exactly_as_many_are_handed_over_as_are_wanted(count, settles):
    window = Window(count, settles=settles)
    assert handed_over(window, settles=settles, backlog=1000) == count
    assert window.printed == count


@pytest.mark.parametrize("settles", [True, False])
def test_without_a_count_everything_is_handed_over(settles):
    window = Window(None, settles=settles)
    assert handed_over(window, settles=settles, backlog=1000) == 1000


def test_credit_is_never_above_the_window_while_acks_come():
    window = Window(None, settles=True)
    for _ in range(200):
        assert window.after_printing() is None
    assert window.credit == CREDIT
