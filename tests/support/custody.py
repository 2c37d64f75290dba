"""Two nodes, a and b, and one object x on its way between them, message by message."""

from __future__ import annotations

from tests.support.brains import Mesh
from trionode.routing import events


def offer_under_way() -> Mesh:
    """x is offered by a, and the offer is under way to b, whose commits wait."""
    mesh = Mesh("a", "b", transfer_after_s=0.0, in_doubt_timeout_s=30.0, overflow_after_s=1.0)
    mesh.link("a", "b")
    mesh["b"].auto_commit = False
    consumer = mesh["b"].consumer("T", credit=1)
    mesh["b"].tick()
    mesh["a"].push("T")
    while not any(is_offer(message) for message in mesh.under_way("a", "b")):
        busy = step_all(mesh, "a", "b") + step_all(mesh, "b", "a")
        assert busy + tick_all(mesh)
    deliver_until_offer(mesh, "a", "b")
    mesh.consumer = consumer
    return mesh


def is_offer(message) -> bool:
    return isinstance(message, events.OfferCame)


def tick_all(mesh: Mesh) -> int:
    busy = [node for node in mesh.nodes.values() if node.brain.work_flagged]
    for node in busy:
        node.tick()
    return len(busy)


def step_all(mesh: Mesh, one: str, other: str) -> int:
    """Deliver everything under way in one direction, offers excepted."""
    done = 0
    while mesh.under_way(one, other) and not is_offer(mesh.under_way(one, other)[0]):
        mesh.step(one, other)
        done += 1
    return done


def deliver_until_offer(mesh: Mesh, one: str, other: str) -> None:
    step_all(mesh, one, other)
    assert is_offer(mesh.under_way(one, other)[0])


def offer_number(mesh: Mesh, giver: str, taker: str) -> int:
    return mesh.under_way(giver, taker)[0].sequence


def holders(mesh: Mesh) -> dict[str, list[str]]:
    return {name: node.states() for name, node in mesh.nodes.items()}


def finish(mesh: Mesh) -> None:
    """All commits succeed, every consumer acks what it gets; then all must be empty everywhere."""
    for node in mesh.nodes.values():
        node.auto_commit = True
        node.commit()
    for _ in range(10):
        mesh.wait(40.0)
        for node in mesh.nodes.values():
            for consumer in node.consumers.values():
                consumer.ack(*consumer.take())
    mesh.wait(40.0)
    for node in mesh.nodes.values():
        assert node.held() == set()
        assert node.disk.objects == {}
        assert node.disk.given == {}
        assert node.disk.taken == {}
        assert node.brain.givings.open == {}
        assert node.brain.takings.taken == {}


def settled(mesh: Mesh) -> int:
    tables = [node.brain.context.custody.tables.get("T") for node in mesh.nodes.values()]
    return sum(table.flows["settled"].count for table in tables if table)


def turn_back(mesh: Mesh) -> None:
    """b takes x, its commit waits; interest moves from b to a, and b offers x back."""
    mesh.step("a", "b")
    mesh.consumer.leave()
    mesh.here = mesh["a"].consumer("T")
    for _ in range(20):
        tick_all(mesh)
        step_all(mesh, "a", "b")
        step_all(mesh, "b", "a")
        mesh.now += 1.0
        for node in mesh.nodes.values():
            node.tick()
        if any(is_offer(message) for message in mesh.under_way("b", "a")):
            break
    deliver_until_offer(mesh, "b", "a")
    assert holders(mesh) == {"a": ["TRANSFERRING"], "b": ["TRANSFERRING"]}


def fields(offer: events.OfferCame, link: int) -> dict:
    names = [each.name for each in events.OfferCame.__attrs_attrs__]
    return {**{each: getattr(offer, each) for each in names}, "link": link}
