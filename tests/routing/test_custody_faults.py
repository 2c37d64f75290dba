"""R8 when links drop, nodes crash and peers stay away: at most a duplicate, never a loss."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from tests.support.custody import (
    finish,
    holders,
    is_offer,
    offer_number,
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


@pytest.mark.parametrize("crash", ["a", "b", "a b", "b a"])
@pytest.mark.parametrize("committed", ["", "a", "b", "a b"])
@pytest.mark.parametrize("came_back", [False, True])
def test_crashes_while_a_copy_comes_back_lose_nothing(mesh, crash, committed, came_back) -> None:
    """Trace b, and the same with disks."""
    turn_back(mesh)
    mesh["a"].auto_commit = False
    if came_back:
        mesh.step("b", "a")
    for name in committed.split():
        mesh[name].commit()
        step_all(mesh, name, "a" if name == "b" else "b")
    for name in crash.split():
        mesh[name].crash()
    mesh.link("a", "b")
    mesh["a"].consumer("T")
    finish(mesh)
    assert settled(mesh) >= 1


def test_a_lost_offer_is_asked_about_and_kept_since_it_was_never_seen(mesh) -> None:
    mesh.cut("a", "b")
    assert mesh["a"].states() == ["TRANSFERRING"]
    mesh.link("a", "b")
    assert not [m for m in mesh.under_way("a", "b") if is_offer(m)]
    step_all(mesh, "a", "b")
    assert mesh["b"].held() == set()
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    assert mesh["a"].states() == ["READY"]
    assert mesh["a"].item(next(iter(mesh["a"].held()))).detail("possibly_duplicate") is None
    finish(mesh)
    assert settled(mesh) == 1


def test_an_answer_that_was_lost_is_asked_for_and_no_object_is_offered_again(mesh) -> None:
    mesh.step("a", "b")
    mesh["b"].commit()
    mesh.cut("a", "b")
    mesh.link("a", "b")
    finish(mesh)
    assert len(mesh["a"].of(effects.SendOffer)) == 1
    assert settled(mesh) == 1


def test_an_ask_is_answered_only_after_the_commit_that_holds_the_object(mesh) -> None:
    mesh.step("a", "b")
    mesh.cut("a", "b")
    mesh.link("a", "b")
    step_all(mesh, "a", "b")
    assert not [m for m in mesh.under_way("b", "a") if isinstance(m, effects.SendAnswer)]
    mesh["b"].crash()
    mesh.link("a", "b")
    mesh["b"].consumer("T")
    finish(mesh)
    assert settled(mesh) == 1


def test_a_receiver_that_crashes_after_its_commit_answers_in_its_next_life(mesh) -> None:
    """Scenario 14: between disk and answer."""
    mesh.step("a", "b")
    mesh["b"].disk.commit()
    mesh["b"].crash()
    assert holders(mesh) == {"a": ["TRANSFERRING"], "b": ["READY"]}
    mesh.link("a", "b")
    mesh["b"].commit()
    mesh.run()
    mesh["b"].commit()
    mesh.run()
    assert holders(mesh) == {"a": [], "b": ["READY"]}
    mesh["b"].consumer("T")
    finish(mesh)
    assert settled(mesh) == 1


def test_a_giver_that_crashes_before_it_forgot_asks_in_its_next_life(mesh) -> None:
    """Scenario 14: after the answer."""
    mesh["a"].auto_commit = False
    mesh.step("a", "b")
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    mesh["a"].crash()
    assert mesh["a"].states() == ["TRANSFERRING"]
    mesh.link("a", "b")
    finish(mesh)
    assert settled(mesh) == 1
    assert mesh["a"].flow("T", "transferred") == 1


def test_a_link_that_drops_before_the_giver_forgot_durably_closes_nothing(mesh) -> None:
    """The new link's question says what is closed: not before the disk has it."""
    mesh["a"].auto_commit = False
    mesh.step("a", "b")
    mesh["b"].commit()
    step_all(mesh, "b", "a")
    mesh.cut("a", "b")
    mesh.link("a", "b")
    step_all(mesh, "a", "b")
    mesh["b"].commit()
    assert list(mesh["b"].brain.takings.taken) == ["a"]
    mesh["a"].crash()
    mesh.link("a", "b")
    finish(mesh)
    assert settled(mesh) == 1


def test_a_giver_that_crashes_before_its_offer_is_on_disk_has_the_object_still(mesh) -> None:
    """At most a duplicate, never a loss."""
    fresh = Mesh("a", "b", transfer_after_s=0.0)
    fresh.link("a", "b")
    fresh["b"].consumer("T")
    fresh.run()
    fresh["a"].push("T")
    fresh["a"].auto_commit = False
    fresh.run()
    fresh["a"].crash()
    assert holders(fresh) == {"a": ["READY"], "b": ["LEASED"]}
    fresh.link("a", "b")
    fresh.run()
    assert fresh["b"].brain.takings.taken == {}
    finish(fresh)


def test_a_peer_that_stays_away_leaves_the_object_ready_and_perhaps_doubled(mesh) -> None:
    """Trace e: no object stays in doubt for ever."""
    mesh.step("a", "b")
    mesh.cut("a", "b")
    here = mesh["a"].consumer("T")
    mesh.wait(29.0)
    assert here.delivered == []
    mesh.wait(1.1)
    assert here.sequences() == [1]
    (id_,) = mesh["a"].held()
    assert mesh["a"].item(id_).detail("possibly_duplicate") is True


def test_a_link_that_flaps_begins_the_doubt_anew(mesh) -> None:
    mesh.cut("a", "b")
    mesh.wait(20.0)
    mesh.link("a", "b")
    mesh.cut("a", "b")
    mesh.wait(20.0)
    assert mesh["a"].states() == ["TRANSFERRING"]
    mesh.wait(10.1)
    assert mesh["a"].states() == ["READY"]


def test_a_link_that_is_back_ends_the_doubt_however_late_the_answer(mesh) -> None:
    mesh.step("a", "b")
    mesh.cut("a", "b")
    mesh.wait(20.0)
    mesh.link("a", "b")
    mesh.wait(20.0)
    assert mesh["a"].states() == ["TRANSFERRING"]
    finish(mesh)
    assert settled(mesh) == 1


def test_a_question_closes_no_offer_that_was_made_after_it_was_written(mesh) -> None:
    """It waits for a commit, and later offers do not."""
    number = offer_number(mesh, "a", "b")
    mesh.step("a", "b")
    link = mesh["b"].links["a"]
    mesh["b"].handle(events.OffersAsked(link, 1, number, []))
    assert list(mesh["b"].brain.takings.taken["a"]) == [(1, number)]
    mesh["b"].handle(events.OffersAsked(link, 1, number + 1, []))
    assert mesh["b"].brain.takings.taken == {}


def test_an_answer_after_the_doubt_was_resolved_changes_nothing(mesh) -> None:
    number = offer_number(mesh, "a", "b")
    mesh.step("a", "b")
    mesh.cut("a", "b")
    mesh.wait(31.0)
    mesh.link("a", "b")
    mesh["a"].handle(events.OfferAnswered(mesh["a"].links["b"], 1, number, True))
    assert mesh["a"].states() == ["READY"]
    assert mesh["a"].flow("T", "transferred") == 0
    assert [m for m in mesh.under_way("a", "b") if isinstance(m, effects.SendClose)]


def test_a_durable_node_gives_nothing_to_one_without_a_disk() -> None:
    """Trace f."""
    mesh = Mesh("a", memory=("b",), transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T")
    mesh.wait(100.0)
    assert holders(mesh) == {"a": ["READY"], "b": []}
    assert mesh["a"].of(effects.SendBacklog) == []


def test_a_durable_node_gives_to_one_without_a_disk_if_it_may() -> None:
    mesh = Mesh("a", memory=("b",), transfer_after_s=0.0, allow_volatile=True)
    mesh.link("a", "b")
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T")
    mesh.run()
    assert holders(mesh) == {"a": [], "b": ["LEASED"]}


def test_a_node_without_a_disk_gives_to_any() -> None:
    for names, memory in ((("b",), ("a",)), ((), ("a", "b"))):
        mesh = Mesh(*names, memory=memory, transfer_after_s=0.0)
        mesh.link("a", "b")
        mesh["b"].consumer("T", credit=5)
        mesh["a"].push("T")
        mesh.run()
        assert holders(mesh)["a"] == []
