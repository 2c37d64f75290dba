"""R10 as far as the brain goes: a leaving node takes nothing, leases nothing, gives what it can."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects


def everything(mesh: Mesh) -> dict[str, list[str]]:
    return {name: sorted(node.states()) for name, node in mesh.nodes.items() if node.held()}


@pytest.fixture
def mesh() -> Mesh:
    """Two durable nodes."""
    mesh = Mesh("a", "b", transfer_after_s=5.0)
    mesh.link("a", "b")
    mesh.run()
    return mesh


@pytest.fixture
def volatile() -> Mesh:
    """A leaves; it has no disk."""
    mesh = Mesh("b", "c", memory=("a",))
    mesh.link("a", "b")
    mesh.run()
    return mesh


def test_no_new_lease_is_given(mesh) -> None:
    mesh["a"].drain()
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T")
    assert consumer.delivered == []
    assert mesh["a"].states() == ["READY"]


def test_leases_are_settled_as_before_and_bring_nothing_new(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T", count=2)
    mesh["a"].drain()
    assert consumer.ack(*consumer.take()) == []
    assert consumer.delivered == []


def test_interest_is_withdrawn_and_no_more_is_told(mesh) -> None:
    mesh["a"].consumer("T", credit=5)
    mesh.run()
    assert "T" in mesh["b"].brain.interest.routes
    mesh["a"].drain()
    mesh["a"].consumer("U", credit=5)
    mesh.run()
    assert mesh["b"].brain.interest.routes == {}
    assert mesh["a"].brain.interest.links[mesh["a"].links["b"]].take == {}
    gone = mesh["a"].of(effects.SendInterest)[-1].updates[0]
    assert (gone.path, gone.origin, gone.version) == ((), "a", 1)


def test_a_link_that_comes_up_hears_of_no_interest(mesh) -> None:
    mesh["a"].consumer("T", credit=5)
    mesh["a"].drain()
    mesh.cut("a", "b")
    mesh.link("a", "b")
    mesh.run()
    assert mesh["b"].brain.interest.routes == {}


def test_interest_of_others_is_relayed_no_more() -> None:
    mesh = Mesh("a", "b", "c")
    mesh.link("a", "b")
    mesh.link("b", "c")
    mesh["c"].consumer("T", credit=5)
    mesh.run()
    assert "T" in mesh["a"].brain.interest.routes
    mesh["b"].drain()
    mesh.run()
    assert mesh["a"].brain.interest.routes == {}


def test_an_offer_under_way_is_refused(mesh) -> None:
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T")
    while not mesh["a"].of(effects.SendOffer):
        for one, other in (("a", "b"), ("b", "a")):
            while mesh.under_way(one, other):
                mesh.step(one, other)
        for node in mesh.nodes.values():
            node.tick()
    mesh["b"].drain()
    mesh.run()
    assert everything(mesh) == {"a": ["READY"]}
    assert mesh["a"].flow("T", "transferred") == 0


def test_ready_objects_go_to_a_peer_with_interest_at_once(mesh) -> None:
    here = mesh["a"].consumer("T", credit=1)
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=3)
    mesh["a"].drain()
    mesh.run()
    assert everything(mesh) == {"a": ["LEASED"], "b": ["LEASED", "LEASED"]}
    here.leave()
    mesh.run()
    assert everything(mesh) == {"b": ["LEASED"] * 3}


def test_a_durable_node_keeps_what_nobody_wants(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=2)
    mesh["a"].push("T", count=3)
    consumer.nack(consumer.delivered[0], delay_s=9.0)
    mesh["a"].drain()
    mesh.wait(1.0)
    assert len(mesh["a"].held()) == 3
    assert mesh["a"].of(effects.SendOffer) == []


def test_a_node_without_a_disk_hands_over_objects_in_any_state_but_leased(volatile) -> None:
    mesh = volatile
    consumer = mesh["a"].consumer("T", credit=3)
    mesh["a"].push("T", count=6)
    consumer.nack(consumer.delivered[0], delay_s=50.0)
    consumer.settle("reject", consumer.delivered[1])
    mesh["a"].drain()
    mesh.run()
    assert everything(mesh) == {"a": ["LEASED"] * 3, "b": ["DEAD", "DELAYED", "READY"]}
    consumer.leave()
    mesh.run()
    assert everything(mesh) == {"b": ["DEAD", "DELAYED", *["READY"] * 4]}


def test_it_hands_over_thousands(volatile) -> None:
    volatile["a"].push("T", count=5000)
    volatile["a"].push("U", count=5000, due=volatile["a"].now + 500.0)
    volatile["a"].drain()
    volatile.run()
    assert len(volatile["b"].held()) == 10_000
    assert volatile["a"].held() == set()


def test_it_hands_over_large_delayed_objects_in_several_offers(volatile) -> None:
    volatile["a"].push("T", *[bytes(600_000)] * 7, due=volatile["a"].now + 5.0)
    volatile["a"].drain()
    volatile.run()
    assert everything(volatile) == {"b": ["DELAYED"] * 7}
    assert len(volatile["a"].of(effects.SendOffer)) == 7


def test_what_is_left_of_large_delayed_objects_is_queued_once(volatile) -> None:
    volatile.cut("a", "b")
    volatile["a"].push("T", *[bytes(600_000)] * 7, due=volatile["a"].now + 5.0)
    volatile["a"].drain()
    volatile.link("a", "b")
    volatile["a"].tick()
    volatile.cut("a", "b")
    volatile.wait(100.0)
    assert everything(volatile) == {"a": ["READY"] * 7}


def test_a_nack_while_leaving_is_handed_over(volatile) -> None:
    consumer = volatile["a"].consumer("T")
    volatile["a"].push("T")
    volatile["a"].drain()
    volatile.run()
    consumer.nack(*consumer.take(), delay_s=50.0)
    volatile.run()
    assert everything(volatile) == {"b": ["DELAYED"]}


def test_a_peer_that_comes_while_the_node_leaves_is_asked(volatile) -> None:
    volatile.cut("a", "b")
    volatile["a"].push("T")
    volatile["a"].drain()
    volatile.run()
    volatile.link("a", "c")
    volatile.run()
    assert everything(volatile) == {"c": ["READY"]}


def test_a_peer_that_refuses_is_not_asked_again_and_another_is(volatile) -> None:
    volatile.link("a", "c")
    volatile["b"].drain()
    volatile["a"].push("T", count=2000)
    volatile["a"].drain()
    volatile.run()
    assert len(volatile["c"].held()) == 2000
    link = volatile["a"].links["b"]
    assert sum(effect.link == link for effect in volatile["a"].of(effects.SendOffer)) <= 4


def test_a_peer_with_interest_is_preferred(volatile) -> None:
    volatile.link("a", "c")
    consumer = volatile["c"].consumer("T", credit=100)
    volatile.run()
    volatile["a"].push("T", count=300)
    volatile["a"].drain()
    volatile.run()
    assert len(volatile["c"].held()) == 300
    assert len(consumer.delivered) == 100


def test_an_offer_never_seen_is_no_refusal(volatile) -> None:
    """Scenario 13: the link drops half way."""
    volatile["a"].push("T", count=10)
    volatile["a"].drain()
    volatile["a"].tick()
    assert volatile["a"].states() == ["TRANSFERRING"] * 10
    volatile.cut("a", "b")
    volatile.link("a", "b")
    volatile.run()
    assert everything(volatile) == {"b": ["READY"] * 10}


def test_a_recipient_that_dies_half_way_costs_nothing(volatile) -> None:
    """Scenario 13: the drain finds another."""
    volatile.link("a", "c")
    volatile["b"].auto_commit = False
    volatile["a"].push("T", count=10)
    volatile["a"].drain()
    volatile.run()
    assert volatile["a"].states() == ["TRANSFERRING"] * 10
    volatile["b"].crash()
    volatile.wait(31.0)
    assert everything(volatile) == {"c": ["READY"] * 10}


def test_a_drain_that_ends_offers_elsewhere_what_is_in_doubt_and_marks_it(volatile) -> None:
    volatile.link("a", "c")
    volatile["b"].auto_commit = False
    ids = volatile["a"].push("T", count=10)
    volatile["a"].drain()
    volatile.run()
    volatile.cut("a", "b")
    volatile.wait(1.0)
    assert volatile["a"].states() == ["TRANSFERRING"] * 10
    volatile["a"].end_drain()
    volatile.run()
    assert sorted(volatile["c"].held()) == sorted(ids)
    assert all(volatile["c"].item(id_).detail("possibly_duplicate") for id_ in ids)
    assert volatile["a"].held() == set()


def test_a_link_that_goes_when_a_drain_has_ended_is_not_waited_for(volatile) -> None:
    volatile.link("a", "c")
    volatile["b"].auto_commit = False
    volatile["a"].push("T", count=10)
    volatile["a"].drain()
    volatile.run()
    volatile["a"].end_drain()
    volatile.run()
    assert volatile["a"].states() == ["TRANSFERRING"] * 10, "its peer is there, and may answer"
    volatile.cut("a", "b")
    volatile.run()
    assert everything(volatile)["c"] == ["READY"] * 10


def test_nobody_is_kept_busy_when_nobody_takes_anything(volatile) -> None:
    volatile["b"].drain()
    volatile["a"].push("T", count=10)
    volatile["a"].drain()
    assert volatile.run() < 50
    assert not volatile["a"].brain.work_flagged
