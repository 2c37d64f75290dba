"""Nodes that take objects of differing sizes: what a peer would refuse is not offered to it."""

from __future__ import annotations

from tests.support.brains import Mesh
from trionode.routing import effects, events


def limited(**options):
    """Node a, linked to b, which takes payloads of up to 10 bytes."""
    mesh = Mesh("a", "b", "c", **options)
    mesh.limits["b"] = 10
    mesh.link("a", "b")
    return mesh


def sizes(consumer) -> list[int]:
    return sorted(len(lease.payload) for lease in consumer.delivered)


def test_what_is_too_large_for_a_peer_stays_and_holds_up_nothing_behind_it():
    mesh = limited()
    far = mesh["b"].consumer("A", credit=100)
    mesh["a"].push("A", *[bytes(11 if index % 2 else 10) for index in range(20)])
    mesh.wait(10)
    assert sizes(far) == [10] * 10
    assert mesh["a"].states() == ["READY"] * 10


def test_it_goes_to_another_peer_that_takes_it():
    mesh = limited()
    mesh["b"].consumer("A", credit=100)
    mesh["a"].push("A", bytes(11))
    mesh.wait(10)
    assert mesh["a"].states() == ["READY"]
    mesh.link("a", "c")
    other = mesh["c"].consumer("A", credit=100)
    mesh.wait(10)
    assert sizes(other) == [11]


def test_it_is_not_wished_for_in_vain():
    mesh = limited()
    mesh["b"].consumer("A", credit=5)
    mesh.run()
    node = mesh["a"]
    node.effects.clear()
    node.push("A", *[bytes(11)] * 100)
    mesh.wait(10)
    assert node.of(effects.SendOffer) == []
    assert node.of(effects.SendBacklog) == []


def test_a_leaving_memory_node_hands_over_what_its_peer_takes():
    mesh = Mesh("b", memory=("m",))
    mesh.limits["b"] = 10
    mesh.link("m", "b")
    node = mesh["m"]
    node.push("A", *[bytes(11)] * 3, *[bytes(5)] * 3)
    node.push("B", bytes(11), bytes(5), delay_s=0)
    node.drain()
    mesh.wait(5)
    assert sorted(len(item.payload) for item in node.brain.context.custody.objects.values()) == [
        11,
        11,
        11,
        11,
    ]


def test_a_peer_that_does_not_say_is_offered_everything():
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    far = mesh["b"].consumer("A", credit=1)
    mesh["a"].push("A", bytes(1000))
    mesh.wait(5)
    assert sizes(far) == [1000]
    assert events.LinkUp(1, "x", 1, durable=True).max_object_bytes == 0


def test_what_expired_among_what_rests_is_not_wished_for_any_longer():
    mesh = limited(transfer_after_s=0.0)
    mesh.link("a", "c")
    for name in "bc":
        mesh[name].consumer("A", credit=0)
    mesh.run()
    node = mesh["a"]
    node.push("A", bytes(11))
    node.push("A", bytes(11), deadline=node.now + 5.0)
    mesh.wait(10)
    assert node.states() == ["READY"]
    node.effects.clear()
    node.push("A", bytes(5), bytes(5))
    mesh.run()
    link = next(each for each in node.brain.interest.links.values() if each.peer == "c")
    wishes = [sent.wishes for sent in node.of(effects.SendBacklog) if sent.link == link.handle]
    assert [wanted for ((_, _, wanted),) in wishes] == [3]
