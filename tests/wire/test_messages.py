"""Length-prefixed messages survive any splitting, and bad prefixes are refused before buffering."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.errors import ProtocolError, Status
from trionode.wire.messages import MessageParser, encode

LIMIT = 1000
messages = st.lists(st.binary(max_size=40), max_size=8)


def prefixed(flag: int, length: int) -> bytes:
    return struct.pack(">BI", flag, length)


@given(messages)
def test_messages_come_out_of_one_piece_as_they_went_in(sent):
    parser = MessageParser(LIMIT)
    assert parser.feed(b"".join(map(encode, sent))) == sent
    assert parser.buffered_bytes == 0


@given(messages)
def test_messages_come_out_byte_by_byte_as_they_went_in(sent):
    parser = MessageParser(LIMIT)
    received = []
    for byte in b"".join(map(encode, sent)):
        received += parser.feed(bytes([byte]))
    assert received == sent
    assert parser.buffered_bytes == 0


@given(st.data(), messages, st.binary(max_size=30))
def test_any_splitting_gives_what_the_whole_gives(data, sent, rest):
    stream = b"".join(map(encode, sent)) + rest
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))

    def run(pieces):
        parser, received = MessageParser(LIMIT), []
        try:
            for piece in pieces:
                received += parser.feed(piece)
        except ProtocolError as error:
            return "refused", error.grpc_status
        return received, parser.buffered_bytes

    bounds = [0, *cuts, len(stream)]
    pieces = [stream[start:stop] for start, stop in pairwise(bounds)]
    assert run(pieces) == run([stream])


def test_a_message_too_long_is_refused_on_its_prefix():
    parser = MessageParser(LIMIT)
    assert parser.feed(prefixed(0, LIMIT + 1)[:4]) == []
    with pytest.raises(ProtocolError, match="longer than the 1000 allowed") as caught:
        parser.feed(prefixed(0, LIMIT + 1)[4:])
    assert caught.value.grpc_status is Status.RESOURCE_EXHAUSTED


def test_a_message_of_exactly_the_limit_is_taken():
    assert MessageParser(LIMIT).feed(encode(b"x" * LIMIT)) == [b"x" * LIMIT]


@pytest.mark.parametrize(
    ("flag", "encoding", "status"),
    [
        (1, "", Status.INTERNAL),
        (1, "identity", Status.INTERNAL),
        (1, "gzip", Status.UNIMPLEMENTED),
        (2, "gzip", Status.INTERNAL),
        (255, "", Status.INTERNAL),
    ],
)
def test_a_compressed_flag_is_refused_with_the_status_of_the_specification(flag, encoding, status):
    with pytest.raises(ProtocolError) as caught:
        MessageParser(LIMIT, encoding).feed(prefixed(flag, 0))
    assert caught.value.grpc_status is status


def test_an_unfinished_message_is_told_by_its_buffered_bytes():
    parser = MessageParser(LIMIT)
    assert parser.feed(encode(b"abc") + encode(b"def")[:6]) == [b"abc"]
    assert parser.buffered_bytes == 6


def test_what_is_too_long_for_the_prefix_is_not_encoded():
    class Huge(bytes):
        def __len__(self):
            return 2**32

    with pytest.raises(ValueError, match="does not fit"):
        encode(Huge())
