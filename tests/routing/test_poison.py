"""G5: poison is bounded, and innocents are spared (scenario k).

A suspect is an object whose last attempt ended in its consumer's death. A stream has one at a time.
"""

from __future__ import annotations

import pytest

from tests.support.brains import Consumer, Mesh


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", max_attempts=8)


def kill(consumer: Consumer) -> None:
    """Its handlers run side by side: all that it has is started; then it dies."""
    consumer.start(1000)
    consumer.die()


def test_one_poison_object_among_many_handlers_makes_one_dead_letter(mesh) -> None:
    poison, *_ = mesh["a"].push("T", count=200)
    deaths = 0
    while True:
        consumer = mesh["a"].consumer("T", credit=64)
        while consumer.delivered and poison not in consumer.ids():
            consumer.ack(*consumer.take())
        if not consumer.delivered:
            break
        deaths += 1
        kill(consumer)
    assert deaths == 8
    assert mesh["a"].states() == ["DEAD"]
    assert mesh["a"].item(poison).detail("dead") == "failed 8 times"
    assert mesh["a"].flow("T", "settled") == 199


def test_a_stream_has_one_suspect_at_a_time_and_as_many_others_as_its_window(mesh) -> None:
    mesh["a"].push("T", count=3)
    kill(mesh["a"].consumer("T", credit=3))
    mesh["a"].push("T", count=5)
    consumer = mesh["a"].consumer("T", credit=4)
    assert consumer.sequences() == [1, 4, 5, 6]
    consumer.ack(*consumer.take())
    assert consumer.sequences() == [2, 7, 8]


def test_a_suspect_that_ends_lets_the_next_one_come_whichever_way_it_ends(mesh) -> None:
    mesh["a"].push("T", count=5)
    kill(mesh["a"].consumer("T", credit=5))
    consumer = mesh["a"].consumer("T", credit=10)
    seen = []
    for action in ("ack", "nack", "reject", "replace"):
        (lease,) = [one for one in consumer.take() if one.id not in seen]
        seen.append(lease.id)
        consumer.settle(action, lease, payloads=[b"new"])
    assert {id_ & 0xFF for id_ in seen} == {1, 2, 3, 4}
    assert 5 in consumer.sequences()


def test_a_returned_suspect_stays_one(mesh) -> None:
    mesh["a"].push("T", count=2)
    kill(mesh["a"].consumer("T", credit=2))
    consumer = mesh["a"].consumer("T", credit=2)
    consumer.leave()
    assert mesh["a"].consumer("T", credit=2).sequences() == [1]


def test_a_failure_that_the_consumer_survived_ends_the_suspicion(mesh) -> None:
    mesh["a"].push("T", count=2)
    kill(mesh["a"].consumer("T", credit=2))
    consumer = mesh["a"].consumer("T", credit=2)
    consumer.nack(*consumer.take(), delay_s=5.0)
    consumer.take()
    mesh.wait(6.0)
    assert consumer.sequences() == [1]


def test_suspects_are_shared_among_streams(mesh) -> None:
    mesh["a"].push("T", count=3)
    kill(mesh["a"].consumer("T", credit=3))
    consumers = [mesh["a"].consumer("T", credit=5) for _ in range(3)]
    assert [each.sequences() for each in consumers] == [[1], [2], [3]]


def test_subscriptions_of_one_stream_share_its_one_suspect(mesh) -> None:
    for type_ in ("T", "U"):
        mesh["a"].push(type_)
        kill(mesh["a"].consumer(type_))
    consumer = mesh["a"].consumer("T", credit=2).subscribe("U", credit=2, number=2)
    (lease,) = consumer.take()
    consumer.ack(lease)
    assert [one.subscription for one in consumer.delivered] == [2]


def test_a_suspect_given_back_by_an_unsubscribe_makes_room_for_another(mesh) -> None:
    for type_ in ("T", "U"):
        mesh["a"].push(type_)
        kill(mesh["a"].consumer(type_))
    consumer = mesh["a"].consumer("T", credit=2).subscribe("U", credit=2, number=2)
    consumer.take()
    consumer.unsubscribe(1)
    assert [one.subscription for one in consumer.delivered] == [2]


def test_what_was_prefetched_is_no_suspect(mesh) -> None:
    mesh["a"].push("T", count=4)
    consumer = mesh["a"].consumer("T", credit=4)
    consumer.start(1)
    consumer.die()
    assert mesh["a"].consumer("T", credit=4).sequences() == [1, 2, 3, 4]


def test_a_suspect_stays_one_over_a_crash_and_a_transfer() -> None:
    mesh = Mesh("a", "b")
    mesh["a"].push("T", count=2)
    kill(mesh["a"].consumer("T", credit=2))
    mesh["a"].crash()
    mesh.link("a", "b")
    consumer = mesh["b"].consumer("T", credit=5)
    mesh.wait(5.0)
    assert consumer.sequences() == [1]
    consumer.ack(*consumer.take())
    assert consumer.sequences() == [2]


def test_a_suspect_waits_for_its_turn_here_while_a_window_here_is_open() -> None:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    mesh["b"].consumer("T", credit=5)
    here = mesh["a"].consumer("T", credit=2)
    mesh["a"].push("T", count=2)
    kill(here)
    here = mesh["a"].consumer("T", credit=5)
    mesh.wait(10.0)
    assert sorted(mesh["a"].states()) == ["LEASED", "READY"]


def test_suspects_that_nobody_may_have_yet_are_kept_from_nobody_else(mesh) -> None:
    mesh["a"].push("T", count=2)
    kill(mesh["a"].consumer("T", credit=2))
    one = mesh["a"].consumer("T", credit=5)
    other = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", count=4)
    assert sorted(one.sequences() + other.sequences()) == [1, 2, 3, 4, 5, 6]
