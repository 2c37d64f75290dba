"""What an operation costs, counted in lines of the brain that run, not in time.

The same operation beside a hundred times as much must run about the same number of lines.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

import trionode.routing
from trionode.routing import Brain, events
from trionode.routing.effects import RouteUpdate
from trionode.routing.model import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = trionode.routing.__path__[0]
SLACK = 1.5
"""Heaps and bisections grow a little."""


def lines_run(work: Callable[[], object]) -> int:
    """How many lines in trionode/routing `work` runs."""
    count = 0

    def trace(frame, event, _argument):
        nonlocal count
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


class Big:
    """A brain with much in it."""

    def __init__(
        self, *, objects: int = 0, subscriptions: int = 0, keys: int = 1, links: int = 0
    ) -> None:
        self.brain = Brain("a", 1, durable=True)
        self.sequence = 1
        self.now = 0.0
        for link in range(1, links + 1):
            self.handle(events.LinkUp(link, f"p{link}", 1, True))
            routes = [
                RouteUpdate(f"T{key}", (f"p{link}",), f"p{link}", 1, 1, 1) for key in range(keys)
            ]
            self.handle(events.InterestTold(link, True, routes))
        for number in range(subscriptions):
            stream = 1000 + number
            self.handle(events.ConsumerCame(stream))
            self.handle(events.Subscribed(stream, 1, (f"T{number % keys}",), 0, 1 << 30))
        if objects:
            self.push(objects)
        self.tick()
        self.tick()

    def handle(self, event: object) -> list:
        return self.brain.handle(event, self.now)

    def push(self, count: int, type_: str = "T0") -> None:
        first, self.sequence = self.sequence, self.sequence + count
        self.handle(events.Pushed(1, 1, first, type_, Shape(), [b"x"] * count))

    def tick(self) -> None:
        self.handle(events.Tick())

    def open_window(self, credit: int = 1) -> None:
        self.handle(events.Subscribed(1000, 1, ("T0",), credit, 1 << 30))


def assert_no_dearer(work: Callable[[Big], object], small: Big, big: Big) -> None:
    """The work costs about as much in both; done once before, so that laziness has had its turn."""
    work(small)
    work(big)
    cheap, dear = lines_run(lambda: work(small)), lines_run(lambda: work(big))
    assert cheap > 5, "the work is none"
    assert dear <= cheap * SLACK, f"{dear} lines, and {cheap} with little"


SIZES = {
    "objects": ({"objects": 1000, "subscriptions": 1}, {"objects": 100_000, "subscriptions": 1}),
    "subscriptions": ({"subscriptions": 100}, {"subscriptions": 10_000}),
    "types": (
        {"subscriptions": 10, "keys": 10, "objects": 10},
        {"subscriptions": 1000, "keys": 1000, "objects": 10},
    ),
    "types of peers": ({"keys": 10, "links": 2}, {"keys": 1000, "links": 2}),
}


@pytest.fixture(params=SIZES)
def sizes(request) -> tuple[Big, Big]:
    few, many = SIZES[request.param]
    return Big(**few), Big(**many)


def test_a_push_costs_the_same_beside_much(sizes) -> None:
    assert_no_dearer(lambda big: big.push(1), *sizes)


def test_a_push_to_another_type_costs_the_same_beside_much(sizes) -> None:
    assert_no_dearer(lambda big: big.push(1, "other"), *sizes)


def test_a_plan_costs_the_same_beside_much(sizes) -> None:
    def plan(big: Big) -> None:
        big.push(1)
        big.tick()

    assert_no_dearer(plan, *sizes)


def test_a_delivery_and_its_settle_cost_the_same_beside_much() -> None:
    for few, many in (SIZES["objects"], ({"subscriptions": 100}, {"subscriptions": 10_000})):
        pair = []
        for size in (few, many):
            big = Big(**size)
            big.push(50)
            pair.append(big)

        def settle(big: Big) -> None:
            big.open_window(1)
            (leased,) = big.brain.context.subscriptions.streams[1000].subscriptions[1].leases
            big.open_window(0)
            big.handle(events.Settled(1000, 1, "ack", [leased]))
            big.tick()

        assert_no_dearer(settle, *pair)


def test_a_settle_looks_at_no_more_waiting_types_than_have_credit() -> None:
    big = Big()
    names = tuple(f"T{number}" for number in range(100))
    big.handle(events.ConsumerCame(1))
    big.handle(events.Subscribed(1, 1, names, 1, 1 << 30))
    for name in names:
        big.push(3, name)
    big.tick()
    (leased,) = big.brain.context.subscriptions.streams[1].subscriptions[1].leases
    big.handle(events.Settled(1, 1, "ack", [leased]))
    assert list(big.brain.context.stale_plans) == ["T0"]
    assert not big.brain.context.stale_grants, "no peer wishes for anything"


def test_a_subscription_that_comes_and_goes_costs_the_same_beside_much(sizes) -> None:
    def come_and_go(big: Big) -> None:
        big.handle(events.ConsumerCame(7))
        big.handle(events.Subscribed(7, 1, ("new",), 5, 1 << 30))
        big.tick()
        big.handle(events.ConsumerGone(7, died=True))
        big.tick()

    assert_no_dearer(come_and_go, *sizes)


def test_a_plan_over_peers_without_credit_looks_at_the_front_only() -> None:
    small, big = (Big(objects=n, keys=1, links=3) for n in (100, 100_000))

    def plan(each: Big) -> None:
        each.brain.context.stale_plans["T0"] = None
        each.tick()

    assert_no_dearer(plan, small, big)


def test_a_plan_whose_objects_may_not_move_yet_looks_at_a_bounded_number() -> None:
    """Credit in plenty, and 100,000 objects that wait for their overflow."""
    pair = []
    for count in (2000, 100_000):
        big = Big(subscriptions=1, links=2)
        for link in (1, 2):
            big.handle(events.CreditGranted(link, [("T0", 1, 1 << 40, 1 << 40)]))
        big.push(count)
        big.tick()
        pair.append(big)

    def plan(each: Big) -> None:
        each.brain.context.stale_plans["T0"] = None
        each.tick()
        assert not each.brain.work_flagged

    assert_no_dearer(plan, *pair)


def test_grants_of_one_type_are_recomputed_beside_thousands_of_others() -> None:
    pair = []
    for keys in (10, 1000):
        big = Big(subscriptions=keys, keys=keys, links=3)
        big.open_window(5)
        big.tick()
        pair.append(big)

    def wish(each: Big) -> None:
        account = each.brain.interest.links[1].take["T0"]
        each.handle(events.BacklogTold(1, [("T0", account.epoch, account.received + 1)]))
        each.tick()

    assert_no_dearer(wish, *pair)


def test_an_offer_and_its_answer_cost_the_same_beside_much() -> None:
    pair = []
    for count in (1000, 100_000):
        big = Big(objects=count, links=2)
        pair.append(big)

    def give(each: Big) -> None:
        account = each.brain.interest.links[1].give["T0"]
        each.handle(events.CreditGranted(1, [("T0", 1, account.offered + 1, 1 << 40)]))
        each.tick()
        (number,) = each.brain.givings.open["p1"]
        each.handle(events.OfferAnswered(1, *number, True))
        each.tick()

    assert_no_dearer(give, *pair)


def test_many_suspects_that_wait_cost_a_push_nothing() -> None:
    pair = []
    for count in (10, 10_000):
        big = Big(subscriptions=1)
        big.handle(events.Subscribed(1000, 1, ("T0",), count, 1 << 40))
        big.push(count)
        big.handle(events.Started(1000, 1, count))
        big.handle(events.ConsumerGone(1000, died=True))
        big.handle(events.ConsumerCame(1000))
        big.open_window(1 << 20)
        pair.append(big)
    assert_no_dearer(lambda each: each.push(1), *pair)


def test_credit_for_a_pattern_costs_the_same_however_many_types_wait_for_it() -> None:
    pair = []
    for types in (20, 2000):
        big = Big(links=1)
        big.handle(events.InterestTold(1, True, [RouteUpdate(">", ("p1",), "p1", 1, 1, 1)]))
        for number in range(types):
            big.push(3, f"T{number}")
        big.tick()
        pair.append(big)
    limits = {id(big): 0 for big in pair}

    def grant(big: Big) -> None:
        limits[id(big)] += 2
        big.handle(events.CreditGranted(1, [(">", 1, limits[id(big)], 1 << 30)]))
        big.tick()
        assert not big.brain.work_flagged
        assert big.brain.interest.links[1].give[">"].credit == 0

    assert_no_dearer(grant, *pair)


@pytest.mark.parametrize("local", [True, False])
def test_a_grant_for_a_pattern_costs_the_same_however_many_types_were_here(local) -> None:
    """At a consumer's node, and at a relay to one."""
    pair = []
    for types in (20, 2000):
        big = Big(links=2)
        route = RouteUpdate("x.>", ("p2", "far"), "far", 1, 1, 1)
        if local:
            big.handle(events.ConsumerCame(7))
            big.handle(events.Subscribed(7, 1, ("x.>",), types + 10, 1 << 30))
        else:
            big.handle(events.InterestTold(2, True, [route]))
        big.tick()
        for number in range(types):
            offer = (f"x.T{number}", Shape(), [number + 1], [b"x"], [0.0], [1], {}, False)
            big.handle(events.OfferCame(1, number + 1, "x.>", _epoch(big), *offer))
            big.tick()
            ids = [number + 1]
            if local:
                big.handle(events.Settled(7, 1, "ack", ids))
            else:
                big.handle(events.CreditGranted(2, [("x.>", 1, number + 1, 1 << 30)]))
                big.tick()
                big.handle(events.OfferAnswered(2, 1, number + 1, True, ()))
        big.tick()
        assert not big.brain.context.custody.objects
        pair.append(big)

    def wish(big: Big) -> None:
        account = big.brain.interest.links[1].take["x.>"]
        limit = account.limit
        wanted = account.received + account.outstanding + 1
        big.handle(events.BacklogTold(1, [("x.>", account.epoch, wanted)]))
        big.tick()
        assert account.limit > limit

    assert_no_dearer(wish, *pair)


def _epoch(big: Big) -> int:
    return big.brain.interest.links[1].take["x.>"].epoch
