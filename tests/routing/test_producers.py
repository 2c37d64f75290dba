"""R11: the books of producers, against plain sets; repeats are recognised exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.support.brains import Mesh
from trionode.ids import SEQUENCE_MASK
from trionode.routing import effects, events
from trionode.routing.model import Shape
from trionode.routing.producers import AcceptedSequences, Producers
from trionode.routing.records import ProducerRecord

REACH = 40
STARTS = st.integers(1, REACH)
COUNTS = st.integers(0, 12)


class AcceptedBesideASet(RuleBasedStateMachine):
    """The book does what a set of all accepted sequences would do."""

    def __init__(self) -> None:
        super().__init__()
        self.book = AcceptedSequences()
        self.plain: set[int] = set()
        self.floor = 0

    @rule(first=STARTS, count=COUNTS)
    def accept(self, first: int, count: int) -> None:
        missing = self.book.missing(first, count)
        found = [n for start, length in missing for n in range(start, start + length)]
        assert found == sorted(set(range(first, first + count)) - self.plain)
        assert all(length > 0 for _, length in missing)
        for start, length in missing:
            self.book.add(start, length)
        self.plain.update(found)

    @rule(floor=st.integers(0, REACH + 12))
    def resolve(self, floor: int) -> None:
        self.book.raise_floor(floor)
        self.floor = max(self.floor, floor)
        self.plain.update(range(1, floor + 1))

    @invariant()
    def it_contains_the_same(self) -> None:
        every = range(1, REACH + 20)
        assert [n for n in every if n in self.book] == [n for n in every if n in self.plain]

    @invariant()
    def it_is_as_short_as_can_be(self) -> None:
        above = sorted(n for n in self.plain if n > self.floor)
        runs = sum(1 for n in above if n - 1 not in self.plain or n - 1 <= self.floor)
        assert len(self.book.starts) == len(self.book.ends) <= runs
        for start, end in zip(self.book.starts, self.book.ends, strict=True):
            assert self.floor < start < end
        assert self.book.ends[:-1] < self.book.starts[1:] or len(self.book.starts) < 2


TestAcceptedBesideASet = AcceptedBesideASet.TestCase


@given(st.lists(st.tuples(STARTS, COUNTS), max_size=8), st.integers(0, REACH))
def test_a_book_comes_back_from_a_store_as_it_was(batches, floor) -> None:
    book, runs = AcceptedSequences(), []
    for first, count in batches:
        for run in book.missing(first, count):
            book.add(*run)
            runs.append(run)
    producers = Producers(10)
    producers.restore(ProducerRecord(1, floor, [run for run in runs if run[0] > floor]))
    restored, _ = producers.book(1)
    for sequence in range(1, REACH + 20):
        if sequence > floor:
            kept = any(f <= sequence < f + c for f, c in runs if f > floor)
            assert (sequence in restored) == kept
        else:
            assert sequence in restored


def test_the_last_sequence_there_is_fits() -> None:
    book = AcceptedSequences()
    book.add(SEQUENCE_MASK, 1)
    assert SEQUENCE_MASK in book
    assert book.missing(SEQUENCE_MASK - 1, 2) == [(SEQUENCE_MASK - 1, 1)]


def test_a_steady_producer_takes_one_interval_however_much_it_pushes() -> None:
    book = AcceptedSequences()
    for first in range(1, 100_001, 10):
        book.add(first, 10)
    assert (book.starts, book.ends) == ([1], [100_001])


def test_of_producers_only_the_last_heard_of_are_remembered() -> None:
    producers = Producers(2)
    for producer in (1, 2, 1):
        assert producers.book(producer)[1] is None
    assert producers.book(3)[1] == 2
    assert producers.book(1)[1] is None
    assert len(producers) == 2


# --- in the brain ------------------------------------------------------------------------------


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", producers_remembered=2)


def test_an_acknowledgement_waits_for_the_commit(mesh) -> None:
    mesh["a"].auto_commit = False
    mesh["a"].push("T", count=3)
    assert mesh["a"].acknowledged == []
    mesh["a"].commit()
    assert mesh["a"].acknowledged == [(1, 3)]
    assert len(mesh["a"].disk.objects) == 3


def test_the_acknowledgement_of_a_repeat_waits_for_the_first_ones_commit(mesh) -> None:
    """Trace c."""
    mesh["a"].auto_commit = False
    mesh["a"].push("T")
    mesh["a"].push_again("T", 1, [b"x"])
    assert mesh["a"].acknowledged == []
    mesh["a"].commit()
    assert mesh["a"].acknowledged == [(1, 1), (1, 1)]
    assert mesh["a"].flow("T", "accepted") == 1


def test_a_repeat_is_acknowledged_and_not_taken_again_even_when_settled(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh["a"].push("T")
    consumer.ack(*consumer.take())
    mesh["a"].push_again("T", 1, [b"x"])
    assert mesh["a"].held() == set()
    assert mesh["a"].acknowledged == [(1, 1), (1, 1)]


def test_a_repeat_is_recognised_after_a_crash(mesh) -> None:
    mesh["a"].push("T", count=3)
    consumer = mesh["a"].consumer("T", credit=1)
    consumer.ack(*consumer.take())
    mesh["a"].crash()
    mesh["a"].push_again("T", 1, [b"x"] * 5)
    assert len(mesh["a"].held()) == 4
    assert mesh["a"].flow("T", "accepted") == 2


def test_what_was_never_committed_is_taken_when_it_is_pushed_again_after_a_crash(mesh) -> None:
    mesh["a"].auto_commit = False
    mesh["a"].push("T", count=3)
    mesh["a"].crash()
    assert mesh["a"].held() == set()
    mesh["a"].push_again("T", 1, [b"x"] * 3)
    mesh["a"].commit()
    assert mesh["a"].acknowledged == [(1, 3)]
    assert len(mesh["a"].held()) == 3


def test_the_gaps_of_a_repeat_are_taken_with_their_own_payloads_and_properties(mesh) -> None:
    mesh["a"].push_again("T", 2, [b"2"])
    mesh["a"].push_again("T", 4, [b"4"])
    due = mesh["a"].now + 5.0
    mesh["a"].push_again(
        "T", 1, [b"1", b"2'", b"3", b"4'", b"5"], details={1: {"due": due}, 2: {"due": due}}
    )
    items = mesh["a"].brain.context.custody.objects.values()
    assert {(item.payload, item.state.name) for item in items} == {
        (b"1", "READY"),
        (b"2", "READY"),
        (b"3", "DELAYED"),
        (b"4", "READY"),
        (b"5", "READY"),
    }


def test_all_up_to_what_the_producer_knows_needs_no_remembering(mesh) -> None:
    for first in range(1, 40, 2):
        mesh["a"].push_again("T", first, [b"x"], acknowledged=max(0, first - 4))
    book, _ = mesh["a"].brain.intake.producers.book(mesh["a"].producer)
    assert book.floor == 35
    assert len(book.starts) <= 2
    (remembered,) = mesh["a"].of(effects.RememberProducer)[-1:]
    assert (remembered.accepted, remembered.floor) == ([(39, 1)], 35)


def test_a_producer_forgotten_that_pushes_again_is_merged_with_what_is_held(mesh) -> None:
    mesh["a"].push("T")
    for producer in (7, 8):
        mesh["a"].push_again("T", 1, [b"x"], producer=producer)
    assert [each.producer for each in mesh["a"].of(effects.ForgetProducer)] == [1]
    mesh["a"].push_again("T", 1, [b"x"])
    assert len(mesh["a"].held()) == 3
    assert mesh["a"].flow("T", "merged") == 1
    assert set(mesh["a"].disk.producers) == {1, 8}


def test_producers_do_not_share_sequences(mesh) -> None:
    mesh["a"].push_again("T", 1, [b"x"], producer=5)
    mesh["a"].push_again("T", 1, [b"x"], producer=6)
    assert len(mesh["a"].held()) == 2


def acknowledgement(node) -> effects.AcknowledgePush:
    return node.of(effects.AcknowledgePush)[-1]


def test_the_acknowledgement_of_a_push_says_where_all_of_it_is_new(mesh) -> None:
    node = mesh["a"]
    ids = node.push("T", count=3, priority=7)
    assert list(acknowledgement(node).new) == ids
    node.push_again("T", 2, [b"x"] * 3)
    assert acknowledgement(node).new is None, "some of it is repeated"
    node.push("T", count=2, key="k")
    assert acknowledgement(node).new is None, "it has a key"


def test_a_copy_of_what_is_held_is_not_new(mesh) -> None:
    mesh["a"].push("T")
    for producer in (7, 8):
        mesh["a"].push_again("T", 1, [b"x"], producer=producer)
    mesh["a"].push_again("T", 1, [b"x"])
    assert mesh["a"].flow("T", "merged") == 1
    assert acknowledgement(mesh["a"]).new is None


def test_only_an_ack_without_results_is_plain(mesh) -> None:
    node = mesh["a"]
    node.push("T", count=2)
    worker = node.consumer("T", credit=2)
    first, second = worker.take()
    worker.ack(first)
    assert node.of(effects.Forget)[-1].plain
    result = events.Pushed(0, 77, 1, "T2", Shape(), [b"result"])
    worker.settle("ack", second, emitted=[(0, result)])
    assert not node.of(effects.Forget)[-1].plain
