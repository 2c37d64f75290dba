"""Every attack known against HTTP/2 servers ends in bounded work and a GOAWAY that says why."""

from __future__ import annotations

import pytest
from hyperframe.frame import GoAwayFrame, RstStreamFrame

from tests.support.frames import of_kind
from tests.support.sessions import Lone
from trionode.errors import ProtocolError
from trionode.wire import budgets, grpc
from trionode.wire import session_events as happened

ENHANCE_YOUR_CALM = 11
FLOOD = 10_000


def flood(lone: Lone, frames: list[bytes]) -> int:
    """Feed frames until the connection ends; how many were taken."""
    taken = 0
    with pytest.raises(ProtocolError) as caught:
        for frame in frames:
            lone.receive(frame)
            taken += 1
    assert caught.value.h2_code == ENHANCE_YOUR_CALM
    assert lone.goaway().error_code == ENHANCE_YOUR_CALM
    return taken


def test_a_rapid_reset_is_stopped():
    # CVE-2023-44487.
    lone = Lone().greet()
    pairs = [
        lone.frames.request(stream_id) + lone.frames.reset(stream_id)
        for stream_id in range(1, 2 * FLOOD, 2)
    ]
    assert flood(lone, pairs) <= budgets.RESETS.burst + 1


def test_a_rapid_reset_in_one_read_reports_no_more_calls_than_slots():
    lone = Lone(max_concurrent_streams=10).greet()
    pairs = b"".join(
        lone.frames.request(stream_id) + lone.frames.reset(stream_id)
        for stream_id in range(1, 400, 2)
    )
    opened = [e for e in lone.receive(pairs) if isinstance(e, happened.HeadersArrived)]
    assert len(opened) == 10


def test_resets_at_the_pace_of_honest_cancellation_go_on_for_ever():
    lone = Lone().greet()
    for number in range(5000):
        lone.now += 1 / budgets.RESETS.per_s
        stream_id = 2 * number + 1
        lone.receive(lone.frames.request(stream_id) + lone.frames.reset(stream_id))
        lone.session.release(stream_id, completed=False)
    assert of_kind(lone.sent(), GoAwayFrame) == []


def test_completed_calls_earn_resets():
    lone = Lone().greet()
    for number in range(3000):
        stream_id = 4 * number + 1
        lone.receive(lone.frames.request(stream_id, end=True))
        lone.session.send_headers(stream_id, grpc.trailers(grpc.Outcome(grpc.Status.OK)), end=True)
        lone.session.release(stream_id, completed=True)
        lone.receive(lone.frames.request(stream_id + 2) + lone.frames.reset(stream_id + 2))
        lone.session.release(stream_id + 2, completed=False)
    assert of_kind(lone.sent(), GoAwayFrame) == []


@pytest.mark.parametrize(
    "provoke",
    [
        lambda frames, stream_id: frames.window_update(stream_id, 2**31 - 1),
        lambda frames, stream_id: frames.data(stream_id, b"x"),
        lambda frames, stream_id: frames.headers(stream_id, [("x", "y")], end=True),
    ],
    ids=["window overflow", "data after the end", "headers after the end"],
)
def test_resets_that_the_peer_provokes_are_charged_and_free_no_slot(provoke):
    # CVE-2025-8671, "MadeYouReset".
    lone = Lone(max_concurrent_streams=10).greet()
    first = lone.frames.request(1, end=True) + provoke(lone.frames, 1)
    events = lone.receive(first)
    assert any(isinstance(event, happened.StreamReset) and not event.by_peer for event in events)
    rounds = [
        lone.frames.request(stream_id, end=True) + provoke(lone.frames, stream_id)
        for stream_id in range(3, 2 * FLOOD, 2)
    ]
    assert lone.session._owned == {1}
    assert flood(lone, rounds) <= budgets.RESETS.burst


def test_a_continuation_flood_is_stopped_before_it_is_buffered():
    lone = Lone().greet()
    request = lone.frames.raw(1, 0, 1, b"x" * 1000)
    lone.receive(request)
    assert flood(lone, [lone.frames.continuation(1, b"x" * 1000)] * 100) < 17


def test_a_header_block_that_never_ends_runs_out_of_time():
    lone = Lone().greet()
    lone.now = 100.0
    lone.receive(lone.frames.raw(1, 0, 1, b""))
    lone.session.check(109.0)
    lone.now = 105.0
    lone.receive(lone.frames.continuation(1, b"\x00"))
    with pytest.raises(ProtocolError, match="header block"):
        lone.session.check(111.0)
    assert lone.goaway().error_code == 1


def test_a_header_block_that_ends_is_not_waited_for():
    lone = Lone().greet()
    lone.receive(lone.frames.raw(1, 0, 1, lone.frames.encoder.encode([(":method", "POST")])))
    block = lone.frames.encoder.encode(
        [(":path", "/a/b"), (":scheme", "http"), (":authority", "x")]
    )
    assert lone.receive(lone.frames.continuation(1, block, end_headers=True))
    lone.session.check(1e6)


def test_an_hpack_bomb_is_stopped():
    # A few indexed references that decode to far more than they weigh.
    lone = Lone().greet()
    lone.receive(lone.frames.request(1, "/a/b", ("x-big", "b" * 2000)))
    with pytest.raises(ProtocolError) as caught:
        lone.receive(lone.frames.request(3, "/a/b", *[("x-big", "b" * 2000)] * 5))
    assert caught.value.h2_code == ENHANCE_YOUR_CALM


def test_an_error_says_nothing_of_where_things_lie_in_memory():
    # HPACK shows the memoryview that it failed to read.
    lone = Lone().greet()
    with pytest.raises(ProtocolError, match=r"integer representation is too long$"):
        lone.receive(lone.frames.raw(1, 0x5, 1, b"\xff" * 40))
    assert b"0x" not in lone.goaway().additional_data


@pytest.mark.parametrize(
    "make",
    [
        lambda frames: frames.ping(),
        lambda frames: frames.ping(ack=True),
        lambda frames: frames.settings({4: 70_000}),
        lambda frames: frames.settings(ack=True),
        lambda frames: frames.data(1, b""),
        lambda frames: frames.priority(3),
        lambda frames: frames.unknown(),
        lambda frames: frames.window_update(0, 1),
        lambda frames: frames.window_update(1, 1),
        lambda frames: frames.data(1, b"", pad_length=0),
        lambda frames: frames.goaway(0, 0, b"going, going"),
        lambda frames: frames.raw(0xA, 0, 0, b"\x00\x01ah2=:1"),
        lambda frames: frames.raw(0x10, 0, 0, b"\x00\x00\x00\x01u=1"),
    ],
    ids=[
        "ping",
        "ping ack",
        "settings",
        "settings ack",
        "empty data",
        "priority",
        "unknown",
        "connection window",
        "stream window",
        "padding only",
        "goaway",
        "alternative service",
        "priority update",
    ],
)
def test_a_flood_of_frames_that_carry_nothing_is_stopped(make):
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    assert flood(lone, [make(lone.frames)] * FLOOD) <= budgets.IDLE_FRAMES.burst


@pytest.mark.parametrize("client", [False, True], ids=["server", "client"])
@pytest.mark.parametrize(
    "make",
    [
        lambda frames: frames.data(1, b"x"),
        lambda frames: frames.headers(1, [("x", "y")], end=True),
    ],
    ids=["data", "headers"],
)
def test_a_flood_on_a_stream_that_was_given_up_is_stopped(client, make):
    # h2 answers each with a RST_STREAM, and counts none.
    lone = Lone(client=client).greet()
    if client:
        lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    else:
        lone.receive(lone.frames.request(1))
    lone.session.release(1, completed=False)
    assert flood(lone, [make(lone.frames)] * FLOOD) <= budgets.IDLE_FRAMES.burst


def test_data_on_its_way_when_a_stream_is_given_up_is_honest():
    lone = Lone(stream_window_bytes=1_000_000, connection_window_bytes=1_000_000).greet()
    for stream_id in range(1, 201, 2):
        lone.receive(lone.frames.request(stream_id))
        lone.session.release(stream_id, completed=False)
        for _ in range(8):
            lone.receive(lone.frames.data(stream_id, b"x" * 1000))
    lone.receive(lone.frames.request(201) + lone.frames.data(201, b"y" * 16_000))
    assert lone.session.is_open(201)


def test_a_flood_of_informational_responses_is_stopped():
    lone = Lone(client=True).greet()
    lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    informational = lone.frames.headers(1, [(":status", "103")])
    assert flood(lone, [informational] * FLOOD) <= budgets.IDLE_FRAMES.burst


def test_a_ping_flood_queues_little_output():
    lone = Lone().greet()
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.ping() * FLOOD)
    assert len(lone.session.take_output()) < 100_000


def test_pings_and_small_window_updates_beside_each_message_are_honest():
    # grpcio measures the bandwidth with PINGs and gives back windows of five bytes.
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    for _ in range(FLOOD):
        lone.receive(
            lone.frames.message(1, b"x")
            + lone.frames.ping()
            + lone.frames.window_update(1, 5)
            + lone.frames.window_update(0, 5)
        )
        lone.session.acknowledge(1, 6)
    assert of_kind(lone.sent(), GoAwayFrame) == []


def test_window_updates_for_each_message_of_a_large_frame_are_honest():
    lone = Lone(settings={4: 2**30, 5: 2**20}).greet()
    lone.receive(lone.frames.request(1) + lone.frames.window_update(0, 2**30))
    lone.session.send_headers(1, grpc.response_headers())
    for _ in range(100):
        lone.session.send_data(1, b"x" * 30_000)
        for _ in range(100):
            lone.receive(lone.frames.window_update(1, 300) + lone.frames.window_update(0, 300))
    assert of_kind(lone.sent(), GoAwayFrame) == []


def test_a_window_update_of_zero_ends_the_connection():
    lone = Lone().greet()
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.raw(8, 0, 0, bytes(4)))
    assert lone.goaway().error_code == 1


def test_a_connection_window_that_overflows_ends_the_connection():
    lone = Lone().greet()
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.window_update(0, 2**31 - 1))
    assert lone.goaway().error_code == 3


def test_a_stream_window_that_overflows_ends_the_stream_alone():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1) + lone.frames.request(3))
    events = lone.receive(lone.frames.window_update(1, 2**31 - 1))
    assert events == [happened.StreamReset(1, 3, by_peer=False)]
    (reset,) = of_kind(lone.sent(), RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (1, 3)
    assert lone.session.is_open(3)


def test_more_streams_at_once_than_any_honest_peer_opens_end_the_connection():
    lone = Lone(max_concurrent_streams=10).greet()
    with pytest.raises(ProtocolError):
        lone.receive(b"".join(lone.frames.request(stream_id) for stream_id in range(1, 400, 2)))
    assert lone.goaway().error_code == 1


def test_a_data_frame_beyond_the_window_ends_the_connection():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    with pytest.raises(ProtocolError):
        for _ in range(20):
            lone.receive(lone.frames.data(1, b"x" * 16_384))
    assert lone.goaway().error_code == 3


def test_nothing_follows_the_goaway_of_a_broken_session():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.raw(6, 0, 0, b"short"))
    session = lone.session
    session.send_headers(1, grpc.response_headers())
    session.send_data(1, b"x")
    session.acknowledge(1, 5)
    session.ping(bytes(8))
    session.shut_down()
    session.announce_shutdown()
    session.fail(2, "again")
    session.release(1, completed=False)
    assert [type(frame) for frame in lone.sent()] == [GoAwayFrame]


def test_headers_that_hpack_cannot_take_break_the_session():
    # What HPACK took in before it failed would garble every later header block.
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    with pytest.raises(Exception):  # noqa: B017  # whatever HPACK raises
        lone.session.send_headers(1, [(b":status", b"200"), (b"x", 7)])  # type: ignore[list-item]  # on purpose
    assert lone.session.broken
