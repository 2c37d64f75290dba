"""What all subscriptions of one consumer stream may have unsettled together, in bytes (G7)."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.support.brains import Mesh

LIMIT_BYTES = 1000


@pytest.fixture
def mesh() -> Mesh:
    return Mesh("a", stream_bytes=LIMIT_BYTES)


def unsettled_bytes(consumer) -> int:
    return sum(len(lease.payload) for lease in consumer.delivered)


def test_subscriptions_of_one_stream_get_no_more_than_its_limit_together(mesh) -> None:
    for type_ in "ABC":
        mesh["a"].push(type_, *[b"x" * 300] * 9)
    consumer = mesh["a"].consumer()
    for number, type_ in enumerate("ABC", 1):
        consumer.subscribe(type_, credit=9, number=number)
    assert unsettled_bytes(consumer) == 900
    other = mesh["a"].consumer("A", credit=9)
    assert unsettled_bytes(other) == 900, "another stream has a limit of its own"


def test_they_take_turns_when_there_is_room_again(mesh) -> None:
    names = {}
    for type_ in "ABC":
        names.update(dict.fromkeys(mesh["a"].push(type_, *[b"x" * 400] * 30), type_))
    consumer = mesh["a"].consumer()
    for number, type_ in enumerate("ABC", 1):
        consumer.subscribe(type_, credit=30, number=number)
    order = []
    for _ in range(60):
        lease = consumer.delivered.pop(0)
        order.append(names[lease.id])
        consumer.ack(lease)
        assert unsettled_bytes(consumer) == 800
    counts = Counter(order)
    assert min(counts.values()) >= 18, counts


def test_an_object_larger_than_the_limit_is_delivered_alone(mesh) -> None:
    small = mesh["a"].push("A", b"x" * 10)
    huge = mesh["a"].push("A", b"x" * 5000)
    later = mesh["a"].push("B", b"x")
    consumer = mesh["a"].consumer("A", credit=9).subscribe("B", credit=9, number=2)
    assert consumer.ids() == small
    consumer.ack(*consumer.take())
    assert consumer.ids() == huge
    consumer.ack(*consumer.take())
    assert consumer.ids() == later


def test_what_does_not_fit_waits_until_it_does_and_is_not_passed(mesh) -> None:
    first = mesh["a"].push("A", b"x" * 500, b"x" * 400)
    large = mesh["a"].push("A", b"x" * 800)
    mesh["a"].push("A", *[b"x"] * 5)
    consumer = mesh["a"].consumer("A", credit=9)
    one, other = consumer.take()
    assert [one.id, other.id] == first
    consumer.ack(one)
    assert consumer.ids() == [], "400 and 800 are more than 1000"
    consumer.ack(other)
    assert consumer.ids()[0] == large[0]
    assert len(consumer.ids()) == 6


def test_a_stream_without_room_lets_objects_go_to_another_one(mesh) -> None:
    full = mesh["a"].consumer("A", credit=9)
    free = mesh["a"].consumer("A", credit=9)
    mesh["a"].push("A", *[b"x" * 600] * 2)
    assert [unsettled_bytes(each) for each in (full, free)] == [600, 600]
    mesh["a"].push("A", *[b"x" * 300] * 2)
    assert [unsettled_bytes(each) for each in (full, free)] == [900, 900]


def test_what_was_taken_back_counts_until_the_consumer_has_heard_of_it(mesh) -> None:
    """It may be under way still to one that does not read."""
    consumer = mesh["a"].consumer("A", credit=9, confirms=True)
    mesh["a"].push("A", b"x" * 900, deadline=mesh["a"].now + 1.0)
    mesh["a"].push("A", b"y" * 900)
    mesh.wait(2.0)
    assert len(consumer.lost) == 1
    assert len(consumer.take()) == 1
    consumer.hear()
    (lease,) = consumer.take()
    assert lease.payload[:1] == b"y"


def test_who_comes_back_has_the_limit_that_its_leases_leave(mesh) -> None:
    secret = b"s" * 16
    consumer = mesh["a"].consumer(
        "A", credit=9, confirms=True, secret=secret, reconnect_grace_s=5.0
    )
    mesh["a"].push("A", *[b"x" * 600] * 3)
    (lease,) = consumer.delivered
    consumer.die()
    back = consumer.come_back(secret=secret, confirms=True)
    assert back.resume(lease, keys=("A",), credit=9, delivered=1, reconnect_grace_s=5.0) == []
    assert back.delivered == [lease]
    back.ack(*back.take())
    assert unsettled_bytes(back) == 600


@pytest.mark.parametrize("seed", range(8))
def test_whatever_happens_the_limit_holds_and_all_comes_through(mesh, seed) -> None:
    draw = random.Random(seed)
    consumer = mesh["a"].consumer(confirms=True)
    for number in range(1, 5):
        keys = draw.sample(["A", "B", "s.x", "s.>"], 2)
        consumer.subscribe(*keys, credit=draw.choice([1, 3, 50]), number=number)
    consumer.subscribe("A", "B", "s.>", credit=5, number=9)
    open_: list = []
    pushed = 0
    for _ in range(300):
        if draw.random() < 0.5 and pushed < 150:
            count = draw.randint(1, 4)
            sizes = [draw.choice([1, 10, 300, 700, 1200]) for _ in range(count)]
            rare = draw.choice([{}, {"priority": 9}, {"ordering_key": "k"}])
            mesh["a"].push(
                draw.choice(["A", "B", "s.x", "s.y"]), *[b"x" * n for n in sizes], **rare
            )
            pushed += count
        open_ += consumer.take()
        if open_ and draw.random() < 0.7:
            lease = open_.pop(draw.randrange(len(open_)))
            draw.choice([consumer.ack, lambda one: consumer.settle("return", one)])(lease)
            open_ += consumer.take()
        size_bytes = sum(len(lease.payload) for lease in open_)
        assert size_bytes <= LIMIT_BYTES or len(open_) == 1
    for _ in range(1000):
        open_ += consumer.take()
        if not open_:
            break
        consumer.ack(*open_)
        open_ = []
    assert mesh["a"].held() == set()
