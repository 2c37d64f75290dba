"""R4: link credit is absolute, granted once, where work waits, in objects and bytes (trace h)."""

from __future__ import annotations

import pytest

from tests.support.brains import Mesh
from trionode.routing import effects, events
from trionode.routing.effects import RouteUpdate
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES


def grants(mesh: Mesh, name: str) -> list[tuple[int, int]]:
    """(limit, byte limit) as told, in order."""
    return [(g[2], g[3]) for sent in mesh[name].of(effects.SendCredit) for g in sent.grants]


def limits(mesh: Mesh, name: str) -> list[int]:
    return [limit for limit, _ in grants(mesh, name)]


@pytest.fixture
def mesh() -> Mesh:
    """b, c and d would like to give; a has the consumers."""
    mesh = Mesh("a", "b", "c", "d", transfer_after_s=0.0)
    for name in "bcd":
        mesh.link("a", name)
    mesh.run()
    return mesh


def test_nothing_is_granted_to_a_peer_that_has_nothing_to_offer(mesh) -> None:
    mesh["a"].consumer("T", credit=100)
    mesh.wait(5.0)
    assert grants(mesh, "a") == []


def test_a_peer_with_a_backlog_tells_its_size_and_is_granted_that_much(mesh) -> None:
    mesh["b"].push("T", count=7)
    mesh["a"].consumer("T", credit=100)
    mesh.run()
    (wish,) = mesh["b"].of(effects.SendBacklog)
    assert [wanted for _, _, wanted in wish.wishes] == [7]
    assert limits(mesh, "a") == [7]


def test_what_is_granted_to_one_link_is_not_granted_to_another(mesh) -> None:
    for name in "bcd":
        mesh[name].push("T", count=100)
    consumer = mesh["a"].consumer("T", credit=30)
    mesh.run()
    assert len(consumer.delivered) == 30
    assert sum(limits(mesh, "a")) == 30
    assert mesh["a"].table("T").held == 30


def test_grants_are_shared_among_those_who_wish(mesh) -> None:
    for name in "bcd":
        mesh[name].push("T", count=100)
        mesh.run()
    mesh["a"].consumer("T", credit=30)
    mesh.run()
    assert [100 - len(mesh[name].held()) for name in "bcd"] == [10, 10, 10]


def test_bytes_granted_to_one_link_are_not_granted_to_another(mesh) -> None:
    for name in "bcd":
        mesh[name].push("T", *[bytes(100)] * 100)
    mesh["a"].consumer("T", credit=1000, credit_bytes=3000)
    mesh.run()
    assert mesh["a"].brain.context.custody.held_bytes <= 3000 + 3 * 100


def test_a_count_stated_twice_is_no_more_than_stated_once(mesh) -> None:
    """Trace h: an offer crosses the second statement."""
    mesh["b"].push("T", count=2)
    consumer = mesh["a"].consumer("T", credit=1)
    mesh.run()
    assert len(mesh["b"].held()) == 1
    link = mesh["b"].links["a"]
    account = mesh["b"].brain.interest.links[link].give["T"]
    stated = ("T", account.epoch, account.limit, account.byte_limit)
    for _ in range(3):
        mesh["b"].handle(events.CreditGranted(link, [stated]))
        mesh["b"].tick()
    assert len(mesh["b"].of(effects.SendOffer)) == 1
    mesh.run()
    assert len(consumer.delivered) == 1
    assert mesh["a"].states() == ["LEASED"]


def test_bytes_end_an_account_before_its_count_does(mesh) -> None:
    mesh["b"].push("T", *[bytes(1000)] * 20)
    consumer = mesh["a"].consumer("T", credit=100, credit_bytes=4500)
    mesh.run()
    assert len(consumer.delivered) == 5
    assert len(mesh["b"].held()) == 15
    mesh["b"].push("T")
    mesh.run()
    assert len(mesh["b"].held()) == 16


def test_an_account_out_of_bytes_is_filled_again_without_waiting(mesh) -> None:
    mesh["b"].push("T", *[bytes(1000)] * 20)
    consumer = mesh["a"].consumer("T", credit=100, credit_bytes=4500)
    handled = 0
    for _ in range(20):
        mesh.run()
        handled += len(consumer.delivered)
        consumer.ack(*consumer.take())
    assert handled == 20
    assert mesh.now == 0.0


def test_credit_and_bytes_of_several_subscriptions_add_up(mesh) -> None:
    mesh["b"].push("T", count=50)
    for credit in (1, 2, 3):
        mesh["a"].consumer("T", credit=credit)
    mesh.run()
    assert len(mesh["a"].held()) == 6


def test_what_waits_here_already_is_not_granted_again(mesh) -> None:
    mesh["a"].consumer("T", credit=5)
    mesh["a"].push("T", count=5)
    mesh["b"].push("T", count=5)
    mesh.run()
    assert len(mesh["b"].held()) == 5


def test_unspent_credit_is_withdrawn_after_a_second_and_goes_to_another(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=10)
    mesh.run()
    link = mesh["a"].links["b"]
    account = mesh["a"].brain.interest.links[link].take["T"]
    mesh["a"].handle(events.BacklogTold(link, [("T", account.epoch, 10)]))
    mesh["a"].tick()
    assert limits(mesh, "a") == [10]
    mesh["c"].push("T", count=10)
    mesh.wait(0.9)
    assert consumer.delivered == []
    mesh.wait(0.2)
    assert limits(mesh, "a")[1] == 0
    assert len(consumer.delivered) == 10


def test_credit_that_is_being_drawn_on_is_not_withdrawn(mesh) -> None:
    mesh["a"].consumer("T", credit=10)
    mesh.run()
    link = mesh["a"].links["b"]
    account = mesh["a"].brain.interest.links[link].take["T"]
    mesh["a"].handle(events.BacklogTold(link, [("T", account.epoch, 10)]))
    mesh.run()
    for _ in range(5):
        mesh.wait(0.8)
        mesh["b"].push("T")
        mesh.run()
    assert limits(mesh, "a") == [10]
    assert len(mesh["a"].held()) == 5


def test_an_offer_that_crosses_the_withdrawal_of_its_credit_is_taken(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=10)
    mesh.run()
    link = mesh["a"].links["b"]
    account = mesh["a"].brain.interest.links[link].take["T"]
    mesh["a"].handle(events.BacklogTold(link, [("T", account.epoch, 10)]))
    mesh.run()
    mesh["b"].push("T", count=3)
    mesh["b"].tick()
    mesh.now += 1.1
    mesh["a"].tick()
    assert limits(mesh, "a") == [10, 0]
    mesh.run()
    assert len(consumer.delivered) == 3
    assert account.received == 3


def test_after_a_withdrawal_a_backlog_is_told_again(mesh) -> None:
    away = mesh["a"].consumer("T", credit=10)
    here = mesh["b"].consumer("T", credit=1)
    mesh["b"].push("T", count=5)
    mesh.wait(0.15)
    assert len(away.delivered) == 4
    mesh.wait(3.0)
    mesh["b"].push("T", count=3)
    mesh.wait(0.15)
    assert len(away.delivered) == 7
    assert len(here.delivered) == 1


def test_credit_that_came_and_went_while_a_link_was_slow_is_wished_for_again(mesh) -> None:
    mesh["a"].consumer("T", credit=10)
    mesh.run()
    mesh["b"].push("T", count=5)
    mesh["b"].tick()
    mesh.step("b", "a")
    mesh["a"].tick()
    mesh.now += 1.1
    mesh["a"].tick()
    assert limits(mesh, "a") == [5, 0]
    mesh.step("a", "b")
    mesh.step("a", "b")
    mesh.run()
    assert len(mesh["a"].held()) == 5


def test_a_backlog_that_is_gone_is_told_so_that_nothing_is_granted_for_it(mesh) -> None:
    mesh["a"].consumer("T", credit=0)
    mesh["b"].push("T", count=5)
    mesh.run()
    account = mesh["a"].brain.interest.links[mesh["a"].links["b"]].take["T"]
    assert account.wanted == 5
    mesh["b"].consumer("T", credit=5)
    mesh.run()
    assert account.wanted == 0


def test_no_more_is_wished_of_one_peer_for_what_another_takes(mesh) -> None:
    mesh = Mesh("a", "b", "c", transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh.link("a", "c")
    for name in "bc":
        mesh[name].consumer("T", credit=100)
    mesh["a"].push("T", count=10)
    mesh.run()
    wishes = len(mesh["a"].of(effects.SendBacklog))
    mesh["a"].push("T", count=1)
    mesh.run()
    for name in "bc":
        mesh[name].effects.clear()
    link = mesh["a"].links["b"]
    account = mesh["a"].brain.interest.links[link].give["T"]
    mesh["a"].handle(events.CreditGranted(link, [("T", account.epoch, 1000, 1 << 30)]))
    before = len(mesh["a"].of(effects.SendBacklog))
    mesh["a"].push("T", count=5)
    mesh["a"].tick()
    assert wishes
    assert len(mesh["a"].of(effects.SendBacklog)) == before


def test_wishes_are_not_repeated_for_every_object(mesh) -> None:
    mesh["a"].consumer("T", credit=0)
    mesh.run()
    for _ in range(50):
        mesh["b"].push("T", count=100)
        mesh["b"].tick()
    assert len(mesh["b"].of(effects.SendBacklog)) <= 12


def test_credit_of_an_advertisement_that_is_over_counts_for_nothing(mesh) -> None:
    consumer = mesh["a"].consumer("T", credit=10)
    mesh.run()
    link = mesh["b"].links["a"]
    old = mesh["b"].brain.interest.links[link].give["T"].epoch
    consumer.unsubscribe()
    mesh.run()
    consumer.subscribe("T", credit=0)
    mesh.run()
    mesh["b"].push("T", count=5)
    mesh["b"].handle(events.CreditGranted(link, [("T", old, 100, 1 << 30)]))
    mesh.run()
    assert len(mesh["b"].held()) == 5


def test_a_route_dropped_and_told_again_gives_no_credit_twice() -> None:
    """b hears by another way that o's interest has ended; then a, a relay, tells it anew."""
    mesh = Mesh("a", "b", "o", "z", transfer_after_s=0.0, relay_window=10)
    for name in "bo":
        mesh.link("a", name)
    mesh.link("b", "z")
    consumer = mesh["o"].consumer("T", credit=0)
    mesh["b"].push("T", count=50)
    mesh.run()
    assert len(mesh["a"].held()) == 10
    gone = RouteUpdate("T", (), "o", 1, 1, 0)
    mesh["b"].handle(events.InterestTold(mesh["b"].links["z"], False, [gone]))
    assert mesh["b"].brain.interest.routes == {}
    anew = RouteUpdate("T", ("o",), "o", 1, 2, 2)
    mesh["a"].handle(events.InterestTold(mesh["a"].links["o"], False, [gone, anew]))
    mesh.run()
    consumer.unsubscribe()
    mesh["o"].tick()
    consumer.subscribe("T", credit=1)
    for _ in range(5):
        mesh.run()
        assert len(mesh["a"].held()) <= 10
        consumer.ack(*consumer.take())


def test_a_link_that_drops_frees_its_grants_for_others(mesh) -> None:
    mesh["a"].consumer("T", credit=10)
    mesh.run()
    for name in "bc":
        link = mesh["a"].links[name]
        account = mesh["a"].brain.interest.links[link].take["T"]
        mesh["a"].handle(events.BacklogTold(link, [("T", account.epoch, 10)]))
        mesh["a"].tick()
    assert limits(mesh, "a") == [10]
    mesh.cut("a", "b" if mesh["a"].of(effects.SendCredit)[0].link == mesh["a"].links["b"] else "c")
    mesh.run()
    assert limits(mesh, "a") == [10, 10]


def test_a_credit_lowered_below_what_was_offered_stops_offers(mesh) -> None:
    mesh["a"].consumer("T", credit=10)
    mesh.run()
    link = mesh["b"].links["a"]
    account = mesh["b"].brain.interest.links[link].give["T"]
    mesh["b"].handle(events.CreditGranted(link, [("T", account.epoch, 5, 1 << 30)]))
    mesh["b"].push("T", count=3)
    mesh["b"].tick()
    mesh["b"].handle(events.CreditGranted(link, [("T", account.epoch, 2, 1 << 30)]))
    mesh["b"].push("T", count=3)
    mesh["b"].tick()
    assert account.offered == 3
    assert account.credit == 0


# --- no space (G7, trace j) --------------------------------------------------------------------


def test_a_full_node_asks_for_one_object_at_a_time_for_a_consumer_that_is_idle() -> None:
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=1000)
    mesh.link("a", "b")
    mesh["b"].push("U", bytes(1000))
    mesh["a"].push("T", count=5)
    consumer = mesh["b"].consumer("T", credit=3)
    assert mesh.run() < 100
    assert len(consumer.delivered) == 1
    for handled in range(1, 5):
        consumer.ack(*consumer.take())
        mesh.run()
        assert limits(mesh, "b") == list(range(1, handled + 2))
    assert [len(sent.objects) for sent in mesh["a"].of(effects.SendOffer)] == [1] * 5


def test_a_full_node_asks_for_nothing_that_nobody_here_could_be_given() -> None:
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=1000)
    mesh.link("a", "b")
    mesh["b"].push("U", bytes(1000))
    mesh["a"].push("T", count=5)
    mesh["b"].consumer("T", credit=0)
    mesh.run()
    assert grants(mesh, "b") == []


def test_a_full_node_keeps_asking_where_one_peer_does_not_use_what_it_was_granted() -> None:
    mesh = Mesh("a", "b", "c", transfer_after_s=0.0, max_held_bytes=1000)
    for name in "bc":
        mesh.link("a", name)
    mesh.run()
    mesh["a"].push("U", bytes(1000))
    mesh["b"].push("T", count=1)
    mesh["c"].push("V", count=2)
    consumer = mesh["a"].consumer("T", "V", credit=9)
    for _ in range(6):  # until b is granted what it will not use
        for one, other in (("a", "b"), ("b", "a")):
            if not limits(mesh, "a"):
                while mesh.under_way(one, other):
                    mesh.step(one, other)
                mesh[other].tick()
    assert limits(mesh, "a") == [1]
    here = mesh["b"].consumer("T", credit=1)
    here.ack(*here.take())
    mesh.wait(5.0)
    assert len(consumer.delivered) == 1
    consumer.ack(*consumer.take())
    mesh.wait(5.0)
    assert len(consumer.delivered) == 1
    assert mesh["c"].held() == set()


def test_what_was_granted_is_taken_though_the_node_is_full_by_then() -> None:
    """A grant is a promise: refused offers would go to and fro."""
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=100_000)
    mesh.link("a", "b")
    mesh["a"].push("T", count=5)
    consumer = mesh["b"].consumer("T", credit=5)
    while not mesh["a"].of(effects.SendOffer):
        for one, other in (("a", "b"), ("b", "a")):
            if mesh.under_way(one, other):
                mesh.step(one, other)
            mesh[one].tick()
    mesh["b"].push("U", bytes(100_000))
    mesh.run()
    assert [sent.refused for sent in mesh["b"].of(effects.SendAnswer)] == [()]
    assert len(consumer.delivered) == 5


def test_an_offer_that_nothing_was_promised_for_is_refused_by_a_full_node() -> None:
    """It crossed the withdrawal of its credit."""
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=100_000)
    mesh.link("a", "b")
    mesh["a"].push("T", count=5)
    consumer = mesh["b"].consumer("T", credit=5)
    while not mesh["a"].of(effects.SendOffer):
        for one, other in (("a", "b"), ("b", "a")):
            if mesh.under_way(one, other):
                mesh.step(one, other)
            mesh[one].tick()
    mesh["b"].push("U", bytes(100_000))
    mesh.now += 2.0
    mesh["b"].tick()
    mesh.run()
    assert mesh["b"].of(effects.SendAnswer)[0].refused == (0, 1, 2, 3, 4)
    consumer.ack(*consumer.take())
    mesh.run()
    assert len(consumer.delivered) == 1, "one at a time"


def test_grants_together_promise_no_more_than_the_space_there_is() -> None:
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=200_000)
    mesh.link("a", "b")
    for number in range(20):
        mesh["b"].push(f"T{number}", *[bytes(1000)] * 50)
        mesh["a"].consumer(f"T{number}", credit=50)
    mesh.run()
    taken = mesh["a"].brain.context.custody.memory_bytes
    assert 190_000 <= taken <= 200_000 + 20 * 2000
    kinds = {item.table.name for item in mesh["a"].brain.context.custody.objects.values()}
    assert len(kinds) == 20, "and each type gets some of it"


@pytest.mark.parametrize("fill", [17, 40])
def test_two_nodes_full_of_what_the_other_wants_do_not_lock_each_other_up(fill) -> None:
    """Trace j: also where results emitted with acks have taken the reserve and more."""
    mesh = Mesh("a", "b", transfer_after_s=0.0, max_held_bytes=10_000)
    mesh.link("a", "b")
    consumers = {}
    for name, own, other in (("a", "T", "U"), ("b", "U", "T")):
        mesh[name].push(own, *[bytes(100)] * fill)
        consumers[name] = mesh[name].consumer(other, credit=10)
    for _ in range(80):
        mesh.run()
        for consumer in consumers.values():
            consumer.ack(*consumer.take())
    assert [node.held() for node in mesh.nodes.values()] == [set(), set()]


def test_tiny_objects_and_large_properties_count_as_what_they_take() -> None:
    mesh = Mesh("a")
    custody = mesh["a"].brain.context.custody
    mesh["a"].push("T", *[b""] * 10)
    assert custody.memory_bytes == 10 * OBJECT_OVERHEAD_BYTES
    mesh["a"].push("T", count=2, trace="x" * 5000)
    assert custody.memory_bytes >= 12 * OBJECT_OVERHEAD_BYTES + 2 * 4800
    consumer = mesh["a"].consumer("T", credit=20)
    consumer.nack(*consumer.take(), reason="y" * 900, delay_s=0.0)
    assert custody.memory_bytes >= 12 * OBJECT_OVERHEAD_BYTES + 2 * 4800 + 12 * 700
    consumer.ack(*consumer.take())
    assert custody.memory_bytes == 0
