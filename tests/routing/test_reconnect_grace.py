"""`reconnect_grace`: a consumer that comes back with its secret keeps its leases (G4)."""

from __future__ import annotations

import pytest

from tests.support.brains import Consumer, Mesh
from trionode.routing import effects

GRACE = {"reconnect_grace_s": 10.0}


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", retry_base_s=1.0, max_attempts=3)


def consumer(mesh: Mesh, credit: int = 2, secret: bytes = b"s", **more) -> Consumer:
    return mesh["a"].consumer("T", credit=credit, secret=secret, **{**GRACE, **more})


def test_leases_outlive_a_broken_stream_for_the_time_of_grace(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T", count=3)
    one.start(2)
    one.die()
    assert sorted(mesh["a"].states()) == ["LEASED", "LEASED", "READY"]
    other = mesh["a"].consumer("T", credit=5)
    assert len(other.take()) == 1
    mesh.wait(9.9)
    assert other.take() == []
    mesh.wait(0.2)
    assert [lease.attempt for lease in other.take()] == [2]
    assert mesh["a"].brain.context.subscriptions.secrets == {}


def test_who_comes_back_in_time_settles_what_it_had(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T", count=2)
    leases = one.take()
    one.die()
    mesh.wait(5.0)
    back = one.come_back(secret=b"s")
    assert back.resume(*leases, delivered=2, credit=2, **GRACE) == []
    assert back.ack(*leases) == []
    mesh.wait(20.0)
    assert mesh["a"].held() == set()
    assert mesh["a"].flow("T", "settled") == 2


def test_it_goes_on_with_its_window(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T", count=4)
    first, second = one.take()
    one.die()
    back = one.come_back(secret=b"s")
    back.resume(first, second, delivered=2, credit=3, **GRACE)
    (third,) = back.take()
    back.start(3)
    back.ack(first)
    (fourth,) = back.take()
    back.handle, dead = back.handle, back
    dead.settle("return", second)
    dead.ack(third, fourth)
    assert mesh["a"].flow("T", "settled") == 3


def test_what_was_under_way_when_the_stream_broke_is_delivered_anew_uncounted(mesh) -> None:
    one = consumer(mesh, credit=3)
    mesh["a"].push("T", count=3)
    first, _, _ = one.take()
    one.die()
    back = one.come_back(secret=b"s")
    assert back.resume(first, delivered=1, credit=3, **GRACE) == []
    assert [(lease.id & 0xFF, lease.attempt) for lease in back.take()] == [(2, 1), (3, 1)]


def test_a_lease_that_is_over_is_named_and_a_later_one_of_its_name_is_not_meant(mesh) -> None:
    """It was given away meanwhile: by its deadline here."""
    one = consumer(mesh, credit=2)
    mesh["a"].push("T", deadline=mesh["a"].now + 2.0)
    mesh["a"].push("T")
    first, second = one.take()
    one.die()
    mesh.wait(3.0)
    back = one.come_back(secret=b"s")
    refused = back.resume(first, second, delivered=2, credit=2, **GRACE)
    assert [(id_, attempt) for id_, attempt, _ in refused] == [(first.id, 1)]
    assert back.ack(second) == []


def test_a_delivery_that_never_came_is_not_the_one_that_is_named(mesh) -> None:
    """Returned and delivered again as the same attempt; the consumer only got the first."""
    one = consumer(mesh, credit=1)
    mesh["a"].push("T")
    (first,) = one.take()
    one.settle("return", first)
    one.die()
    back = one.come_back(secret=b"s")
    refused = back.resume(first, delivered=1, credit=1, **GRACE)
    assert [id_ for id_, _, _ in refused] == [first.id]
    assert [lease.attempt for lease in back.take()[-1:]] == [1]


def test_another_secret_gets_nothing_of_it(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T")
    (lease,) = one.take()
    one.die()
    thief = mesh["a"].consumer(secret=b"other")
    assert [id_ for id_, _, _ in thief.resume(lease, delivered=1, **GRACE)] == [lease.id]
    assert thief.ack(lease) == ["the lease ended: the object is leased to another consumer"]


def test_a_clean_close_returns_at_once(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T")
    one.leave()
    assert mesh["a"].states() == ["READY"]
    assert mesh["a"].brain.context.subscriptions.secrets == {}


def test_without_a_secret_or_without_grace_a_broken_stream_returns_at_once(mesh) -> None:
    for more in ({"secret": b""}, {"reconnect_grace_s": 0.0}):
        one = consumer(mesh, **more)
        mesh["a"].push("T")
        one.die()
        assert set(mesh["a"].states()) == {"READY"}


def test_who_is_back_before_the_node_has_noticed_keeps_its_leases(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T")
    (lease,) = one.take()
    back = one.come_back(secret=b"s")
    assert back.resume(lease, delivered=1, **GRACE) == []
    one.die()
    assert one.ack(lease) == ["the lease ended: the object is leased to another consumer"]
    assert back.ack(lease) == []


def test_a_second_break_does_not_lengthen_the_grace_of_what_was_not_resumed(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T")
    one.die()
    mesh.wait(6.0)
    one.come_back(secret=b"s").die()
    mesh.wait(4.1)
    assert mesh["a"].states() == ["READY"]


def test_a_subscription_that_asks_for_other_types_is_another(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T")
    (lease,) = one.take()
    one.die()
    back = one.come_back(secret=b"s")
    assert back.resume(lease, keys=("U",), delivered=1) != []
    assert mesh["a"].states() == ["READY"]


def test_a_node_that_leaves_waits_for_nobody_who_is_away(mesh) -> None:
    one = consumer(mesh)
    mesh["a"].push("T", count=2)
    one.start(2)
    one.die()
    mesh["a"].drain()
    assert mesh["a"].states() == ["READY", "READY"]
    assert {mesh["a"].item(id_).attempt for id_ in mesh["a"].held()} == {1}


def test_what_is_overdue_is_taken_back_also_while_its_consumer_is_away(mesh) -> None:
    one = consumer(mesh, max_processing_s=3.0, reconnect_grace_s=50.0)
    mesh["a"].push("T")
    (lease,) = one.take()
    one.die()
    mesh.wait(3.1)
    assert mesh["a"].states() == ["DELAYED"]
    back = one.come_back(secret=b"s")
    assert [id_ for id_, _, _ in back.resume(lease, delivered=1, **GRACE)] == [lease.id]
    mesh.wait(2.0)
    assert [each.attempt for each in back.take()][-1:] == [2]


def test_a_suspect_of_a_consumer_that_is_away_stays_its_only_one(mesh) -> None:
    mesh["a"].push("T", count=3)
    first = mesh["a"].consumer("T", credit=3)
    first.start(3)
    first.die()
    one = consumer(mesh, credit=3)
    (lease,) = one.take()
    one.die()
    back = one.come_back(secret=b"s")
    back.resume(lease, delivered=1, credit=3, **GRACE)
    assert back.take()[1:] == []
    back.ack(lease)
    assert len(back.take()) == 1


def test_credit_of_who_is_away_is_taken_back_from_peers() -> None:
    mesh = Mesh("a", "b", overflow_after_s=0.01)
    mesh.link("a", "b")
    one = mesh["b"].consumer("T", credit=5, secret=b"s", **GRACE)
    mesh["b"].push("T")
    mesh.run()
    one.die()
    mesh.wait(2.0)
    mesh["a"].push("T", count=3)
    mesh.wait(1.0)
    assert mesh["a"].states() == ["READY"] * 3
    assert mesh["b"].of(effects.LoseLeases) == []
