"""Books closed on a node that is gone: by a person, and by itself where that is safe (R8)."""

from __future__ import annotations

from tests.support.brains import Mesh
from trionode.routing import effects, events


def in_doubt(**options):
    """Node a with three objects on offer to b, which went away before it answered."""
    mesh = Mesh("a", "b", **options)
    mesh.link("a", "b")
    far = mesh["b"].consumer("A", credit=3)
    mesh.run()
    ids = mesh["a"].push("A", count=3)
    node = mesh["a"]
    while "TRANSFERRING" not in node.states():
        node.tick()
        for one, other in (("a", "b"), ("b", "a")):
            if "TRANSFERRING" not in node.states() and mesh.under_way(one, other):
                mesh.step(one, other)
        if mesh["b"].brain.work_flagged:
            mesh["b"].tick()
    mesh.cut("a", "b")
    far.leave()
    mesh.run()
    assert node.states() == ["TRANSFERRING"] * 3
    return mesh, node, ids


def test_what_was_in_doubt_with_a_forgotten_node_is_ready_at_once_and_marked():
    _mesh, node, ids = in_doubt()
    node.effects.clear()
    node.handle(events.NodeForgotten("b"))
    assert node.states() == ["READY"] * 3
    assert all(node.item(id_).detail("possibly_duplicate") for id_ in ids)
    assert node.brain.givings.open == {}
    assert node.of(effects.UnmarkOffered)
    assert node.of(effects.Keep)
    consumer = node.consumer("A", credit=3)
    assert consumer.ids() == ids


def test_a_restart_after_forgetting_does_not_bring_the_doubt_back():
    _mesh, node, _ids = in_doubt()
    node.handle(events.NodeForgotten("b"))
    node.crash()
    assert node.states() == ["READY"] * 3
    assert node.brain.givings.open == {}


def test_a_forgotten_node_that_comes_back_gets_no_loss_and_no_harm():
    mesh, node, ids = in_doubt()
    node.handle(events.NodeForgotten("b"))
    mesh.link("a", "b")
    far = mesh["b"].consumer("A", credit=3)
    mesh.wait(5)
    assert sorted(far.ids()) == ids


def taken_numbers(mesh: Mesh, giver: str, taker: str):
    """Have `giver` give an object to `taker` and lose the link before it can close the offer."""
    mesh.link(giver, taker)
    consumer = mesh[taker].consumer("A")
    mesh.run()
    (id_,) = mesh[giver].push("A")
    for _ in range(50):
        for node in (mesh[giver], mesh[taker]):
            if node.brain.work_flagged:
                node.tick()
        if mesh[taker].brain.takings.taken:
            break
        for one, other in ((giver, taker), (taker, giver)):
            if mesh.under_way(one, other) and not mesh[taker].brain.takings.taken:
                mesh.step(one, other)
    assert mesh[taker].brain.takings.taken
    mesh.cut(giver, taker)
    return consumer, id_


def test_a_person_can_have_the_numbers_of_a_node_forgotten():
    mesh = Mesh("a", "b")
    taken_numbers(mesh, "a", "b")
    node = mesh["b"]
    node.handle(events.NodeForgotten("a"))
    assert node.brain.takings.taken == {}
    node.crash()
    assert node.brain.takings.taken == {}


def test_numbers_of_a_memory_node_that_stays_away_are_forgotten_in_time():
    mesh = Mesh("b", memory=("m",))
    taken_numbers(mesh, "m", "b")
    node = mesh["b"]
    mesh.wait(3500)
    assert node.brain.takings.taken
    mesh.wait(200)
    assert node.brain.takings.taken == {}
    node.crash()
    assert node.brain.takings.taken == {}


def test_they_are_forgotten_after_a_restart_as_well():
    mesh = Mesh("b", memory=("m",))
    taken_numbers(mesh, "m", "b")
    node = mesh["b"]
    mesh.wait(3000)
    node.crash()
    assert node.brain.takings.taken
    mesh.wait(3500)
    assert node.brain.takings.taken
    mesh.wait(200)
    assert node.brain.takings.taken == {}


def test_numbers_of_a_durable_node_are_kept_for_as_long_as_it_stays_away():
    mesh = Mesh("a", "b")
    taken_numbers(mesh, "a", "b")
    mesh.wait(100_000)
    assert mesh["b"].brain.takings.taken


def test_a_memory_node_that_comes_back_meanwhile_still_learns_what_was_taken():
    mesh = Mesh("b", memory=("m",), in_doubt_timeout_s=10_000.0)
    consumer, id_ = taken_numbers(mesh, "m", "b")
    mesh.wait(3000)
    mesh.link("m", "b")
    mesh.run()
    assert mesh["m"].held() == set()
    assert mesh["b"].brain.takings.taken == {}
    assert consumer.ids() == [id_]
    mesh.wait(3000)  # the timer that was set when it went has nothing to forget
    assert mesh["m"].flow("A", "transferred") == 1


def test_flapping_links_of_a_memory_node_set_one_timer():
    mesh = Mesh("b", memory=("m",), in_doubt_timeout_s=10_000.0)
    taken_numbers(mesh, "m", "b")
    before = len(mesh["b"].brain.context.timers._heap)
    takings = mesh["b"].brain.takings
    for _ in range(10):
        handle = mesh.next_handle()
        mesh["b"].handle(events.LinkUp(handle, "m", 1, durable=False))
        assert takings.taken
        mesh["b"].handle(events.LinkDown(handle))
    assert len(mesh["b"].brain.context.timers._heap) <= before + 1


def test_a_key_whose_object_a_forgotten_node_had_goes_on():
    mesh = Mesh("a", "b", in_doubt_timeout_s=10_000.0)
    mesh.link("a", "b")
    far = mesh["b"].consumer("A", credit=1)
    mesh.run()
    node = mesh["a"]
    first, _second = node.push("A", count=2, ordering_key="k")
    mesh.wait(2)
    assert far.ids() == [first]
    mesh.cut("a", "b")
    mesh.run()
    assert node.states() == ["BLOCKED"]
    node.handle(events.NodeForgotten("b"))
    assert node.states() == ["READY"]


def test_a_retried_dead_letter_takes_its_turn_in_its_ordering_key():
    mesh = Mesh("n")
    node = mesh["n"]
    first, second = node.push("A", count=2, ordering_key="k")
    consumer = node.consumer("A", credit=2)
    consumer.settle("reject", *consumer.take())
    assert consumer.ids() == [second]
    node.retry(first)
    assert node.states() == ["BLOCKED", "LEASED"]
    consumer.ack(*consumer.take())
    assert consumer.ids() == [first]
