"""Token buckets: a burst, a steady rate, and what progress earns."""

from __future__ import annotations

import pytest

from trionode.errors import ProtocolError
from trionode.wire.budgets import ENHANCE_YOUR_CALM, Budget, Rate


def spend(budget: Budget, times: int, now: float) -> None:
    for _ in range(times):
        budget.spend(now)


def test_a_burst_is_allowed_and_not_one_more():
    budget = Budget("pings", Rate(10, 1), 0.0)
    spend(budget, 10, 0.0)
    with pytest.raises(ProtocolError, match="too many pings") as caught:
        budget.spend(0.0)
    assert caught.value.h2_code == ENHANCE_YOUR_CALM


def test_time_gives_back_at_the_rate():
    budget = Budget("pings", Rate(10, 2), 0.0)
    spend(budget, 10, 0.0)
    spend(budget, 6, 3.0)
    with pytest.raises(ProtocolError):
        budget.spend(3.0)


def test_a_long_rest_gives_back_no_more_than_the_burst():
    budget = Budget("pings", Rate(10, 2), 0.0)
    spend(budget, 10, 0.0)
    spend(budget, 10, 1e9)
    with pytest.raises(ProtocolError):
        budget.spend(1e9)


def test_progress_gives_back_no_more_than_the_burst():
    budget = Budget("pings", Rate(10, 0), 0.0)
    spend(budget, 10, 0.0)
    budget.earn(100)
    spend(budget, 10, 0.0)
    with pytest.raises(ProtocolError):
        budget.spend(0.0)
