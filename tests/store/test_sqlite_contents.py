"""What a SQLite store holds after batches, and after being opened again."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests import strategies
from tests.support.stores import (
    NOW_MS,
    QUICK_FOLDER,
    Contents,
    batch,
    contents,
    opened,
    random_bytes,
    read,
    record,
    varied_batches,
)
from trionode.ids import object_id
from trionode.routing.records import GivenRecord, TakenRecord
from trionode.schema.definition import Definition
from trionode.store.batch import Batch, ProducerChange
from trionode.store.sqlite import SqliteStore
from trionode.store.sqlite_log import CHECKPOINT_FRAMES
from trionode.store.sqlite_schema import PAGE_BYTES

ID = object_id(7, 1)


def test_a_new_store_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "data") == (Contents(), [])


def test_everything_comes_back_as_it_was_written(tmp_path: Path) -> None:
    expected = Contents()
    store = opened(tmp_path)
    contents(store)
    for each in varied_batches(40):
        store.write(each)
        expected.apply(each)
    store.close()
    found, damage = read(tmp_path)
    assert found == expected
    assert damage == []
    assert list(found.objects) == list(expected.objects)
    assert list(found.producers) == list(expected.producers)


def test_what_is_written_before_recovery_is_read_does_not_cost_what_was_there(
    tmp_path: Path,
) -> None:
    first, second = record(object_id(7, 1)), record(object_id(7, 2))
    for each in (first, second):
        store = opened(tmp_path)
        store.write(batch(each))
        store.close()
    assert list(read(tmp_path)[0].objects.values()) == [first, second]


def test_times_come_back_on_the_brains_clock(tmp_path: Path) -> None:
    store = opened(tmp_path)
    details = {"due": 1000.0, "deadline": 2000.0, "hops": 3}
    plain, timed = record(1, created=900.0), record(2, created=900.0, details=details)
    store.write(batch(plain, timed))
    store.close()
    store = opened(tmp_path)
    found = contents(store, offset_s=400.0).objects
    store.close()
    assert [each.created for each in found.values()] == [500.0, 500.0]
    assert found[2].details == {"due": 600.0, "deadline": 1600.0, "hops": 3}


def test_a_changed_object_keeps_its_place(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1), record(2), record(3)))
    store.write(batch(record(2, stamp=2, attempt=5), stamp=2))
    store.close()
    found = read(tmp_path)[0].objects
    assert list(found) == [1, 2, 3]
    assert found[2].attempt == 5


def test_an_object_that_left_and_came_back_is_the_last(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1), record(2), record(3)))
    store.write(batch(record(1, stamp=2), stamp=2, gone=(1,)))
    store.close()
    assert list(read(tmp_path)[0].objects) == [2, 3, 1]


def test_stamps_go_on_after_everything_was_settled(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1, stamp=40), stamp=41))
    store.write(batch(stamp=42, gone=(1,)))
    store.close()
    store = opened(tmp_path)
    assert store.last_stamp == 42
    store.close()


def test_definitions_are_known_before_objects_are_read(tmp_path: Path) -> None:
    order = [Definition("B", "1", "{}"), Definition("A", "2", "{}"), Definition("B", "3", "{}")]
    store = opened(tmp_path)
    for each in (*order, order[0]):
        change = Batch(1, 0.0)
        change.definitions.append(each)
        store.write(change)
    store.close()
    store = opened(tmp_path)
    assert store.definitions() == order
    store.close()


def test_a_node_keeps_its_id_and_counts_its_lives(tmp_path: Path) -> None:
    lives = []
    for now_unix_ms in (NOW_MS, NOW_MS - 1000, NOW_MS + 5000):
        store = SqliteStore(tmp_path, "n1", random_bytes)
        lives.append(store.open(now_unix_ms))
        store.close()
    assert {life.node for life in lives} == {random_bytes(10).hex()}
    assert [life.incarnation - NOW_MS for life in lives] == [0, 1, 5000]


def test_a_failed_batch_can_be_written_again(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.write(batch(record(1), record(2)))
    change = batch(record(3, stamp=2), stamp=2, gone=(1,))
    change.producers[7] = ProducerChange([(3, 1)])
    for _ in range(2):
        store.write(change)
    store.close()
    found, damage = read(tmp_path)
    assert list(found.objects) == [2, 3]
    assert damage == []


def test_a_queue_at_work_does_not_make_the_files_grow(tmp_path: Path) -> None:
    store = opened(tmp_path)
    sizes = []
    for start in range(1, 60_000, 300):
        ids = range(start, start + 300)
        gone = tuple(range(start - 300, start))
        store.write(batch(*(record(id_, payload=bytes(200)) for id_ in ids), gone=gone))
        sizes.append(store.status().size_bytes)
    store.close()
    assert max(sizes) < (CHECKPOINT_FRAMES + 100) * PAGE_BYTES


_ids = st.builds(object_id, st.integers(1, 3), st.integers(1, 8))
_details = st.none() | st.dictionaries(
    st.sampled_from(["path", "hops", "failure", "priority"]),
    st.integers(-(2**40), 2**64 - 1) | st.text(max_size=4) | st.lists(st.text(max_size=3)),
    max_size=3,
)
object_records = st.builds(
    record,
    _ids,
    st.integers(1, 9),
    st.binary(max_size=30) | st.integers(1000, 9000).map(bytes),
    type=strategies.names,
    encoding=strategies.encodings,
    fingerprint=strategies.fingerprints,
    created=st.floats(-1e12, 1e12) | st.integers(0, 2**40).map(float),
    attempt=st.integers(1, 2**40),
    details=_details,
)
_runs = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 5)), max_size=3)
_changes = st.none() | st.builds(ProducerChange, _runs, st.integers(0, 30), st.booleans())
_keys = st.tuples(st.sampled_from(["aa", "bb"]), st.integers(1, 2), st.integers(1, 3))


class StoreMachine(RuleBasedStateMachine):
    """A store holds what the batches said, through any number of its lives."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(dir=QUICK_FOLDER))
        self.expected = Contents()
        self.stamp = 0
        self.store = opened(self.directory)
        contents(self.store)

    @rule(
        gone=st.lists(_ids, max_size=4),
        kept=st.lists(object_records, max_size=6),
        producers=st.dictionaries(st.integers(1, 3), _changes, max_size=2),
        given_keys=st.dictionaries(_keys, st.none() | st.lists(_ids, max_size=3), max_size=2),
        taken_keys=st.dictionaries(_keys, st.none() | st.lists(st.integers(0, 5)), max_size=2),
        definitions=strategies.definitions,
    )
    def write(self, gone, kept, producers, given_keys, taken_keys, definitions) -> None:
        self.stamp += 1
        change = batch(*kept, stamp=self.stamp, gone=tuple(gone))
        change.producers.update(producers)
        for key, ids in given_keys.items():
            change.given[key] = None if ids is None else GivenRecord(*key, tuple(ids), self.stamp)
        for key, refused in taken_keys.items():
            change.taken[key] = None if refused is None else TakenRecord(*key, tuple(refused))
        change.definitions.extend(definitions)
        self.store.write(change)
        self.expected.apply(change)

    @rule()
    def fold_the_log(self) -> None:
        self.store._log.fold()

    @rule()
    def begin_another_life(self) -> None:
        self.store.close()
        self.store = opened(self.directory)
        found = contents(self.store)
        assert found == self.expected
        assert list(found.objects) == list(self.expected.objects)
        assert list(found.producers) == list(self.expected.producers)
        assert list(found.definitions) == list(self.expected.definitions)
        assert self.store.damage() == []
        assert self.store.last_stamp >= self.stamp

    @invariant()
    def is_well(self) -> None:
        if hasattr(self, "store"):
            assert self.store.status().state == "ok"

    def teardown(self) -> None:
        if hasattr(self, "store"):
            try:
                self.begin_another_life()
            finally:
                self.store.close()
                shutil.rmtree(self.directory)


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20)
TestStoreMachine = StoreMachine.TestCase
