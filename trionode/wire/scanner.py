"""Looks at the nine bytes before each HTTP/2 frame, before h2 sees anything of it.

h2 judges a frame's length only once it has buffered the frame, caps header blocks by the number of
frames, takes any frame after the preface and dies of a GOAWAY. So lengths, header blocks and the
first frame are judged here, frames are counted against their budgets, and GOAWAY is taken out.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import attrs

from trionode.errors import ProtocolError
from trionode.wire.session_events import PeerGoingAway

if TYPE_CHECKING:
    from collections.abc import Callable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES = 9

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
END_STREAM = 0x1
END_HEADERS = 0x4
ACK = 0x1

_PROTOCOL_ERROR = 0x1
_FRAME_SIZE_ERROR = 0x6
_ENHANCE_YOUR_CALM = 0xB
_STREAM_ID = 0x7FFFFFFF
_GOAWAY_BYTES_MIN = 8
_header = struct.Struct(">HBBBI").unpack_from
_goaway = struct.Struct(">II").unpack_from


@attrs.frozen
class FrameLimits:
    """What a frame may be; `header_block_bytes` is for HEADERS with all their CONTINUATIONs."""

    frame_bytes: int
    header_block_bytes: int


class FrameScanner:
    """Splits what a peer sends into bytes for h2 and the GOAWAYs that h2 must not see.

    Args:
        limits: what a frame may be.
        server: whether the client preface comes first.
        on_frame: called with type, flags, length and stream id of each frame as its header is seen;
            may raise ProtocolError.
    """

    __slots__ = (
        "_block_bytes",
        "_block_stream",
        "_goaway",
        "_limits",
        "_on_frame",
        "_partial",
        "_payload_left",
        "_preface_left",
        "_seen_settings",
    )

    def __init__(
        self, limits: FrameLimits, *, server: bool, on_frame: Callable[[int, int, int, int], None]
    ) -> None:
        self._limits = limits
        self._on_frame = on_frame
        self._preface_left = len(PREFACE) if server else 0
        self._partial = b""
        self._payload_left = 0
        self._goaway: bytearray | None = None
        self._block_bytes = 0
        self._block_stream = 0
        self._seen_settings = False

    @property
    def in_header_block(self) -> bool:
        """Whether a header block has begun and its last frame is still to come."""
        return self._block_stream != 0

    @property
    def in_preface(self) -> bool:
        """Whether the client preface and the first SETTINGS are still to come."""
        return not self._seen_settings

    def feed(self, data: bytes) -> list[bytes | PeerGoingAway]:
        """Take the next bytes; give runs of bytes for h2, and the GOAWAYs between them.

        Raises:
            ProtocolError: a frame that is too long, out of place or over a budget.
        """
        if self._partial:
            data = self._partial + data
            self._partial = b""
        out: list[bytes | PeerGoingAway] = []
        end = len(data)
        keep = position = min(self._preface_left, end)
        keep = 0
        self._preface_left -= position
        while position < end:
            if self._payload_left:
                step = min(self._payload_left, end - position)
                self._payload_left -= step
                if self._goaway is not None:
                    self._goaway += data[position : position + step]
                    keep = position + step
                    if not self._payload_left:
                        out.append(self._end_goaway())
                position += step
                continue
            if end - position < HEADER_BYTES:
                break
            is_goaway = self._see_header(data, position)
            if is_goaway:
                if position > keep:
                    out.append(data[keep:position])
                keep = position + HEADER_BYTES
            position += HEADER_BYTES
        if position > keep:
            out.append(data if keep == 0 and position == end else data[keep:position])
        self._partial = data[position:]
        return out

    def _see_header(self, data: bytes, position: int) -> bool:
        """Judge one frame header; whether it begins a GOAWAY."""
        high, low, kind, flags, stream_id = _header(data, position)
        length = high << 8 | low
        stream_id &= _STREAM_ID
        if not self._seen_settings:
            if kind != SETTINGS or flags & ACK or stream_id:
                raise ProtocolError("the first frame is not SETTINGS", h2_code=_PROTOCOL_ERROR)
            self._seen_settings = True
        if length > self._limits.frame_bytes:
            raise ProtocolError(
                f"a frame of {length} bytes is longer than the {self._limits.frame_bytes} allowed",
                h2_code=_FRAME_SIZE_ERROR,
            )
        if kind == SETTINGS and flags & ACK and length:
            # h2 would call it a PROTOCOL_ERROR (RFC 9113 section 6.5).
            raise ProtocolError("a SETTINGS ACK with a payload", h2_code=_FRAME_SIZE_ERROR)
        if self._block_stream or kind in (HEADERS, PUSH_PROMISE):
            self._see_header_block(kind, flags, length, stream_id)
        self._on_frame(kind, flags, length, stream_id)
        self._payload_left = length
        if kind != GOAWAY:
            return False
        if stream_id:
            raise ProtocolError("a GOAWAY on a stream", h2_code=_PROTOCOL_ERROR)
        if length < _GOAWAY_BYTES_MIN:
            raise ProtocolError("a GOAWAY that is too short", h2_code=_FRAME_SIZE_ERROR)
        self._goaway = bytearray()
        return True

    def _see_header_block(self, kind: int, flags: int, length: int, stream_id: int) -> None:
        """Keep count of a header block: one unbroken run of frames on one stream."""
        if self._block_stream:
            if kind != CONTINUATION or stream_id != self._block_stream:
                raise ProtocolError("a frame inside a header block", h2_code=_PROTOCOL_ERROR)
            # An empty CONTINUATION costs a frame: count its header, or it could go on for ever.
            self._block_bytes += length + HEADER_BYTES
        else:
            self._block_bytes = length
        if self._block_bytes > self._limits.header_block_bytes:
            raise ProtocolError("a header block is too long", h2_code=_ENHANCE_YOUR_CALM)
        self._block_stream = 0 if flags & END_HEADERS else stream_id

    def _end_goaway(self) -> PeerGoingAway:
        """Read the GOAWAY that is complete now (RFC 9113 section 6.8)."""
        payload = bytes(self._goaway or b"")
        self._goaway = None
        last_stream_id, code = _goaway(payload)
        return PeerGoingAway(last_stream_id & _STREAM_ID, code, payload[_GOAWAY_BYTES_MIN:])
