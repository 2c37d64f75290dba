"""RFC 9113 and RFC 7541, case by case: what a peer may not do, and the error it gets.

After the cases of h2spec (github.com/summerwind/h2spec). A stream error may be answered by ending
the connection (RFC 9113 section 5.4.1), so either form counts, with the code that the RFC names.
"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hyperframe.frame import GoAwayFrame, PingFrame, RstStreamFrame

from tests.support.frames import FrameFactory, of_kind
from tests.support.sessions import Lone
from trionode.errors import ProtocolError

PROTOCOL, FLOW_CONTROL, STREAM_CLOSED, FRAME_SIZE, COMPRESSION = 1, 3, 5, 6, 9

REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/a/b"),
    (":authority", "node"),
    ("content-type", "application/grpc"),
]


def without(name: str) -> list[tuple[str, str]]:
    return [field for field in REQUEST if field[0] != name]


def headers(*fields: tuple[str, str], base=REQUEST, end: bool = True):
    return lambda f: f.headers(1, [*base, *fields], end=end)


def after_end(then):
    return lambda f: f.request(1, end=True) + then(f)


def after_reset(then):
    return lambda f: f.request(1) + f.reset(1) + then(f)


def opened(then):
    return lambda f: f.request(1) + then(f)


BROKEN = {
    "4.2 HEADERS longer than the setting": (
        lambda f: f.raw(1, 0x5, 1, b"\x83" * 32_769),
        {FRAME_SIZE},
    ),
    "4.3 PRIORITY inside a header block": (
        lambda f: f.raw(1, 0, 1, b"\x83") + f.priority(1),
        {PROTOCOL},
    ),
    "4.3 HEADERS of another stream inside a header block": (
        lambda f: f.raw(1, 0, 1, b"\x83") + f.request(3),
        {PROTOCOL},
    ),
    "5.1 DATA on an idle stream": (lambda f: f.data(1, b"x"), {PROTOCOL}),
    "5.1 RST_STREAM on an idle stream": (lambda f: f.reset(1), {PROTOCOL}),
    "5.1 WINDOW_UPDATE on an idle stream": (lambda f: f.window_update(1, 100), {PROTOCOL}),
    "5.1 CONTINUATION on an idle stream": (lambda f: f.continuation(1, b""), {PROTOCOL}),
    "5.1 DATA after the end": (after_end(lambda f: f.data(1, b"x")), {STREAM_CLOSED}),
    "5.1 HEADERS after the end": (after_end(lambda f: f.request(1)), {STREAM_CLOSED}),
    "5.1 DATA after a reset": (after_reset(lambda f: f.data(1, b"x")), {STREAM_CLOSED}),
    "5.1 HEADERS after a reset": (after_reset(lambda f: f.request(1)), {STREAM_CLOSED}),
    "5.1.1 an even stream id": (lambda f: f.request(2), {PROTOCOL}),
    "5.1.1 a stream id that went back": (
        lambda f: f.request(5) + f.request(3),
        {PROTOCOL, STREAM_CLOSED},
    ),
    "5.3.1 a stream that depends on itself": (
        lambda f: f.raw(2, 0, 1, b"\x00\x00\x00\x01\x10"),
        {PROTOCOL},
    ),
    "5.3.1 HEADERS that depend on their own stream": (
        lambda f: f.raw(1, 0x25, 1, b"\x00\x00\x00\x01\x10" + f.encoder.encode(REQUEST)),
        {PROTOCOL},
    ),
    "6.1 DATA on stream 0": (lambda f: f.raw(0, 0, 0, b"x"), {PROTOCOL}),
    "6.1 padding longer than the frame": (
        opened(lambda f: f.raw(0, 0x8, 1, b"\x06abcde")),
        {PROTOCOL},
    ),
    "6.2 HEADERS on stream 0": (lambda f: f.raw(1, 0x4, 0, b"\x83"), {PROTOCOL}),
    "6.2 padding longer than the header block": (
        lambda f: f.raw(1, 0xC, 1, b"\x09\x83"),
        {PROTOCOL},
    ),
    "6.3 PRIORITY on stream 0": (lambda f: f.raw(2, 0, 0, bytes(5)), {PROTOCOL}),
    "6.3 PRIORITY of a wrong length": (
        opened(lambda f: f.raw(2, 0, 1, bytes(4))),
        {FRAME_SIZE},
    ),
    "6.4 RST_STREAM on stream 0": (lambda f: f.raw(3, 0, 0, bytes(4)), {PROTOCOL}),
    "6.4 RST_STREAM of a wrong length": (
        opened(lambda f: f.raw(3, 0, 1, bytes(3))),
        {FRAME_SIZE},
    ),
    "6.5 SETTINGS ACK with a payload": (lambda f: f.raw(4, 1, 0, bytes(6)), {FRAME_SIZE}),
    "6.5 SETTINGS on a stream": (lambda f: f.raw(4, 0, 1, bytes(6)), {PROTOCOL}),
    "6.5 SETTINGS of a wrong length": (lambda f: f.raw(4, 0, 0, bytes(3)), {FRAME_SIZE}),
    "6.5.2 ENABLE_PUSH of 2": (lambda f: f.settings({2: 2}), {PROTOCOL}),
    "6.5.2 INITIAL_WINDOW_SIZE too large": (lambda f: f.settings({4: 2**31}), {FLOW_CONTROL}),
    "6.5.2 MAX_FRAME_SIZE too small": (lambda f: f.settings({5: 16_383}), {PROTOCOL}),
    "6.5.2 MAX_FRAME_SIZE too large": (lambda f: f.settings({5: 2**24}), {PROTOCOL}),
    "6.6 a PUSH_PROMISE of a client": (opened(lambda f: f.push_promise(1, 2)), {PROTOCOL}),
    "6.7 PING on a stream": (lambda f: f.raw(6, 0, 1, bytes(8)), {PROTOCOL}),
    "6.7 PING of a wrong length": (lambda f: f.raw(6, 0, 0, bytes(6)), {FRAME_SIZE}),
    "6.8 GOAWAY on a stream": (lambda f: f.raw(7, 0, 1, bytes(8)), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of 0": (lambda f: f.raw(8, 0, 0, bytes(4)), {PROTOCOL}),
    "6.9 WINDOW_UPDATE of 0 on a stream": (
        opened(lambda f: f.raw(8, 0, 1, bytes(4))),
        {PROTOCOL},
    ),
    "6.9 WINDOW_UPDATE of a wrong length": (lambda f: f.raw(8, 0, 0, bytes(3)), {FRAME_SIZE}),
    "6.9.1 a connection window too large": (
        lambda f: f.window_update(0, 2**31 - 1),
        {FLOW_CONTROL},
    ),
    "6.9.1 a stream window too large": (
        opened(lambda f: f.window_update(1, 2**31 - 1)),
        {FLOW_CONTROL},
    ),
    "6.9.2 SETTINGS that make a stream window too large": (
        opened(lambda f: f.window_update(1, 2**31 - 1 - 65_535) + f.settings({4: 65_536})),
        {FLOW_CONTROL},
    ),
    "6.10 CONTINUATION after the end of a header block": (
        opened(lambda f: f.continuation(1, b"", end_headers=True)),
        {PROTOCOL, STREAM_CLOSED},
    ),
    "6.10 CONTINUATION on stream 0": (
        lambda f: f.raw(1, 0, 1, b"") + f.raw(9, 0x4, 0, b""),
        {PROTOCOL},
    ),
    "8.1 trailers that do not end the stream": (
        opened(lambda f: f.headers(1, [("x", "y")])),
        {PROTOCOL},
    ),
    "8.2 a field name in upper case": (headers(("X-Upper", "y")), {PROTOCOL}),
    "8.2.1 a field value with a line feed": (headers(("x", "a\nb")), {PROTOCOL}),
    "8.2.2 a connection field": (headers(("connection", "keep-alive")), {PROTOCOL}),
    "8.2.2 TE other than trailers": (headers(("te", "gzip")), {PROTOCOL}),
    "8.3 an unknown pseudo-header": (headers((":x", "y"), base=[]), {PROTOCOL}),
    "8.3 a response's pseudo-header": (
        headers(base=[(":status", "200"), *REQUEST]),
        {PROTOCOL},
    ),
    "8.3 a pseudo-header after fields": (
        headers((":path", "/a/b"), base=without(":path")),
        {PROTOCOL},
    ),
    "8.3 a pseudo-header in trailers": (
        opened(lambda f: f.headers(1, [(":method", "POST")], end=True)),
        {PROTOCOL},
    ),
    "8.3.1 no method": (headers(base=without(":method")), {PROTOCOL}),
    "8.3.1 no scheme": (headers(base=without(":scheme")), {PROTOCOL}),
    "8.3.1 no path": (headers(base=without(":path")), {PROTOCOL}),
    "8.3.1 an empty path": (headers(base=[(":path", ""), *without(":path")]), {PROTOCOL}),
    "8.3.1 two methods": (headers(base=[(":method", "GET"), *REQUEST]), {PROTOCOL}),
    "8.3.1 two schemes": (headers(base=[(":scheme", "http"), *REQUEST]), {PROTOCOL}),
    "8.3.1 two paths": (headers(base=[(":path", "/a/b"), *REQUEST]), {PROTOCOL}),
    "8.1.1 a body longer than its content-length": (
        lambda f: f.headers(1, [*REQUEST, ("content-length", "1")]) + f.data(1, b"abc", end=True),
        {PROTOCOL},
    ),
    "8.1.1 a body shorter than its content-length": (
        lambda f: f.headers(1, [*REQUEST, ("content-length", "9")]) + f.data(1, b"abc", end=True),
        {PROTOCOL},
    ),
    "HPACK 2.3.3 an index that does not exist": (
        lambda f: f.raw(1, 0x5, 1, b"\xff\x80\x7f"),
        {COMPRESSION, PROTOCOL},
    ),
    "HPACK 4.2 a table size above the setting": (
        lambda f: f.raw(1, 0x5, 1, b"\x3f\xe2\x1f"),
        {COMPRESSION, PROTOCOL},
    ),
    "HPACK 5.2 Huffman padding longer than seven bits": (
        lambda f: f.raw(1, 0x5, 1, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        {COMPRESSION, PROTOCOL},
    ),
    "HPACK 6.1 index 0": (lambda f: f.raw(1, 0x5, 1, b"\x80"), {COMPRESSION, PROTOCOL}),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_a_client_may_not_do_gets_the_error_of_the_rfc(case):
    make, codes = BROKEN[case]
    lone = Lone().greet()
    with suppress(ProtocolError):
        lone.receive(make(lone.frames))
    answers = of_kind(lone.sent(), (GoAwayFrame, RstStreamFrame))
    assert {frame.error_code for frame in answers} & codes
    assert all(isinstance(frame, GoAwayFrame) for frame in answers) is lone.session.broken


ALLOWED = {
    "4.1 flags that mean nothing": lambda f: f.raw(6, 0x16, 0, b"8 bytes."),
    "4.1 the reserved bit": lambda f: f.raw(6, 0, 2**31, b"8 bytes."),
    "5.1 WINDOW_UPDATE after a reset": after_reset(lambda f: f.window_update(1, 1)),
    "5.1 WINDOW_UPDATE after the end": after_end(lambda f: f.window_update(1, 1)),
    "5.1 PRIORITY on an idle stream": lambda f: f.priority(9),
    "5.1 PRIORITY after the end": after_end(lambda f: f.priority(1)),
    "5.1 RST_STREAM after the end": after_end(lambda f: f.reset(1)),
    "5.1 RST_STREAM after a reset": after_reset(lambda f: f.reset(1)),
    "5.5 an unknown frame": lambda f: f.unknown(payload=b"x" * 100),
    "5.5 an unknown frame on a stream": opened(lambda f: f.unknown(1)),
    "6.1 padded DATA": opened(lambda f: f.data(1, b"x", pad_length=255)),
    "6.2 HEADERS with priority": lambda f: f.raw(
        1, 0x25, 1, b"\x00\x00\x00\x03\x10" + f.encoder.encode(REQUEST)
    ),
    "5.5 ALTSVC (RFC 7838)": lambda f: f.raw(0xA, 0, 0, b"\x00\x01ah2=:1"),
    "5.5 PRIORITY_UPDATE (RFC 9218)": lambda f: f.raw(0x10, 0, 0, b"\x00\x00\x00\x01u=1"),
    "6.5 empty SETTINGS": lambda f: f.settings(),
    "6.5.2 an unknown setting": lambda f: f.settings({0xFF: 1}),
    "6.7 PING ACK to no PING": lambda f: f.ping(ack=True),
    "6.10 a header block in many pieces": lambda f: (
        f.raw(1, 0x1, 1, b"")
        + f.continuation(1, b"")
        + f.continuation(1, f.encoder.encode(REQUEST))
        + f.continuation(1, b"", end_headers=True)
    ),
    "8.1 trailers": opened(lambda f: f.headers(1, [("x", "y")], end=True)),
    "8.1.1 a content-length that is right": lambda f: (
        f.headers(1, [*REQUEST, ("content-length", "3")]) + f.data(1, b"abc", end=True)
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_what_a_client_may_do_is_taken(case):
    lone = Lone().greet()
    lone.receive(ALLOWED[case](lone.frames))
    lone.receive(lone.frames.ping(b"still ok"))
    sent = lone.sent()
    assert of_kind(sent, GoAwayFrame) == []
    assert of_kind(sent, PingFrame)[-1].opaque_data == b"still ok"


@pytest.mark.parametrize("case", [*BROKEN, *ALLOWED])
def test_bytes_one_by_one_are_judged_like_the_whole(case):
    make = ALLOWED.get(case) or BROKEN[case][0]

    def run(cut) -> tuple:
        lone, events = Lone().greet(), []
        try:
            for piece in cut(make(FrameFactory())):
                events += lone.receive(piece)
        except ProtocolError as error:
            return error.h2_code, str(error)
        return events, lone.session.take_output()

    one_by_one = run(lambda data: [data[i : i + 1] for i in range(len(data))])
    whole = run(lambda data: [data])
    assert one_by_one == whole
