"""HTTP/2 frames made by hand and taken apart again, for peers that no library would play."""

from __future__ import annotations

import struct

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class FrameFactory:
    """Builds a peer's frames; its HPACK encoder remembers, as a real one does."""

    def __init__(self) -> None:
        self.encoder = Encoder()
        self.decoder = Decoder()

    def preface(self, settings: dict[int, int] | None = None, *, client: bool = True) -> bytes:
        return (PREFACE if client else b"") + self.settings(settings or {})

    def settings(self, settings: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
        frame = SettingsFrame(0, settings or {})
        if ack:
            frame.flags.add("ACK")
        return frame.serialize()

    def headers(
        self,
        stream_id: int,
        headers: list[tuple[str, str]],
        *,
        end: bool = False,
        end_headers: bool = True,
    ) -> bytes:
        frame = HeadersFrame(stream_id, self.encoder.encode(headers))
        if end_headers:
            frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame.serialize()

    def request(
        self,
        stream_id: int,
        path: str = "/test/Echo",
        *extra: tuple[str, str],
        method: str = "POST",
        content_type: str = "application/grpc",
        end: bool = False,
    ) -> bytes:
        headers = [
            (":path", path),
            (":method", method),
            (":scheme", "http"),
            (":authority", "node"),
            ("te", "trailers"),
            ("content-type", content_type),
            *extra,
        ]
        return self.headers(stream_id, headers, end=end)

    def response(self, stream_id: int) -> bytes:
        return self.headers(stream_id, [(":status", "200"), ("content-type", "application/grpc")])

    def trailers(self, stream_id: int, status: int = 0, *extra: tuple[str, str]) -> bytes:
        return self.headers(stream_id, [("grpc-status", str(status)), *extra], end=True)

    def continuation(self, stream_id: int, block: bytes, *, end_headers: bool = False) -> bytes:
        frame = ContinuationFrame(stream_id, block)
        if end_headers:
            frame.flags.add("END_HEADERS")
        return frame.serialize()

    def data(
        self, stream_id: int, data: bytes, *, end: bool = False, pad_length: int | None = None
    ) -> bytes:
        frame = DataFrame(stream_id, data)
        if end:
            frame.flags.add("END_STREAM")
        if pad_length is not None:
            frame.flags.add("PADDED")
            frame.pad_length = pad_length
        return frame.serialize()

    def message(self, stream_id: int, message: bytes, *, end: bool = False) -> bytes:
        return self.data(stream_id, struct.pack(">BI", 0, len(message)) + message, end=end)

    def ping(self, payload: bytes = b"12345678", *, ack: bool = False) -> bytes:
        frame = PingFrame(0, payload)
        if ack:
            frame.flags.add("ACK")
        return frame.serialize()

    def reset(self, stream_id: int, code: int = 8) -> bytes:
        return RstStreamFrame(stream_id, code).serialize()

    def window_update(self, stream_id: int, increment: int) -> bytes:
        return WindowUpdateFrame(stream_id, increment).serialize()

    def goaway(self, last_stream_id: int, code: int = 0, debug: bytes = b"") -> bytes:
        return GoAwayFrame(0, last_stream_id, code, debug).serialize()

    def priority(self, stream_id: int) -> bytes:
        frame = PriorityFrame(stream_id)
        frame.depends_on = stream_id + 2
        frame.stream_weight = 10
        frame.exclusive = False
        return frame.serialize()

    def push_promise(self, stream_id: int, promised: int) -> bytes:
        frame = PushPromiseFrame(stream_id, promised, self.encoder.encode([(":method", "GET")]))
        frame.flags.add("END_HEADERS")
        return frame.serialize()

    def unknown(self, stream_id: int = 0, payload: bytes = b"") -> bytes:
        return struct.pack(">HBBBI", 0, len(payload), 0xEE, 0, stream_id) + payload

    def raw(self, kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
        length = len(payload)
        return struct.pack(">HBBBI", length >> 8, length & 0xFF, kind, flags, stream_id) + payload

    def read(self, data: bytes) -> list[Frame]:
        """The frames in these bytes, which must be whole frames, maybe after a client preface."""
        data = data.removeprefix(PREFACE)
        frames = []
        while data:
            frame, length = Frame.parse_frame_header(memoryview(data[:9]))
            assert len(data) >= 9 + length, "a frame was cut short"
            frame.parse_body(memoryview(data[9 : 9 + length]))
            data = data[9 + length :]
            if isinstance(frame, HeadersFrame):
                frame.fields = dict(self.decoder.decode(frame.data))
            frames.append(frame)
        return frames


def of_kind(frames: list[Frame], kind: type[Frame]) -> list[Frame]:
    return [frame for frame in frames if isinstance(frame, kind)]
