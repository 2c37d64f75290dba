"""Frames survive the wire; whatever is not a frame is refused as one kind of error."""

from __future__ import annotations

from typing import Any

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import EACH, any_frame
from trionode.errors import ProtocolError, Refused, Status
from trionode.ids import SEQUENCE_MASK, object_id
from trionode.schema.definition import Definition
from trionode.wire import frames
from trionode.wire.checks import MAX_DETAIL_DEPTH, MAX_OBJECTS
from trionode.wire.codec import (
    CODECS,
    MAX_CONTAINERS,
    MAX_ERROR_CHARACTERS,
    MESSAGEPACK,
    UnknownFrame,
    codec_for,
)
from trionode.wire.kinds import FIRST_OPTIONAL_KIND, KIND_OF, KINDS

FRAME_OR_ERROR = (*KINDS.values(), UnknownFrame, ProtocolError)
ID = object_id(7, 1).to_bytes(16, "big")


def fields_of(frame: Any) -> tuple[int, dict[str, Any]]:
    kind, fields = msgpack.unpackb(MESSAGEPACK.encode(frame), strict_map_key=False)
    return kind, fields


def message(kind: Any, fields: Any) -> bytes:
    return msgpack.packb([kind, fields])


def refusal(data: bytes) -> ProtocolError:
    with pytest.raises(ProtocolError) as caught:
        MESSAGEPACK.decode(data)
    return caught.value


def outcome(data: bytes) -> Any:
    """What decoding gives: a frame, or the one kind of error that it may raise."""
    try:
        return MESSAGEPACK.decode(data)
    except ProtocolError as error:
        return error


def refused(frame: type, **fields: Any) -> str:
    error = refusal(message(KIND_OF[frame], fields))
    assert error.grpc_status is Status.INVALID_ARGUMENT
    return str(error)


def settle_with(*emitted: frames.Emission, action: str = "ack") -> frames.Settle:
    return frames.Settle(1, action, [(object_id(7, 1), 1)], emitted=list(emitted))


PARTS = {Definition, frames.Emission}
"""What stands in frames and is none."""


def test_every_frame_class_has_a_kind_and_a_strategy():
    classes = {
        value
        for value in vars(frames).values()
        if isinstance(value, type) and attrs.has(value) and value not in PARTS
    }
    assert classes == set(KIND_OF) == set(EACH)


def test_kinds_are_what_was_published():
    assert {kind: frame.__name__ for kind, frame in KINDS.items()} == {
        1: "ClientHello",
        2: "NodeHello",
        3: "Push",
        4: "Pushed",
        5: "PushRefused",
        6: "Subscribe",
        7: "Unsubscribe",
        8: "Deliver",
        9: "Started",
        10: "Settle",
        11: "Answered",
        12: "Lost",
        13: "Watch",
        14: "Copies",
        16: "LinkHello",
        17: "Interest",
        18: "LinkCredit",
        19: "Offer",
        20: "OfferAnswer",
        21: "CloseOffers",
        22: "AskOffers",
        32: "PushRequest",
        33: "PushReply",
        34: "DefineRequest",
        35: "DefineReply",
        36: "TypesRequest",
        37: "TypesReply",
        38: "StatusRequest",
        39: "StatusReply",
        40: "PingRequest",
        41: "QueryRequest",
        42: "QueryReply",
        48: "ObjectsRequest",
        49: "ObjectsReply",
        50: "DeadLettersRequest",
        51: "DeadLettersReply",
        52: "ExplainRequest",
        53: "ExplainReply",
        54: "ForgetRequest",
        55: "ForgetReply",
        64: "Draining",
        65: "Backlog",
        66: "Peers",
        67: "Question",
        68: "Reply",
        69: "RepliesEnd",
        72: "Heard",
        80: "KeysSettled",
        81: "AskKeys",
    }


@given(any_frame)
def test_what_is_encoded_is_decoded_to_an_equal_frame(frame):
    assert MESSAGEPACK.decode(MESSAGEPACK.encode(frame)) == frame


@given(any_frame)
def test_unknown_fields_are_ignored(frame):
    kind, fields = fields_of(frame)
    assert MESSAGEPACK.decode(message(kind, {**fields, "of the future": [1, {"a": b"b"}]})) == frame


def test_fields_of_default_value_do_not_travel():
    assert fields_of(frames.Push("Order", 1, [b"{}"])) == (
        3,
        {"type": "Order", "first": 1, "payloads": [b"{}"]},
    )


def test_runs_travel_as_sixteen_bytes_and_a_count():
    _, fields = fields_of(frames.Settle(1, "ack", [(object_id(7, 1), 3)]))
    assert fields["ids"] == [[ID, 3]]


@given(st.binary(max_size=64))
def test_any_bytes_are_a_frame_or_one_kind_of_error(data):
    assert isinstance(outcome(data), FRAME_OR_ERROR)


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=4)
    | st.binary(max_size=17),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.integers(0, 3) | st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=6,
)


@given(any_frame, st.data())
def test_a_frame_with_a_field_of_another_value_is_that_frame_or_one_kind_of_error(frame, data):
    kind, fields = fields_of(frame)
    names = [attribute.name for attribute in attrs.fields(type(frame))] or ["nothing"]
    damaged = {**fields, data.draw(st.sampled_from(names)): data.draw(junk)}
    found = outcome(message(kind, damaged))
    if isinstance(found, ProtocolError):
        assert found.grpc_status is Status.INVALID_ARGUMENT
        assert len(str(found)) <= MAX_ERROR_CHARACTERS
    else:
        assert MESSAGEPACK.decode(MESSAGEPACK.encode(found)) == found


@given(any_frame, st.data())
def test_a_flipped_bit_gives_a_frame_or_one_kind_of_error(frame, data):
    encoded = bytearray(MESSAGEPACK.encode(frame))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert isinstance(outcome(bytes(encoded)), FRAME_OR_ERROR)


@given(any_frame, st.data())
def test_a_cut_message_is_refused(frame, data):
    encoded = MESSAGEPACK.encode(frame)
    cut = encoded[: data.draw(st.integers(0, len(encoded) - 1))]
    assert refusal(cut).grpc_status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "data",
    [
        message(3, []),
        message(3, None),
        message("3", {}),
        message(True, {}),
        message(-1, {}),
        message(None, {}),
        msgpack.packb({}),
        msgpack.packb([3]),
        msgpack.packb([3, {}, {}]),
        msgpack.packb([38, {}]) + b"\x00",
    ],
)
def test_a_message_that_is_no_kind_and_fields_is_refused(data):
    assert refusal(data).grpc_status is Status.INVALID_ARGUMENT


def test_an_unknown_optional_kind_is_told_apart_whatever_it_holds():
    assert MESSAGEPACK.decode(message(FIRST_OPTIONAL_KIND + 30, [1])) == UnknownFrame(94)


def test_an_unknown_required_kind_is_unimplemented():
    error = refusal(message(63, {}))
    assert error.grpc_status is Status.UNIMPLEMENTED
    assert "63" in str(error)


def test_the_error_names_every_field_that_is_wrong():
    told = refused(frames.Push, type=5, first=-1, payloads=["x"])
    assert told == (
        "expected a text, got int @ Push.type; "
        "expected an integer from 0 to 2^63 - 1, got -1 @ Push.first; "
        "expected a list of payloads (bytes) @ Push.payloads"
    )


def test_a_missing_field_is_named():
    assert "missing field 'subscription'" in refused(frames.Unsubscribe, number=1)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, -1, 2**63, 2**64 - 1])
def test_a_number_is_an_unsigned_integer_and_nothing_else(value):
    refused(frames.Unsubscribe, number=value, subscription=1)


@pytest.mark.parametrize("column", [[True], [1.0], [-1], [2**63], 5, "1", {}])
def test_a_column_of_numbers_holds_unsigned_integers(column):
    refused(frames.OfferAnswer, incarnation=1, sequence=1, refused=column)


@pytest.mark.parametrize("status", [17, -1, "OK", True])
def test_a_status_is_one_of_grpcs(status):
    refused(frames.Answered, number=1, status=status)


@pytest.mark.parametrize(
    "ids",
    [
        [[ID, 0]],
        [[ID, -1]],
        [[ID, True]],
        [[ID[:15], 1]],
        [[ID + b"\0", 1]],
        [[1, 1]],
        [[ID]],
        [[ID, 1, 1]],
        [b"x"],
        {},
        None,
        [[object_id(7, 0).to_bytes(16, "big"), 1]],
        [[object_id(7, SEQUENCE_MASK).to_bytes(16, "big"), 2]],
        [[b"\xff" * 16, 2]],
        [[ID, MAX_OBJECTS + 1]],
        [[ID, MAX_OBJECTS], [ID, 1]],
        [[ID, 2**63 - 1]],
    ],
)
def test_a_run_that_names_no_ids_or_too_many_is_refused(ids):
    refused(frames.Settle, number=1, action="ack", ids=ids)


def test_a_run_may_name_as_many_ids_as_a_frame_may():
    frame = frames.Settle(1, "return", [(object_id(7, 1), MAX_OBJECTS)])
    assert MESSAGEPACK.decode(MESSAGEPACK.encode(frame)) == frame


def offer_of_two(shared, details=None):
    ids = [(object_id(7, 1), 2)]
    return frames.Offer(
        1, "A", 1, "A", ids, [b""] * 2, [1, 1], details=details or {}, shared=shared
    )


@pytest.mark.parametrize(
    ("frame", "changes"),
    [
        (frames.Deliver(1, "A", [(object_id(7, 1), 2)], [b""]), {}),
        (frames.Deliver(1, "A", [(object_id(7, 1), 1)], [b""], attempts=[1, 2]), {}),
        (frames.Deliver(1, "A", [(object_id(7, 1), 1)], [b""], details={1: {}}), {}),
        (frames.Push("A", 1, [b""], details={1: {}}), {}),
        (frames.Push("A", 0, [b""]), {}),
        (frames.Push("A", SEQUENCE_MASK, [b"", b""]), {}),
        (frames.Settle(1, "replace", [(object_id(7, 1), 2)], payloads=[b""]), {}),
        (frames.Settle(1, "ack", [(object_id(7, 1), 2)], attempts=[1]), {}),
        (frames.Settle(1, "forget", []), {}),
        (settle_with(frames.Emission(1, "A", 1, [b""])), {}),
        (settle_with(frames.Emission(0, "A", 0, [b""])), {}),
        (settle_with(frames.Emission(0, "A", SEQUENCE_MASK, [b"", b""])), {}),
        (settle_with(frames.Emission(0, "A", 1, [b""], details={1: {}})), {}),
        (settle_with(*[frames.Emission(0, "A", 1, [b""])] * 2), {}),
        (settle_with(frames.Emission(0, "A", 5, [b""])), {"acknowledged": 5}),
        (settle_with(frames.Emission(0, "A", 1, [b""]), action="nack"), {}),
        (frames.Pushed([(1, 1)], [(1, b"short")]), {}),
        (frames.Lost([(object_id(7, 1), 2)], [1], ""), {}),
        (frames.Offer(1, "A", 1, "A", [(object_id(7, 1), 1)], [b""], []), {}),
        (frames.Offer(1, "A", 1, "A", [(object_id(7, 1), 1)], [], [1]), {}),
        (frames.Offer(1, "A", 1, "A", [(object_id(7, 1), 1)] * 2, [b""] * 2, [1, 1]), {}),
        (offer_of_two([(0, 3, {})]), {}),
        (offer_of_two([(0, 0, {})]), {}),
        (offer_of_two([(0, 2, {}), (1, 1, {})]), {}),
        (offer_of_two([(0, 2, {})], {1: {}}), {}),
        (frames.Interest(False, ["A"], [[]], ["n"], [1], [1], []), {}),
        (frames.LinkCredit(["A"], [1], [1], []), {}),
        (frames.Backlog(["A"], [1], []), {}),
        (frames.CloseOffers([1], []), {}),
        (frames.AskOffers(1, 1, [1], []), {}),
        (frames.Peers(["n"], [], ["a"]), {}),
        (frames.Question(b"short", "explain", b"", 1, 1), {}),
        (frames.RepliesEnd(b"short"), {}),
        (frames.DeadLettersRequest("bury", "A"), {}),
        (frames.DeadLettersReply(1, ["a"], []), {}),
        (frames.Reply(b"short", "n", "left", "a"), {}),
        (frames.Reply(bytes(16), "n", "left", "a", known_nodes=["m"]), {}),
        (frames.Pushed([(0, 1)]), {}),
        (frames.Pushed([(1, 0)]), {}),
        (frames.Pushed([(1, MAX_OBJECTS + 1)]), {}),
        (frames.Pushed([(SEQUENCE_MASK, 2)]), {}),
        (frames.PushRefused(1, 0, Status.OK, ""), {}),
        (frames.ClientHello(producer=b"short"), {}),
        (frames.Pushed([]), {"sequences": [[1]]}),
        (frames.Pushed([]), {"sequences": 1}),
        (frames.Answered(1), {"refused": [[ID, 1]]}),
        (frames.Answered(1), {"refused": [[b"", 1, ""]]}),
        (frames.Answered(1), {"refused": 1}),
        (frames.Interest(False, [], [], [], [], [], []), {"paths": [[1]]}),
        (frames.Interest(False, [], [], [], [], [], []), {"paths": "ab"}),
        (frames.Interest(False, [], [], [], [], [], []), {"definitions": [1]}),
        (frames.TypesReply([]), {"definitions": [{"type": "A"}]}),
    ],
)
def test_columns_and_ranges_that_contradict_each_other_are_refused(frame, changes):
    kind, fields = fields_of(frame)
    error = refusal(message(kind, {**fields, **changes}))
    assert error.grpc_status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "details",
    [
        5,
        {"0": {}},
        {-1: {}},
        {True: {}},
        {0: []},
        {0: {1: 2}},
        {0: {"deadline_ms": -1}},
        {0: {"deadline_ms": 1.5}},
        {0: {"priority": "high"}},
        {0: {"path": [1]}},
        {0: {"path": "n1"}},
        {0: {"hops": None}},
        {0: {"history": {}}},
        {0: {"dead": 1}},
        {0: {"possibly_duplicate": 1}},
        {0: {"due": 1}},
        {0: {"deadline": 1}},
        {0: {"of the future": {1: 2}}},
    ],
)
def test_details_of_another_shape_are_refused(details):
    refused(frames.Push, type="A", first=1, payloads=[b""], details=details)


def nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def test_details_nest_as_deep_as_is_allowed_and_no_deeper():
    deep = frames.Push("A", 1, [b""], details={0: {"x": nested(MAX_DETAIL_DEPTH)}})
    assert MESSAGEPACK.decode(MESSAGEPACK.encode(deep)) == deep
    refused(
        frames.Push,
        type="A",
        first=1,
        payloads=[b""],
        details={0: {"x": nested(MAX_DETAIL_DEPTH + 1)}},
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdd\x00\x0f\xff\xff" * 400 + bytes(1000),
        b"\x91" * 100_000 + b"\xc0",
        b"\xdc\x00\x02\x03\x81\xa1x" + b"\xdd\x00\x05\x00\x00" + b"\x80" * 0x50000,
        b"\x92\x03\xc7\x01\x05\x00",
        b"\x92\x03\xd6\xff\x00\x00\x00\x00",
        b"\x92\x03\x81\x91\x00\x00",
        b"\x92\x03\x81\xa1\xff\x00",
        b"\xc1",
    ],
    ids=[
        "huge array",
        "huge map",
        "huge bytes",
        "huge arrays in each other",
        "deep nesting",
        "very many empty maps",
        "extension",
        "timestamp with a damaged body",
        "array as key",
        "text that is no UTF-8",
        "never used byte",
    ],
)
def test_bombs_and_strange_messagepack_are_refused(data):
    assert refusal(data).grpc_status is Status.INVALID_ARGUMENT


def test_as_many_containers_as_allowed_pass():
    fields = {"x": [[]] * (MAX_CONTAINERS - 3)}
    assert MESSAGEPACK.decode(message(38, fields)) == frames.StatusRequest()
    refusal(message(38, {"x": [[]] * (MAX_CONTAINERS - 2)}))


def test_a_timestamp_in_details_is_refused():
    data = message(3, {"type": "A", "first": 1, "payloads": [b""], "details": {0: {"x": 1}}})
    stamped = data.replace(b"\xa1x\x01", b"\xa1x\xd6\xff\x00\x00\x00\x01")
    assert "plain values" in str(refusal(stamped))


def test_text_that_is_no_unicode_is_escaped_rather_than_lost():
    told = MESSAGEPACK.decode(MESSAGEPACK.encode(frames.Settle(1, "nack", [], reason="x\udcff")))
    assert told == frames.Settle(1, "nack", [], reason="x\\udcff")


def test_an_account_of_garbage_is_short():
    assert len(refused(frames.Settle, number=1, action="x" * 10_000, ids=[])) <= 500


def test_codecs_are_found_by_content_type():
    assert codec_for("application/grpc+msgpack") is MESSAGEPACK
    assert codec_for("application/grpc", "msgpack") is MESSAGEPACK
    assert codec_for("Application/gRPC+MsgPack; charset=utf-8") is MESSAGEPACK
    assert dict(CODECS) == {"application/grpc+msgpack": MESSAGEPACK}


def test_an_unknown_content_type_is_unimplemented_and_says_what_is_known():
    with pytest.raises(Refused) as caught:
        codec_for("application/grpc+thrift")
    assert caught.value.grpc_status is Status.UNIMPLEMENTED
    assert "application/grpc+msgpack" in str(caught.value)
