"""Idempotent pushes: the same key of the same type again is the object of the first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.brains import Mesh
from trionode.ids import object_id
from trionode.routing import effects
from trionode.routing.keys import FORGET_MANY, Keys, digest_of
from trionode.routing.records import KeysRecord

WINDOW_S = 600.0


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", "b", key_window_s=WINDOW_S)


@pytest.fixture
def node(mesh):
    return mesh["a"]


def test_a_push_that_repeats_a_key_stores_nothing_and_is_told_the_first_id(node) -> None:
    (first,) = node.push("T", b"one", key="k")
    node.push("T", b"two", key="k")
    assert node.held() == {first}
    assert node.item(first).payload == b"one"
    assert node.acknowledged == [(1, 1), (2, 1)]
    assert node.others == {2: first}
    assert node.flow("T", "accepted") == 1


def test_the_same_key_of_another_type_and_other_keys_are_other_objects(node) -> None:
    node.push("T", key="k")
    node.push("T2", key="k")
    node.push("T", key="k2")
    assert len(node.held()) == 3
    assert node.others == {}


def test_a_key_that_one_push_says_twice_is_one_object(node) -> None:
    first, *_ = node.push("T", b"one", b"two", b"three", key="k")
    assert node.held() == {first}
    assert node.others == {2: first, 3: first}


def test_of_a_push_only_what_repeats_a_key_is_not_stored(node) -> None:
    (first,) = node.push("T", key="k")
    node.push_again("T", 2, [b"2", b"3", b"4"], details={1: {"key": "k"}, 2: {"key": "new"}})
    assert node.held() == {first, object_id(1, 2), object_id(1, 4)}
    assert node.others == {3: first}


def test_a_repeat_that_is_pushed_again_after_a_reconnect_is_told_the_same(node) -> None:
    (first,) = node.push("T", key="k")
    for _ in range(2):
        node.push_again("T", 1, [b"x", b"x"], details={0: {"key": "k"}, 1: {"key": "k"}})
        assert node.others == {2: first}
    assert node.held() == {first}


def test_a_key_means_its_object_after_that_is_settled_transferred_or_dead(mesh, node) -> None:
    consumer = node.consumer("T", credit=2)
    settled, rejected = (node.push("T", key=key)[0] for key in ("s", "r"))
    consumer.ack((settled, 1))
    consumer.settle("reject", (rejected, 1))
    mesh.link("a", "b")
    mesh["b"].consumer("T2", credit=1)
    (given,) = node.push("T2", key="g")
    mesh.wait(2.0)
    assert mesh["b"].held() == {given}
    for key, type_ in (("s", "T"), ("r", "T"), ("g", "T2")):
        node.push(type_, key=key)
    assert node.others == {4: settled, 5: rejected, 6: given}
    mesh["b"].push("T2", key="g")
    assert mesh["b"].others == {}, "another node knows nothing of it"


def test_after_its_window_a_key_means_nothing_and_the_store_forgets_it(mesh, node) -> None:
    node.push("T", key="k")
    mesh.wait(WINDOW_S - 1)
    node.push("T", key="k")
    assert len(node.held()) == 1
    mesh.wait(2)
    node.push("T", key="k")
    assert len(node.held()) == 2
    mesh.wait(WINDOW_S * 1.1)
    assert len(node.brain.intake.keys) == 0
    assert node.disk.keys == []
    assert node.brain.wake_at is None


def test_beyond_the_bound_the_oldest_keys_are_forgotten_first() -> None:
    node = Mesh("a", keys_remembered=3)["a"]
    for key in ("1", "2", "3", "4"):
        node.push("T", key=key)
    for key in ("2", "3", "4"):
        node.push("T", key=key)
    assert len(node.held()) == 4
    node.push("T", key="1")
    assert len(node.held()) == 5
    assert len(node.brain.intake.keys) == 3


def test_with_many_keys_too_many_the_store_forgets_before_their_window_is_over() -> None:
    mesh = Mesh("a", keys_remembered=10)
    node = mesh["a"]
    size = 500
    for start in range(0, FORGET_MANY + 2 * size, size):
        mesh.now += 0.01
        details = {index: {"key": str(start + index)} for index in range(size)}
        node.push_again("T", start + 1, [b""] * size, details=details)
    assert sum(len(each.keys) for each in node.disk.keys) < 4 * size


# --- commits and crashes ------------------------------------------------------------------------


def test_a_repeat_is_answered_only_when_the_first_is_in_the_store(node) -> None:
    """Scenario c: what a repeat was promised must not be lost with the first."""
    node.auto_commit = False
    (first,) = node.push("T", key="k")
    node.push("T", key="k")
    assert node.acknowledged == []
    node.commit()
    assert node.acknowledged == [(1, 1), (2, 1)]
    assert node.others == {2: first}


def test_a_crash_before_the_commit_loses_the_key_with_its_object(node) -> None:
    node.auto_commit = False
    node.push("T", key="k")
    node.crash()
    assert node.held() == set()
    (again,) = node.push("T", key="k")
    assert node.held() == {again}


def test_keys_outlive_a_crash_with_what_is_left_of_their_window(mesh, node) -> None:
    (first,) = node.push("T", key="k")
    mesh.wait(WINDOW_S - 10)
    node.crash()
    node.push("T", key="k")
    assert node.others == {2: first}
    mesh.wait(11)
    node.push("T", key="k")
    assert len(node.held()) == 2
    mesh.wait(WINDOW_S * 1.1)
    assert node.disk.keys == []


def test_an_object_settled_before_its_commit_leaves_nothing_but_its_key(node) -> None:
    node.auto_commit = False
    consumer = node.consumer("T")
    (first,) = node.push("T", key="k")
    consumer.ack((first, 1))
    assert node.acknowledged == [], "who repeats the key relies on it"
    node.commit()
    assert node.acknowledged == [(1, 1)]
    assert node.disk.objects == {}
    node.auto_commit = True
    node.crash()
    node.push("T", key="k")
    assert node.held() == set()
    assert node.others == {2: first}


def test_an_object_that_came_by_transfer_and_is_pushed_here_again_merges_and_has_its_key(
    mesh, node
) -> None:
    mesh.link("a", "b")
    mesh["b"].consumer("T", credit=1)
    (first,) = node.push("T", key="k")
    mesh.wait(2.0)
    assert mesh["b"].held() == {first}
    mesh["b"].push_again("T", 1, [b"x"], producer=node.producer, details={0: {"key": "k"}})
    mesh["b"].push("T", key="k")
    assert mesh["b"].held() == {first}
    assert mesh["b"].others == {1: first}


def test_objects_without_a_key_touch_no_book_of_keys(node) -> None:
    node.push("T", count=5, priority=3)
    assert not node.of(effects.RememberKeys)
    assert len(node.brain.intake.keys) == 0


# --- the book, beside a plain one ----------------------------------------------------------------


@given(
    st.lists(st.tuples(st.floats(0, 40), st.integers(0, 12), st.integers(0, 9)), max_size=60),
    st.integers(1, 8),
)
def test_the_book_does_what_a_plain_one_does(steps, limit) -> None:
    book, plain = Keys(100.0, limit), {}
    now, number, store = 0.0, 0, []
    for wait_s, key, forget in steps:
        now += wait_s
        digest = digest_of("T", str(key))
        plain = {name: value for name, value in plain.items() if value[1] + 100.0 > now}
        known = plain.get(digest)
        assert book.find(digest, now) == (known and known[0])
        if known is None:
            number += 1
            book.add(digest, number, now)
            plain[digest] = (number, now)
            store.append(KeysRecord(now, ((digest, number),)))
            if len(plain) > limit:
                del plain[min(plain, key=lambda each: plain[each][0])]
        if forget == 0:
            until = book.forget(now)
            store = [each for each in store if until is None or each.at > until]
        assert len(book) == len(plain)
        again = Keys(100.0, limit)
        again.restore(store, now)
        assert {name: again.find(name, now) for name in plain} == {
            name: value[0] for name, value in plain.items()
        }


def test_a_clock_that_was_set_back_does_not_make_a_key_older_or_eternal() -> None:
    book = Keys(100.0, 10)
    book.restore([KeysRecord(5000.0, ((b"x", 1),))], now=10.0)
    assert book.find(b"x", 109.0) == 1
    assert book.find(b"x", 110.1) is None
