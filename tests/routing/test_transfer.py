"""R2 transfer, R3 overflow, R6 returns: which object moves to which peer, and when."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh("a", "b", "c", transfer_after_s=1.0, overflow_after_s=0.1, overflow_cap_s=60.0)
    mesh.link("a", "b")
    mesh.run()
    return mesh


def where(mesh: Mesh) -> dict[str, int]:
    return {name: len(node.held()) for name, node in mesh.nodes.items() if node.held()}


# --- R2 ----------------------------------------------------------------------------------------


def test_without_a_local_subscription_objects_go_to_a_peer_with_interest_at_once(mesh) -> None:
    consumer = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=3)
    mesh.run()
    assert consumer.sequences() == [1, 2, 3]
    assert mesh.now == 0.0


def test_the_founding_scenario_ends_empty_in_both_orders() -> None:
    for push_first in (True, False):
        mesh = Mesh("a", "b")
        mesh.link("a", "b")
        if push_first:
            mesh["a"].push("A")
            mesh["b"].push("B")
        consumers = mesh["a"].consumer("B"), mesh["b"].consumer("A")
        if not push_first:
            mesh["a"].push("A")
            mesh["b"].push("B")
        mesh.run()
        for consumer in consumers:
            consumer.ack(*consumer.take())
        mesh.run()
        assert where(mesh) == {}
        assert [mesh[n].flow(t, "settled") for n, t in (("a", "B"), ("b", "A"))] == [1, 1]


def test_objects_go_in_lease_order_and_never_more_than_the_credit(mesh) -> None:
    consumer = mesh["b"].consumer("T", credit=3)
    mesh["a"].push("T", count=10)
    mesh.wait(5.0)
    assert consumer.sequences() == [1, 2, 3]
    assert len(mesh["a"].held()) == 7


def test_each_settle_at_the_peer_brings_the_next(mesh) -> None:
    consumer = mesh["b"].consumer("T", credit=2)
    mesh["a"].push("T", count=7)
    mesh.run()
    got = []
    while consumer.delivered:
        got += consumer.sequences()
        consumer.ack(*consumer.take())
        mesh.run()
    assert got == [1, 2, 3, 4, 5, 6, 7]


def test_another_type_stays(mesh) -> None:
    mesh["b"].consumer("U", credit=5)
    mesh["a"].push("T")
    mesh.wait(5.0)
    assert where(mesh) == {"a": 1}


def test_a_peer_without_credit_gets_nothing(mesh) -> None:
    mesh["b"].consumer("T", credit=0)
    mesh["a"].push("T")
    mesh.wait(5.0)
    assert where(mesh) == {"a": 1}


def test_a_plan_that_moves_nothing_keeps_the_order(mesh) -> None:
    mesh["b"].consumer("T", credit=0)
    mesh["a"].push("T", count=100)
    mesh.wait(5.0)
    assert mesh["a"].consumer("T", credit=100).sequences() == list(range(1, 101))


def test_delayed_dead_and_leased_objects_stay(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=3)
    mesh["a"].push("T", count=3)
    consumer.nack(consumer.delivered[0], delay_s=1000.0)
    consumer.settle("reject", consumer.delivered[1])
    mesh["b"].consumer("T", credit=5)
    mesh.wait(5.0)
    assert sorted(mesh["a"].states()) == ["DEAD", "DELAYED", "LEASED"]


def test_a_workers_restart_ships_no_backlog_away(mesh) -> None:
    here, away = mesh["a"].consumer("T", credit=1), mesh["b"].consumer("T", credit=50)
    mesh["a"].push("T", count=50)
    here.leave()
    mesh.wait(0.99)
    assert away.delivered == []
    here = mesh["a"].consumer("T", credit=50)
    mesh.wait(0.01)
    assert len(here.delivered) == 50


def test_when_the_worker_stays_away_its_backlog_goes(mesh) -> None:
    here, away = mesh["a"].consumer("T", credit=1), mesh["b"].consumer("T", credit=50)
    mesh["a"].push("T", count=50)
    here.leave()
    mesh.wait(1.1)
    assert len(away.delivered) == 50


def test_what_is_pushed_while_the_worker_restarts_waits_too(mesh) -> None:
    away = mesh["b"].consumer("T", credit=50)
    mesh["a"].consumer("T", credit=1).leave()
    mesh["a"].push("T")
    mesh.wait(0.9)
    assert away.delivered == []
    mesh.wait(0.2)
    assert away.sequences() == [1]


def test_a_nodes_restart_gives_its_workers_time_to_come_back(mesh) -> None:
    mesh["b"].consumer("T", credit=50)
    mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T", count=20)
    mesh["a"].crash()
    mesh.link("a", "b")
    mesh.wait(0.9)
    assert where(mesh) == {"a": 20}
    mesh.wait(0.3)
    assert where(mesh) == {"b": 20}


def test_objects_are_dealt_evenly_to_peers_with_credit(mesh) -> None:
    mesh.link("a", "c")
    one, other = mesh["b"].consumer("T", credit=50), mesh["c"].consumer("T", credit=50)
    mesh.run()
    mesh["a"].push("T", count=60)
    mesh.run()
    assert sorted((len(one.delivered), len(other.delivered))) == [30, 30]


def test_one_peer_with_all_the_credit_gets_all(mesh) -> None:
    mesh.link("a", "c")
    one, other = mesh["b"].consumer("T", credit=2), mesh["c"].consumer("T", credit=100)
    mesh["a"].push("T", count=60)
    mesh.wait(3.0)
    assert (len(one.delivered), len(other.delivered)) == (2, 58)


def test_a_large_backlog_moves_in_bounded_offers(mesh) -> None:
    consumer = mesh["b"].consumer("T", credit=5000)
    mesh["a"].push("T", count=2000)
    mesh["a"].push("T", *[bytes(300_000)] * 10)
    mesh.run()
    assert len(consumer.delivered) == 2010
    offers = [effect.objects for effect in mesh["a"].of(effects.SendOffer)]
    assert max(map(len, offers)) <= 1024
    received = mesh["b"].table("T").flows["received"]
    assert received.size_bytes == 2000 + 3_000_000
    assert len(offers) >= 2 + 3


# --- R3 ----------------------------------------------------------------------------------------


def test_what_local_windows_have_no_room_for_overflows_after_a_while(mesh) -> None:
    mesh["a"].consumer("T", credit=1)
    away = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=3)
    mesh.wait(0.09)
    assert away.delivered == []
    mesh.wait(0.02)
    assert away.sequences() == [2, 3]


def test_local_credit_that_comes_in_time_keeps_the_object(mesh) -> None:
    here = mesh["a"].consumer("T", credit=1)
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2)
    mesh.wait(0.09)
    here.ack(*here.take())
    mesh.wait(10.0)
    assert here.sequences() == [2]


def test_the_wait_before_an_overflow_doubles_with_each_hop_and_is_capped(mesh) -> None:
    context = mesh["a"].brain.context
    mesh["a"].push("T", hops=0)
    (item,) = context.custody.objects.values()
    waits = []
    for hops in (0, 1, 2, 5, 9, 10, 40, 10**6):
        item.amend(hops=hops)
        waits.append(context.backoff_s(item))
    assert waits == pytest.approx([0.1, 0.2, 0.4, 3.2, 51.2, 60.0, 60.0, 60.0])


def test_an_overflowed_object_waits_longer_at_its_next_node(mesh) -> None:
    mesh.link("b", "c")
    for name in "ab":
        mesh[name].consumer("T", credit=1)
        mesh[name].push("T")
    away = mesh["c"].consumer("T", credit=1)
    mesh["a"].push("T", hops=3)
    mesh.wait(0.75)
    assert away.delivered == []
    mesh.wait(2.0)
    assert len(away.delivered) == 1


def test_many_objects_that_may_not_overflow_yet_keep_nobody_busy(mesh) -> None:
    """The brain sleeps until the first of them may."""
    mesh["a"].consumer("T", credit=1)
    mesh["b"].consumer("T", credit=10_000)
    mesh["a"].push("T", count=5000)
    mesh.wait(0.5)
    mesh["a"].push("T", count=3000, hops=9)
    assert mesh.run() < 100
    assert not mesh["a"].brain.work_flagged


def test_objects_behind_many_that_must_wait_have_their_turn(mesh) -> None:
    mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T")
    mesh["a"].push("T", count=40, hops=5)
    mesh["a"].push("T", count=1)
    away = mesh["b"].consumer("T", credit=100)
    mesh.wait(3.3)
    assert len(away.delivered) == 41


# --- R6 ----------------------------------------------------------------------------------------


def test_no_object_returns_at_once_and_none_is_stranded(mesh) -> None:
    """Trace g: overflow moves x from a to b, credit comes back at a and vanishes at b."""
    here = mesh["a"].consumer("T", credit=1)
    away = mesh["b"].consumer("T", credit=1)
    mesh["a"].push("T", count=2)
    mesh.wait(0.2)
    assert away.sequences() == [2]
    here.ack(*here.take())
    away.leave()
    mesh.wait(1.1)
    assert here.sequences() == [2]
    assert mesh["a"].item(here.ids()[0]).detail("hops") == 2


def test_a_return_waits_for_the_back_off(mesh) -> None:
    mesh["b"].push("T", path=("a",), hops=4)
    away = mesh["a"].consumer("T", credit=5)
    mesh.wait(1.5)
    assert away.delivered == []
    mesh.wait(0.2)
    assert len(away.delivered) == 1


def test_a_move_forward_of_an_object_that_has_moved_waits_for_nothing(mesh) -> None:
    mesh["b"].push("T", path=("z",), hops=4)
    away = mesh["a"].consumer("T", credit=5)
    mesh.run()
    assert len(away.delivered) == 1


def test_an_object_goes_forward_rather_than_back(mesh) -> None:
    mesh.link("b", "c")
    mesh["b"].push("T", path=("a",), hops=1)
    back, forward = mesh["a"].consumer("T"), mesh["c"].consumer("T")
    mesh.wait(5.0)
    assert (back.delivered, len(forward.delivered)) == ([], 1)


def test_a_move_beyond_max_hops_waits_for_the_back_off(mesh) -> None:
    mesh["b"].push("T", path=("x", "y"), hops=8)
    away = mesh["a"].consumer("T", credit=5)
    mesh.wait(25.5)
    assert away.delivered == []
    mesh.wait(0.2)
    assert len(away.delivered) == 1


def test_objects_that_must_wait_do_not_hold_up_those_that_need_not(mesh) -> None:
    mesh["b"].push("T", count=10, path=("a",), hops=9)
    mesh["b"].push("T", count=3)
    away = mesh["a"].consumer("T", credit=50)
    mesh.run()
    assert away.sequences() == [11, 12, 13]


def test_two_full_nodes_with_flapping_credit_stop_exchanging_objects(mesh) -> None:
    """Scenario 11: the number of moves within a time is bounded by the doubling back-off."""
    windows = {name: mesh[name].consumer("T", credit=1) for name in "ab"}
    for name in "ab":
        mesh[name].push("T", count=6)
    for turn in range(200):
        for name in "ab":
            windows[name].subscribe("T", credit=1 + 4 * ((turn + (name == "b")) % 2))
            kept = windows[name].delivered[1:]
            windows[name].delivered = windows[name].delivered[:1]
            windows[name].settle("return", *kept)
        mesh.wait(0.5)
    moved = sum(mesh[name].flow("T", "transferred") for name in "ab")
    hops = [
        item.detail("hops", 0)
        for n in "ab"
        for item in mesh[n].brain.context.custody.objects.values()
    ]
    assert max(hops) <= 12
    assert moved <= 12 * 12


def test_a_hundred_consumers_here_and_one_there_settle_everything(mesh) -> None:
    """Scenario 4: the session with all the consumers goes after twenty objects."""
    crowd = mesh["a"].consumer()
    for number in range(100):
        crowd.subscribe("T", number=number)
    one = mesh["b"].consumer("T", credit=10)
    mesh["a"].push("T", count=300)
    crowd.ack(*crowd.take()[:20])
    mesh.wait(0.05)
    crowd.die()
    for _ in range(100):
        mesh.wait(0.5)
        one.ack(*one.take())
    assert where(mesh) == {}
    assert mesh["b"].flow("T", "transferred") == 0


def test_thousands_that_may_not_return_yet_do_not_hold_up_those_that_may_go(mesh) -> None:
    """Neither for want of credit at the beginning, nor when credit comes in small pieces."""
    mesh["b"].push("T", count=3000, path=("a",), hops=9)
    movable = mesh["b"].push("T", count=5)
    away = mesh["a"].consumer("T", credit=1)
    for _ in movable:
        mesh.run()
        away.ack(*away.take())
    assert mesh["a"].flow("T", "settled") == 5
    assert mesh.now == 0.0
    assert not mesh["b"].brain.work_flagged


def test_thousands_returned_to_the_front_do_not_hold_up_the_overflow_of_those_behind(mesh) -> None:
    blocker = mesh["a"].consumer("T", credit=1)
    dying = mesh["a"].consumer("T", credit=2000)
    mesh["a"].push("T", count=2001)
    mesh["a"].push("T", count=3)
    mesh.wait(0.15)
    assert len(blocker.delivered) == 1
    dying.leave()
    away = mesh["b"].consumer("T", credit=3)
    mesh.run()
    assert [sequence > 2001 for sequence in away.sequences()] == [True] * 3


def test_what_may_go_only_where_there_is_no_credit_does_not_hold_up_the_rest(mesh) -> None:
    """Objects that came from a may go to c only, where nobody has credit; others may go to a."""
    mesh.link("b", "c")
    mesh["b"].push("T", count=3000, path=("a",), hops=7)
    mesh["b"].push("T", count=4)
    mesh["c"].consumer("T", credit=0)
    away = mesh["a"].consumer("T", credit=4)
    mesh.run()
    assert away.sequences() == [3001, 3002, 3003, 3004]
    mesh["c"].consumer("T", credit=7)
    mesh.run()
    assert len(mesh["c"].held()) == 7
