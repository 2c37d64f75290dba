"""The frame scanner judges frames by their headers, before anything of them is buffered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.frames import PREFACE, FrameFactory
from trionode.errors import ProtocolError
from trionode.wire.scanner import FrameLimits, FrameScanner
from trionode.wire.session_events import PeerGoingAway

LIMITS = FrameLimits(frame_bytes=16_384, header_block_bytes=500)


def scanner(*, server: bool = False, seen: list | None = None) -> FrameScanner:
    sink = [] if seen is None else seen
    return FrameScanner(LIMITS, server=server, on_frame=lambda *frame: sink.append(frame))


def started(**options) -> tuple[FrameScanner, FrameFactory]:
    scan, frames = scanner(**options), FrameFactory()
    scan.feed(frames.settings())
    return scan, frames


def joined(out: list) -> list:
    """Runs of bytes put together, GOAWAYs as they are."""
    result: list = []
    for part in out:
        if isinstance(part, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += part
        else:
            result.append(part)
    return result


def conversation() -> tuple[bytes, list]:
    """Frames of many kinds with GOAWAYs between, and what they must become."""
    frames = FrameFactory()
    before = frames.settings() + frames.request(1) + frames.data(1, b"x" * 300)
    after = frames.ping() + frames.data(1, b"", end=True)
    stream = before + frames.goaway(7, 2, b"bye") + after + frames.goaway(0)
    return stream, [before, PeerGoingAway(7, 2, b"bye"), after, PeerGoingAway(0, 0, b"")]


def test_goaways_are_taken_out_and_all_other_bytes_pass():
    stream, expected = conversation()
    assert joined(scanner().feed(stream)) == expected


@given(st.lists(st.integers(0, 600), max_size=20))
def test_any_splitting_gives_what_the_whole_gives(cuts):
    stream, expected = conversation()
    scan, out = scanner(), []
    bounds = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for index, start in enumerate(bounds[:-1]):
        out += scan.feed(stream[start : bounds[index + 1]])
    assert joined(out) == expected


def test_bytes_fed_one_by_one_give_what_the_whole_gives():
    stream, expected = conversation()
    scan, out = scanner(), []
    for byte in stream:
        out += scan.feed(bytes([byte]))
    assert joined(out) == expected


def test_the_client_preface_passes_before_the_first_frame():
    scan, stream = scanner(server=True), PREFACE + FrameFactory().settings()
    assert scan.in_preface
    assert joined([part for byte in stream for part in scan.feed(bytes([byte]))]) == [stream]
    assert not scan.in_preface


def test_each_frame_is_reported_with_type_flags_length_and_stream():
    seen: list = []
    scan, frames = started(seen=seen)
    scan.feed(frames.ping(ack=True) + frames.data(1, b"abc", end=True))
    assert seen == [(4, 0, 0, 0), (6, 1, 8, 0), (0, 1, 3, 1)]


@pytest.mark.parametrize(
    "first",
    [FrameFactory().ping(), FrameFactory().settings(ack=True), FrameFactory().raw(4, 0, 3, b"")],
)
def test_a_first_frame_that_is_not_settings_is_a_protocol_error(first):
    with pytest.raises(ProtocolError, match="first frame") as caught:
        scanner().feed(first)
    assert caught.value.h2_code == 1


def test_a_frame_too_long_is_refused_on_its_header():
    scan, frames = started()
    header = frames.raw(0, 0, 1, b"x" * 16_385)[:9]
    with pytest.raises(ProtocolError, match="16385 bytes") as caught:
        scan.feed(header)
    assert caught.value.h2_code == 6


def test_a_frame_of_exactly_the_limit_passes():
    scan, frames = started()
    frame = frames.data(1, b"x" * 16_384)
    assert scan.feed(frame) == [frame]


def test_a_header_block_too_long_is_refused_on_the_header_of_the_frame_that_exceeds_it():
    scan, frames = started()
    scan.feed(frames.raw(1, 0, 1, b"x" * 300))
    with pytest.raises(ProtocolError, match="header block") as caught:
        scan.feed(frames.continuation(1, b"x" * 300)[:9])
    assert caught.value.h2_code == 11


def test_empty_continuations_do_not_go_on_for_ever():
    scan, frames = started()
    scan.feed(frames.raw(1, 0, 1, b""))
    with pytest.raises(ProtocolError, match="header block") as caught:
        for _ in range(1000):
            scan.feed(frames.continuation(1, b""))
    assert caught.value.h2_code == 11


def test_a_header_block_is_open_until_its_last_frame():
    scan, frames = started()
    scan.feed(frames.raw(1, 0, 1, b""))
    assert scan.in_header_block
    scan.feed(frames.continuation(1, b"", end_headers=True))
    assert not scan.in_header_block


@pytest.mark.parametrize(
    "inside",
    [FrameFactory().ping(), FrameFactory().goaway(0), FrameFactory().continuation(3, b"")],
)
def test_nothing_may_come_inside_a_header_block(inside):
    scan, frames = started()
    scan.feed(frames.raw(1, 0, 1, b""))
    with pytest.raises(ProtocolError, match="inside a header block") as caught:
        scan.feed(inside)
    assert caught.value.h2_code == 1


def test_a_goaway_on_a_stream_is_a_protocol_error():
    scan, frames = started()
    with pytest.raises(ProtocolError, match="on a stream") as caught:
        scan.feed(frames.raw(7, 0, 1, bytes(8)))
    assert caught.value.h2_code == 1


def test_a_goaway_too_short_is_a_frame_size_error():
    scan, frames = started()
    with pytest.raises(ProtocolError, match="too short") as caught:
        scan.feed(frames.raw(7, 0, 0, bytes(7)))
    assert caught.value.h2_code == 6


def test_the_reserved_bit_of_a_stream_id_means_nothing():
    scan, frames = started()
    frame = bytearray(frames.goaway(5))
    frame[5] |= 0x80
    frame[9] |= 0x80
    assert scan.feed(bytes(frame)) == [PeerGoingAway(5, 0, b"")]
