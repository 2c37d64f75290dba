"""A person's hand on dead letters: tried again, or discarded for good (G2, G5)."""

from __future__ import annotations

from tests.support.brains import Mesh
from trionode.inspection.pages import SCAN_MAX, Place, Selection, page
from trionode.routing import effects
from trionode.routing.dead_letters import NOT_DEAD, NOT_HELD
from trionode.routing.model import State


def with_dead(count: int = 1, **options):
    """A node with so many dead letters, and a consumer that has rejected them."""
    mesh = Mesh("n", **options)
    node = mesh["n"]
    ids = node.push("A", count=count)
    consumer = node.consumer("A", credit=count)
    consumer.settle("reject", *consumer.take(), reason="no such customer")
    assert node.states() == ["DEAD"] * count
    return mesh, node, consumer, ids


def test_a_retried_dead_letter_is_delivered_again_as_a_first_attempt():
    _mesh, node, consumer, (id_,) = with_dead()
    node.retry(id_)
    (lease,) = consumer.take()
    assert (lease.id, lease.attempt) == (id_, 1)
    assert node.answers[-1].done == [id_]
    assert consumer.ack(lease) == []
    assert node.held() == set()


def test_a_retried_object_that_had_failed_begins_at_one_and_keeps_its_history():
    mesh = Mesh("n", max_attempts=3)
    node = mesh["n"]
    (id_,) = node.push("A")
    consumer = node.consumer("A")
    for attempt in (1, 2, 3):
        (lease,) = consumer.take()
        assert lease.attempt == attempt
        consumer.nack(lease, delay_s=0.0, reason=f"failure {attempt}")
    assert node.states() == ["DEAD"]
    history = node.item(id_).detail("history")
    assert history
    node.retry(id_)
    (lease,) = consumer.take()
    assert lease.attempt == 1
    assert node.item(id_).detail("dead") is None
    assert node.item(id_).detail("history")[: len(history)] == history
    # And it has all of its attempts again.
    for attempt in (1, 2, 3):
        assert node.item(id_).attempt == attempt
        consumer.nack(*(consumer.take() or [lease]), delay_s=0.0)
    assert node.states() == ["DEAD"]


def test_a_discarded_dead_letter_leaves_through_its_own_door():
    _mesh, node, _consumer, ids = with_dead(3)
    node.discard(ids[1])
    assert node.held() == {ids[0], ids[2]}
    assert node.flow("A", "discarded") == 1
    assert node.answers[-1].done == [ids[1]]


def test_what_is_no_dead_letter_is_refused_alone():
    _mesh, node, consumer, (dead,) = with_dead()
    (ready,) = node.push("A")
    stranger = dead + 1000
    consumer.subscribe("A", credit=0)
    for act in (node.discard, node.retry):
        act(ready, stranger, dead, dead)
        (answer,) = node.answers
        node.answers.clear()
        assert dict(answer.refused) == (
            {ready: NOT_DEAD, stranger: NOT_HELD}
            if act == node.discard
            else {ready: NOT_DEAD, stranger: NOT_HELD, dead: NOT_HELD}
        )


def test_the_answer_waits_for_the_commit_and_a_crash_before_it_changes_nothing():
    _mesh, node, _consumer, ids = with_dead(2)
    node.auto_commit = False
    node.retry(ids[0])
    node.discard(ids[1])
    assert node.answers == []
    node.auto_commit = True
    node.crash()
    assert node.states() == ["DEAD", "DEAD"]
    node.retry(ids[0])
    node.discard(ids[1])
    assert [answer.done for answer in node.answers] == [[ids[0]], [ids[1]]]
    node.crash()
    assert node.held() == {ids[0]}
    assert node.states() == ["READY"]
    assert node.item(ids[0]).attempt == 1


def test_a_retried_object_goes_to_a_peer_that_wants_it():
    mesh = Mesh("a", "b")
    node = mesh["a"]
    (id_,) = node.push("A")
    consumer = node.consumer("A")
    consumer.settle("reject", *consumer.take())
    consumer.leave()
    mesh.link("a", "b")
    far = mesh["b"].consumer("A")
    mesh.wait(5)
    assert far.take() == []
    node.retry(id_)
    mesh.wait(5)
    assert far.ids() == [id_]


def test_a_deadline_that_has_passed_is_lifted_by_a_retry():
    mesh = Mesh("n")
    node = mesh["n"]
    (id_,) = node.push("A", deadline=node.now + 10)
    consumer = node.consumer("A")
    consumer.settle("reject", *consumer.take())
    mesh.wait(20)
    node.retry(id_)
    mesh.wait(20)
    assert consumer.ids() == [id_]
    assert node.flow("A", "expired") == 0


def test_a_deadline_to_come_still_ends_a_retried_object():
    mesh = Mesh("n")
    node = mesh["n"]
    (id_,) = node.push("A", deadline=node.now + 30)
    consumer = node.consumer("A")
    consumer.settle("reject", *consumer.take())
    consumer.leave()
    node.retry(id_)
    mesh.wait(40)
    assert node.flow("A", "expired") == 1


def test_space_that_a_discard_frees_is_granted_to_peers_again():
    mesh = Mesh("a", "b", max_held_bytes=100_000)
    full = mesh["b"]
    (id_,) = full.push("A", bytes(100_000))
    consumer = full.consumer("A", credit=3)
    consumer.settle("reject", *consumer.take())
    mesh.link("a", "b")
    mesh["a"].push("A", b"x", b"y", b"z")
    mesh.wait(5)
    assert len(consumer.take()) == 1, "the one that an idle consumer is given anyhow"
    full.discard(id_)
    mesh.wait(5)
    assert len(consumer.take()) == 2


# --- looking --------------------------------------------------------------------------------------


def walk(node, selection: Selection, limit: int = 7, between=lambda: None) -> list[int]:
    """All ids that a selection shows, page by page."""
    found: list[int] = []
    place: Place | None = Place()
    while place is not None:
        items, place = page(node.brain.context.custody, selection, place, limit, node.now)
        found += [item.id for item in items]
        between()
    return found


def test_pages_show_every_object_once_in_the_order_of_their_coming():
    mesh = Mesh("n")
    node = mesh["n"]
    ids = node.push("A", count=50)
    node.push("B", count=50)
    assert walk(node, Selection("A")) == ids
    assert walk(node, Selection("C")) == []


def test_pages_show_what_stays_whatever_leaves_meanwhile():
    mesh = Mesh("n")
    node = mesh["n"]
    ids = node.push("A", count=200)
    consumer = node.consumer("A", credit=100)
    going = consumer.take()

    def settle_some():
        consumer.ack(*[going.pop(0) for _ in range(min(9, len(going)))])

    shown = walk(node, Selection("A"), between=settle_some)
    assert not going
    assert set(shown) >= set(ids[100:])


def test_a_selection_chooses_by_state_reason_and_age():
    mesh, node, consumer, dead = with_dead(3)
    mesh.wait(100)
    young = node.push("A", count=2)
    consumer.settle("reject", *consumer.take(), reason="Connection REFUSED")
    only_dead = frozenset({State.DEAD})
    assert walk(node, Selection("A", only_dead)) == [*dead, *young]
    assert walk(node, Selection("A", only_dead, reason="refused")) == young
    assert walk(node, Selection("A", only_dead, reason="NO SUCH")) == dead
    assert walk(node, Selection("A", only_dead, older_than_s=50)) == dead
    assert walk(node, Selection("A", frozenset({State.READY}))) == []


def test_one_page_looks_at_a_bounded_part_of_what_is_held():
    mesh = Mesh("n")
    node = mesh["n"]
    node.push("B", count=SCAN_MAX)
    (id_,) = node.push("A")
    items, place = page(node.brain.context.custody, Selection("A"), Place(), 10, node.now)
    assert (items, place) == ([], Place(SCAN_MAX, 0))
    assert place is not None
    items, place = page(node.brain.context.custody, Selection("A"), place, 10, node.now)
    assert ([item.id for item in items], place) == ([id_], None)


def test_a_retry_is_kept_in_the_store():
    _mesh, node, consumer, (id_,) = with_dead()
    consumer.subscribe("A", credit=0)
    node.effects.clear()
    node.retry(id_)
    kept = [item.id for effect in node.of(effects.Keep) for item in effect.objects]
    assert kept == [id_]
