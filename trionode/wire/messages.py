"""gRPC's length-prefixed messages: one flag byte, four length bytes, then the message.

The parser takes a stream's bytes in whatever pieces they come (a message may span many DATA
frames and a frame may hold many messages) and never buffers more than one message that it has
already found to be within the limit.
"""

from __future__ import annotations

import struct

from trionode.errors import ProtocolError, Status

PREFIX_BYTES = 5
MAX_LENGTH = 2**32 - 1
"""What fits in the prefix; every real limit is far below."""

_PREFIX = struct.Struct(">BI")
_pack_prefix = _PREFIX.pack
_unpack_prefix = _PREFIX.unpack_from


def prefix(message: bytes) -> bytes:
    """The five bytes that go before an uncompressed message.

    Raises:
        ValueError: the message is longer than the prefix can say.
    """
    if len(message) > MAX_LENGTH:
        raise ValueError(
            f"a message of {len(message)} bytes does not fit a length-prefixed message"
        )
    return _pack_prefix(0, len(message))


def encode(message: bytes) -> bytes:
    """The message with its prefix."""
    return prefix(message) + message


class MessageParser:
    """Cuts a stream's bytes into messages, in linear time however they are split.

    Args:
        max_message_bytes: a longer message is refused on sight of its prefix.
        encoding: the request's or response's `grpc-encoding`, empty when it names none.
    """

    __slots__ = ("_encoding", "_have_bytes", "_max_message_bytes", "_need_bytes", "_pieces")

    def __init__(self, max_message_bytes: int, encoding: str = "") -> None:
        self._max_message_bytes = max_message_bytes
        self._encoding = encoding
        self._pieces: list[bytes] = []
        self._have_bytes = 0
        self._need_bytes = PREFIX_BYTES

    @property
    def buffered_bytes(self) -> int:
        """How much of an unfinished message is held; 0 at a message boundary."""
        return self._have_bytes

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and give the messages they complete.

        Raises:
            ProtocolError: a message is too long (RESOURCE_EXHAUSTED) or compressed (INTERNAL or
                UNIMPLEMENTED); nothing more can be read from the stream.
        """
        if self._have_bytes:
            self._pieces.append(data)
            self._have_bytes += len(data)
            if self._have_bytes < self._need_bytes:
                return []
            data = b"".join(self._pieces)
            self._pieces.clear()
        messages: list[bytes] = []
        start = 0
        end = len(data)
        need_bytes = PREFIX_BYTES
        while end - start >= PREFIX_BYTES:
            flag, length = _unpack_prefix(data, start)
            if flag or length > self._max_message_bytes:
                self._refuse(flag, length)
            stop = start + PREFIX_BYTES + length
            if stop > end:
                need_bytes = PREFIX_BYTES + length
                break
            messages.append(data[start + PREFIX_BYTES : stop])
            start = stop
        self._have_bytes = end - start
        self._need_bytes = need_bytes
        if start < end:
            self._pieces.append(data[start:] if start else data)
        return messages

    def _refuse(self, flag: int, length: int) -> None:
        """Say what is wrong with a prefix (compression in the gRPC over HTTP/2 specification)."""
        if flag > 1:
            raise ProtocolError(f"the compressed flag of a message is {flag}, not 0 or 1")
        if flag and self._encoding in ("", "identity"):
            raise ProtocolError("a message is compressed, but no grpc-encoding was named")
        if flag:
            raise ProtocolError(
                f"messages compressed with {self._encoding!r} are not supported",
                grpc_status=Status.UNIMPLEMENTED,
            )
        raise ProtocolError(
            f"a message of {length} bytes is longer than the {self._max_message_bytes} allowed",
            grpc_status=Status.RESOURCE_EXHAUSTED,
        )
