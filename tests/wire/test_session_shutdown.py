"""GOAWAY both ways: announced, final, and as the last word of a connection that failed."""

from __future__ import annotations

import pytest
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame

from tests.support.frames import of_kind
from tests.support.sessions import Lone
from trionode.errors import ProtocolError
from trionode.wire import grpc
from trionode.wire import session_events as happened


def test_an_announced_shutdown_still_takes_new_streams():
    lone = Lone().greet()
    lone.session.announce_shutdown()
    assert lone.goaway().last_stream_id == 2**31 - 1
    assert lone.receive(lone.frames.request(1))


def test_after_the_second_goaway_newer_streams_are_refused_and_older_ones_finish():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1) + lone.frames.request(3))
    lone.session.announce_shutdown()
    lone.session.shut_down()
    assert [frame.last_stream_id for frame in of_kind(lone.sent(), GoAwayFrame)] == [2**31 - 1, 3]
    assert lone.receive(lone.frames.request(5)) == []
    (reset,) = of_kind(lone.sent(), RstStreamFrame)
    assert (reset.stream_id, reset.error_code) == (5, 7)
    assert lone.receive(lone.frames.message(3, b"still here"))
    lone.session.send_headers(3, grpc.response_headers())
    assert of_kind(lone.sent(), HeadersFrame)


def test_a_clients_goaway_is_an_event_and_its_streams_go_on():
    lone = Lone().greet()
    events = lone.receive(
        lone.frames.request(1) + lone.frames.goaway(0) + lone.frames.message(1, b"x", end=True)
    )
    assert [type(event) for event in events] == [
        happened.HeadersArrived,
        happened.PeerGoingAway,
        happened.DataArrived,
        happened.StreamEnded,
    ]
    lone.session.send_headers(1, grpc.response_headers())
    assert of_kind(lone.sent(), HeadersFrame)


def test_a_servers_goaway_leaves_the_client_able_to_finish_its_streams():
    lone = Lone(client=True).greet()
    for _ in range(2):
        lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    assert lone.receive(lone.frames.goaway(1, 0, b"later")) == [
        happened.PeerGoingAway(1, 0, b"later")
    ]
    lone.session.send_data(1, b"x", end=True)
    events = lone.receive(lone.frames.response(1) + lone.frames.trailers(1))
    assert [event.stream_id for event in events] == [1, 1, 1]


def test_a_connection_that_fails_says_why_in_its_goaway():
    lone = Lone().greet()
    lone.session.fail(2, "an explanation")
    goaway = lone.goaway()
    assert (goaway.error_code, goaway.additional_data) == (2, b"an explanation")


def test_what_was_queued_before_a_failure_is_still_sent_before_the_goaway():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    lone.session.send_headers(1, grpc.response_headers())
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.data(7, b"x"))
    assert [type(frame) for frame in lone.sent()] == [HeadersFrame, GoAwayFrame]


def test_a_wrong_preface_is_answered_with_a_goaway():
    lone = Lone()
    with pytest.raises(ProtocolError):
        lone.receive(b"x" * 24 + lone.frames.settings())
    assert lone.goaway().error_code == 1


def test_request_trailers_are_reported_and_end_the_stream():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    events = lone.receive(lone.frames.headers(1, [("x-checksum", "1")], end=True))
    assert events == [
        happened.TrailersArrived(1, [(b"x-checksum", b"1")]),
        happened.StreamEnded(1),
    ]


def test_an_informational_response_is_no_response():
    lone = Lone(client=True).greet()
    lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    assert lone.receive(lone.frames.headers(1, [(":status", "103")])) == []


def test_commands_on_a_stream_that_is_gone_do_nothing():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1) + lone.frames.reset(1))
    session = lone.session
    assert not session.is_open(1)
    assert session.send_window(1) == 0
    session.send_headers(1, grpc.response_headers())
    session.send_data(1, b"x")
    session.reset(1, 8)
    session.acknowledge(1, 5)
    assert lone.sent() == []


def test_events_of_released_streams_are_kept_from_the_owner():
    lone = Lone(client=True).greet()
    for _ in range(2):
        lone.session.open_stream(grpc.request_headers("/a/b", "node", [], None))
    lone.session.release(1, completed=False)
    assert of_kind(lone.sent(), RstStreamFrame)[0].stream_id == 1
    lone.session._owned.discard(3)
    events = lone.receive(
        lone.frames.response(3)
        + lone.frames.message(3, b"x")
        + lone.frames.trailers(3)
        + lone.frames.reset(1)
    )
    assert events == []


def test_frames_for_a_stream_reset_by_us_do_no_harm():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    lone.session.release(1, completed=False)
    assert lone.receive(lone.frames.message(1, b"late") + lone.frames.window_update(1, 5)) == []
    assert of_kind(lone.sent(), GoAwayFrame) == []
