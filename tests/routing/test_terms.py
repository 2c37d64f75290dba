"""What a subscription asks for beside its window: attempts, back-off, time for processing (G4, G5).

Also: leases that a node takes back are never settled by what was sent before that was known.
"""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects
from trionode.routing.history import history_of


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", retry_base_s=1.0, retry_cap_s=4.0, max_attempts=3)


def words(mesh: Mesh, id_: int) -> list[str]:
    return [row.what for row in history_of(mesh["a"].item(id_), "a")]


# --- attempts and back-off ---------------------------------------------------------------------


def test_the_failing_subscription_says_how_often_an_object_is_tried(mesh) -> None:
    picky = mesh["a"].consumer("T", max_attempts=1)
    patient = mesh["a"].consumer("U", max_attempts=5)
    mesh["a"].push("T")
    mesh["a"].push("U")
    picky.nack(*picky.take(), delay_s=0.0)
    for _ in range(4):
        patient.nack(*patient.take(), delay_s=0.0)
    assert sorted(mesh["a"].states()) == ["DEAD", "LEASED"]
    (dead,) = [
        each for each in mesh["a"].brain.context.custody.objects.values() if each.detail("dead")
    ]
    assert dead.detail("dead") == "failed 1 times"


def test_an_object_that_others_let_live_longer_dies_at_one_that_does_not(mesh) -> None:
    patient = mesh["a"].consumer("T", max_attempts=9)
    (id_,) = mesh["a"].push("T")
    for _ in range(5):
        patient.nack(*patient.take(), delay_s=0.0)
    patient.leave()
    strict = mesh["a"].consumer("T", max_attempts=2)
    strict.nack(*strict.take(), reason="no")
    assert mesh["a"].item(id_).detail("dead") == "failed 6 times"
    assert mesh["a"].item(id_).detail("failure") == "no"


def test_a_subscription_has_a_back_off_of_its_own(mesh) -> None:
    consumer = mesh["a"].consumer("T", max_attempts=20, retry_base_s=10.0, retry_cap_s=30.0)
    (id_,) = mesh["a"].push("T")
    waits = []
    for _ in range(4):
        consumer.nack(*consumer.take())
        waits.append(mesh["a"].item(id_).detail("due") - mesh["a"].now)
        mesh.wait(waits[-1] + 0.001)
    for wait, full in zip(waits, (10.0, 20.0, 30.0, 30.0), strict=True):
        assert 0.8 * full <= wait <= full


def test_without_wishes_the_node_decides(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    (id_,) = mesh["a"].push("T")
    consumer.nack(*consumer.take())
    assert 0.8 <= mesh["a"].item(id_).detail("due") - mesh["a"].now <= 1.0


def test_terms_may_be_set_again(mesh) -> None:
    consumer = mesh["a"].consumer("T", max_attempts=9)
    (id_,) = mesh["a"].push("T")
    consumer.subscribe("T", max_attempts=1)
    consumer.nack(*consumer.take())
    assert mesh["a"].item(id_).state.name == "DEAD"


# --- max_processing_time -----------------------------------------------------------------------


def test_what_takes_too_long_is_taken_back_as_a_failure_and_tried_later(mesh) -> None:
    slow = mesh["a"].consumer("T", max_processing_s=10.0, label="slow")
    (id_,) = mesh["a"].push("T")
    mesh.wait(9.9)
    assert mesh["a"].states() == ["LEASED"]
    mesh.wait(0.2)
    text = "it was not settled within 10 s"
    assert slow.lost == [(id_, 1, text)]
    item = mesh["a"].item(id_)
    assert (item.state.name, item.attempt, item.detail("failure")) == ("DELAYED", 2, text)
    assert words(mesh, id_) == ["accepted", "overdue", "delayed"]
    assert history_of(item, "a")[1].consumer == "slow"
    (late,) = slow.take()
    assert slow.ack(late) == ["the lease ended: the object is not leased now"]
    mesh.wait(2.0)
    assert [lease.attempt for lease in slow.take()] == [2]


def test_who_never_finishes_in_time_makes_a_dead_letter(mesh) -> None:
    mesh["a"].consumer("T", max_processing_s=10.0)
    (id_,) = mesh["a"].push("T")
    mesh.wait(100.0)
    assert mesh["a"].item(id_).detail("dead") == "failed 3 times"


def test_time_counts_from_the_start_of_the_handler_where_that_is_told(mesh) -> None:
    consumer = mesh["a"].consumer("T", max_processing_s=10.0, credit=2, confirms=True)
    first, second = mesh["a"].push("T", count=2)
    mesh.wait(6.0)
    consumer.start(1)
    mesh.wait(6.0)
    assert consumer.lost == [], "started 6 s ago"
    lease, _ = consumer.take()
    consumer.ack(lease)
    consumer.start(2)
    mesh.wait(9.0)
    assert consumer.lost == []
    mesh.wait(2.0)
    assert [id_ for id_, _, _ in consumer.lost] == [second]
    assert first not in mesh["a"].held()


def test_what_waits_behind_a_frozen_handler_comes_back_with_it_uncounted(mesh) -> None:
    frozen = mesh["a"].consumer("T", max_processing_s=10.0, credit=3, confirms=True)
    ids = mesh["a"].push("T", count=3)
    frozen.start(1)
    mesh.wait(11.0)
    assert sorted(frozen.lost) == [(id_, 1, "it was not settled within 10 s") for id_ in ids]
    assert [mesh["a"].item(id_).attempt for id_ in ids] == [2, 1, 1]


def test_who_has_not_heard_of_a_loss_gets_nothing_more(mesh) -> None:
    frozen = mesh["a"].consumer("T", max_processing_s=10.0, credit=1, confirms=True)
    mesh["a"].push("T", count=2)
    mesh.wait(11.0)
    assert [lease.id & 0xFF for lease in frozen.take()] == [1]
    assert mesh["a"].states() == ["READY", "READY"]
    frozen.hear()
    assert len(frozen.take()) == 1


def test_a_settle_sent_before_a_loss_was_known_settles_no_later_lease_of_that_name(mesh) -> None:
    """Unstarted, so the attempt stays the same: the later lease has the name of the first."""
    frozen = mesh["a"].consumer("T", max_processing_s=10.0, confirms=True)
    mesh["a"].push("T")
    (first,) = frozen.take()
    mesh.wait(11.0)
    assert frozen.lost
    assert frozen.ack(first) == ["the lease ended: the object is not leased now"]
    frozen.hear()
    (second,) = frozen.take()
    assert (second.id, second.attempt) == (first.id, first.attempt)
    assert frozen.ack(second) == []


def test_others_get_what_a_frozen_consumer_had(mesh) -> None:
    mesh["a"].consumer("T", max_processing_s=10.0, credit=2, confirms=True)
    mesh["a"].push("T", count=2)
    other = mesh["a"].consumer("T", credit=5)
    mesh.wait(11.0)
    assert len(other.take()) == 2


def test_without_a_bound_nothing_is_taken_back(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    mesh.wait(1e6)
    assert consumer.lost == []
    assert mesh["a"].of(effects.LoseLeases) == []


def test_a_bound_of_the_node_holds_for_who_asks_for_none() -> None:
    mesh = Mesh("a", max_processing_s=5.0)
    bounded = mesh["a"].consumer("T")
    free = mesh["a"].consumer("U", max_processing_s=0.0)
    mesh["a"].push("T")
    mesh["a"].push("U")
    mesh.wait(6.0)
    assert (len(bounded.lost), free.lost) == (1, [])


def test_the_longest_time_counts_for_each_delivery_by_itself(mesh) -> None:
    consumer = mesh["a"].consumer("T", max_processing_s=8.0, credit=10)
    for _ in range(4):
        mesh["a"].push("T")
        mesh.wait(4.0)
    late = {id_ & 0xFF for id_, _, _ in consumer.lost}
    assert late == {1, 2, 3}
