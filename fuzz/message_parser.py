"""However a stream is cut, the parser finds the same messages and the same fault in it.

They are those that a plain reading of the gRPC specification finds, and no more than one message
within the limit is ever held. Input: a byte that chooses limit and encoding, then the stream.
"""

from __future__ import annotations

from fuzz import invariant
from trionode.errors import ProtocolError, Status
from trionode.wire.messages import PREFIX_BYTES, MessageParser

MAX_BYTES = 1024
ENCODINGS = ("", "identity", "gzip", "\x00")

Reading = tuple[list[bytes], int, Status | None]
"""The messages, how much of another is there, and why it is refused."""


def read_plainly(stream: bytes, limit: int, encoding: str) -> Reading:
    """The specification, byte for byte."""
    messages = []
    while len(stream) >= PREFIX_BYTES:
        flag, length = stream[0], int.from_bytes(stream[1:PREFIX_BYTES], "big")
        if flag == 1 and encoding not in ("", "identity"):
            return messages, 0, Status.UNIMPLEMENTED
        if flag:
            return messages, 0, Status.INTERNAL
        if length > limit:
            return messages, 0, Status.RESOURCE_EXHAUSTED
        if len(stream) < PREFIX_BYTES + length:
            break
        messages.append(stream[PREFIX_BYTES : PREFIX_BYTES + length])
        stream = stream[PREFIX_BYTES + length :]
    return messages, len(stream), None


def read_in_pieces(stream: bytes, piece_bytes: int, limit: int, encoding: str) -> Reading:
    """What the parser makes of it."""
    parser = MessageParser(limit, encoding)
    messages: list[bytes] = []
    for start in range(0, len(stream), piece_bytes):
        try:
            messages += parser.feed(stream[start : start + piece_bytes])
        except ProtocolError as error:
            return messages, 0, error.grpc_status
        assert parser.buffered_bytes < PREFIX_BYTES + limit, "more than a message is held"
    return messages, parser.buffered_bytes, None


@invariant
def check(data: bytes) -> None:
    choice, stream = data[0] if data else 0, data[1:]
    limit, encoding = choice >> 2, ENCODINGS[choice & 3]
    expected = read_plainly(stream, limit, encoding)
    assert read_in_pieces(stream, 1, limit, encoding) == expected
    for piece_bytes in (2, 7, max(1, len(stream))):
        messages, held_bytes, status = read_in_pieces(stream, piece_bytes, limit, encoding)
        assert (held_bytes, status) == expected[1:]
        # Messages before a fault in the same piece go with it: their call is over.
        complete = messages == expected[0]
        assert complete or (status is not None and messages == expected[0][: len(messages)])
