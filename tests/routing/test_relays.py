"""R5: relays. Interest over shortest paths, windows of their own, custody hop by hop."""

from __future__ import annotations

import itertools

import pytest

from tests.support.books import check_no_interest_left
from tests.support.brains import Mesh
from trionode.routing import effects, events
from trionode.routing.effects import RouteUpdate


def line(names: str, **options) -> Mesh:
    mesh = Mesh(*names, **{"transfer_after_s": 0.0, **options})
    for one, other in itertools.pairwise(names):
        mesh.link(one, other)
    mesh.run()
    return mesh


def full(count: int, **options) -> Mesh:
    names = [f"n{index:02}" for index in range(count)]
    mesh = Mesh(*names, **options)
    for one, other in itertools.combinations(names, 2):
        mesh.link(one, other)
    mesh.run()
    return mesh


def paths(mesh: Mesh, name: str, key: str = "T") -> list[tuple[str, ...]]:
    return sorted(route.path for route in mesh[name].brain.interest.routes.get(key, {}).values())


def settle_all(mesh: Mesh, rounds: int = 30) -> int:
    done = 0
    for _ in range(rounds):
        mesh.wait(0.5)
        for node in mesh.nodes.values():
            for consumer in node.consumers.values():
                done += len(consumer.delivered)
                consumer.ack(*consumer.take())
    return done


def test_interest_travels_and_objects_follow_it_hop_by_hop() -> None:
    mesh = line("abcd")
    consumer = mesh["d"].consumer("T", credit=5)
    mesh.run()
    assert paths(mesh, "a") == [("b", "c", "d")]
    mesh["a"].push("T", count=3)
    mesh.run()
    assert consumer.sequences() == [1, 2, 3]
    item = mesh["d"].item(consumer.ids()[0])
    assert (item.detail("path"), item.detail("hops")) == (("a", "b", "c"), 3)
    consumer.ack(*consumer.take())
    mesh.run()
    assert [node.held() for node in mesh.nodes.values()] == [set()] * 4


def test_interest_is_not_told_back_where_it_came_from() -> None:
    mesh = line("ab")
    mesh["b"].consumer("T")
    mesh.run()
    assert paths(mesh, "b") == []


def test_nothing_is_told_to_a_node_that_the_way_leads_over() -> None:
    """Even where the way is a detour: b hears of d by c, whose way leads over a."""
    mesh = Mesh("a", "b", "c")
    for one, other in (("a", "b"), ("b", "c")):
        mesh.link(one, other)
    mesh.run()
    update = RouteUpdate("T", ("c", "a", "d"), "d", 1, 1, 1)
    mesh["b"].handle(events.InterestTold(mesh["b"].links["c"], False, [update]))
    mesh["b"].effects.clear()
    mesh["b"].tick()
    assert mesh["b"].of(effects.SendInterest) == []


def test_paths_stop_at_max_hops() -> None:
    mesh = line("abcdef", max_hops=3)
    mesh["f"].consumer("T")
    mesh.run()
    assert [bool(paths(mesh, name)) for name in "abcde"] == [False, False, True, True, True]


def test_of_two_ways_the_shorter_is_told() -> None:
    mesh = line("abcd")
    mesh.link("b", "d")
    mesh["d"].consumer("T")
    mesh.run()
    assert paths(mesh, "a") == [("b", "d")]


def test_when_the_shorter_way_goes_the_longer_is_told() -> None:
    mesh = line("abcd")
    mesh.link("b", "d")
    mesh["d"].consumer("T")
    mesh.run()
    mesh.cut("b", "d")
    mesh.run()
    assert paths(mesh, "a") == [("b", "c", "d")]


def test_nothing_is_relayed_to_a_peer_that_is_linked_to_the_origin() -> None:
    mesh = full(3)
    mesh["n02"].consumer("T")
    mesh.run()
    assert paths(mesh, "n00") == [("n02",)]
    mesh.cut("n00", "n02")
    mesh.run()
    assert paths(mesh, "n00") == [("n01", "n02")]
    mesh.link("n00", "n02")
    mesh.run()
    assert paths(mesh, "n00") == [("n02",)]


def test_one_unsubscribe_in_a_full_mesh_costs_one_update_per_link() -> None:
    """Trace l: it cost 1,391."""
    mesh = full(12)
    consumer = mesh["n00"].consumer("T")
    mesh.run()
    for node in mesh.nodes.values():
        node.effects.clear()
    consumer.leave()
    mesh.run()
    updates = [
        update
        for node in mesh.nodes.values()
        for sent in node.of(effects.SendInterest)
        for update in sent.updates
    ]
    assert len(updates) == 11
    for node in mesh.nodes.values():
        assert node.brain.interest.routes == {}


def test_one_unsubscribe_costs_few_updates_where_nobody_tells_neighbours() -> None:
    """Every way is relayed then; the withdrawal names what is gone, so no way is explored."""
    names = [f"n{index:02}" for index in range(8)]
    mesh = Mesh(*names)
    for one, other in itertools.combinations(names, 2):
        mesh.link(one, other, tell_neighbours=False)
    consumer = mesh["n00"].consumer("T")
    mesh.run()
    for node in mesh.nodes.values():
        node.effects.clear()
    consumer.leave()
    mesh.run()
    updates = sum(
        len(sent.updates) for node in mesh.nodes.values() for sent in node.of(effects.SendInterest)
    )
    assert updates <= 8 * 7
    for node in mesh.nodes.values():
        assert node.brain.interest.routes == {}


def test_in_a_circle_no_interest_outlives_its_subscription() -> None:
    """Scenario 8, with ghosts looked for after every change."""
    mesh = Mesh("a", "b", "c", "d", transfer_after_s=0.0)
    for one, other in (("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")):
        mesh.link(one, other)
    for name in "abcd" * 3:
        consumer = mesh[name].consumer("T")
        mesh.run()
        for other in "abcd":
            assert other == name or paths(mesh, other)
        consumer.leave()
        mesh.wait(2.0)
        for node in mesh.nodes.values():
            check_no_interest_left(node.brain)


def test_a_late_joiner_reaches_the_one_subscriber_that_is_left() -> None:
    """Scenario 8."""
    mesh = Mesh("a", "b", "c", "d", transfer_after_s=0.0)
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        mesh.link(one, other)
    gone = mesh["a"].consumer("T", credit=5)
    left = mesh["c"].consumer("T", credit=5)
    mesh.run()
    gone.leave()
    mesh.run()
    mesh.link("d", "b")
    mesh["d"].push("T", count=3)
    mesh.wait(1.0)
    assert len(left.delivered) == 3


def test_a_relay_takes_no_more_than_its_window_however_much_its_peer_would() -> None:
    mesh = line("abc", relay_window=10)
    consumer = mesh["c"].consumer("T", credit=0)
    mesh["a"].push("T", count=100)
    mesh.wait(5.0)
    assert len(mesh["b"].held()) == 10
    consumer.subscribe("T", credit=50)
    mesh.wait(5.0)
    assert len(consumer.delivered) == 50
    assert len(mesh["b"].held()) == 10


def test_a_relay_grants_again_as_it_passes_objects_on() -> None:
    mesh = line("abc", relay_window=4)
    consumer = mesh["c"].consumer("T", credit=100)
    mesh["a"].push("T", count=100)
    mesh.run()
    assert len(consumer.delivered) == 100
    assert mesh.now == 0.0


def test_dead_letters_at_a_relay_take_no_part_of_its_window() -> None:
    mesh = line("abc", relay_window=4)
    here = mesh["b"].consumer("T", credit=5)
    mesh["b"].push("T", count=5)
    here.settle("reject", *here.take())
    here.leave()
    consumer = mesh["c"].consumer("T", credit=100)
    mesh["a"].push("T", count=20)
    mesh.wait(2.0)
    assert len(consumer.delivered) == 20


def test_relayed_objects_leave_the_reserve_to_what_can_be_leased_here() -> None:
    """They fill it to 85 %, and what is beyond is passed on one object at a time."""
    mesh = line("abc", max_held_bytes=100_000)
    far = mesh["c"].consumer("T", credit=0)
    mesh["a"].push("T", *[bytes(500)] * 120)
    mesh.wait(3.0)
    assert 85_000 <= mesh["b"].brain.context.custody.memory_bytes <= 102_000
    offers = [len(sent.objects) for sent in mesh["a"].of(effects.SendOffer)]
    assert offers[0] > 1
    assert offers[-5:] == [1] * 5
    far.subscribe("T", credit=200)
    assert settle_all(mesh) == 120


def test_a_busy_node_passes_on_what_the_nodes_behind_it_could_process() -> None:
    """I5: its own subscription must not hide theirs."""
    mesh = line("abc")
    busy, free = mesh["b"].consumer("T", credit=1), mesh["c"].consumer("T", credit=5)
    mesh["b"].push("T")
    mesh.wait(1.0)
    mesh["a"].push("T", count=3)
    mesh.wait(5.0)
    assert (len(busy.delivered), len(free.delivered)) == (1, 3)


def test_busy_nodes_that_all_know_each_other_take_nothing_from_each_other() -> None:
    mesh = full(4)
    for name in mesh.nodes:
        mesh[name].consumer("T", credit=1)
        mesh[name].push("T", count=10)
    mesh.wait(30.0)
    assert [len(node.held()) for node in mesh.nodes.values()] == [10] * 4


def test_duplicate_interest_over_two_ways_delivers_once() -> None:
    """Scenario 5."""
    mesh = Mesh("a", "b", "c", "d", transfer_after_s=0.0)
    for one, other in (("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        mesh.link(one, other)
    consumer = mesh["d"].consumer("T", credit=100).subscribe("T", credit=100, number=2)
    mesh["a"].push("T", count=50)
    mesh.wait(2.0)
    assert sorted(consumer.sequences()) == list(range(1, 51))


def test_backlogs_are_told_to_neighbours_only_and_count_to_no_infinity() -> None:
    """Trace m: three relays in a circle, a backlog, and nobody with credit."""
    mesh = Mesh("a", "b", "c", "d", relay_window=8, transfer_after_s=0.0)
    for one, other in (("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")):
        mesh.link(one, other)
    mesh["d"].consumer("T", credit=0)
    mesh["a"].push("T", count=50)
    mesh.wait(5.0)
    for node in mesh.nodes.values():
        node.effects.clear()
    mesh.wait(600.0)
    wishes = sum(len(node.of(effects.SendBacklog)) for node in mesh.nodes.values())
    moves = sum(len(node.of(effects.SendOffer)) for node in mesh.nodes.values())
    assert wishes + moves < 600


@pytest.mark.parametrize("seed", range(3))
def test_uneven_consumers_on_three_nodes_share_the_work(seed) -> None:
    """Scenario 3: 2, 6 and 4 consumers, all equally fast, everything pushed at one node."""
    mesh = full(3, relay_window=64)
    consumers = [
        mesh[f"n{index:02}"].consumer("T", credit=4)
        for index, many in enumerate((2, 6, 4))
        for _ in range(many)
    ]
    mesh[f"n{seed % 3:02}"].push("T", count=1200)
    done = dict.fromkeys(consumers, 0)
    mesh.wait(0.15)
    while any(node.held() for node in mesh.nodes.values()):
        for consumer in consumers:
            if consumer.delivered:
                consumer.ack(consumer.delivered.pop(0))
                done[consumer] += 1
        mesh.wait(0.01)
    assert sum(done.values()) == 1200
    assert max(done.values()) <= 1.3 * 100


@pytest.mark.parametrize("relays", ["rs", "rts", "rtus"])
@pytest.mark.parametrize("size_bytes", [1, 500])
def test_full_relays_that_hold_what_goes_the_other_way_do_not_lock_each_other_up(
    relays, size_bytes
) -> None:
    """Each waits for room in the next; the consumers at both ends have credit all along."""
    mesh = line(f"a{relays}b", max_held_bytes=50_000)
    for name, type_ in ((relays[0], "East"), (relays[-1], "West")):
        while mesh[name].brain.context.custody.memory_bytes < 50_000:
            mesh[name].push(type_, bytes(size_bytes))
    for index, name in enumerate(relays[1:-1]):
        while mesh[name].brain.context.custody.memory_bytes < 50_000:
            mesh[name].push(("East", "West")[index % 2], bytes(size_bytes))
    mesh["a"].consumer("West", credit=10)
    mesh["b"].consumer("East", credit=10)
    held = sum(len(node.held()) for node in mesh.nodes.values())
    assert settle_all(mesh) == held


def test_full_relays_that_are_filled_from_both_ends_do_not_lock_each_other_up() -> None:
    mesh = line("arsb", max_held_bytes=50_000)
    ends = mesh["a"].consumer("West", credit=0), mesh["b"].consumer("East", credit=0)
    pushed = 0
    for _ in range(12):
        for name, type_ in (("a", "East"), ("b", "West")):
            while mesh[name].brain.context.custody.memory_bytes < 40_000:
                mesh[name].push(type_)
                pushed += 1
        mesh.wait(1.0)
    for name in "rs":
        assert 50_000 <= mesh[name].brain.context.custody.memory_bytes <= 51_000
    for consumer, key in zip(ends, ("West", "East"), strict=True):
        consumer.subscribe(key, credit=10)
    assert settle_all(mesh, rounds=60) == pushed
