"""Nobody starves: types that share a window, subscriptions that share a type, producers of one."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.brains import Mesh


@pytest.mark.parametrize("keys", [("A", "B", "C"), ("A", "shop.>")])
def test_types_that_share_one_window_take_turns(keys) -> None:
    """Each has a backlog, and the window is of one object."""
    mesh = Mesh("a")
    types = ("A", "B", "C") if keys == ("A", "B", "C") else ("A", "shop.x", "shop.y")
    names = {}
    for type_ in types:
        names.update(dict.fromkeys(mesh["a"].push(type_, count=100), type_))
    consumer = mesh["a"].consumer(*keys, credit=1)
    order = []
    for _ in range(60):
        (lease,) = consumer.take()
        order.append(names[lease.id])
        consumer.ack(lease)
    counts = Counter(order)
    assert min(counts.values()) >= 15, counts
    for start in range(len(order) - 6):
        assert len(set(order[start : start + 6])) == 3


def test_a_stream_of_pushes_of_one_type_does_not_starve_another_in_the_same_window() -> None:
    mesh = Mesh("a")
    consumer = mesh["a"].consumer("A", "B", credit=2)
    mesh["a"].push("A", count=10)
    waiting = set(mesh["a"].push("B", count=5))
    for _ in range(14):
        mesh["a"].push("A")
        leases = consumer.take()
        waiting -= {lease.id for lease in leases}
        consumer.ack(*leases)
    assert not waiting


@pytest.mark.parametrize("nodes", ["a", "ab"])
def test_a_type_that_gets_ever_more_is_not_starved_by_the_backlog_of_another(nodes) -> None:
    """Both share the window of a pattern, at their own node and across a link."""
    mesh = Mesh(*nodes, transfer_after_s=0.0)
    if nodes == "ab":
        mesh.link("a", "b")
    mesh["a"].push("shop.backlog", count=300)
    waiting = set(mesh["a"].push("shop.stream"))
    consumer = mesh[nodes[-1]].consumer("shop.>", credit=1)
    for _ in range(20):
        mesh.run()
        (lease,) = consumer.take()
        waiting.discard(lease.id)
        waiting.update(mesh["a"].push("shop.stream"))
        mesh.run()
        consumer.ack(lease)
    assert len(waiting) <= 12, "half of the turns are its own"


def test_a_stream_of_pushes_does_not_starve_who_waits_at_the_other_end_of_a_link() -> None:
    """They come with the credit, in the same turn of the node."""
    mesh = Mesh("a", "b", transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh["a"].push("shop.many", count=10)
    waiting = set(mesh["a"].push("shop.few", count=5))
    consumer = mesh["b"].consumer("shop.>", credit=1)
    mesh.run()
    for _ in range(14):
        (lease,) = consumer.take()
        waiting.discard(lease.id)
        consumer.ack(lease)
        mesh["b"].tick()
        mesh["a"].push("shop.many")
        mesh.run()
    assert not waiting


def test_subscriptions_of_one_type_take_turns_whatever_their_windows() -> None:
    mesh = Mesh("a")
    consumers = [mesh["a"].consumer("T", credit=credit) for credit in (1, 2, 64)]
    for _ in range(30):
        mesh["a"].push("T")
        for consumer in consumers:
            consumer.ack(*consumer.delivered)
            consumer.delivered.clear()
    assert [sum(consumer.batches) for consumer in consumers] == [10, 10, 10]


def test_a_producer_that_pushes_much_does_not_hold_up_one_that_pushes_little() -> None:
    """First come, first served, whoever pushed: what waits before an object is what came before."""
    mesh = Mesh("a")
    mesh["a"].push_again("T", 1, [b"much"] * 10, producer=77)
    mesh["a"].push_again("T", 1, [b"little"], producer=88)
    mesh["a"].push_again("T", 11, [b"much"] * 1000, producer=77)
    consumer = mesh["a"].consumer("T", credit=11)
    assert consumer.take()[-1].payload == b"little"
