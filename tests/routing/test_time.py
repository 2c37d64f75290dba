"""Delays and deadlines, in every state an object can be in (G2, scenario 15)."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects, events


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", "b", transfer_after_s=0.0, in_doubt_timeout_s=30.0)


def test_an_object_pushed_with_a_delay_is_delivered_when_it_is_over(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", due=mesh["a"].now + 5.0)
    mesh.wait(4.9)
    assert consumer.delivered == []
    assert mesh["a"].states() == ["DELAYED"]
    mesh.wait(0.2)
    assert consumer.sequences() == [1]


def test_a_delay_that_is_over_already_is_none(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", due=mesh["a"].now)
    assert consumer.sequences() == [1]


def test_a_delay_survives_a_crash_and_is_no_longer_for_it(mesh) -> None:
    mesh["a"].push("T", due=mesh["a"].now + 5.0)
    mesh.wait(2.0)
    mesh["a"].crash()
    consumer = mesh["a"].consumer("T")
    mesh.wait(2.9)
    assert consumer.delivered == []
    mesh.wait(0.2)
    assert consumer.sequences() == [1]


def test_a_nacks_delay_and_count_survive_a_crash(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    consumer.nack(*consumer.take(), delay_s=5.0)
    mesh["a"].crash()
    consumer = mesh["a"].consumer("T")
    assert consumer.delivered == []
    mesh.wait(5.1)
    assert consumer.delivered[0].attempt == 2


def test_what_waits_ready_expires_at_its_deadline(mesh) -> None:
    mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    mesh.wait(4.9)
    assert mesh["a"].states() == ["READY"]
    mesh.wait(0.2)
    assert mesh["a"].held() == set()
    assert mesh["a"].disk.objects == {}
    assert mesh["a"].flow("T", "expired") == 1


def test_what_waits_delayed_expires_at_its_deadline(mesh) -> None:
    mesh["a"].push("T", due=mesh["a"].now + 9.0, deadline=mesh["a"].now + 5.0)
    mesh.wait(5.1)
    assert mesh["a"].held() == set()
    mesh.wait(10.0)


def test_what_is_leased_expires_its_consumer_is_told_and_its_window_freed(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    mesh["a"].push("T")
    (lease,) = consumer.take()
    mesh.wait(5.1)
    assert consumer.lost == [(lease.id, 1, "its deadline passed")]
    assert consumer.sequences() == [2]
    assert consumer.ack(lease) != []


def test_a_dead_letter_waits_for_a_person_whatever_its_deadline(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    consumer.settle("reject", *consumer.take())
    mesh.wait(6.0)
    assert mesh["a"].states() == ["DEAD"]


def offered(mesh: Mesh, **rare) -> None:
    """Have a offer one object to b, the answer not on its way yet."""
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    mesh["b"].consumer("T", credit=1)
    mesh["a"].push("T", **rare)
    mesh.run()
    assert mesh["a"].states() == ["TRANSFERRING"]


def test_what_is_on_offer_expires_when_the_offer_ends(mesh) -> None:
    offered(mesh, deadline=mesh["a"].now + 5.0)
    mesh.wait(6.0)
    assert mesh["a"].states() == ["TRANSFERRING"]
    mesh.cut("a", "b")
    mesh.wait(30.1)
    assert mesh["a"].held() == set()
    assert mesh["a"].flow("T", "expired") == 1


def test_a_deadline_means_the_same_instant_at_another_node(mesh) -> None:
    offered(mesh, deadline=mesh["a"].now + 5.0)
    mesh["b"].commit()
    mesh.wait(4.9)
    assert mesh["b"].states() == ["LEASED"]
    mesh.wait(0.2)
    assert mesh["b"].held() == set()
    assert mesh["a"].held() == set()


def test_a_deadline_that_passed_while_on_offer_ends_an_object_that_comes_back(mesh) -> None:
    """Superseded: the copy that came back takes the place of the one on offer."""
    offered(mesh, deadline=mesh["a"].now + 5.0)
    (item,) = mesh["a"].brain.context.custody.objects.values()
    mesh.wait(6.0)
    mesh["a"].handle(
        events.OfferCame(
            mesh["a"].links["b"], 1, "T", 0, "T", item.shape, [item.id], [b"x"], [6.0],
            details={0: {"deadline": mesh["a"].now - 1.0}}, draining=True,
        )
    )  # fmt: skip
    assert mesh["a"].held() == set()
    assert mesh["a"].disk.objects == {}


@pytest.mark.parametrize("state", ["DELAYED", "DEAD"])
def test_what_is_handed_over_by_a_leaving_node_and_refused_is_what_it_was(state) -> None:
    mesh = Mesh("b", memory=("a",))
    mesh["b"].drain()
    mesh.link("a", "b")
    consumer = mesh["a"].consumer("T", credit=1)
    due = mesh["a"].now + 5.0
    mesh["a"].push(
        "T", deadline=mesh["a"].now + 9.0, **({"due": due} if state == "DELAYED" else {})
    )
    if state == "DEAD":
        consumer.settle("reject", *consumer.take())
    mesh["a"].drain()
    mesh.run()
    assert mesh["a"].of(effects.SendOffer)
    assert mesh["a"].states() == [state]
    assert mesh["a"].flow("T", "transferred") == 0
    mesh.wait(10.0)
    assert mesh["a"].states() == ([] if state == "DELAYED" else [state])


def test_a_deadline_that_passed_while_a_delayed_object_was_on_offer_ends_it_after(mesh) -> None:
    mesh = Mesh("b", memory=("a",), in_doubt_timeout_s=30.0)
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    mesh["a"].push("T", due=mesh["a"].now + 60.0, deadline=mesh["a"].now + 5.0)
    mesh["a"].drain()
    mesh.run()
    assert mesh["a"].states() == ["TRANSFERRING"]
    mesh.wait(6.0)
    mesh.cut("a", "b")
    mesh.wait(31.0)
    assert mesh["a"].held() == set()


def test_offers_that_are_refused_again_and_again_leave_no_timers_behind(mesh) -> None:
    mesh["b"].drain()
    mesh.link("a", "b")
    context = mesh["a"].brain.context
    mesh["a"].push("T", deadline=mesh["a"].now + 1e6)
    (item,) = context.custody.objects.values()
    before = len(context.timers._heap)
    link = mesh["a"].brain.interest.links[mesh["a"].links["b"]]
    for _ in range(50):
        context.custody.table("T").ready.take(1, 1)
        mesh["a"].brain.givings.give(link, "T", 0, [item])
        mesh["a"].tick()
        mesh.run()
        assert mesh["a"].states() == ["READY"]
    assert len(context.timers._heap) <= before + 1


def test_time_that_stands_still_wakes_nobody_twice(mesh) -> None:
    mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    mesh.wait(5.0)
    assert mesh["a"].brain.wake_at is None


# --- deadlines that leave a dead letter ----------------------------------------------------------


def kept_push(mesh: Mesh, **rare) -> int:
    (id_,) = mesh["a"].push("T", deadline=mesh["a"].now + 5.0, keep_expired=True, **rare)
    return id_


def assert_kept(node, id_: int, others: int = 0) -> None:
    item = node.item(id_)
    assert (item.state.name, item.detail("dead"), item.holder) == ("DEAD", "expired", None)
    assert node.flow("T", "expired") == others


@pytest.mark.parametrize("state", ["READY", "DELAYED", "LEASED"])
def test_an_expired_object_that_is_to_be_kept_is_a_dead_letter_also_after_a_crash(
    mesh, state
) -> None:
    consumer = mesh["a"].consumer("T") if state == "LEASED" else None
    id_ = kept_push(mesh, **({"due": mesh["a"].now + 9.0} if state == "DELAYED" else {}))
    assert mesh["a"].states() == [state]
    mesh.wait(5.1)
    assert_kept(mesh["a"], id_)
    if consumer is not None:
        assert consumer.lost == [(id_, 1, "its deadline passed")]
        (other,) = mesh["a"].push("T")
        assert consumer.ids() == [id_, other]
    mesh["a"].crash()
    mesh.wait(60.0)
    assert_kept(mesh["a"], id_)


def test_an_object_whose_deadline_passed_while_its_node_was_down_is_kept_or_gone(mesh) -> None:
    id_ = kept_push(mesh)
    mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    mesh.now += 6.0
    mesh["a"].crash()
    consumer = mesh["a"].consumer("U")
    mesh["a"].tick()
    assert consumer.delivered == []
    assert mesh["a"].held() == {id_}
    assert_kept(mesh["a"], id_, others=1)


def test_an_object_that_expired_on_offer_is_kept_when_the_offer_ends(mesh) -> None:
    offered(mesh, deadline=mesh["a"].now + 5.0, keep_expired=True)
    (id_,) = mesh["a"].held()
    mesh.wait(6.0)
    mesh.cut("a", "b")
    mesh.wait(30.1)
    assert_kept(mesh["a"], id_)
    assert mesh["a"].disk.objects[id_].details["dead"] == "expired"


def test_that_an_object_is_to_be_kept_and_until_when_travel_with_it(mesh) -> None:
    offered(mesh, deadline=mesh["a"].now + 5.0, keep_expired=True)
    mesh["b"].commit()
    (id_,) = mesh["b"].held()
    mesh["b"].auto_commit = True
    mesh.wait(4.0)
    assert mesh["b"].states() == ["LEASED"]
    mesh.wait(1.2)
    assert_kept(mesh["b"], id_)


def test_an_object_that_expired_and_is_retried_is_leased_once(mesh) -> None:
    id_ = kept_push(mesh)
    mesh.wait(5.1)
    mesh["a"].handle(events.Retried(1, [id_]))
    consumer = mesh["a"].consumer("T", credit=5)
    assert consumer.ids() == [id_]
    mesh.wait(60.0)
    assert mesh["a"].states() == ["LEASED"]
