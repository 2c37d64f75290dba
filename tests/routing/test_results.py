"""Results that come with an ack: parent and children change custody in one step or not at all."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.ids import format_id, object_id
from trionode.routing import effects, events
from trionode.routing.model import Shape

EMITTER = 77


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", "b", key_window_s=600.0)


@pytest.fixture
def node(mesh):
    return mesh["a"]


def result(index: int, first: int, *payloads: bytes, type_="Mail", **more) -> tuple:
    pushed = events.Pushed(
        0, EMITTER, first, type_, Shape(), list(payloads), more.pop("acknowledged", 0), **more
    )
    return (index, pushed)


def child(sequence: int) -> int:
    return object_id(EMITTER, sequence)


def test_an_ack_with_results_settles_the_parent_and_takes_the_children(node) -> None:
    consumer = node.consumer("T")
    (parent,) = node.push("T")
    emitted = [result(0, 1, b"m1", b"m2"), result(0, 3, b"i", type_="Invoice")]
    assert consumer.settle("ack", *consumer.take(), emitted=emitted) == []
    assert node.held() == {child(1), child(2), child(3)}
    assert [node.item(child(n)).payload for n in (1, 2, 3)] == [b"m1", b"m2", b"i"]
    assert {node.item(child(n)).detail("parent") for n in (1, 2, 3)} == {format_id(parent)}
    assert node.flow("T", "settled") == 1
    assert (node.flow("Mail", "accepted"), node.flow("Invoice", "accepted")) == (2, 1)
    assert set(node.disk.objects) == {child(1), child(2), child(3)}


def test_children_go_to_who_wants_them_also_to_the_place_that_the_ack_has_freed(node) -> None:
    consumer = node.consumer("T", "Mail", credit=1)
    node.push("T")
    consumer.settle("ack", *consumer.take(), emitted=[result(0, 1, b"m")])
    assert consumer.ids() == [child(1)]


def test_children_have_their_own_properties_and_their_parents_id(mesh, node) -> None:
    consumer = node.consumer("T", "Mail", credit=3)
    (parent,) = node.push("T")
    due = node.now + 5.0
    emitted = [result(0, 1, b"now", b"later", details={1: {"due": due, "priority": 8}})]
    consumer.settle("ack", *consumer.take(), emitted=emitted)
    assert node.item(child(1)).details == {"parent": format_id(parent)}
    assert node.item(child(2)).details == {
        "parent": format_id(parent),
        "due": due,
        "priority": 8,
    }
    assert consumer.ids() == [child(1)]
    mesh.wait(5.1)
    assert consumer.ids() == [child(1), child(2)]


def test_under_an_invalid_lease_nothing_of_it_is_done(node) -> None:
    consumer = node.consumer("T", credit=2)
    first, second = node.push("T", b"1", b"2")
    lease, other = consumer.take()
    consumer.ack(lease)
    emitted = [result(0, 1, b"bad"), result(1, 2, b"good"), result(0, 3, b"bad too")]
    reasons = consumer.settle("ack", lease, other, emitted=emitted)
    assert len(reasons) == 1
    assert node.held() == {child(2)}
    assert node.item(child(2)).detail("parent") == format_id(second)
    assert first not in node.held()


def test_a_result_that_is_there_already_is_a_repeat(node) -> None:
    consumer = node.consumer("T", credit=2)
    node.push("T", b"1", b"2")
    lease, other = consumer.take()
    consumer.settle("ack", lease, emitted=[result(0, 1, b"m")])
    consumer.settle("ack", other, emitted=[result(0, 1, b"m")])
    assert node.held() == {child(1)}
    assert node.flow("Mail", "accepted") == 1


def test_what_the_emitter_knows_the_outcome_of_is_forgotten(node) -> None:
    consumer = node.consumer("T", credit=3)
    node.push("T", b"1", b"2", b"3")
    for number, lease in enumerate(consumer.take()):
        emitted = [result(0, 10 * number + 1, b"m", acknowledged=10 * number)]
        consumer.settle("ack", lease, emitted=emitted)
    book = node.brain.intake.producers.find(EMITTER)
    assert (book.floor, book.starts, book.ends) == (20, [21], [22])


def test_results_with_a_key_that_was_used_are_not_stored_again(node) -> None:
    consumer = node.consumer("T", credit=2)
    node.push("T", b"1", b"2")
    for number, lease in enumerate(consumer.take()):
        emitted = [result(0, 1 + number, b"m", details={0: {"key": "order-1"}})]
        assert consumer.settle("ack", lease, emitted=emitted) == []
    assert node.held() == {child(1)}


def test_results_go_to_other_nodes_with_their_parents_id(mesh, node) -> None:
    mesh.link("a", "b")
    mailer = mesh["b"].consumer("Mail", credit=1)
    consumer = node.consumer("T")
    (parent,) = node.push("T")
    consumer.settle("ack", *consumer.take(), emitted=[result(0, 1, b"m")])
    mesh.wait(2.0)
    assert mailer.ids() == [child(1)]
    assert mesh["b"].item(child(1)).detail("parent") == format_id(parent)


# --- commits and crashes ------------------------------------------------------------------------


def test_an_ack_with_results_is_answered_when_they_are_in_the_store(node) -> None:
    consumer = node.consumer("T")
    node.push("T")
    node.auto_commit = False
    consumer.settle("ack", *consumer.take(), emitted=[result(0, 1, b"m")])
    assert consumer.refused == {}
    node.commit()
    assert len(consumer.refused) == 1


@pytest.mark.parametrize("settle", ["nack", "reject", "replace"])
def test_a_settle_that_keeps_the_object_is_answered_when_that_is_in_the_store(node, settle) -> None:
    consumer = node.consumer("T")
    node.push("T")
    node.auto_commit = False
    consumer.settle(settle, *consumer.take(), payloads=[b"new"])
    assert consumer.refused == {}
    node.commit()
    assert len(consumer.refused) == 1


def test_a_plain_ack_is_answered_when_it_is_applied(node) -> None:
    consumer = node.consumer("T")
    node.push("T")
    node.auto_commit = False
    consumer.ack(*consumer.take())
    assert len(consumer.refused) == 1


@pytest.mark.parametrize("committed", [False, True])
def test_a_crash_leaves_the_parent_or_the_children_and_never_both_or_none(node, committed) -> None:
    consumer = node.consumer("T")
    (parent,) = node.push("T")
    node.auto_commit = False
    consumer.settle("ack", *consumer.take(), emitted=[result(0, 1, b"m1", b"m2")])
    if committed:
        node.commit()
    node.crash()
    assert node.held() == ({child(1), child(2)} if committed else {parent})


@pytest.mark.parametrize("committed", [False, True])
def test_a_push_that_was_settled_with_results_before_its_commit_waits_for_theirs(
    node, committed
) -> None:
    """Scenario i: acknowledged by being settled, then lost with what it became."""
    node.auto_commit = False
    consumer = node.consumer("T")
    (parent,) = node.push("T")
    consumer.settle("ack", *consumer.take(), emitted=[result(0, 1, b"m")])
    assert node.acknowledged == []
    if committed:
        node.commit()
        assert node.acknowledged == [(1, 1)]
        assert set(node.disk.objects) == {child(1)}, "the parent is never written"
    node.crash()
    assert node.held() == ({child(1)} if committed else set())
    assert parent not in node.held()


def test_a_push_that_was_replaced_before_its_commit_is_acknowledged_with_its_new_content(
    node,
) -> None:
    node.auto_commit = False
    consumer = node.consumer("T")
    (parent,) = node.push("T", b"old")
    consumer.settle("replace", *consumer.take(), payloads=[b"new"])
    assert node.acknowledged == []
    node.commit()
    assert node.acknowledged == [(1, 1)]
    assert node.disk.objects[parent].payload == b"new"


def test_results_are_taken_when_a_node_is_full_and_when_it_drains() -> None:
    node = Mesh("a", max_held_bytes=10)["a"]
    consumer = node.consumer("T", credit=2)
    node.push("T", b"x" * 50, b"y" * 50)
    one, two = consumer.take()
    consumer.settle("ack", one, emitted=[result(0, 1, b"m" * 100)])
    node.drain()
    consumer.settle("ack", two, emitted=[result(0, 2, b"m" * 100)])
    assert node.held() == {child(1), child(2)}


def test_an_ack_without_results_costs_no_commit_of_its_own(node) -> None:
    consumer = node.consumer("T")
    node.push("T")
    node.effects.clear()
    consumer.ack(*consumer.take())
    assert [type(each) for each in node.effects[:2]] == [effects.Forget, effects.AnswerSettle]
    assert not node.of(effects.AnswerSettle)[0].after_commit
