"""R8: a copy that arrives of an object held already merges into it, or takes its place."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from tests.support.custody import finish, offer_under_way, settled
from trionode.routing import events
from trionode.routing.model import Shape


@pytest.fixture
def mesh() -> Mesh:
    """x is offered by a, and the offer is under way to b, whose commits wait."""
    return offer_under_way()


def copy_comes(mesh: Mesh, sequence: int, payload: bytes = b"x", **changes) -> None:
    """b offers a copy of x to a."""
    values = {
        "link": mesh["a"].links["b"], "sequence": sequence, "key": "T", "epoch": 0, "type": "T",
        "shape": Shape(), "ids": [mesh.x], "payloads": [payload], "ages_s": [1.0],
        "draining": True, **changes,
    }  # fmt: skip
    mesh["a"].handle(events.OfferCame(**values))


@pytest.fixture
def pair() -> Mesh:
    mesh = Mesh("a", "b", max_attempts=5)
    mesh.link("a", "b")
    mesh.run()
    (mesh.x,) = mesh["a"].push("T")
    return mesh


def test_a_copy_merges_into_one_that_is_ready_and_brings_its_count(pair) -> None:
    copy_comes(pair, 1, attempts=[3])
    assert pair["a"].states() == ["READY"]
    assert pair["a"].item(pair.x).attempt == 3
    copy_comes(pair, 2, attempts=[2])
    assert pair["a"].item(pair.x).attempt == 3
    assert pair["a"].disk.objects[pair.x].attempt == 3


def test_a_copy_leaves_a_lease_its_name_and_its_content(pair) -> None:
    consumer = pair["a"].consumer("T")
    copy_comes(pair, 1, b"newer", attempts=[3], details={0: {"version": 2}})
    assert consumer.ack(*consumer.take()) == []
    assert pair["a"].held() == set()


def test_a_copy_of_newer_content_replaces_the_older(pair) -> None:
    copy_comes(pair, 1, b"newer", attempts=[1], details={0: {"version": 2}})
    item = pair["a"].item(pair.x)
    assert (item.payload, item.detail("version")) == (b"newer", 2)
    copy_comes(pair, 2, b"old", attempts=[4])
    assert (item.payload, item.attempt) == (b"newer", 1)


def test_a_copy_of_newer_content_supersedes_one_on_offer(mesh) -> None:
    (mesh.x,) = mesh["a"].held()
    copy_comes(mesh, 7, b"newer", details={0: {"version": 2}})
    item = mesh["a"].item(mesh.x)
    assert (item.state.name, item.payload) == ("READY", b"newer")
    assert mesh["a"].disk.objects[mesh.x].payload == b"newer"


def test_a_copy_of_older_content_voids_the_offer_and_keeps_the_newer(mesh) -> None:
    (mesh.x,) = mesh["a"].held()
    mesh["a"].item(mesh.x).amend(version=2)
    copy_comes(mesh, 7, b"older")
    item = mesh["a"].item(mesh.x)
    assert (item.state.name, item.payload, item.detail("version")) == ("READY", b"x", 2)


def test_a_delayed_copy_supersedes_as_a_delayed_one(mesh) -> None:
    (mesh.x,) = mesh["a"].held()
    copy_comes(mesh, 7, details={0: {"due": mesh["a"].now + 5.0}})
    assert mesh["a"].states() == ["DELAYED"]


def test_a_dead_copy_supersedes_as_a_dead_one(mesh) -> None:
    (mesh.x,) = mesh["a"].held()
    copy_comes(mesh, 7, details={0: {"dead": "why"}})
    assert mesh["a"].states() == ["DEAD"]


def test_a_superseded_object_is_on_no_offer_after_a_crash(mesh) -> None:
    (mesh.x,) = mesh["a"].held()
    copy_comes(mesh, 7)
    mesh["a"].crash()
    assert mesh["a"].states() == ["READY"]


def test_a_push_of_what_came_by_transfer_is_merged_and_acknowledged() -> None:
    """R11: pushed again to another node."""
    mesh = Mesh("a", "b", transfer_after_s=0.0)
    mesh.link("a", "b")
    consumer = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2)
    mesh.run()
    mesh["b"].push_again("T", 1, [b"x"] * 3, producer=mesh["a"].producer)
    assert mesh["b"].acknowledged == [(1, 3)]
    assert consumer.sequences() == [1, 2, 3]
    assert mesh["b"].flow("T", "merged") == 2


def test_a_push_of_what_is_on_offer_is_merged_and_leaves_with_it(mesh) -> None:
    mesh["a"].brain.intake.producers._books.clear()
    mesh["a"].push_again("T", 1, [b"x"])
    assert mesh["a"].states() == ["TRANSFERRING"]
    finish(mesh)
    assert settled(mesh) == 1


def test_the_deadline_of_the_copy_that_took_the_place_counts_and_the_older_one_no_longer() -> None:
    mesh = Mesh("a", "b", transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    mesh["b"].consumer("T", credit=1)
    (mesh.x,) = mesh["a"].push("T", deadline=mesh["a"].now + 5.0)
    mesh.run()
    assert mesh["a"].states() == ["TRANSFERRING"]
    copy_comes(mesh, 7, details={0: {"deadline": mesh["a"].now + 9.0}})
    mesh["a"].clock_s += 6.0
    mesh["a"].tick()
    assert mesh["a"].held() == {mesh.x}
    mesh["a"].clock_s += 4.0
    mesh["a"].tick()
    assert mesh["a"].held() == set()
