"""Interest in patterns: local first, transfers, relays, one pool of credit for all (R1-R6)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.books import check_no_interest_left
from tests.support.brains import Mesh
from trionode.routing import effects
from trionode.routing.patterns import is_pattern, matches

SEGMENTS = st.sampled_from(["a", "b", "ab", "A-1", "_"])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map(".".join)
PATTERNS = st.tuples(
    st.lists(SEGMENTS | st.just("*"), max_size=3), st.sampled_from(["*", ">"])
).map(lambda parts: ".".join([*parts[0], parts[1]]))

INVOICE, NOTE, DEEP = "billing.Invoice", "billing.Note", "billing.eu.Invoice"


@pytest.fixture
def mesh() -> Mesh:
    mesh = Mesh("a", "b", "c", transfer_after_s=0.0)
    mesh.link("a", "b")
    mesh.run()
    return mesh


# --- what belongs to what -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "belongs", "does_not"),
    [
        ("billing.*", [INVOICE, NOTE], ["billing", DEEP, "Invoice", "billings.Note"]),
        ("billing.>", [INVOICE, DEEP, "billing.a.b.c"], ["billing", "x.billing.Note"]),
        ("*", ["Order", "billing"], [INVOICE]),
        (">", ["Order", INVOICE, DEEP], []),
        ("*.Invoice", [INVOICE], ["Invoice", DEEP, NOTE]),
        ("billing.*.Invoice", [DEEP], [INVOICE, "billing.eu.Note"]),
        ("*.eu.>", [DEEP], ["billing.eu", "eu.Invoice"]),
    ],
)
def test_a_star_is_one_segment_and_a_greater_sign_one_or_more(pattern, belongs, does_not) -> None:
    assert [name for name in (*belongs, *does_not) if matches(pattern, name)] == belongs


@given(PATTERNS, NAMES)
def test_patterns_match_as_the_regular_expression_of_their_definition_does(pattern, name) -> None:
    one = r"[^.]+"
    parts = [re.escape(part) if part not in "*>" else one for part in pattern.split(".")]
    expression = r"\.".join(parts) + (rf"(\.{one})*" if pattern.endswith(">") else "")
    assert matches(pattern, name) == (re.fullmatch(expression, name) is not None)
    assert is_pattern(pattern)
    assert not is_pattern(name)


# --- at one node ----------------------------------------------------------------------------------


def test_a_subscription_to_a_pattern_gets_every_type_that_matches_within_one_window(mesh) -> None:
    consumer = mesh["a"].consumer("billing.*", credit=3)
    mesh["a"].push(INVOICE, count=2)
    mesh["a"].push(NOTE, count=2)
    mesh["a"].push(DEEP)
    assert consumer.sequences() == [1, 2, 3]
    consumer.ack(*consumer.take())
    assert consumer.sequences() == [4]


def test_what_was_there_before_the_subscription_is_delivered(mesh) -> None:
    mesh["a"].push(INVOICE)
    mesh["a"].push(DEEP)
    assert mesh["a"].consumer("billing.>", credit=5).sequences() == [1, 2]


def test_what_waits_of_many_types_is_served_in_turn(mesh) -> None:
    """A type that was just served goes behind the others that wait."""
    for index in range(3):
        mesh["a"].push(f"t.T{index}", count=2)
    consumer = mesh["a"].consumer("t.*", credit=1)
    got = []
    while consumer.delivered:
        (lease,) = consumer.take()
        got.append(mesh["a"].item(lease.id).table.name)
        consumer.ack(lease)
    assert got == ["t.T0", "t.T1", "t.T2"] * 2


def test_subscriptions_by_name_and_by_pattern_take_turns(mesh) -> None:
    by_name = [mesh["a"].consumer(INVOICE, credit=100) for _ in range(3)]
    by_pattern = mesh["a"].consumer("billing.*", credit=100)
    widest = mesh["a"].consumer(">", credit=100)
    for _ in range(50):
        mesh["a"].push(INVOICE)
    counts = [len(each.delivered) for each in (*by_name, by_pattern, widest)]
    assert counts == [10] * 5


def test_a_consumer_that_names_a_type_twice_over_gets_each_object_once(mesh) -> None:
    consumer = mesh["a"].consumer(INVOICE, "billing.*", ">", credit=10)
    mesh["a"].push(INVOICE, count=4)
    assert consumer.sequences() == [1, 2, 3, 4]
    consumer.unsubscribe()
    assert mesh["a"].states() == ["READY"] * 4


def test_the_end_of_a_pattern_ends_what_hung_on_it(mesh) -> None:
    mesh["a"].push(INVOICE)
    consumer = mesh["a"].consumer("billing.*", "*.Invoice", credit=10)
    consumer.ack(*consumer.take())
    assert mesh["a"].table(INVOICE).keys == (INVOICE, "billing.*", "*.Invoice")
    consumer.unsubscribe()
    mesh.wait(2.0)
    assert mesh["a"].table(INVOICE).keys == (INVOICE,)
    for node in mesh.nodes.values():
        check_no_interest_left(node.brain)


# --- between nodes --------------------------------------------------------------------------------


def test_a_peer_is_told_the_pattern_alone(mesh) -> None:
    mesh["a"].push(INVOICE)
    mesh["a"].consumer("billing.*")
    mesh.run()
    assert list(mesh["b"].brain.interest.routes) == ["billing.*"]


def test_objects_go_to_a_peer_that_wants_their_pattern(mesh) -> None:
    mesh["b"].push(INVOICE, count=2)
    consumer = mesh["a"].consumer("billing.*", credit=10)
    mesh.run()
    assert len(consumer.delivered) == 2
    mesh["b"].push(NOTE, count=2)  # first met after the subscription
    mesh["b"].push(DEEP)
    mesh.run()
    assert len(consumer.delivered) == 4
    assert [mesh["b"].item(id_).table.name for id_ in mesh["b"].held()] == [DEEP]


def test_one_pool_of_credit_is_shared_by_all_types_of_a_pattern(mesh) -> None:
    for index in range(20):
        mesh["b"].push(f"billing.T{index}", count=10)
    consumer = mesh["a"].consumer("billing.*", credit=10)
    mesh.run()
    (link,) = mesh["b"].brain.interest.links.values()
    assert (link.give["billing.*"].limit, link.give["billing.*"].offered) == (10, 10)
    assert (len(consumer.delivered), len(mesh["a"].held())) == (10, 10)


def test_the_wish_for_credit_counts_all_types_of_a_pattern(mesh) -> None:
    mesh["b"].push(INVOICE, count=5)
    mesh["b"].push(NOTE, count=7)
    mesh["a"].consumer("billing.*", credit=0)
    mesh.run()
    wishes = [wish for sent in mesh["b"].of(effects.SendBacklog) for wish in sent.wishes]
    assert [(key, wanted) for key, _, wanted in wishes][-1] == ("billing.*", 12)
    mesh["b"].effects.clear()
    here = mesh["b"].consumer(NOTE, credit=7)
    here.ack(*here.take())
    mesh.run()
    (link,) = mesh["b"].brain.interest.links.values()
    assert link.give["billing.*"].surplus == {INVOICE: 5}


def test_everything_moves_however_small_the_window(mesh) -> None:
    for index in range(5):
        mesh["b"].push(f"billing.T{index}", count=9)
    consumer = mesh["a"].consumer("billing.>", credit=2)
    handled = 0
    for _ in range(60):
        mesh.run()
        handled += len(consumer.delivered)
        consumer.ack(*consumer.take())
    assert handled == 45
    assert mesh["a"].held() == mesh["b"].held() == set()


@pytest.mark.parametrize(("here", "there"), [("billing.*", INVOICE), (INVOICE, "billing.*")])
def test_a_local_subscription_comes_first_whichever_way_it_names_the_type(here, there) -> None:
    mesh = Mesh("a", "b", overflow_after_s=1.0)
    mesh.link("a", "b")
    far = mesh["a"].consumer(there, credit=10)
    near = mesh["b"].consumer(here, credit=2)
    mesh.run()
    mesh["b"].push(INVOICE, count=3)
    mesh.run()
    assert (len(near.delivered), len(far.delivered)) == (2, 0)
    mesh.wait(1.5)
    assert (len(near.delivered), len(far.delivered)) == (2, 1), "R3: it overflows"


def test_after_the_last_subscription_to_a_pattern_its_objects_stay_for_a_while() -> None:
    mesh = Mesh("a", "b", transfer_after_s=1.0)
    mesh.link("a", "b")
    far = mesh["a"].consumer("billing.*", credit=10)
    near = mesh["b"].consumer("billing.*", credit=1)
    mesh.run()
    mesh["b"].push(INVOICE, count=3)
    near.unsubscribe()
    mesh.wait(0.9)
    assert far.delivered == []
    mesh.wait(0.2)
    assert len(far.delivered) == 3


def test_a_relay_passes_on_what_a_pattern_wants(mesh) -> None:
    mesh.link("b", "c")
    mesh.run()
    consumer = mesh["c"].consumer("billing.>", credit=3)
    mesh.run()
    mesh["a"].push(DEEP, count=3)
    mesh["a"].push(INVOICE, count=2)
    mesh["a"].push("Order")
    handled = 0
    for _ in range(4):
        mesh.wait(1.0)
        handled += len(consumer.delivered)
        consumer.ack(*consumer.take())
    assert handled == 5
    assert [mesh["a"].item(id_).table.name for id_ in mesh["a"].held()] == ["Order"]
    assert mesh["b"].held() == set()


def test_a_relay_grants_again_when_objects_leave_under_another_key_of_their_type() -> None:
    """Its window for a pattern is taken up by a type that is settled under its own name."""
    mesh = Mesh("a", "b", "c", relay_window=2, transfer_after_s=0.0, overflow_after_s=60.0)
    mesh.link("a", "b")
    mesh.link("b", "c")
    far = mesh["c"].consumer("billing.*", credit=10)
    near = mesh["b"].consumer(INVOICE, credit=2)
    mesh.run()
    mesh["b"].push(INVOICE, count=2)
    mesh["a"].push(NOTE, count=2)
    mesh.run()
    assert (len(near.delivered), far.delivered) == (2, [])
    near.ack(*near.take())
    mesh.run()
    assert len(far.delivered) == 2


def test_nothing_is_left_of_a_pattern_after_the_last_unsubscribe(mesh) -> None:
    mesh.link("b", "c")
    consumers = [mesh[name].consumer(key) for name in "ac" for key in ("billing.*", ">", INVOICE)]
    mesh["b"].push(INVOICE, count=3)
    mesh.wait(1.0)
    for consumer in consumers:
        consumer.ack(*consumer.take())
        consumer.leave()
    mesh.wait(5.0)
    for node in mesh.nodes.values():
        check_no_interest_left(node.brain)


def test_a_link_that_drops_takes_the_patterns_of_its_peer_along(mesh) -> None:
    mesh["b"].push(INVOICE)
    mesh["a"].consumer("billing.*", credit=0)
    mesh.run()
    assert mesh["b"].table(INVOICE).keys == (INVOICE, "billing.*")
    mesh.cut("a", "b")
    assert mesh["b"].table(INVOICE).keys == (INVOICE,)


def test_a_draining_memory_node_hands_what_a_pattern_wants_to_who_wants_it() -> None:
    mesh = Mesh("a", memory=("m", "n"))
    mesh.link("a", "m")
    mesh.link("n", "m")
    mesh["a"].consumer("billing.*", credit=0)
    mesh.run()
    mesh["m"].push(INVOICE, count=3)
    mesh["m"].drain()
    mesh.run()
    assert (len(mesh["a"].held()), len(mesh["n"].held())) == (3, 0)
