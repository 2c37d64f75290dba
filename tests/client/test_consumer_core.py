"""The consumer core alone: frames in, frames out."""

from __future__ import annotations

import pytest

from trionode.client.consumer_core import CAREFUL_DELIVERIES, CREDIT_MAX, ConsumerCore
from trionode.client.consumer_stream import ACK, SETTLE_OBJECTS_MAX
from trionode.client.leases import LeaseState
from trionode.client.news import Arrived, Confirmed, Ended
from trionode.errors import ConnectionLost, LeaseLost, ProtocolError, Refused, Status
from trionode.wire.frames import (
    Answered,
    Deliver,
    Lost,
    NodeHello,
    Pushed,
    Settle,
    Started,
    Subscribe,
    Unsubscribe,
)

NACK = ("nack", None, "no", "json")


class Driver:
    """A core with one subscription on one stream."""

    def __init__(self, credit: int = 10) -> None:
        self.core = ConsumerCore()
        self.subscription = self.core.subscribe(["A"], credit, 1000)
        self.stream = self.core.open_stream()
        (subscribe,) = self.stream.next_frames()
        self.stream.receive(Answered(subscribe.number))

    def deliver(self, first: int, count: int, **columns):
        payloads = [b"%d" % number for number in range(first, first + count)]
        return self.stream.receive(
            Deliver(self.subscription.number, "A", [(first, count)], payloads, **columns)
        )

    def take(self, count: int = 1):
        return [self.core.take(self.subscription) for _ in range(count)]

    def take_all(self):
        taken = []
        while (each := self.core.take(self.subscription)) is not None:
            taken.append(each)
        return taken

    def frames(self, kind: type):
        return [frame for frame in self.stream.next_frames() if isinstance(frame, kind)]


def test_a_subscription_goes_to_the_stream_there_is_and_to_each_later_one():
    core = ConsumerCore()
    core.subscribe(["A", "B"], 5, 100)
    stream = core.open_stream()
    core.subscribe(["C"], 1, 100)
    assert stream.next_frames() == [
        Subscribe(1, 1, ["A", "B"], 5, 100),
        Subscribe(2, 2, ["C"], 1, 100),
    ]
    assert stream.next_frames() == []
    stream.lose("gone")
    assert [frame.subscription for frame in core.open_stream().next_frames()] == [1, 2]


@pytest.mark.parametrize(("credit", "credit_bytes"), [(-1, 1), (CREDIT_MAX + 1, 1), (1, 0)])
def test_a_window_that_cannot_be_is_refused(credit, credit_bytes):
    core = ConsumerCore()
    with pytest.raises(ValueError, match="credit"):
        core.subscribe(["A"], credit, credit_bytes)
    subscription = core.subscribe(["A"], 1, 1)
    with pytest.raises(ValueError, match="credit"):
        core.set_credit(subscription, credit, credit_bytes)
    with pytest.raises(ValueError, match="at least one type"):
        core.subscribe([], 1, 1)


def test_deliveries_are_taken_in_order_with_their_columns():
    driver = Driver()
    assert driver.core.take(driver.subscription) is None
    (arrived,) = driver.deliver(100, 2, attempts=[1, 3], details={1: {"failure": "x"}})
    assert isinstance(arrived, Arrived)
    assert arrived.subscription is driver.subscription
    driver.deliver(200, 1, encoding="raw")
    leases = driver.take_all()
    assert [(each.id, each.attempt, each.payload, each.encoding) for each in leases] == [
        (100, 1, b"100", "json"),
        (101, 3, b"101", "json"),
        (200, 1, b"200", "raw"),
    ]
    assert [dict(each.details) for each in leases] == [{}, {"failure": "x"}, {}]


def test_acks_of_one_flush_are_one_frame_of_runs():
    driver = Driver()
    driver.deliver(100, 5)
    for lease in driver.take(5):
        driver.core.settle(lease, ACK)
    (settle,) = driver.frames(Settle)
    assert (settle.action, settle.ids, settle.attempts) == ("ack", [(100, 5)], None)


def test_attempts_are_a_column_only_when_one_is_not_the_first():
    driver = Driver()
    driver.deliver(100, 2, attempts=[1, 2])
    for lease in driver.take(2):
        driver.core.settle(lease, ACK)
    (settle,) = driver.frames(Settle)
    assert settle.attempts == [1, 2]


def test_settles_of_different_ways_are_different_frames():
    driver = Driver()
    driver.deliver(100, 4)
    one, two, three, four = driver.take(4)
    driver.core.settle(one, ("nack", 5000, "later", "json"))
    driver.core.settle(two, ("nack", 5000, "later", "json"))
    driver.core.settle(three, ("reject", None, "bad", "json"))
    driver.core.replace(four, b"new", "raw")
    nack, reject, replace = driver.frames(Settle)
    assert (nack.action, nack.ids, nack.delay_ms, nack.reason) == (
        "nack",
        [(100, 2)],
        5000,
        "later",
    )
    assert (reject.action, reject.ids, reject.reason) == ("reject", [(102, 1)], "bad")
    assert (replace.action, replace.payloads, replace.encoding) == ("replace", [b"new"], "raw")


def test_started_is_told_with_the_next_frames_and_only_when_it_changed():
    driver = Driver()
    driver.deliver(100, 3)
    driver.take(2)
    assert driver.frames(Started) == [Started(1, 2)]
    assert driver.frames(Started) == []
    driver.take(1)
    assert driver.frames(Started) == [Started(1, 3)]


def test_the_first_deliveries_of_a_window_are_to_be_reported_one_by_one():
    driver = Driver(credit=CAREFUL_DELIVERIES + 1)
    driver.deliver(100, CAREFUL_DELIVERIES + 1)
    urgent = [
        driver.core.is_urgent(driver.core.take(driver.subscription))
        for _ in range(CAREFUL_DELIVERIES + 1)
    ]
    assert urgent == [True] * CAREFUL_DELIVERIES + [False]


def test_a_small_window_is_careful_for_no_longer_than_its_credit():
    driver = Driver(credit=3)
    driver.deliver(100, 3)
    assert [driver.core.is_urgent(driver.core.take(driver.subscription)) for _ in range(3)] == [
        True
    ] * 3
    driver.deliver(103, 1)
    assert not driver.core.is_urgent(driver.core.take(driver.subscription))


def test_a_smaller_window_reaches_the_node_before_the_settle_that_follows():
    driver = Driver()
    driver.deliver(100, 2)
    one, _ = driver.take(2)
    driver.core.set_credit(driver.subscription, 1)
    driver.core.settle(one, ACK)
    kinds = [type(frame) for frame in driver.stream.next_frames()]
    assert kinds.index(Subscribe) < kinds.index(Settle)


def test_an_answer_settles_and_only_awaited_leases_are_told():
    driver = Driver()
    driver.deliver(100, 2)
    one, two = driver.take(2)
    two.waiter = object()
    driver.core.settle(one, ACK)
    driver.core.settle(two, ACK)
    (settle,) = driver.frames(Settle)
    (ended,) = driver.stream.receive(Answered(settle.number))
    assert ended.leases == [two]
    assert (one.state, two.state) == (LeaseState.SETTLED, LeaseState.SETTLED)
    assert one.error is None


def test_a_refused_lease_of_a_settle_is_told_with_its_reason_and_the_rest_is_done():
    driver = Driver()
    driver.deliver(100, 2)
    one, two = driver.take(2)
    driver.core.settle(one, ACK)
    driver.core.settle(two, ACK)
    (settle,) = driver.frames(Settle)
    refused = [((101).to_bytes(16, "big"), 1, "leased to another")]
    (ended,) = driver.stream.receive(Answered(settle.number, refused=refused))
    assert ended.leases == [two]
    assert two.state is LeaseState.REFUSED
    assert isinstance(two.error, LeaseLost)
    assert "leased to another" in str(two.error)
    assert one.state is LeaseState.SETTLED


def test_new_content_that_is_refused_is_nacked_because_the_lease_is_valid_still():
    driver = Driver()
    driver.deliver(100, 2)
    one, two = driver.take(2)
    driver.core.replace(one, b"bad", "json")
    driver.core.replace(two, b"good", "json")
    first, second = driver.frames(Settle)
    answer = Answered(first.number, Status.INVALID_ARGUMENT, "not JSON", "look at it")
    (ended,) = driver.stream.receive(answer)
    assert ended.leases == [one]
    assert isinstance(one.error, Refused)
    (nack,) = driver.frames(Settle)
    assert (nack.action, nack.ids) == ("nack", [(100, 1)])
    assert "not JSON" in nack.reason
    assert driver.stream.receive(Answered(nack.number)) == []
    driver.stream.receive(Answered(second.number))
    assert driver.stream.idle


def test_a_refused_settle_of_another_kind_is_not_tried_again():
    driver = Driver()
    driver.deliver(100, 1)
    (lease,) = driver.take(1)
    driver.core.settle(lease, ACK)
    (settle,) = driver.frames(Settle)
    driver.stream.receive(Answered(settle.number, Status.INTERNAL, "oh"))
    assert lease.state is LeaseState.REFUSED
    assert not driver.stream.has_frames
    assert driver.stream.idle


def test_settling_twice_is_a_mistake_and_settling_a_lost_lease_says_why():
    driver = Driver()
    driver.deliver(100, 2)
    one, two = driver.take(2)
    driver.core.settle(one, ACK)
    with pytest.raises(RuntimeError, match="settled already"):
        driver.core.settle(one, NACK)
    (ended,) = driver.stream.receive(Lost([(101, 1)], None, "took too long"))
    assert ended.leases == [two]
    with pytest.raises(LeaseLost, match="took too long"):
        driver.core.settle(two, ACK)


def test_a_lost_lease_that_was_not_taken_is_never_given_and_counts_as_passed():
    driver = Driver()
    driver.deliver(100, 3)
    assert driver.stream.receive(Lost([(100, 2)], [1, 1], "drained")) == []
    assert [each.id for each in driver.take_all()] == [102]
    assert driver.frames(Started) == [Started(1, 3)]


def test_the_loss_of_another_attempt_changes_nothing():
    driver = Driver()
    driver.deliver(100, 1, attempts=[2])
    (lease,) = driver.take(1)
    assert driver.stream.receive(Lost([(100, 1)], [1], "old")) == []
    assert lease.state is LeaseState.HELD


def test_with_its_stream_held_leases_are_lost_and_unanswered_settles_in_doubt():
    driver = Driver()
    driver.deliver(100, 4)
    held, unsent, sent = driver.take(3)
    driver.core.settle(sent, ACK)
    driver.stream.next_frames()
    driver.core.settle(unsent, ACK)
    (ended,) = driver.stream.lose("the cable was cut")
    assert set(ended.leases) == {held, unsent, sent}
    assert (held.state, unsent.state, sent.state) == (
        LeaseState.LOST,
        LeaseState.REFUSED,
        LeaseState.UNKNOWN,
    )
    assert isinstance(sent.error, ConnectionLost)
    assert driver.core.take(driver.subscription) is None
    assert driver.core.streams == []


def test_an_end_settles_by_how_the_block_was_left():
    for failure, actions in (("ValueError: x", ["nack"]), ("", [])):
        driver = Driver()
        driver.deliver(100, 3)
        lease, _ = driver.take(2)
        driver.core.close(driver.subscription, failure)
        made = driver.stream.next_frames()
        assert [each.action for each in made if isinstance(each, Settle)] == actions
        assert isinstance(made[-1], Unsubscribe)
        assert driver.core.take(driver.subscription) is None
        if not failure:
            with pytest.raises(LeaseLost, match="left"):
                driver.core.settle(lease, ACK)


def test_a_subscription_is_closed_once_its_settles_and_its_end_are_answered():
    driver = Driver()
    driver.deliver(100, 1)
    driver.core.settle(driver.take(1)[0], ACK)
    driver.core.close(driver.subscription)
    driver.core.close(driver.subscription)
    settle, unsubscribe = driver.stream.next_frames()
    assert driver.stream.receive(Answered(unsubscribe.number)) == []
    assert not driver.subscription.closed
    (confirmed,) = driver.stream.receive(Answered(settle.number))
    assert isinstance(confirmed, Confirmed)
    assert driver.subscription.closed
    assert not driver.stream.windows


def test_a_lost_stream_closes_what_was_being_closed():
    driver = Driver()
    driver.core.close(driver.subscription)
    driver.stream.next_frames()
    (confirmed,) = driver.stream.lose("gone")
    assert isinstance(confirmed, Confirmed)
    assert driver.subscription.closed


def test_deliveries_that_cross_the_end_are_ignored():
    driver = Driver()
    driver.core.close(driver.subscription)
    assert driver.deliver(100, 1) == []
    (end,) = driver.stream.next_frames()
    driver.stream.receive(Answered(end.number))
    assert driver.deliver(101, 1) == []


def test_a_refused_subscription_fails_and_a_refused_change_only_that_change():
    core = ConsumerCore()
    bad = core.subscribe(["?"], 1, 1)
    good = core.subscribe(["A"], 1, 1)
    stream = core.open_stream()
    one, two = stream.next_frames()
    stream.receive(Answered(one.number, Status.INVALID_ARGUMENT, "no type"))
    stream.receive(Answered(two.number))
    assert isinstance(bad.error, Refused)
    assert good.error is None
    version = core.set_credit(good, 5)
    (three,) = stream.next_frames()
    stream.receive(Answered(three.number, Status.RESOURCE_EXHAUSTED, "too much"))
    assert good.error is None
    assert good.answered == version
    assert isinstance(good.refusals[version], Refused)
    stream.lose("gone")
    assert [frame.types for frame in core.open_stream().next_frames()] == [["A"]]


def test_while_an_old_stream_ends_its_deliveries_take_up_credit_of_the_new_one():
    driver = Driver(credit=5)
    driver.deliver(100, 3)
    held, _ = driver.take(2)
    newer = driver.core.open_stream()
    (subscribe,) = newer.next_frames()
    assert subscribe.credit == 2
    assert driver.stream.leaving
    assert not driver.stream.idle
    driver.core.settle(held, ACK)
    (settle,) = driver.frames(Settle)
    driver.stream.receive(Answered(settle.number))
    (wish,) = newer.next_frames()
    assert wish.credit == 3
    (ended,) = driver.stream.lose("drained")
    assert len(ended.leases) == 1
    (wish,) = newer.next_frames()
    assert wish.credit == 5


def test_a_change_of_the_window_goes_to_the_newest_stream_only():
    driver = Driver()
    newer = driver.core.open_stream()
    newer.next_frames()
    driver.core.set_credit(driver.subscription, 7)
    assert driver.frames(Subscribe) == []
    assert [frame.credit for frame in newer.next_frames()] == [7]


def test_an_abandoned_delivery_is_nacked_if_the_subscription_goes_on():
    driver = Driver()
    driver.deliver(100, 2)
    one, two = driver.take(2)
    driver.core.abandon(one)
    driver.core.abandon(two)
    driver.core.settle(two, ACK)
    driver.core.nack_abandoned(driver.subscription)
    settles = driver.frames(Settle)
    assert {settle.action: settle.ids for settle in settles} == {
        "ack": [(101, 1)],
        "nack": [(100, 1)],
    }
    driver.core.nack_abandoned(driver.subscription)
    assert driver.frames(Settle) == []


def test_the_end_of_the_client_fails_every_subscription():
    driver = Driver()
    driver.deliver(100, 1)
    driver.take(1)
    events = driver.core.fail_all(ConnectionLost("left"))
    assert [type(event) for event in events] == [Ended, Confirmed]
    assert isinstance(driver.subscription.error, ConnectionLost)
    assert not driver.core.wants_stream


@pytest.mark.parametrize("frame", [Pushed([(1, 1)]), Answered(99)])
def test_what_no_node_says_there_is_a_protocol_error(frame):
    driver = Driver()
    with pytest.raises(ProtocolError):
        driver.stream.receive(frame)


def test_a_hello_changes_nothing():
    assert Driver().stream.receive(NodeHello(1, "", "", "", 1, 1)) == []


def test_a_settle_frame_names_so_many_leases_at_most():
    driver = Driver(credit=SETTLE_OBJECTS_MAX + 1)
    driver.deliver(1, SETTLE_OBJECTS_MAX + 1)
    for lease in driver.take_all():
        driver.core.settle(lease, ACK)
    assert [frame.ids for frame in driver.frames(Settle)] == [
        [(1, SETTLE_OBJECTS_MAX)],
        [(SETTLE_OBJECTS_MAX + 1, 1)],
    ]
