"""Payloads that the store keeps alone: which leave memory, when they come back, in what order."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects, residency
from trionode.routing.model import Spilled


@pytest.fixture
def ahead(monkeypatch):
    """A read-ahead so short that a few objects show it."""
    monkeypatch.setattr(residency, "AHEAD_OBJECTS", 4)


def one(limit: int = 30, **options):
    mesh = Mesh("a", payload_limit_bytes=limit, **options)
    return mesh, mesh["a"]


def in_memory(node) -> list[bytes]:
    held = node.brain.context.custody.objects.values()
    return [item.payload for item in held if not isinstance(item.payload, Spilled)]


def payloads(*numbers: int) -> list[bytes]:
    return [b"payload %02d" % number for number in numbers]


def drained(mesh, consumer) -> list[bytes]:
    """All payloads a consumer gets, acknowledged one by one."""
    got = []
    mesh.run()
    while leases := consumer.take():
        got += [lease.payload for lease in leases]
        consumer.ack(*leases)
        mesh.run()
    return got


def test_the_oldest_payloads_stay_in_memory_up_to_the_limit() -> None:
    _, node = one(limit=30)
    for number in range(6):
        node.push("T", *payloads(number))
    assert in_memory(node) == payloads(0, 1, 2)
    assert node.brain.context.custody.resident_bytes == 30
    assert node.table("T").held_bytes == 60


def test_of_one_commit_the_newest_leave_memory() -> None:
    _, node = one(limit=30)
    node.push("T", *payloads(*range(6)))
    assert in_memory(node) == payloads(0, 1, 2)


def test_a_payload_stays_until_the_store_has_it() -> None:
    _, node = one(limit=0)
    node.auto_commit = False
    node.push("T", *payloads(1))
    assert in_memory(node) == payloads(1)
    node.commit()
    assert in_memory(node) == []


def test_a_node_without_a_durable_store_keeps_its_payloads() -> None:
    mesh = Mesh(memory=("m",), payload_limit_bytes=10)
    mesh["m"].push("T", *payloads(1, 2, 3))
    assert in_memory(mesh["m"]) == payloads(1, 2, 3)


def test_all_come_back_in_order_and_as_they_were(ahead) -> None:
    mesh, node = one(limit=30)
    for number in range(25):
        node.push("T", *payloads(number))
    consumer = node.consumer("T", credit=2)
    assert drained(mesh, consumer) == payloads(*range(25))
    assert node.held() == set()
    assert node.brain.context.custody.spilled_bytes == 0


def test_nothing_is_leased_before_its_payload_is_there(ahead) -> None:
    mesh, node = one(limit=20)
    node.push("T", *payloads(*range(4)))
    consumer = node.consumer("T", credit=4)
    assert [lease.payload for lease in consumer.take()] == payloads(0, 1)
    node.read()
    assert [lease.payload for lease in consumer.take()] == payloads(2, 3)
    assert mesh.run() >= 0


def test_payloads_are_asked_for_before_the_front_is_reached(ahead) -> None:
    _, node = one(limit=20)
    node.push("T", *payloads(*range(8)))
    consumer = node.consumer("T", credit=1)
    asked: list[bytes] = []
    for _ in range(6):
        consumer.ack(*consumer.take())
        asked += [b"" for _ in node.reading]
        while node.reading:
            node.read()
        assert consumer.delivered, "the next payload was there already"
    assert 1 <= len(asked) <= 4, "several payloads come with one question"


def test_one_question_at_a_time_for_a_type(ahead) -> None:
    _, node = one(limit=0)
    node.push("T", *payloads(*range(8)))
    for _ in range(3):
        node.consumer("T", credit=1)
    assert len(node.reading) == 1


def test_what_left_while_it_was_read_stays_gone(ahead) -> None:
    mesh, node = one(limit=0)
    node.push("T", *payloads(1, 2), deadline=5.0)
    consumer = node.consumer("T", credit=2)
    mesh.now = 5.0
    node.tick()
    assert node.held() == set()
    node.read()
    assert (consumer.delivered, node.flow("T", "expired")) == ([], 2)


def test_a_payload_that_the_store_lost_is_counted_and_holds_up_nothing(ahead) -> None:
    mesh, node = one(limit=0)
    _, lost, _ = node.push("T", *payloads(1, 2, 3))
    del node.disk.objects[lost]
    consumer = node.consumer("T", credit=1)
    assert drained(mesh, consumer) == payloads(1, 3)
    assert (node.flow("T", "damaged"), node.held()) == (1, set())
    assert not [each for each in node.of(effects.Forget) if lost in each.ids], "it is not deleted"


def test_objects_are_transferred_with_their_payloads(ahead) -> None:
    mesh = Mesh("a", "b", payload_limit_bytes=20, transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh["a"].push("T", *payloads(*range(12)))
    consumer = mesh["b"].consumer("T", credit=3)
    assert drained(mesh, consumer) == payloads(*range(12))
    assert mesh["a"].held() == mesh["b"].held() == set()


def test_a_restart_leaves_payloads_beyond_the_limit_in_the_store(ahead) -> None:
    mesh, node = one(limit=30)
    node.push("T", *payloads(*range(10)))
    node.crash()
    assert in_memory(node) == payloads(0, 1, 2)
    assert drained(mesh, node.consumer("T", credit=4)) == payloads(*range(10))


def test_a_failed_attempt_of_one_that_was_read_back_survives_a_restart(ahead) -> None:
    mesh, node = one(limit=0, retry_base_s=1.0)
    node.push("T", *payloads(7))
    consumer = node.consumer("T", credit=1)
    mesh.run()
    consumer.nack(*consumer.take(), reason="no")
    assert in_memory(node) == [], "it waits, and the store has it"
    node.crash()
    consumer = node.consumer("T", credit=1)
    mesh.wait(2.0)
    assert [(lease.attempt, lease.payload) for lease in consumer.take()] == [(2, *payloads(7))]


def test_resident_bytes_and_not_the_backlog_decide_whether_a_peer_may_offer() -> None:
    mesh = Mesh("a", "b", payload_limit_bytes=20, max_held_bytes=1000, transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh["b"].push("other", *[b"x" * 500] * 4)
    assert mesh["b"].brain.context.custody.held_bytes == 2000
    mesh["a"].push("T", *payloads(1))
    consumer = mesh["b"].consumer("T", credit=1)
    assert drained(mesh, consumer) == payloads(1)
