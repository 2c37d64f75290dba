"""What `status` prints for people."""

from __future__ import annotations

import pytest

from trionode.cli.tables import duration, size, status_text, table

STATUS = {
    "format": 1,
    "version": "0.1.0",
    "protocol": 1,
    "name": "n1",
    "id": "0123456789abcdef",
    "incarnation": 1_700_000_000_000,
    "state": "running",
    "uptime_s": 75.2,
    "store": {"kind": "sqlite", "path": "/var/lib/n1", "state": "ok", "bytes": 4096},
    "peers": [
        {
            "id": "fedcba",
            "name": "n2",
            "address": "10.0.0.2:7400",
            "version": "0.1.0",
            "state": "linked",
            "rtt_ms": 0.25,
            "last_error": None,
        },
        {"id": None, "address": "10.0.0.3:7400", "state": "dialling", "last_error": "refused"},
    ],
    "types": {
        "Order": {
            "ready": 3,
            "blocked": 2,
            "leased": 1,
            "oldest_ready_age_s": 7300.0,
            "settled": 12,
        },
        "Invoice": {"ready": 0, "oldest_ready_age_s": None, "settled": 120},
    },
    "memory": {"bytes": 1024, "limit": 1024**3},
}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0.0 s"),
        (59.94, "59.9 s"),
        (60, "1 m 0 s"),
        (3599.9, "59 m 59 s"),
        (3600, "1 h 0 m"),
        (86_399, "23 h 59 m"),
        (90_000, "1 d 1 h"),
    ],
)
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(None, "-"), (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 1024**5, "3072.0 TiB")],
)
def test_sizes_are_short(size_bytes, text):
    assert size(size_bytes) == text


def test_columns_are_aligned():
    assert table(("NAME", "N"), [("a", "1"), ("long name", "1000")]) == [
        "NAME          N",
        "a             1",
        "long name  1000",
    ]


def test_the_status_shows_node_peers_and_types():
    lines = status_text(STATUS).splitlines()
    assert lines[0] == "node n1  running, up 1 m 15 s"
    assert "store sqlite in /var/lib/n1, ok, 4.0 KiB" in lines
    assert "memory 1.0 KiB of 1.0 GiB" in lines
    assert any(line.split()[:3] == ["n2", "10.0.0.2:7400", "linked"] for line in lines)
    assert any(line.endswith("refused") for line in lines)
    order = next(line for line in lines if line.startswith("Order"))
    assert order.split()[:8] == ["Order", "3", "2", "-", "1", "-", "-", "2"]


def test_types_are_in_the_order_of_their_names():
    text = status_text(STATUS)
    assert text.index("Invoice") < text.index("Order")


def test_an_empty_node_says_so():
    text = status_text({**STATUS, "peers": [], "types": {}})
    assert "no peers" in text
    assert "no types yet" in text


def test_patterns_are_shown_where_there_are_some():
    assert "PATTERN" not in status_text(STATUS)
    pool = {"subscriptions": 2, "credit": 64, "remote_credit": 0}
    text = status_text({**STATUS, "patterns": {"billing.*": pool}})
    *_, titles, line = text.splitlines()
    assert titles.split() == ["PATTERN", "SUBSCRIPTIONS", "CREDIT", "REMOTE", "CREDIT"]
    assert line.split() == ["billing.*", "2", "64", "0"]
