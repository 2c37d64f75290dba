"""The history of an object: rare things are written down, bounded; the rest is always known."""

from __future__ import annotations

import pytest

from tests.support.brains import Consumer, Mesh
from trionode.routing.history import HISTORY_KEPT, extended, history_of, read_entries


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", "b", max_attempts=3, transfer_after_s=0.0)


def named(mesh: Mesh, label: str, *keys: str, credit: int = 1) -> Consumer:
    return mesh["a"].consumer(*keys, credit=credit, label=label)


def rows(mesh: Mesh, id_: int, node: str = "a") -> list[tuple]:
    """What a person is shown, times by the mesh's clock."""
    found = history_of(mesh[node].item(id_), node)
    clock_s = mesh[node].clock_s
    return [
        (None if row.when is None else round(row.when - clock_s, 3), row.what, row.node)
        for row in found
    ]


def words(mesh: Mesh, id_: int) -> list[str]:
    return [what for _, what, _ in rows(mesh, id_)]


def test_an_object_to_which_nothing_special_happens_stores_nothing(mesh) -> None:
    (id_,) = mesh["a"].push("T")
    assert rows(mesh, id_) == [(0.0, "accepted", "a"), (0.0, "ready", "a")]
    mesh.now = 2.0
    consumer = named(mesh, "worker 7", "T")
    item = mesh["a"].item(id_)
    assert item.details is None
    assert rows(mesh, id_) == [(0.0, "accepted", "a"), (2.0, "leased", "a")]
    assert history_of(item, "a")[-1].consumer == "worker 7"
    consumer.ack(*consumer.take())


def test_a_failure_says_who_failed_at_which_attempt_and_why(mesh) -> None:
    consumer = named(mesh, "worker 7", "T")
    (id_,) = mesh["a"].push("T")
    mesh.now = 1.0
    consumer.nack(*consumer.take(), reason="no luck", delay_s=5.0)
    failed, delayed = history_of(mesh["a"].item(id_), "a")[1:]
    assert (failed.when, failed.what, failed.consumer) == (1.0, "failed", "worker 7")
    assert (failed.attempt, failed.why) == (1, "no luck")
    assert (delayed.what, delayed.when, delayed.until, delayed.attempt) == ("delayed", 1.0, 6.0, 2)


def test_each_rare_thing_has_its_word(mesh) -> None:
    (id_,) = mesh["a"].push("T")
    consumer = named(mesh, "one", "T")
    consumer.settle("replace", *consumer.take(), payloads=[b"new"])
    consumer.settle("return", *consumer.take())
    consumer.take()
    consumer.start(3)
    consumer.die()
    consumer = named(mesh, "two", "T")
    consumer.settle("reject", *consumer.take(), reason="bad")
    assert words(mesh, id_) == [
        "accepted", "replaced", "returned", "consumer died", "rejected", "dead",
    ]  # fmt: skip
    assert history_of(mesh["a"].item(id_), "a")[-1].why == "bad"


def test_a_history_travels_and_keeps_its_times_on_every_clock(mesh) -> None:
    (id_,) = mesh["a"].push("T")
    mesh.now = 1.0
    consumer = named(mesh, "one", "T")
    consumer.nack(*consumer.take(), delay_s=0.0)
    mesh.now = 2.0
    consumer.leave()
    mesh.link("a", "b")
    mesh["b"].consumer("T")
    mesh.wait(1.0)
    after = [
        (0.0, "accepted", "a"), (1.0, "failed", "a"), (2.0, "returned", "a"),
    ]  # fmt: skip
    assert rows(mesh, id_, "b")[:3] == after
    assert [row[1:] for row in rows(mesh, id_, "b")[3:]] == [("received", "b"), ("leased", "b")]
    assert history_of(mesh["b"].item(id_), "b")[3].why == "from node a"


def test_a_history_survives_a_restart_with_the_store(mesh) -> None:
    (id_,) = mesh["a"].push("T")
    consumer = named(mesh, "one", "T")
    consumer.nack(*consumer.take(), reason="no luck", delay_s=0.0)
    consumer.settle("reject", *consumer.take(), reason="bad")
    before = history_of(mesh["a"].item(id_), "a")
    mesh["a"].crash()
    assert history_of(mesh["a"].item(id_), "a")[:-1] == before[:-1]
    assert words(mesh, id_)[-1] == "dead"


def test_an_offer_that_was_given_up_is_told(mesh) -> None:
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    mesh["b"].consumer("T")
    (id_,) = mesh["a"].push("T")
    mesh.run()
    assert history_of(mesh["a"].item(id_), "a")[-1].why == "to b"
    mesh.cut("a", "b")
    mesh.wait(31.0)
    assert words(mesh, id_) == ["accepted", "possibly duplicate", "ready"]


def test_of_a_long_history_the_last_entries_are_kept_and_the_others_counted(mesh) -> None:
    details = None
    for number in range(HISTORY_KEPT + 4):
        details = extended(details, (float(number), "failed", "a", "", number, ""))
    assert [entry[4] for entry in details["history"]] == list(range(4, HISTORY_KEPT + 4))
    (id_,) = mesh["a"].push("T")
    mesh["a"].item(id_).details = details
    assert words(mesh, id_)[:3] == ["accepted", "dropped", "failed"]
    assert history_of(mesh["a"].item(id_), "a")[1].why == "4 earlier entries"


def test_consumers_that_come_and_go_push_no_failure_out(mesh) -> None:
    (id_,) = mesh["a"].push("T")
    consumer = named(mesh, "one", "T")
    consumer.nack(*consumer.take(), delay_s=0.0)
    consumer.leave()
    for _ in range(3 * HISTORY_KEPT):
        named(mesh, "two", "T").leave()
    assert words(mesh, id_) == ["accepted", "dropped", "failed", "returned", "ready"]


def test_what_came_back_together_shares_what_is_written_of_it(mesh) -> None:
    ids = mesh["a"].push("T", count=100)
    named(mesh, "one", "T", credit=100).leave()
    assert len({id(mesh["a"].item(each).details) for each in ids}) == 1


@pytest.mark.parametrize(
    "garbage",
    ["text", 7, [["x"]], [None], [[1, 2, 3, 4, 5, 6]], [[True, "a", "b", "c", 1, "d"]], {"a": 1}],
)
def test_what_is_no_history_is_left_out(garbage) -> None:
    assert read_entries(garbage, float) == ()


def test_what_a_peer_tells_is_held_to_the_bounds() -> None:
    entries = [[1, "w" * 999, "n" * 999, "c" * 999, 1, "y" * 999]] * 50
    found = read_entries(entries, float)
    assert len(found) == HISTORY_KEPT
    assert max(len(text) for text in (*found[0][1:4], found[0][5])) <= 300
