"""Header blocks that come again mean, and become, what HPACK's own coder makes of them."""

from __future__ import annotations

import h2.exceptions
import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.sessions import Lone
from trionode.errors import ProtocolError
from trionode.wire import header_blocks
from trionode.wire.header_blocks import BlockDecoder, BlockEncoder

NAMES = st.sampled_from([b":path", b"grpc-status", b"grpc-timeout", b"x-a", b"x-b"])
VALUES = st.sampled_from([b"", b"0", b"1", b"/a/b", b"x" * 40, b"y" * 150])
LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=4)
SIZES = st.sampled_from([0, 50, 100, 200, 4096])
STEPS = st.lists(
    st.one_of(st.tuples(st.just("headers"), LISTS), st.tuples(st.just("size"), SIZES)),
    min_size=1,
    max_size=30,
)


@given(STEPS, st.sampled_from([tuple, hpack.HeaderTuple, hpack.NeverIndexedHeaderTuple]))
def test_every_block_is_decoded_as_by_hpack_itself(steps, kind):
    encoder, ours, plain = hpack.Encoder(), BlockDecoder(), hpack.Decoder()
    for what, value in steps:
        if what == "size":
            if value != encoder.header_table_size:  # hpack loses one that is set again
                encoder.header_table_size = value
            continue
        headers = [kind(each) if kind is tuple else kind(*each) for each in value]
        block = encoder.encode(headers)
        before = list(plain.header_table.dynamic_entries)
        decoded = plain.decode(block, raw=True)
        assert ours.decode(block, raw=True) == decoded
        if before == list(plain.header_table.dynamic_entries):
            plain.decode(block, raw=True)
            assert ours.decode(block, raw=True) == decoded
        assert ours.header_table.dynamic_entries == plain.header_table.dynamic_entries
        assert ours.header_table.maxsize == plain.header_table.maxsize


@given(STEPS)
def test_every_list_is_encoded_as_by_hpack_itself(steps):
    ours, plain, decoder = BlockEncoder(), hpack.Encoder(), hpack.Decoder()
    for what, value in steps:
        if what == "size":
            if value != plain.header_table_size:
                ours.header_table_size = plain.header_table_size = value
            continue
        for _ in range(2):
            block = ours.encode(value)
            assert block == plain.encode(value)
            assert decoder.decode(block, raw=True) == value


def test_a_block_that_changes_nothing_is_worked_out_once():
    encoder, decoder = BlockEncoder(), BlockDecoder()
    headers = [(b":status", b"200"), (b"content-type", b"application/grpc")]
    first, second, third = (encoder.encode(headers) for _ in range(3))
    assert len(first) > len(second)
    assert third is second
    decoder.decode(first, raw=True)
    assert decoder.decode(second, raw=True) is decoder.decode(second, raw=True)


def test_a_block_means_something_else_once_the_table_has_changed():
    encoder, decoder = hpack.Encoder(), BlockDecoder()
    decoder.decode(encoder.encode([(b"x", b"1")]), raw=True)
    newest = encoder.encode([(b"x", b"1")])
    assert decoder.decode(newest, raw=True) == [(b"x", b"1")]
    decoder.decode(encoder.encode([(b"x", b"2")]), raw=True)
    assert decoder.decode(newest, raw=True) == [(b"x", b"2")]


def test_a_size_of_the_table_that_is_set_again_is_still_said():
    encoder, decoder = BlockEncoder(), hpack.Decoder()
    for _ in range(2):
        encoder.header_table_size = 100
    assert decoder.decode(encoder.encode([(b"x", b"1")]), raw=True) == [(b"x", b"1")]
    assert decoder.header_table.maxsize == 100


def test_few_blocks_are_kept():
    decoder, encoder = BlockDecoder(), hpack.Encoder()
    for number in range(1000):
        path = hpack.NeverIndexedHeaderTuple(b"x", b"%d" % number)
        decoder.decode(encoder.encode([path]), raw=True)
    assert len(decoder._memory._known) <= header_blocks.BLOCKS_KEPT


def test_what_is_not_allowed_is_refused_each_time_that_it_comes():
    for _ in range(3):
        with pytest.raises(h2.exceptions.ProtocolError):
            header_blocks.allowed([(b":method", b"POST")], header_blocks.REQUEST)


REQUEST = [(":method", "POST"), (":scheme", "http"), (":path", "/a/b"), (":authority", "x")]
RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
BAD = [("X-Upper", "y"), ("x", "a\nb"), ("connection", "close"), (":x", "y"), ("te", "gzip")]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("part", ["response", "information", "trailers"])
def test_a_client_refuses_what_a_server_may_not_say(part, bad):
    lone = Lone(client=True).greet()
    stream = lone.session.open_stream([(n.encode(), v.encode()) for n, v in REQUEST])
    good = lone.frames.headers(stream, RESPONSE)
    said = {
        "response": lambda: lone.frames.headers(stream, [*RESPONSE, bad]),
        "information": lambda: lone.frames.headers(stream, [(":status", "103"), bad]),
        "trailers": lambda: good + lone.frames.headers(stream, [bad], end=True),
    }[part]
    with pytest.raises(ProtocolError):
        lone.receive(said())
    assert lone.goaway().error_code == 1


def test_cookies_are_joined_as_http2_says():
    cookies = [(b"cookie", b"a=1"), (b"cookie", b"b=2")]
    request = [(name.encode(), value.encode()) for name, value in REQUEST]
    assert header_blocks.allowed(request + cookies, header_blocks.REQUEST) == [
        *request,
        (b"cookie", b"a=1; b=2"),
    ]


def test_a_smaller_table_that_a_peer_asks_for_is_said_in_the_first_block():
    lone = Lone(settings={1: 100}).greet()
    lone.receive(lone.frames.headers(1, REQUEST, end=True))
    lone.session.send_headers(1, [(b":status", b"200")])
    (frame,) = lone.sent()
    assert hpack.Decoder().decode(frame.data, raw=True) == [(b":status", b"200")]
    assert frame.data[0] & 0xE0 == 0x20
