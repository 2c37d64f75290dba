"""Leases: every way to settle one, what is refused and why (G3, I6), and how one ends otherwise."""

from __future__ import annotations

import pytest

from tests.support.brains import Consumer, Mesh
from trionode.routing import effects
from trionode.routing.leases import NOT_HELD, NOT_LEASED, OTHER_LEASE


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", retry_base_s=1.0, retry_cap_s=4.0, max_attempts=3)


@pytest.fixture
def consumer(mesh) -> Consumer:
    consumer = mesh["a"].consumer("T", credit=2)
    mesh["a"].push("T", b"one", b"two", b"three")
    return consumer


def test_an_ack_ends_custody_and_frees_the_window(mesh, consumer) -> None:
    assert consumer.ack(consumer.take()[0]) == []
    assert consumer.sequences() == [3]
    assert mesh["a"].flow("T", "settled") == 1
    assert len(mesh["a"].disk.objects) == 2


def test_an_ack_is_answered_at_once_since_losing_it_only_repeats(mesh, consumer) -> None:
    mesh["a"].auto_commit = False
    consumer.ack(consumer.take()[0])
    assert list(consumer.refused.values()) == [[]]


@pytest.mark.parametrize("action", ["nack", "reject", "replace"])
def test_what_must_last_is_answered_only_after_the_commit(mesh, consumer, action) -> None:
    mesh["a"].auto_commit = False
    consumer.settle(action, consumer.take()[0], payloads=[b"new"])
    assert consumer.refused == {}
    mesh["a"].commit()
    assert list(consumer.refused.values()) == [[]]


def test_a_nack_brings_the_object_again_after_a_growing_delay_with_the_next_attempt(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    for attempt, longest_s in ((1, 1.0), (2, 2.0)):
        (lease,) = consumer.take()
        assert lease.attempt == attempt
        consumer.nack(lease, reason="no luck")
        assert mesh["a"].states() == ["DELAYED"]
        mesh.wait(longest_s * 0.79)
        assert consumer.delivered == []
        mesh.wait(longest_s * 0.22)
    assert consumer.take()[0].attempt == 3


def test_a_nack_says_its_delay_itself(mesh, consumer) -> None:
    lease = consumer.take()[0]
    consumer.nack(lease, delay_s=7.0)
    consumer.ack(*consumer.take())
    consumer.subscribe("T", credit=10)
    mesh.wait(6.9)
    assert lease.id not in consumer.ids()
    mesh.wait(0.2)
    assert lease.id in consumer.ids()


def test_back_off_differs_between_objects_and_is_capped(mesh) -> None:
    mesh = Mesh("a", retry_base_s=1.0, retry_cap_s=4.0, max_attempts=100)
    consumer = mesh["a"].consumer("T", credit=50)
    mesh["a"].push("T", count=50)
    for _ in range(10):
        consumer.nack(*consumer.take())
        dues = {item.detail("due") for item in mesh["a"].brain.context.custody.objects.values()}
        assert len(dues) > 25
        assert max(dues) - mesh["a"].now <= 4.0
        mesh.wait(4.0)


def test_a_reject_makes_a_dead_letter_with_the_reason(mesh, consumer) -> None:
    lease = consumer.take()[0]
    consumer.settle("reject", lease, reason="not for me")
    item = mesh["a"].item(lease.id)
    assert (item.state.name, item.detail("dead"), item.attempt) == ("DEAD", "not for me", 1)
    assert consumer.sequences() == [3]


def test_a_reject_without_a_reason_says_who_did_it(mesh, consumer) -> None:
    lease = consumer.take()[0]
    consumer.settle("reject", lease)
    assert mesh["a"].item(lease.id).detail("dead") == "rejected by its consumer"


def test_a_return_counts_nothing_and_asks_for_no_commit(mesh, consumer) -> None:
    lease = consumer.take()[0]
    mesh["a"].effects.clear()
    consumer.settle("return", lease)
    assert consumer.delivered == [lease]
    assert not [effect for effect in mesh["a"].effects if effect.stored]


def test_a_replaced_object_goes_on_from_the_back_as_a_first_attempt_of_new_content(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=1)
    (id_,) = mesh["a"].push("T", b"old")
    consumer.nack(*consumer.take(), delay_s=0.0)
    mesh["a"].push("T", b"next")
    consumer.settle("replace", *consumer.take(), payloads=[b"newer"])
    (following,) = consumer.take()
    assert following.payload == b"next"
    consumer.ack(following)
    (lease,) = consumer.delivered
    assert (lease.id, lease.attempt, lease.payload) == (id_, 1, b"newer")
    flows = mesh["a"].table("T").flows
    assert (flows["replaced_out"].size_bytes, flows["replaced_in"].size_bytes) == (3, 5)


def test_the_new_content_of_a_replaced_object_survives_a_crash(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", b"old")
    consumer.settle("replace", *consumer.take(), payloads=[b"new"])
    mesh["a"].crash()
    (lease,) = mesh["a"].consumer("T").delivered
    assert (lease.attempt, lease.payload) == (1, b"new")


# --- refusals ----------------------------------------------------------------------------------


ACTIONS = ["ack", "nack", "reject", "return", "replace"]


def unchanged(mesh: Mesh) -> dict[int, tuple]:
    return {
        item.id: (item.state, item.attempt, item.payload, item.details, item.holder)
        for item in mesh["a"].brain.context.custody.objects.values()
    }


def refusal(mesh: Mesh, consumer: Consumer, action: str, lease) -> str:
    """The one reason for which a settle is refused that must change nothing."""
    before, stored = unchanged(mesh), dict(mesh["a"].disk.objects)
    (reason,) = consumer.settle(action, lease, payloads=[b"new"], reason="why", delay_s=1.0)
    assert unchanged(mesh) == before
    assert mesh["a"].disk.objects == stored
    return reason


@pytest.mark.parametrize("action", ACTIONS)
def test_a_settle_of_an_unknown_object_is_refused(mesh, consumer, action) -> None:
    assert refusal(mesh, consumer, action, (12345, 1)) == NOT_HELD


@pytest.mark.parametrize("action", ACTIONS)
def test_a_second_settle_is_refused(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    consumer.ack(lease)
    assert refusal(mesh, consumer, action, lease) == NOT_HELD


@pytest.mark.parametrize("action", ACTIONS)
def test_a_settle_of_an_object_that_waits_is_refused(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    consumer.nack(lease, delay_s=5.0)
    assert refusal(mesh, consumer, action, lease) == NOT_LEASED


@pytest.mark.parametrize("action", ACTIONS)
def test_a_settle_of_a_dead_letter_is_refused(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    consumer.settle("reject", lease)
    assert refusal(mesh, consumer, action, lease) == NOT_LEASED


@pytest.mark.parametrize("action", ACTIONS)
def test_a_late_settle_under_an_earlier_attempt_is_refused(mesh, consumer, action) -> None:
    """Scenario 16: attempt 2 stays valid."""
    lease, other = consumer.take()
    consumer.ack(other, *consumer.take())
    consumer.nack(lease, delay_s=0.0)
    reason = refusal(mesh, consumer, action, lease)
    assert reason.startswith(OTHER_LEASE)
    assert "attempt 2" in reason
    assert consumer.ack((lease.id, 2)) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_settle_of_the_lease_of_another_consumer_is_refused(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    reason = refusal(mesh, mesh["a"].consumer("T"), action, lease)
    assert reason == "the lease ended: the object is leased to another consumer"
    assert consumer.ack(lease) == []


@pytest.mark.parametrize("action", ACTIONS)
def test_a_settle_from_a_stream_that_is_gone_is_refused(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    consumer.leave()
    mesh["a"].consumer("T", credit=3)
    refusal(mesh, consumer, action, lease)


@pytest.mark.parametrize("action", ACTIONS)
def test_a_lease_that_one_settle_names_twice_is_settled_once(mesh, consumer, action) -> None:
    lease = consumer.take()[0]
    reasons = consumer.settle(action, lease, lease, payloads=[b"new", b"again"], delay_s=1.0)
    assert reasons == ["the same settle names this lease twice"]


@pytest.mark.parametrize("action", ACTIONS)
def test_the_valid_leases_of_a_settle_are_settled_though_others_are_refused(
    mesh, consumer, action
) -> None:
    first, second = consumer.take()
    reasons = consumer.settle(
        action, (first.id, 9), second, (7, 1), payloads=[b"A", b"B", b"C"], delay_s=9.0
    )
    assert len(reasons) == 2
    assert mesh["a"].item(first.id).holder is not None
    if action == "replace":
        assert mesh["a"].item(second.id).payload == b"B"


# --- the end of consumers ----------------------------------------------------------------------


def test_leases_of_a_consumer_that_leaves_return_uncounted(mesh, consumer) -> None:
    consumer.start(2)
    consumer.leave()
    assert [lease.attempt for lease in mesh["a"].consumer("T", credit=3).delivered] == [1, 1, 1]


def test_what_a_dead_consumer_had_started_counts_and_what_was_prefetched_does_not(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=4)
    mesh["a"].push("T", count=4)
    consumer.ack(consumer.delivered[0])
    consumer.start(2)
    consumer.die()
    again = mesh["a"].consumer("T", credit=4)
    assert {lease.id & 0xFF: lease.attempt for lease in again.delivered} == {2: 2, 3: 1, 4: 1}


def test_more_starts_than_deliveries_count_no_later_delivery(mesh, consumer) -> None:
    consumer.start(1000)
    consumer.ack(consumer.take()[0])
    consumer.die()
    again = mesh["a"].consumer("T", credit=3)
    assert {lease.id & 0xFF: lease.attempt for lease in again.delivered} == {2: 2, 3: 1}


def test_the_count_of_starts_never_goes_back(mesh, consumer) -> None:
    consumer.start(2)
    consumer.start(1)
    consumer.die()
    assert sorted(item.attempt for item in map(mesh["a"].item, mesh["a"].held())) == [1, 2, 2]


def test_unsubscribing_returns_the_leases_of_that_subscription_only(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=1)
    consumer.subscribe("U", credit=1, number=2)
    mesh["a"].push("T")
    mesh["a"].push("U")
    consumer.unsubscribe(1)
    assert sorted(mesh["a"].states()) == ["LEASED", "READY"]


def test_a_counted_attempt_survives_a_crash_of_the_node_and_its_crash_counts_nothing(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=2)
    mesh["a"].push("T", count=2)
    consumer.start(1)
    consumer.die()
    mesh["a"].consumer("T", credit=2).start(2)
    mesh["a"].crash()
    again = mesh["a"].consumer("T", credit=2)
    assert {lease.id & 0xFF: lease.attempt for lease in again.delivered} == {1: 2, 2: 1}


def test_a_thousand_leases_of_a_dead_consumer_are_ready_at_once(mesh) -> None:
    """Scenario 17."""
    consumer = mesh["a"].consumer("T", credit=1000)
    mesh["a"].push("T", count=1000)
    consumer.start(1000)
    consumer.die()
    assert mesh["a"].states() == ["READY"] * 1000
    assert {mesh["a"].item(id_).attempt for id_ in mesh["a"].held()} == {2}


def test_after_max_attempts_a_failing_object_is_a_dead_letter_with_its_history(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    (id_,) = mesh["a"].push("T")
    for reason in ("first", "second", "third"):
        consumer.nack(*consumer.take(), reason=reason, delay_s=0.0)
    item = mesh["a"].item(id_)
    assert item.state.name == "DEAD"
    assert item.attempt == 3
    assert item.detail("dead") == "failed 3 times"
    assert item.detail("failure") == "third"
    assert [entry[5] for entry in item.detail("history")] == ["first", "second", "third"]
    assert consumer.delivered == []


def test_a_dead_letter_survives_a_crash_and_is_delivered_to_nobody(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    consumer.settle("reject", *consumer.take(), reason="bad")
    mesh["a"].crash()
    assert mesh["a"].consumer("T").delivered == []
    assert mesh["a"].states() == ["DEAD"]


def test_texts_of_failures_are_cut(mesh, consumer) -> None:
    first, second = consumer.take()
    consumer.nack(first, reason="x" * 5000, delay_s=9.0)
    consumer.settle("reject", second, reason="y" * 5000)
    assert len(mesh["a"].item(first.id).detail("failure")) == 1000
    assert len(mesh["a"].item(second.id).detail("dead")) == 1000


def test_events_of_unknown_streams_and_subscriptions_change_nothing(mesh, consumer) -> None:
    ghost = Consumer(mesh["a"], 999)
    before = unchanged(mesh)
    ghost.subscribe("T")
    ghost.start(1)
    ghost.unsubscribe()
    ghost.die()
    consumer.unsubscribe(77)
    consumer.start(5, number=77)
    assert unchanged(mesh) == before
    assert mesh["a"].of(effects.LoseLeases) == []
