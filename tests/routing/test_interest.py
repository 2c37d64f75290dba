"""R4: interest is told in versions, whole at first, coalesced after; what is gone is gone (I7)."""

from __future__ import annotations

import random

import pytest

from tests.support.books import check_no_interest_left
from tests.support.brains import Mesh
from trionode.routing import effects, events
from trionode.routing.effects import RouteUpdate
from trionode.routing.interest import VERSIONS_END


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh("a", "b")
    mesh.link("a", "b")
    mesh.run()
    for node in mesh.nodes.values():
        node.effects.clear()
    return mesh


def known(mesh: Mesh, name: str) -> set[str]:
    return set(mesh[name].brain.interest.routes)


def told(mesh: Mesh, name: str) -> list[RouteUpdate]:
    return [one for sent in mesh[name].of(effects.SendInterest) for one in sent.updates]


def test_a_subscription_becomes_known_to_a_peer_and_its_end_too(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh.run()
    assert known(mesh, "b") == {"T"}
    consumer.unsubscribe()
    mesh.run()
    assert known(mesh, "b") == set()


def test_a_link_begins_with_a_full_snapshot_even_of_nothing() -> None:
    mesh = Mesh("a", "b")
    mesh["a"].consumer("T", "U")
    mesh.link("a", "b")
    (snapshot,) = mesh["a"].of(effects.SendInterest)
    assert snapshot.full
    assert [one.key for one in snapshot.updates] == ["T", "U"]
    (nothing,) = mesh["b"].of(effects.SendInterest)
    assert (nothing.full, nothing.updates) == (True, [])


def test_a_second_subscription_to_a_type_is_no_news(mesh) -> None:
    mesh["a"].consumer("T")
    mesh.run()
    mesh["a"].effects.clear()
    mesh["a"].consumer("T").leave()
    mesh.run()
    assert told(mesh, "a") == []


def test_ten_thousand_subscriptions_at_once_are_one_message_of_one_update_per_type(mesh) -> None:
    """Scenario 2."""
    for index in range(10_000):
        mesh["a"].brain.handle(events.ConsumerCame(index + 100), 0.0)
        mesh["a"].brain.handle(events.Subscribed(index + 100, 1, (f"T{index % 20}",), 1, 1000), 0.0)
    mesh.run()
    assert len(mesh["a"].of(effects.SendInterest)) == 1
    assert len(told(mesh, "a")) == 20


def test_an_end_and_a_beginning_within_one_tick_are_no_news(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh.run()
    mesh["a"].effects.clear()
    for _ in range(10):
        consumer.unsubscribe()
        consumer.subscribe("T")
    mesh.run()
    assert told(mesh, "a") == []
    assert known(mesh, "b") == {"T"}


def test_a_subscription_that_comes_and_goes_within_one_tick_is_never_told(mesh) -> None:
    mesh["a"].consumer("T").leave()
    mesh.run()
    assert told(mesh, "a") == []


def test_each_new_beginning_has_a_newer_version(mesh) -> None:
    consumer = mesh["a"].consumer()
    for _ in range(5):
        consumer.subscribe("T")
        mesh.run()
        consumer.unsubscribe()
        mesh.run()
    versions = [one.version for one in told(mesh, "a")]
    assert versions == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_a_withdrawal_says_whose_interest_of_which_version_is_gone(mesh) -> None:
    consumer = mesh["a"].consumer("T")
    mesh.run()
    consumer.leave()
    mesh.run()
    gone = told(mesh, "a")[-1]
    assert (gone.path, gone.origin, gone.incarnation, gone.version) == ((), "a", 1, 1)


def test_waves_of_unsubscribe_and_subscribe_against_a_slow_link_leave_the_truth() -> None:
    """Scenario 1, from several seeds."""
    for seed in range(3):
        chance = random.Random(seed)
        mesh = Mesh("a", "b")
        mesh.link("a", "b")
        consumers = {f"T{n}": mesh["a"].consumer() for n in range(100)}
        wanted = set()
        for _ in range(10):
            for key, consumer in consumers.items():
                if key in wanted:
                    consumer.unsubscribe()
                    wanted.discard(key)
                if chance.random() < 0.7:
                    consumer.subscribe(key)
                    wanted.add(key)
                if chance.random() < 0.1:
                    mesh["a"].tick()
                if chance.random() < 0.1 and mesh.under_way("a", "b"):
                    mesh.step("a", "b")
        mesh.run()
        assert known(mesh, "b") == wanted


@pytest.mark.parametrize("full", [False, True])
def test_a_link_that_drops_and_returns_brings_the_truth(mesh, full) -> None:
    """Scenario 6."""
    old = mesh["a"].consumer("T", "U")
    mesh.run()
    mesh.cut("a", "b")
    assert known(mesh, "b") == set()
    old.leave()
    mesh["a"].consumer("U")
    mesh.link("a", "b")
    mesh.run()
    assert known(mesh, "b") == {"U"}


def test_a_snapshot_replaces_what_was_said_before(mesh) -> None:
    link = mesh["b"].links["a"]
    update = RouteUpdate("T", ("a",), "a", 1, 1, 1)
    mesh["b"].handle(events.InterestTold(link, False, [update]))
    mesh["b"].handle(events.InterestTold(link, True, [attr_key(update, "U")]))
    assert known(mesh, "b") == {"U"}


def attr_key(update: RouteUpdate, key: str) -> RouteUpdate:
    return RouteUpdate(key, update.path, update.origin, update.incarnation, update.version, 2)


@pytest.mark.parametrize(
    "path",
    [("z",), ("a", "b"), ("a", "b", "c"), tuple("acdefghij"), ()],
    ids=["not from the peer", "over here", "through here", "too long", "none"],
)
def test_a_path_that_leads_nowhere_is_no_route_and_ends_an_earlier_one(mesh, path) -> None:
    link = mesh["b"].links["a"]
    mesh["b"].handle(events.InterestTold(link, False, [RouteUpdate("T", ("a",), "a", 1, 1, 1)]))
    assert known(mesh, "b") == {"T"}
    mesh["b"].handle(events.InterestTold(link, False, [RouteUpdate("T", path, "x", 1, 0, 2)]))
    assert known(mesh, "b") == set()


def test_news_of_a_link_that_is_gone_are_ignored(mesh) -> None:
    link = mesh["b"].links["a"]
    mesh.cut("a", "b")
    for event in (
        events.InterestTold(link, False, [RouteUpdate("T", ("a",), "a", 1, 1, 1)]),
        events.NeighboursTold(link, frozenset("x")),
        events.CreditGranted(link, [("T", 1, 5, 5)]),
        events.BacklogTold(link, [("T", 1, 5)]),
        events.OfferAnswered(link, 1, 1, True),
        events.OffersClosed(link, [(1, 1)]),
        events.OffersAsked(link, 1, 1, []),
        events.LinkDown(link),
    ):
        assert mesh["b"].handle(event) == []
    assert known(mesh, "b") == set()


def test_after_many_subscriptions_and_kills_no_table_knows_any_of_them() -> None:
    """Scenario 7, I7."""
    chance = random.Random(7)
    mesh = Mesh("a", "b", "c")
    mesh.link("a", "b")
    mesh.link("b", "c")
    consumers = []
    for index in range(400):
        node = mesh[chance.choice("abc")]
        consumers.append(node.consumer(f"T{chance.randrange(200)}"))
        while len(consumers) > 5 or (consumers and chance.random() < 0.4):
            gone = consumers.pop(chance.randrange(len(consumers)))
            chance.choice([gone.leave, gone.die, gone.unsubscribe])()
        if index % 7 == 0:
            mesh.run()
    for consumer in consumers:
        consumer.leave()
    mesh.wait(5.0)
    for node in mesh.nodes.values():
        check_no_interest_left(node.brain)


def test_a_type_that_had_objects_keeps_its_accounts_and_nothing_else(mesh) -> None:
    consumer = mesh["b"].consumer("T")
    mesh["a"].push("T")
    mesh.run()
    consumer.ack(*consumer.take())
    consumer.leave()
    mesh.wait(5.0)
    for node in mesh.nodes.values():
        check_no_interest_left(node.brain)
    assert mesh["a"].flow("T", "transferred") == 1


# --- incarnations (R9) -------------------------------------------------------------------------


def test_nothing_learned_from_an_earlier_incarnation_survives(mesh) -> None:
    """Scenario 12."""
    mesh["a"].consumer("T", credit=5)
    mesh["b"].push("T")
    mesh.run()
    mesh["a"].crash()
    mesh["a"].disk.objects.clear()
    mesh.link("a", "b")
    mesh.run()
    assert known(mesh, "b") == set()
    mesh["b"].push("T")
    mesh.wait(5.0)
    assert mesh["b"].states() == ["READY"]


def test_a_new_incarnation_of_an_origin_is_told_on_though_path_and_version_are_the_same() -> None:
    """It restarted within one tick of the relay before."""
    mesh = Mesh("b", "c", "x")
    mesh.link("x", "b")
    mesh.link("b", "c")
    mesh.run()
    for incarnation in (1, 2):
        update = RouteUpdate("T", ("x", "a"), "a", incarnation, 1, incarnation)
        mesh["b"].handle(events.InterestTold(mesh["b"].links["x"], False, [update]))
        mesh.run()
        (route,) = mesh["c"].brain.interest.routes["T"].values()
        assert (route.path, route.incarnation) == (("b", "x", "a"), incarnation)


def test_news_of_a_new_incarnation_drop_the_routes_to_the_old_one() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.link("d", "b")
    mesh.link("d", "c")
    for name, incarnation in (("b", 1), ("c", 2)):
        link = mesh["d"].links[name]
        update = RouteUpdate("T", (name, "a"), "a", incarnation, 1, 1)
        mesh["d"].handle(events.InterestTold(link, False, [update]))
    assert list(mesh["d"].brain.interest.routes["T"]) == [mesh["d"].links["c"]]


def test_every_version_that_is_told_fits_the_wire() -> None:
    mesh = Mesh("a", "b", "c", "d")
    mesh.link("d", "b")
    mesh.link("d", "c")
    mesh.run()
    for name, incarnation, path in (("b", 1, ("b", "a")), ("c", 2, ("c", "b", "a"))):
        link = mesh["d"].links[name]
        mesh["d"].handle(
            events.InterestTold(link, False, [RouteUpdate("T", path, "a", incarnation, 1, 1)])
        )
        mesh["d"].tick()
    assert max(one.version for one in told(mesh, "d")) == VERSIONS_END < 1 << 63
