"""The figures of the benchmark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.cli.statistics import Outcome, Tally, latencies_ms, quantile, report


def test_quantiles_are_nearest_ranks():
    values = list(range(1, 1001))
    assert quantile(values, 0.5) == 500
    assert quantile(values, 0.99) == 990
    assert quantile(values, 0.999) == 999
    assert quantile(values, 1.0) == 1000
    assert quantile([7], 0.001) == 7


def test_there_is_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_quantiles_are_measured_values_in_order(values):
    ordered = sorted(values)
    found = [quantile(ordered, fraction) for fraction in (0.0, 0.5, 0.99, 0.999, 1.0)]
    assert found == sorted(found)
    assert set(found) <= set(values)


def test_latencies_are_given_in_milliseconds():
    figures = latencies_ms([3_000_000, 1_000_000, 2_000_000])
    assert figures == {"p50": 2.0, "p99": 3.0, "p99_9": 3.0, "max": 3.0}


def test_a_tally_tells_missing_from_repeated_and_strange():
    tally = Tally(3)
    for number in (0, 2, 2, 3, -1):
        tally.note(number)
    assert (tally.distinct, tally.duplicates, tally.strangers, tally.missing) == (2, 1, 2, 1)


def test_the_report_takes_rate_from_full_speed_and_latency_from_the_paced_run():
    full = Outcome(1000, 1024, 0.5, {"p50": 40.0})
    paced = Outcome(100, 1024, 1.0, {"p50": 0.4})
    document = report(full, paced, credit=8)
    assert document["objects_per_s"] == 2000.0
    assert document["mib_per_s"] == 1.95
    assert document["latency_ms"] == {"p50": 0.4}
    assert document["latency_at_full_speed_ms"] == {"p50": 40.0}
    assert document["credit"] == 8


def test_a_report_without_a_paced_run_has_the_same_keys():
    full = Outcome(1000, 128, 0.5, {"p50": 40.0}, pushed_per_s=1234.56, bytes_per_held=400.4)
    document = report(full, None)
    assert document["latency_ms"] is None
    assert document["paced_objects"] == 0
    assert document["pushed_into_backlog_per_s"] == 1234.6
    assert document["bytes_per_held_object"] == 400
    assert document.keys() == report(full, full).keys()
