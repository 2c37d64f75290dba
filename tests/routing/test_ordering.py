"""Ordering keys: objects of one type and key one by one, at one node and across transfers."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects, events
from trionode.routing.model import Shape, State


def sequence(id_: int) -> int:
    return id_ & 0xFFFF


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh("a", "b", "c", transfer_after_s=1.0, in_doubt_timeout_s=30.0, retry_base_s=0.1)
    mesh.link("a", "b")
    mesh.run()
    return mesh


def ahead(mesh: Mesh, name: str, id_: int) -> tuple[int, str | None] | None:
    node = mesh[name]
    return node.brain.context.custody.ordering.ahead_of(node.item(id_))


# --- at one node -------------------------------------------------------------------------------


def test_of_a_key_one_object_is_leased_at_a_time(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=10)
    ids = mesh["a"].push("T", count=3, ordering_key="k")
    for id_ in ids:
        (lease,) = consumer.take()
        assert lease.id == id_
        consumer.ack(lease)
    assert consumer.take() == []
    assert mesh["a"].brain.context.custody.ordering.lines == {}


def test_other_keys_and_objects_without_one_are_not_held_up(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=10)
    mesh["a"].push("T", count=3, ordering_key="k")
    mesh["a"].push("T", count=2, ordering_key="l")
    mesh["a"].push("T", count=2)
    assert consumer.sequences() == [1, 4, 6, 7]


def test_the_same_key_of_another_type_is_another_key(mesh) -> None:
    consumer = mesh["a"].consumer("T", "U", credit=10)
    mesh["a"].push("T", ordering_key="k")
    mesh["a"].push("U", ordering_key="k")
    assert len(consumer.delivered) == 2


def test_keys_take_turns_so_that_a_long_line_holds_up_no_other(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T", count=5, ordering_key="k")
    mesh["a"].push("T", count=3)
    order = []
    while leases := consumer.take():
        order += [sequence(lease.id) for lease in leases]
        consumer.ack(*leases)
    assert order == [1, 6, 7, 8, 2, 3, 4, 5]


def test_followers_are_blocked_and_say_for_what_they_wait(mesh) -> None:
    first, second, third = mesh["a"].push("T", count=3, ordering_key="k")
    assert mesh["a"].states() == ["READY", "BLOCKED", "BLOCKED"]
    assert ahead(mesh, "a", first) is None
    assert ahead(mesh, "a", second) == ahead(mesh, "a", third) == (first, None)


def test_leasing_past_a_thousand_blocked_objects_costs_nothing(mesh) -> None:
    """They are not in the queue at all."""
    mesh["a"].push("T", count=1000, ordering_key="k")
    mesh["a"].push("T")
    assert len(list(mesh["a"].table("T").ready)) == 2


@pytest.mark.parametrize("ending", ["return", "nack", "die"])
def test_what_comes_back_is_at_the_head_of_its_key_again(mesh, ending) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    (lease,) = consumer.take()
    if ending == "die":
        consumer.start(1)
        consumer.die()
        consumer = mesh["a"].consumer("T", credit=5)
    elif ending == "nack":
        consumer.nack(lease, delay_s=0.0)
    else:
        consumer.settle("return", lease)
    (lease,) = consumer.take()
    assert lease.id == first
    consumer.ack(lease)
    assert [each.id for each in consumer.take()] == [second]


def test_a_key_waits_for_the_delay_of_a_nack(mesh) -> None:
    """Order beats progress."""
    consumer = mesh["a"].consumer("T", credit=5)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    other = mesh["a"].push("T", ordering_key="l")
    consumer.nack(consumer.take()[0], delay_s=60.0)
    mesh.wait(59.0)
    assert consumer.ids() == []
    assert mesh["a"].states() == ["DELAYED", "BLOCKED", "LEASED"]
    mesh.wait(2.0)
    (lease,) = consumer.take()
    assert (lease.id, other) != (second, [])
    assert lease.id == first


def test_a_push_with_a_delay_holds_up_what_is_pushed_after_it(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    (late,) = mesh["a"].push("T", ordering_key="k", due=mesh["a"].now + 10.0)
    (soon,) = mesh["a"].push("T", ordering_key="k")
    mesh.wait(9.0)
    assert consumer.ids() == []
    mesh.wait(2.0)
    (lease,) = consumer.take()
    assert lease.id == late
    consumer.ack(lease)
    assert consumer.ids() == [soon]


def test_a_delay_that_ends_before_its_turn_changes_nothing(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    (first,) = mesh["a"].push("T", ordering_key="k")
    (second,) = mesh["a"].push("T", ordering_key="k", due=mesh["a"].now + 1.0)
    (third,) = mesh["a"].push("T", ordering_key="k")
    mesh.wait(2.0)
    assert mesh["a"].states() == ["LEASED", "BLOCKED", "BLOCKED"]
    for id_ in (first, second, third):
        (lease,) = consumer.take()
        assert lease.id == id_
        consumer.ack(lease)


def test_a_turn_that_comes_before_the_end_of_a_delay_waits_for_it(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", ordering_key="k")
    (second,) = mesh["a"].push("T", ordering_key="k", due=mesh["a"].now + 5.0)
    mesh["a"].push("T", ordering_key="k")
    consumer.ack(*consumer.take())
    assert mesh["a"].states() == ["DELAYED", "BLOCKED"]
    mesh.wait(5.0)
    assert consumer.ids() == [second]


def test_the_key_goes_on_when_its_head_becomes_a_dead_letter(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    _first, second = mesh["a"].push("T", count=2, ordering_key="k")
    consumer.settle("reject", *consumer.take(), reason="no")
    assert consumer.ids() == [second]
    assert mesh["a"].states() == ["DEAD", "LEASED"]


@pytest.mark.parametrize("leased", [True, False])
def test_the_key_goes_on_when_its_head_expires(mesh, leased) -> None:
    (first,) = mesh["a"].push("T", ordering_key="k", deadline=mesh["a"].now + 5.0)
    (second,) = mesh["a"].push("T", ordering_key="k")
    consumer = mesh["a"].consumer("T", credit=int(leased))
    assert consumer.ids() == [first] * leased
    mesh.wait(6.0)
    consumer.subscribe("T", credit=5)
    assert consumer.ids() == [first] * leased + [second]


def test_a_follower_expires_where_it_stands(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", ordering_key="k")
    mesh["a"].push("T", ordering_key="k", deadline=mesh["a"].now + 5.0)
    (third,) = mesh["a"].push("T", ordering_key="k")
    mesh.wait(6.0)
    assert mesh["a"].flow("T", "expired") == 1
    consumer.ack(*consumer.take())
    assert consumer.ids() == [third]


def test_a_replaced_object_stays_the_head_of_its_key(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    consumer.settle("replace", *consumer.take(), payloads=[b"new"])
    (lease,) = consumer.take()
    assert (lease.id, lease.payload) == (first, b"new")
    consumer.ack(lease)
    assert consumer.ids() == [second]


def test_a_suspect_is_still_the_head_of_its_key(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    first, _second = mesh["a"].push("T", count=2, ordering_key="k")
    consumer.start(1)
    consumer.die()
    assert mesh["a"].item(first).suspect
    consumer = mesh["a"].consumer("T", credit=5)
    assert consumer.ids() == [first]


def test_after_a_restart_lines_are_as_they_were(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=5)
    first, second, third = mesh["a"].push("T", count=3, ordering_key="k")
    consumer.nack(*consumer.take(), delay_s=0.0)
    mesh["a"].crash()
    assert mesh["a"].states() == ["READY", "BLOCKED", "BLOCKED"]
    consumer = mesh["a"].consumer("T", credit=5)
    for id_ in (first, second, third):
        (lease,) = consumer.take()
        assert lease.id == id_
        consumer.ack(lease)


# --- across transfers --------------------------------------------------------------------------


def test_a_transfer_takes_the_head_and_the_rest_waits_for_the_report(mesh) -> None:
    consumer = mesh["b"].consumer("T", credit=10)
    first, second, third = mesh["a"].push("T", count=3, ordering_key="k")
    mesh.run()
    assert consumer.ids() == [first]
    assert mesh["a"].states() == ["BLOCKED", "BLOCKED"]
    assert ahead(mesh, "a", second) == (first, "b")
    mesh.wait(100.0)
    assert consumer.ids() == [first], "the link is up: nothing is given up"
    for id_ in (first, second, third):
        (lease,) = consumer.take()
        assert lease.id == id_
        consumer.ack(lease)
        mesh.run()
    assert mesh["a"].held() == mesh["b"].held() == set()
    assert mesh["a"].brain.context.custody.ordering.lines == {}


def test_a_local_consumer_waits_as_well_for_what_another_node_has(mesh) -> None:
    away = mesh["b"].consumer("T", credit=1)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    here = mesh["a"].consumer("T", credit=5)
    assert (away.ids(), here.ids()) == ([first], [])
    away.ack(*away.take())
    mesh.run()
    assert here.ids() == [second]


def test_what_is_pushed_while_the_head_is_away_waits(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    (first,) = mesh["a"].push("T", ordering_key="k")
    mesh.run()
    (second,) = mesh["a"].push("T", ordering_key="k")
    mesh.run()
    assert away.ids() == [first]
    away.ack(*away.take())
    mesh.run()
    assert away.ids() == [second]


def test_a_dead_letter_at_the_receiver_lets_the_key_go_on_here(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    _first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    away.settle("reject", *away.take())
    mesh.run()
    assert away.ids() == [second]


def test_the_report_waits_for_the_commit(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    mesh["b"].auto_commit = False
    away.ack(*away.take())
    mesh.run()
    assert away.ids() == []
    mesh["b"].commit()
    mesh["b"].auto_commit = True
    mesh.run()
    assert len(away.ids()) == 1


def test_order_holds_over_a_relay(mesh) -> None:
    mesh.link("b", "c")
    away = mesh["c"].consumer("T", credit=5)
    ids = mesh["a"].push("T", count=3, ordering_key="k")
    for id_ in ids:
        mesh.run()
        assert away.ids() == [id_]
        assert mesh["b"].held() == set()
        away.ack(*away.take())
    mesh.run()
    assert [len(mesh[name].brain.context.custody.ordering.lines) for name in "abc"] == [0, 0, 0]


def test_an_object_that_comes_back_is_the_head_again(mesh) -> None:
    """To b, back to a, and its line at a goes on only after it."""
    away = mesh["b"].consumer("T", credit=1)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    away.leave()
    here = mesh["a"].consumer("T", credit=5)
    mesh.wait(3.0)
    assert here.ids() == [first]
    here.ack(*here.take())
    assert here.ids() == [second]
    mesh.run()
    assert mesh["b"].brain.context.custody.ordering.lines == {}


def test_an_object_passed_on_in_a_circle_is_waited_for_where_it_was_before(mesh) -> None:
    """From a to b to c and back to b, which has its own followers by then: a hears of its end."""
    mesh.link("b", "c")
    there = mesh["c"].consumer("T", credit=1)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    assert there.ids() == [first]
    there.leave()
    middle = mesh["b"].consumer("T", credit=1)
    mesh.wait(3.0)
    assert middle.ids() == [first]
    mesh.wait(1.0)
    assert mesh["a"].states() == ["BLOCKED"]
    middle.ack(*middle.take())
    mesh.run()
    assert middle.ids() == [second]
    middle.ack(*middle.take())
    mesh.run()
    assert [len(mesh[name].brain.context.custody.ordering.lines) for name in "abc"] == [0, 0, 0]


def test_a_lost_report_is_asked_for_when_the_link_is_back(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    _first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    mesh.cut("a", "b")
    away.ack(*away.take())
    mesh.wait(1.0)
    assert mesh["a"].states() == ["BLOCKED"]
    mesh.link("a", "b")
    mesh.run()
    assert away.ids() == [second]


def test_a_link_that_is_back_lets_the_key_wait_on(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    mesh.cut("a", "b")
    mesh.wait(20.0)
    mesh.link("a", "b")
    mesh.wait(100.0)
    assert mesh["a"].states() == ["BLOCKED"]
    away.ack(*away.take())
    mesh.run()
    assert len(away.ids()) == 1


def test_the_key_goes_on_after_the_timeout_where_the_receiver_stays_away(mesh) -> None:
    mesh["b"].consumer("T", credit=5)
    _first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    mesh.cut("a", "b")
    here = mesh["a"].consumer("T", credit=5)
    mesh.wait(29.9)
    assert here.ids() == []
    mesh.wait(0.2)
    assert here.ids() == [second]


def test_a_report_lost_with_the_answer_is_asked_for(mesh) -> None:
    """The link drops before the answer came; the object ends before the link is back."""
    away = mesh["b"].consumer("T", credit=5)
    _first, second = mesh["a"].push("T", count=2, ordering_key="k")
    while not away.delivered:
        for one, other in (("b", "a"), ("a", "b")):
            if mesh.under_way(one, other):
                mesh.step(one, other)
        for name in "ab":
            if mesh[name].brain.work_flagged:
                mesh[name].tick()
    assert any(isinstance(each, effects.SendAnswer) for each in mesh.under_way("b", "a"))
    mesh.cut("a", "b")
    away.ack(*away.take())
    mesh.link("a", "b")
    mesh.run()
    assert away.ids() == [second]


def test_after_the_receivers_crash_the_key_waits_for_what_its_store_has(mesh) -> None:
    mesh["b"].consumer("T", credit=5)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    mesh["b"].crash()
    mesh.link("a", "b")
    away = mesh["b"].consumer("T", credit=5)
    mesh.wait(100.0)
    assert away.ids() == [first]
    away.ack(*away.take())
    mesh.run()
    assert away.ids() == [second]


def test_after_the_givers_crash_its_line_waits_as_before(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    first, second, third = mesh["a"].push("T", count=3, ordering_key="k")
    mesh.run()
    mesh["a"].crash()
    assert mesh["a"].states() == ["BLOCKED", "BLOCKED"]
    assert ahead(mesh, "a", third) == (first, "b")
    mesh.link("a", "b")
    mesh.wait(100.0)
    assert away.ids() == [first]
    for id_ in (first, second, third):
        (lease,) = away.take()
        assert lease.id == id_
        away.ack(lease)
        mesh.run()


def test_after_the_givers_crash_what_came_while_the_head_was_away_waits_too(mesh) -> None:
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", ordering_key="k")
    mesh.run()
    (second,) = mesh["a"].push("T", ordering_key="k")
    mesh["a"].crash()
    here = mesh["a"].consumer("T", credit=5)
    mesh.wait(29.0)
    assert here.ids() == []
    mesh.wait(2.0)
    assert here.ids() == [second]


def test_what_a_line_waits_for_travels_to_nobody(mesh) -> None:
    away = mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    assert any("behind" in (item.details or {}) for item in _held(mesh, "a"))
    away.ack(*away.take())
    mesh.run()
    assert all("behind" not in (item.details or {}) for item in _held(mesh, "b"))


def _held(mesh: Mesh, name: str) -> list:
    return list(mesh[name].brain.context.custody.objects.values())


def test_a_refused_offer_leaves_the_head_where_it_was(mesh) -> None:
    mesh["b"].consumer("T", credit=5)
    mesh["a"].push("T", count=2, ordering_key="k")
    while not mesh["a"].of(effects.SendOffer):
        for one, other in (("a", "b"), ("b", "a")):
            if mesh.under_way(one, other):
                mesh.step(one, other)
        mesh["a"].tick()
        mesh["b"].tick()
    mesh["b"].drain()
    mesh.run()
    assert mesh["a"].states() == ["READY", "BLOCKED"]


def test_overflow_moves_the_head_only(mesh) -> None:
    """R3: a consumer here has no credit, and one at a peer has."""
    mesh["a"].consumer("T", credit=1)
    mesh["a"].push("T")
    first, _second = mesh["a"].push("T", count=2, ordering_key="k")
    away = mesh["b"].consumer("T", credit=5)
    mesh.wait(1.0)
    assert away.ids() == [first]
    assert [item.state for item in _held(mesh, "a")] == [State.LEASED, State.BLOCKED]


def test_a_leaving_node_without_a_disk_hands_a_key_over_in_order() -> None:
    mesh = Mesh("b", memory=("a",), allow_volatile=True)
    mesh.link("a", "b")
    ids = mesh["a"].push("T", count=600, ordering_key="k")
    mesh["a"].drain()
    mesh.run()
    assert mesh["a"].held() == set()
    away = mesh["b"].consumer("T", credit=5)
    for id_ in ids:
        (lease,) = away.take()
        assert lease.id == id_
        away.ack(lease)


@pytest.mark.parametrize("keyed", [True, False])
def test_a_copy_that_is_merged_is_not_waited_for(mesh, keyed) -> None:
    """The receiver has the object already, leased, and will report its end to others."""
    details = {0: {"ordering_key": "k"}} if keyed else {}
    away = mesh["b"].consumer("T", credit=2)
    mesh["b"].push_again("T", 1, [b"x"], producer=mesh["a"].producer, details=details)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    assert mesh["b"].flow("T", "merged") == 1
    assert mesh["a"].held() == set()
    assert away.ids() == ([first] if keyed else [first, second])


def test_the_giver_of_an_object_whose_place_a_copy_took_is_told_of_its_end(mesh) -> None:
    """The copy came from elsewhere, while the object itself was on offer to a third node."""
    mesh.link("b", "c")
    mesh["c"].auto_commit = False
    away = mesh["c"].consumer("T", credit=5)
    first, second = mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    assert mesh["b"].states() == ["TRANSFERRING"]
    mesh["b"].handle(
        events.OfferCame(
            link=mesh["b"].links["c"], sequence=7, key="T", epoch=0, type="T", shape=Shape(),
            ids=[first], payloads=[b"x"], ages_s=[1.0], draining=True,
            details={0: {"ordering_key": "k", "path": ("a",)}},
        )
    )  # fmt: skip
    mesh["c"].auto_commit = True
    mesh["c"].commit()
    order: list[int] = []
    for _ in range(5):
        mesh.wait(3.0)
        order += away.ids()
        away.ack(*away.take())
    assert order[-1] == second
    assert set(order[:-1]) == {first}
    assert all(mesh[name].held() == set() for name in "abc")
    assert all(mesh[name].brain.context.custody.ordering.lines == {} for name in "abc")


def test_two_nodes_that_gave_each_other_an_object_of_one_key_do_not_wait_for_ever(mesh) -> None:
    """Each has followers of its own, and the other's object as a guest."""
    ids = {name: mesh[name].push("T", count=3, ordering_key="k") for name in "ab"}
    at_a = mesh["a"].consumer("T", credit=0)
    at_b = mesh["b"].consumer("T", credit=0)
    for name, other in (("a", "b"), ("b", "a")):
        link = mesh[name].brain.interest.links[mesh[name].links[other]]
        head = mesh[name].table("T").ready.take(1, 1)
        mesh[name].brain.givings.give(link, "T", 0, head, draining=True)
        for effect in mesh[name].brain.context.out:
            if isinstance(effect, effects.SendOffer):
                mesh[name]._send(mesh[name]._frozen(effect))
        mesh[name].brain.context.out.clear()
    mesh.run()
    for consumer in (at_a, at_b):
        consumer.subscribe("T", credit=1)
    order: list[int] = []
    for _ in range(20):
        for consumer in (at_a, at_b):
            order += [lease.id for lease in consumer.delivered]
            consumer.ack(*consumer.take())
        mesh.run()
    for own in ids.values():
        assert [id_ for id_ in order if id_ in own] == own
    assert mesh["a"].held() == mesh["b"].held() == set()


def test_guests_and_followers_take_turns(mesh) -> None:
    own = mesh["b"].push("T", count=3, ordering_key="k")
    mesh.link("b", "c")
    consumer = mesh["b"].consumer("T", credit=4)
    mesh.run()
    guests = {name: mesh[name].push("T", count=3, ordering_key="k") for name in "ac"}
    mesh.run()
    order = []
    for _ in range(9):
        (lease,) = consumer.take()
        order.append("own" if lease.id in own else "guest")
        consumer.ack(lease)
        mesh.run()
    assert len(guests) == 2
    assert order[:5] == ["own", "guest", "own", "guest", "own"]


def test_the_end_of_a_guest_that_went_on_leaves_a_later_line_of_its_key_alone(mesh) -> None:
    """Its line here was over when it went; another guest has opened one since."""
    mesh.link("b", "c")
    away = mesh["c"].consumer("T", credit=1)
    mesh["a"].push("T", count=2, ordering_key="k")
    mesh.run()
    (lease,) = away.take()
    mesh.cut("a", "b")
    mesh.wait(31.0)
    mesh.link("a", "b")
    mesh["b"].consumer("T", credit=1)
    mesh.run()
    assert len(mesh["b"].held()) == 1, "the next one of a came, which has given up waiting"
    away.ack(lease)
    mesh.run()
    assert len(mesh["b"].brain.context.custody.ordering.lines) == 1


def test_the_next_of_a_key_that_a_timer_frees_comes_before_what_a_peer_is_granted() -> None:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    b = mesh["b"]
    consumer = b.consumer("T", credit=1)
    b.push("T", b"1", ordering_key="k", deadline=b.now + 5)
    b.push("T", b"2", ordering_key="k")
    mesh["a"].push("T", b"3")
    mesh.run()
    assert [lease.payload for lease in consumer.take()] == [b"1"]
    mesh.now = 5.0
    b.effects.clear()
    b.tick()
    assert [lease.payload for lease in consumer.take()] == [b"2"]
    (link,) = b.brain.interest.links.values()
    granted = [limit for each in b.of(effects.SendCredit) for _, _, limit, _ in each.grants]
    assert all(limit <= link.take["T"].received for limit in granted)
