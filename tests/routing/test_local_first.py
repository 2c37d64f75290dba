"""R1: an object goes to a local subscription with credit, a fair share to each, in order (G8)."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a")


def test_a_push_is_delivered_at_once_to_a_subscription_with_credit(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=2)
    ids = mesh["a"].push("T", b"one", b"two")
    assert [(one.id, one.attempt, one.payload) for one in consumer.delivered] == [
        (ids[0], 1, b"one"),
        (ids[1], 1, b"two"),
    ]


def test_what_waits_is_delivered_when_a_subscription_comes(mesh) -> None:
    mesh["a"].push("T", count=3)
    assert mesh["a"].consumer("T", credit=2).sequences() == [1, 2]


def test_a_delivery_waits_for_no_commit(mesh) -> None:
    mesh["a"].auto_commit = False
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    assert consumer.sequences() == [1]
    assert mesh["a"].acknowledged == []


def test_another_type_is_not_delivered(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("U")
    assert consumer.delivered == []
    assert mesh["a"].states() == ["READY"]


def test_a_subscription_to_two_types_gets_both_within_one_window(mesh) -> None:
    consumer = mesh["a"].consumer("T", "U", credit=3)
    mesh["a"].push("T", count=2)
    mesh["a"].push("U", count=2)
    assert consumer.sequences() == [1, 2, 3]
    consumer.ack(consumer.take()[0])
    assert consumer.sequences() == [4]


def test_a_type_named_twice_counts_once(mesh) -> None:
    consumer = mesh["a"].consumer("T", "T", credit=2)
    mesh["a"].push("T", count=3)
    assert consumer.sequences() == [1, 2]
    consumer.unsubscribe()
    assert mesh["a"].states() == ["READY"] * 3


def test_a_window_is_never_exceeded(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=3)
    mesh["a"].push("T", count=10)
    assert len(consumer.delivered) == 3
    consumer.ack(*consumer.take()[:2])
    assert len(consumer.delivered) == 2


def test_a_larger_window_takes_effect_at_once(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T", count=5)
    consumer.subscribe("T", credit=4)
    assert consumer.sequences() == [1, 2, 3, 4]


def test_a_smaller_window_takes_no_lease_back_and_gives_no_new_one_until_it_fits(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=3)
    mesh["a"].push("T", count=5)
    consumer.subscribe("T", credit=1)
    first, second, third = consumer.take()
    consumer.ack(first, second)
    assert consumer.delivered == []
    consumer.ack(third)
    assert consumer.sequences() == [4]


def test_a_subscription_without_credit_gets_nothing(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=0)
    mesh["a"].push("T")
    assert consumer.delivered == []


def test_bytes_bound_a_window_as_well(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=100, credit_bytes=10)
    mesh["a"].push("T", *[bytes(4)] * 6)
    assert consumer.sequences() == [1, 2, 3]
    consumer.ack(consumer.take()[0])
    assert consumer.sequences() == [4]


def test_an_object_larger_than_the_window_is_delivered_alone(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=100, credit_bytes=10)
    mesh["a"].push("T", bytes(50), bytes(1))
    assert consumer.sequences() == [1]
    consumer.ack(*consumer.take())
    assert consumer.sequences() == [2]


def test_a_batch_is_shared_evenly_and_in_one_delivery_each(mesh) -> None:
    consumers = [mesh["a"].consumer("T", credit=100) for _ in range(3)]
    mesh["a"].push("T", count=10)
    assert sorted(len(each.delivered) for each in consumers) == [3, 3, 4]
    assert [len(each.batches) for each in consumers] == [1, 1, 1]


def test_what_a_small_window_leaves_goes_to_the_others(mesh) -> None:
    small, large = (mesh["a"].consumer("T", credit=credit) for credit in (2, 100))
    mesh["a"].push("T", count=20)
    assert (len(small.delivered), len(large.delivered)) == (2, 18)


def test_single_pushes_go_round(mesh) -> None:
    consumers = [mesh["a"].consumer("T", credit=10) for _ in range(3)]
    for _ in range(9):
        mesh["a"].push("T")
    assert [len(each.delivered) for each in consumers] == [3, 3, 3]


def test_equally_fast_consumers_of_unequal_windows_get_equal_shares(mesh) -> None:
    """Scenario 3, within one node."""
    consumers = [mesh["a"].consumer("T", credit=credit) for credit in (2, 6, 4)]
    mesh["a"].push("T", count=900)
    done = [0, 0, 0]
    while any(each.delivered for each in consumers):
        for index, consumer in enumerate(consumers):
            if consumer.delivered:
                consumer.ack(consumer.delivered.pop(0))
                done[index] += 1
    assert sum(done) == 900
    assert max(done) <= 1.3 * 300


def test_objects_of_one_type_come_in_the_order_in_which_they_were_pushed(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=7)
    got: list[int] = []
    for count in (3, 9, 1, 20):
        mesh["a"].push("T", count=count)
        while consumer.delivered:
            got += [consumer.delivered[0].id & 0xFFFF]
            consumer.ack(consumer.delivered.pop(0))
    assert got == list(range(1, 34))


def test_returned_objects_go_to_the_front_in_order(mesh) -> None:
    mesh["a"].push("T", count=6)
    first = mesh["a"].consumer("T", credit=4)
    first.leave()
    assert mesh["a"].consumer("T", credit=6).sequences() == [1, 2, 3, 4, 5, 6]


def test_objects_nacked_together_without_delay_keep_their_order(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=3)
    mesh["a"].push("T", count=5)
    consumer.nack(*consumer.take(), delay_s=0.0)
    assert consumer.sequences() == [1, 2, 3]


def test_a_local_subscription_with_credit_wins_over_a_peer(mesh) -> None:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    away = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=4)
    here = mesh["a"].consumer("T", credit=5)
    mesh.wait(10)
    assert (len(here.delivered), len(away.delivered)) == (4, 0)
    assert mesh["a"].of(effects.SendOffer) == []


def test_a_push_that_is_only_a_repeat_delivers_nothing(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", count=2)
    mesh["a"].push_again("T", 1, [b"x", b"x"])
    assert consumer.sequences() == [1, 2]
