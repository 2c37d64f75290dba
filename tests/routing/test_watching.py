"""Watchers: copies of what comes into custody, and no influence on anything (G7)."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects, events

WATCHER = 900


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh("a", "b", transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh.run()
    return mesh


def watch(node, *keys: str, number: int = 1) -> None:
    node.handle(events.ConsumerCame(WATCHER))
    node.handle(events.WatchBegan(WATCHER, number, keys))


def shown(node) -> list[tuple[str, str, list[bytes]]]:
    """(how, type, payloads) of what the watcher was shown."""
    return [
        (each.how, each.type, [item.payload for item in each.objects])
        for each in node.of(effects.Copy)
        if (WATCHER, 1) in each.watchers
    ]


def test_a_watcher_is_shown_what_is_accepted_and_it_stays_whose_it_is(mesh) -> None:
    watch(mesh["a"], "T")
    mesh["a"].push("T", b"1", b"2")
    mesh["a"].push("U", b"3")
    assert shown(mesh["a"]) == [("accepted", "T", [b"1", b"2"])]
    assert mesh["a"].states() == ["READY"] * 3
    mesh.wait(2.0)
    assert mesh["b"].brain.interest.routes == {}


def test_what_was_there_before_is_not_shown_and_neither_is_a_repeat(mesh) -> None:
    mesh["a"].push("T", b"1")
    watch(mesh["a"], "T")
    mesh["a"].push_again("T", 1, [b"1"])
    assert shown(mesh["a"]) == []


def test_a_copy_outlives_the_object_that_is_settled_before_its_commit(mesh) -> None:
    node = mesh["a"]
    watch(node, ">")
    consumer = node.consumer("T")
    node.auto_commit = False
    node.push("T", b"1")
    consumer.ack(*consumer.take())
    assert node.held() == set()
    (copy,) = node.of(effects.Copy)
    assert copy.after_commit
    assert [item.payload for item in copy.objects] == [b"1"]


def test_what_a_peer_gives_is_shown_as_received(mesh) -> None:
    watch(mesh["a"], "t.*")
    mesh["b"].push("t.T", b"1")
    consumer = mesh["a"].consumer("t.T")
    mesh.run()
    assert shown(mesh["a"]) == [("received", "t.T", [b"1"])]
    assert len(consumer.delivered) == 1


def test_new_content_is_shown_as_replaced(mesh) -> None:
    watch(mesh["a"], "T")
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T", b"1")
    consumer.settle("replace", *consumer.take(), payloads=[b"2"])
    assert shown(mesh["a"])[1:] == [("replaced", "T", [b"2"])]
    (copy,) = mesh["a"].of(effects.Copy)[1].objects
    assert copy.detail("version") == 2


def test_a_watcher_of_two_keys_that_both_match_is_shown_an_object_once(mesh) -> None:
    watch(mesh["a"], "t.T", "t.*", ">")
    mesh["a"].push("t.T", b"1")
    (copy,) = mesh["a"].of(effects.Copy)
    assert copy.watchers == ((WATCHER, 1),)


@pytest.mark.parametrize("end", [events.WatchEnded(WATCHER, 1), events.ConsumerGone(WATCHER, True)])
def test_after_the_end_nothing_is_shown_or_remembered(mesh, end) -> None:
    node = mesh["a"]
    watch(node, "T", "*")
    node.push("T", b"1")
    node.handle(end)
    node.push("T", b"2")
    assert len(node.of(effects.Copy)) == 1
    assert len(node.brain.context.custody.watching) == 0
    assert node.table("T").watchers == ()


def test_what_nobody_watches_is_not_copied(mesh) -> None:
    watch(mesh["a"], "U")
    mesh["a"].push("T", b"1")
    assert mesh["a"].of(effects.Copy) == []


def test_what_is_recovered_is_not_shown(mesh) -> None:
    mesh["a"].push("T", b"1")
    mesh["a"].crash()
    watch(mesh["a"], "T")
    mesh["a"].push("T", b"2")
    assert shown(mesh["a"]) == [("accepted", "T", [b"2"])]
