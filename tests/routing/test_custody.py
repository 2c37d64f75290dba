"""R8: custody moves in two steps, in every interleaving that once lost, doubled or stranded one.

Two nodes, a and b, durable unless said; x is the one object. Messages go one by one.
"""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from tests.support.custody import (
    fields,
    finish,
    holders,
    offer_under_way,
    settled,
    step_all,
    turn_back,
)
from trionode.routing import effects, events


@pytest.fixture
def mesh() -> Mesh:
    """x is offered by a, and the offer is under way to b, whose commits wait."""
    return offer_under_way()


# --- the plain way -----------------------------------------------------------------------------


def test_the_answer_waits_for_the_commit_that_holds_the_object(mesh) -> None:
    mesh.step("a", "b")
    assert holders(mesh) == {"a": ["TRANSFERRING"], "b": ["LEASED"]}
    assert mesh.under_way("b", "a") == []
    mesh["b"].commit()
    (answer,) = [m for m in mesh.under_way("b", "a") if isinstance(m, effects.SendAnswer)]
    assert answer.known
    assert answer.refused == ()
    mesh.run()
    assert holders(mesh) == {"a": [], "b": ["LEASED"]}
    finish(mesh)
    assert settled(mesh) == 1


def test_the_number_is_closed_only_after_the_giver_has_forgotten_durably(mesh) -> None:
    mesh["a"].auto_commit = False
    mesh.step("a", "b")
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    assert mesh["a"].held() == set()
    assert not [m for m in mesh.under_way("a", "b") if isinstance(m, effects.SendClose)]
    mesh["a"].commit()
    assert [m for m in mesh.under_way("a", "b") if isinstance(m, effects.SendClose)]
    finish(mesh)


def test_the_receiver_keeps_a_number_until_it_is_closed(mesh) -> None:
    mesh.step("a", "b")
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    assert list(mesh["b"].brain.takings.taken) == ["a"]
    step_all(mesh, "a", "b")
    mesh["b"].commit()
    assert mesh["b"].brain.takings.taken == {}
    assert mesh["b"].disk.taken == {}


def test_the_ack_may_overtake_the_answer(mesh) -> None:
    """Scenario 9: delivered and acked at b before a has heard that custody moved."""
    mesh.step("a", "b")
    mesh["b"].commit()
    mesh.consumer.ack(*mesh.consumer.take())
    mesh["b"].commit()
    assert holders(mesh) == {"a": ["TRANSFERRING"], "b": []}
    finish(mesh)
    assert settled(mesh) == 1


def test_an_ack_before_the_commit_leaves_nothing_behind(mesh) -> None:
    mesh.step("a", "b")
    mesh.consumer.ack(*mesh.consumer.take())
    finish(mesh)
    assert settled(mesh) == 1


def test_a_refusal_leaves_the_object_with_the_giver(mesh) -> None:
    mesh.consumer.leave()
    mesh["b"].tick()
    mesh.step("a", "b")
    assert holders(mesh) == {"a": ["TRANSFERRING"], "b": []}
    mesh["b"].commit()
    mesh.run()
    assert holders(mesh) == {"a": ["READY"], "b": []}
    mesh["a"].consumer("T")
    finish(mesh)
    assert settled(mesh) == 1


def test_a_part_of_an_offer_may_be_refused(mesh) -> None:
    """Not by this code; the protocol lets a receiver do so."""
    mesh["a"].push("T", count=2)
    item = mesh["a"].brain.context.custody.table("T").ready
    batch = item.take(2, 100)
    link = mesh["a"].brain.interest.links[mesh["a"].links["b"]]
    mesh["a"].brain.givings.give(link, "T", 0, batch)
    mesh["a"].brain.context.out.clear()
    (number,) = [n for n, o in mesh["a"].brain.givings.open["b"].items() if len(o.objects) == 2]
    mesh["a"].handle(events.OfferAnswered(link.handle, *number, True, (1,)))
    assert sorted(mesh["a"].states()) == ["READY", "TRANSFERRING"]
    assert mesh["a"].flow("T", "transferred") == 1


# --- repeats -----------------------------------------------------------------------------------


def test_a_repeated_offer_is_recognised_by_its_number_and_answered_after_the_commit(mesh) -> None:
    """Trace c: the answer to the repeat waits for the first one's commit as well."""
    offer = mesh.under_way("a", "b")[0]
    mesh.step("a", "b")
    mesh["b"].handle(events.OfferCame(**fields(offer, mesh["b"].links["a"])))
    assert not [m for m in mesh.under_way("b", "a") if isinstance(m, effects.SendAnswer)]
    assert mesh["b"].flow("T", "received") == 1
    assert mesh["b"].flow("T", "merged") == 0
    finish(mesh)
    assert settled(mesh) == 1


def test_a_repeat_is_recognised_after_its_object_is_gone(mesh) -> None:
    """Trace d: and so x is settled once."""
    offer = mesh.under_way("a", "b")[0]
    mesh.step("a", "b")
    mesh.consumer.ack(*mesh.consumer.take())
    mesh["b"].commit()
    mesh["b"].handle(events.OfferCame(**fields(offer, mesh["b"].links["a"])))
    assert mesh["b"].held() == set()
    finish(mesh)
    assert settled(mesh) == 1


def test_a_repeat_of_a_refused_offer_is_refused_though_there_is_room_now(mesh) -> None:
    offer = mesh.under_way("a", "b")[0]
    mesh.consumer.unsubscribe()
    mesh["b"].tick()
    mesh.step("a", "b")
    mesh.consumer.subscribe("T")
    mesh["b"].tick()
    mesh["b"].handle(events.OfferCame(**fields(offer, mesh["b"].links["a"])))
    assert mesh["b"].held() == set()


def test_the_same_object_under_another_number_is_not_taken_for_a_repeat(mesh) -> None:
    offer = mesh.under_way("a", "b")[0]
    mesh.step("a", "b")
    again = {**fields(offer, mesh["b"].links["a"]), "sequence": offer.sequence + 1}
    mesh["b"].handle(events.OfferCame(**again))
    assert mesh["b"].flow("T", "merged") == 1
    mesh["b"].commit()
    answers = [m for m in mesh.under_way("b", "a") if isinstance(m, effects.SendAnswer)]
    assert [(each.sequence, each.refused) for each in answers] == [
        (offer.sequence, ()),
        (offer.sequence + 1, ()),
    ]


# --- on its way back before the answer (traces a and b) ----------------------------------------


def test_a_copy_that_comes_back_supersedes_the_one_on_offer(mesh) -> None:
    turn_back(mesh)
    mesh.step("b", "a")
    assert holders(mesh) == {"a": ["LEASED"], "b": ["TRANSFERRING"]}
    mesh["b"].commit()
    mesh.run()
    assert holders(mesh) == {"a": ["LEASED"], "b": []}
    finish(mesh)
    assert settled(mesh) == 1


def test_the_answer_to_a_void_offer_changes_nothing(mesh) -> None:
    """Trace a: accepted, and x is still here, since the copy that came back is another duty."""
    turn_back(mesh)
    mesh["a"].auto_commit = False
    mesh.step("b", "a")
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    assert holders(mesh) == {"a": ["LEASED"], "b": ["TRANSFERRING"]}
    assert mesh["a"].brain.givings.open == {}
    finish(mesh)
    assert settled(mesh) == 1


def test_the_answer_to_a_void_offer_is_none_to_the_next_one_of_the_same_object(mesh) -> None:
    (first,) = mesh["a"].brain.givings.open["b"]
    offer = mesh.under_way("a", "b")[0]
    back = {**fields(offer, mesh["a"].links["b"]), "epoch": 0, "draining": True}
    mesh["a"].handle(events.OfferCame(**back))
    link = mesh["a"].brain.interest.links[mesh["a"].links["b"]]
    (item,) = mesh["a"].brain.context.custody.table("T").ready.take(1, 1)
    mesh["a"].brain.givings.give(link, "T", 0, [item])
    mesh["a"].handle(events.OfferAnswered(link.handle, *first, True))
    assert mesh["a"].states() == ["TRANSFERRING"]
    (second,) = mesh["a"].brain.givings.open["b"]
    mesh["a"].handle(events.OfferAnswered(link.handle, *second, True))
    assert mesh["a"].held() == set()


def test_the_answer_before_the_copy_that_comes_back_moves_custody_there_and_back(mesh) -> None:
    turn_back(mesh)
    number = next(iter(mesh["a"].brain.givings.open["b"]))
    mesh["b"].commit()
    mesh["a"].handle(events.OfferAnswered(mesh["a"].links["b"], *number, True))
    assert mesh["a"].held() == set()
    mesh.step("b", "a")
    assert mesh["a"].states() == ["LEASED"]
    finish(mesh)
    assert settled(mesh) == 1


# --- what a transfer keeps (R7) ----------------------------------------------------------------


def test_a_transfer_resets_nothing(mesh) -> None:
    mesh = Mesh("a", "b", transfer_after_s=0.0)
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", deadline=mesh["a"].now + 500.0, trace="t", priority=3)
    mesh.wait(10.0)
    consumer.nack(*consumer.take(), reason="no luck", delay_s=0.0)
    consumer.leave()
    mesh.link("a", "b")
    mesh["b"].consumer("T")
    mesh.wait(10.0)
    (item,) = mesh["b"].brain.context.custody.objects.values()
    assert item.attempt == 2
    assert item.created == pytest.approx(mesh["b"].now - 20.0)
    assert item.detail("deadline") == pytest.approx(mesh["b"].now + 480.0)
    assert item.detail("failure") == "no luck"
    assert [(entry[1], entry[2]) for entry in item.detail("history")] == [
        ("failed", "a"), ("returned", "a"), ("received", "b"),
    ]  # fmt: skip
    assert (item.detail("trace"), item.detail("priority")) == ("t", 3)
    assert (item.detail("path"), item.detail("hops")) == (("a",), 1)
