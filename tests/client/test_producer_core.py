"""The producer core alone: frames in, frames out."""

from __future__ import annotations

import pytest

from trionode.client.producer_core import (
    FRAME_BYTES_MAX,
    FRAME_OBJECTS_MAX,
    PendingPush,
    ProducerCore,
    PushState,
    Shape,
)
from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.ids import format_id, object_id
from trionode.wire.frames import Deliver, NodeHello, Pushed, PushRefused

PRODUCER = bytes(range(10))
A = Shape("A")
B = Shape("B")
PLENTY = 10 * FRAME_BYTES_MAX


def core(*, opened: bool = True) -> ProducerCore:
    made = ProducerCore(PRODUCER, name="me", version="1")
    if opened:
        made.open_stream()
    return made


def push(producer: ProducerCore, *payloads: bytes, shape: Shape = A) -> list[PendingPush]:
    pushes = [PendingPush(shape, payload) for payload in payloads]
    for each in pushes:
        producer.push(each)
    return pushes


def sent(producer: ProducerCore, limit_bytes: int = PLENTY):
    made, _ = producer.next_frames(limit_bytes)
    return made


def test_a_producers_id_has_eighty_bits():
    with pytest.raises(ValueError, match="10 bytes"):
        ProducerCore(b"short")


def test_a_stream_begins_with_who_we_are_and_up_to_where_we_know():
    producer = core(opened=False)
    push(producer, b"1")
    assert sent(producer) == []
    hello = producer.open_stream()
    assert (hello.producer, hello.name, hello.acknowledged) == (PRODUCER, "me", 0)
    sent(producer)
    producer.receive(Pushed([(1, 1)]))
    assert producer.open_stream().acknowledged == 1


def test_what_waits_is_one_frame_per_shape_with_sequences_in_a_row():
    producer = core()
    pushes = push(producer, b"1", b"2") + push(producer, b"3", shape=B) + push(producer, b"4")
    one, two = sent(producer)
    assert (one.type, one.first, one.payloads) == ("A", 1, [b"1", b"2", b"4"])
    assert (two.type, two.first, two.payloads) == ("B", 4, [b"3"])
    assert [each.sequence for each in pushes] == [1, 2, 4, 3]
    assert producer.text_id_of(pushes[0]) == format_id(producer.id_of(pushes[0]))
    assert producer.id_of(pushes[0]) == object_id(int.from_bytes(PRODUCER, "big"), 1)


def test_an_object_that_was_not_sent_has_no_id():
    with pytest.raises(ValueError, match="no id yet"):
        core().id_of(PendingPush(A, b""))


def test_a_frame_holds_so_many_objects_and_bytes():
    producer = core()
    push(producer, *[b""] * (FRAME_OBJECTS_MAX + 1))
    assert [len(frame.payloads) for frame in sent(producer)] == [FRAME_OBJECTS_MAX, 1]
    push(producer, b"x" * FRAME_BYTES_MAX, b"y", b"z")
    assert [len(frame.payloads) for frame in sent(producer)] == [1, 2]


def test_a_turn_makes_about_as_many_bytes_as_it_may():
    producer = core()
    push(producer, *[b"x" * FRAME_BYTES_MAX] * 3)
    assert len(sent(producer, 1)) == 1
    assert producer.has_unsent
    assert len(sent(producer, 2 * FRAME_BYTES_MAX)) == 2
    assert not producer.has_unsent


def test_answers_tell_the_outcomes_once():
    producer = core()
    one, two, three = push(producer, b"1", b"2", b"3")
    sent(producer)
    assert producer.has_sent
    assert producer.receive(Pushed([(1, 1), (3, 1)])) == [one, three]
    assert producer.receive(Pushed([(1, 3)])) == [two]
    assert producer.receive(Pushed([(1, 3)])) == []
    assert (one.state, one.payload, one.size_bytes) == (PushState.PUSHED, b"", 1)
    assert producer.acknowledged == 3
    assert not producer.wants_stream
    assert not producer.has_sent


def test_a_refusal_is_the_error_of_its_pushes():
    producer = core()
    one, two = push(producer, b"1", b"2")
    sent(producer)
    refused = PushRefused(1, 2, Status.INVALID_ARGUMENT, "no", "look")
    assert producer.receive(refused) == [one, two]
    assert isinstance(one.error, Refused)
    assert (one.error.grpc_status, one.error.hint) == (Status.INVALID_ARGUMENT, "look")
    assert producer.acknowledged == 2


def test_the_floor_of_acknowledgements_stops_at_the_first_gap():
    producer = core()
    push(producer, b"1", b"2", b"3")
    sent(producer)
    producer.receive(Pushed([(2, 2)]))
    assert producer.acknowledged == 0
    producer.receive(Pushed([(1, 1)]))
    push(producer, b"4")
    assert [frame.acknowledged for frame in sent(producer)] == [3]


def test_after_a_loss_the_unacknowledged_go_first_and_under_their_numbers():
    producer = core()
    push(producer, b"1", b"2", b"3", b"4")
    sent(producer)
    producer.receive(Pushed([(2, 1)]))
    producer.lose_stream()
    push(producer, b"5")
    assert sent(producer) == []
    producer.open_stream()
    assert [(frame.first, frame.payloads) for frame in sent(producer)] == [
        (1, [b"1"]),
        (3, [b"3", b"4"]),
        (5, [b"5"]),
    ]


def test_what_goes_again_keeps_to_the_bounds_of_a_frame():
    producer = core()
    push(producer, b"x" * FRAME_BYTES_MAX, b"y")
    push(producer, b"z", shape=B)
    push(producer, *[b""] * (FRAME_OBJECTS_MAX + 1), shape=B)
    sent(producer)
    producer.open_stream()
    again = [len(frame.payloads) for frame in sent(producer)]
    assert again == [1, 1, FRAME_OBJECTS_MAX, 2]


def test_what_was_withdrawn_is_not_sent_or_not_sent_again():
    producer = core()
    one, two = push(producer, b"1", b"2")
    assert producer.withdraw(one) is True
    assert [frame.payloads for frame in sent(producer)] == [[b"2"]]
    assert producer.withdraw(two) is False
    assert producer.withdraw(two) is False
    producer.open_stream()
    assert sent(producer) == []
    assert producer.acknowledged == 1


def test_an_answer_to_what_was_withdrawn_tells_nobody():
    producer = core()
    one, two = push(producer, b"1", b"2")
    sent(producer)
    producer.withdraw(one)
    producer.withdraw(two)
    assert producer.receive(Pushed([(1, 1)])) == []
    assert producer.receive(PushRefused(2, 1, Status.INTERNAL, "")) == []
    assert one.state is two.state is PushState.WITHDRAWN


def test_a_payload_that_no_node_takes_fails_without_a_number():
    producer = core()
    producer.receive(NodeHello(1, "", "", "", 1, 2))
    small, large, other = push(producer, b"12", b"123", b"34")
    made, oversized = producer.next_frames(PLENTY)
    assert [frame.payloads for frame in made] == [[b"12", b"34"]]
    assert oversized == [large]
    assert isinstance(large.error, Refused)
    assert (small.sequence, large.sequence, other.sequence) == (1, 0, 2)


def test_a_refused_stream_fails_what_was_sent_and_keeps_what_was_not():
    producer = core()
    (one,) = push(producer, b"1")
    sent(producer)
    push(producer, b"2")
    error = Refused(Status.PERMISSION_DENIED, "no")
    assert producer.fail_sent(error) == [one]
    assert one.error is error
    producer.open_stream()
    assert [frame.payloads for frame in sent(producer)] == [[b"2"]]


def test_the_end_fails_everything():
    producer = core()
    (one,) = push(producer, b"1")
    sent(producer)
    (two,) = push(producer, b"2", shape=B)
    error = ConnectionLost("left")
    assert producer.fail_all(error) == [one, two]
    assert one.error is two.error is error
    assert not producer.wants_stream


def test_what_no_node_says_there_is_a_protocol_error():
    with pytest.raises(ProtocolError, match="Deliver has no place"):
        core().receive(Deliver(1, "A", [], []))
