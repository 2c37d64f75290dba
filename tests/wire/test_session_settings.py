"""What a session advertises is in force, and what the peer advertises is kept to."""

from __future__ import annotations

import pytest
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.frames import of_kind
from tests.support.sessions import Lone, Pair
from trionode.errors import ProtocolError
from trionode.net.options import ConnectionOptions
from trionode.wire import grpc
from trionode.wire import session_events as happened
from trionode.wire.h2_setup import code_name, new_h2

WINDOW, CONNECTION_WINDOW, FRAME = 100_000, 400_000, 32_768


def headers() -> grpc.Headers:
    return grpc.request_headers("/a/b", "node", [], None)


def test_a_server_advertises_its_limits_and_opens_the_connection_window():
    sent = Lone().greeting
    (settings,) = of_kind(sent, SettingsFrame)
    assert settings.settings == {4: WINDOW, 5: FRAME, 6: 8192, 2: 0, 3: 10, 1: 4096, 8: 0}
    (update,) = of_kind(sent, WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (0, CONNECTION_WINDOW - 65_535)


def test_a_client_forbids_pushes():
    (settings,) = of_kind(Lone(client=True).greeting, SettingsFrame)
    assert settings.settings[2] == 0


def test_a_push_is_a_protocol_error():
    lone = Lone(client=True).greet()
    lone.session.open_stream(headers())
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.push_promise(1, 2))
    assert lone.goaway().error_code == 1


def test_a_frame_of_the_advertised_size_is_taken_before_settings_are_acknowledged():
    lone = Lone()
    data = lone.frames.data(1, b"x" * FRAME)
    events = lone.receive(lone.frames.preface() + lone.frames.request(1) + data)
    assert happened.DataArrived(1, b"x" * FRAME, FRAME) in events


def test_a_longer_frame_is_refused_before_it_is_buffered():
    lone = Lone().greet()
    lone.receive(lone.frames.request(1))
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.data(1, b"x" * (FRAME + 1))[:9])
    assert lone.goaway().error_code == 6


def test_headers_that_decode_to_more_than_the_limit_end_the_connection():
    lone = Lone().greet()
    bomb = [("x-bomb", "b" * 4000)] * 3
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.request(1, "/a/b", *bomb))
    assert lone.goaway().error_code == 11


def test_streams_above_the_limit_are_refused_and_the_others_live():
    lone = Lone(max_concurrent_streams=2).greet()
    requests = b"".join(lone.frames.request(stream_id) for stream_id in (1, 3, 5, 7))
    events = lone.receive(requests)
    assert [event.stream_id for event in events] == [1, 3]
    resets = of_kind(lone.sent(), RstStreamFrame)
    assert [(frame.stream_id, frame.error_code) for frame in resets] == [(5, 7), (7, 7)]
    lone.session.send_headers(1, grpc.trailers(grpc.Outcome(grpc.Status.OK)), end=True)
    assert of_kind(lone.sent(), HeadersFrame)


def test_data_on_a_refused_stream_is_given_back_and_reported_to_nobody():
    lone = Lone(max_concurrent_streams=1).greet()
    lone.receive(lone.frames.request(1))
    events = lone.receive(lone.frames.request(3) + lone.frames.data(3, b"x" * 30_000, end=True))
    assert events == []
    # All that was received on the connection is acknowledged: its whole window can come in again.
    for _ in range(40):
        assert lone.receive(lone.frames.request(0x11 + _ * 2)) == []
        assert lone.receive(lone.frames.data(0x11 + _ * 2, b"x" * 30_000)) == []


def test_a_released_stream_makes_room():
    lone = Lone(max_concurrent_streams=1).greet()
    lone.receive(lone.frames.request(1))
    lone.session.release(1, completed=True)
    assert [event.stream_id for event in lone.receive(lone.frames.request(3))] == [3]


def test_a_stream_reset_by_the_peer_keeps_its_slot_until_it_is_released():
    lone = Lone(max_concurrent_streams=1).greet()
    lone.receive(lone.frames.request(1) + lone.frames.reset(1))
    assert lone.receive(lone.frames.request(3)) == []
    assert of_kind(lone.sent(), RstStreamFrame)[0].error_code == 7


@pytest.mark.parametrize("offered", [2**31, 4096])
def test_the_encoders_table_stays_small_whatever_the_peer_offers(offered):
    lone = Lone(settings={1: offered}).greet()
    assert lone.session._h2.encoder.header_table_size == 4096


def test_headers_sent_after_a_huge_table_offer_are_understood():
    lone = Lone(settings={1: 2**31}).greet()
    lone.frames.decoder.max_allowed_table_size = 2**31
    lone.receive(lone.frames.request(1))
    lone.session.send_headers(1, grpc.response_headers())
    (frame,) = of_kind(lone.sent(), HeadersFrame)
    assert frame.fields[":status"] == "200"


def test_a_smaller_table_than_ours_is_kept_to():
    lone = Lone(settings={1: 0}).greet()
    assert lone.session._h2.encoder.header_table_size == 0


def test_settings_that_are_never_acknowledged_end_the_connection():
    lone = Lone()
    lone.receive(lone.frames.preface())
    lone.session.check(9.0)
    with pytest.raises(ProtocolError, match="SETTINGS"):
        lone.session.check(11.0)
    assert lone.goaway().error_code == 4


def test_acknowledged_settings_are_not_waited_for():
    lone = Lone().greet()
    lone.session.check(1e6)
    assert of_kind(lone.sent(), GoAwayFrame) == []


def test_a_frame_that_is_not_settings_first_is_answered_with_a_goaway():
    lone = Lone()
    with pytest.raises(ProtocolError):
        lone.receive(lone.frames.preface()[:24] + lone.frames.ping())
    assert lone.goaway().error_code == 1


def test_the_first_settings_make_the_session_ready_once():
    lone = Lone()
    events = lone.receive(lone.frames.preface() + lone.frames.settings())
    assert events.count(happened.Ready()) == 1
    assert lone.session.ready


def test_unknown_settings_and_frames_are_ignored():
    # grpcio sends the setting 0xfe03.
    lone = Lone(settings={0xFE03: 1}).greet()
    assert lone.receive(lone.frames.unknown(payload=b"abc") + lone.frames.priority(1)) == []
    assert lone.receive(lone.frames.request(1))


def test_a_client_opens_no_more_streams_than_the_server_takes():
    lone = Lone(client=True, settings={3: 2}).greet()
    assert lone.session.free_slots == 2
    lone.session.open_stream(headers())
    lone.session.open_stream(headers())
    assert lone.session.free_slots == 0
    lone.session.release(1, completed=False)
    assert lone.session.free_slots == 1


def test_stream_ids_that_are_used_up_are_told():
    lone = Lone(client=True).greet()
    lone.session._h2.highest_outbound_stream_id = 2**31 - 1
    assert lone.session.open_stream(headers()) is None


def test_frames_sent_are_capped_however_large_the_peer_allows_them():
    # grpcio allows 4 MiB.
    lone = Lone(settings={5: 4 * 1024 * 1024, 4: 10_000_000}).greet()
    lone.receive(lone.frames.request(1) + lone.frames.window_update(0, 10_000_000))
    assert lone.session.send_window(1) == FRAME


def test_frames_sent_are_no_longer_than_the_peer_allows():
    lone = Lone(settings={5: 16_384}).greet()
    lone.receive(lone.frames.request(1))
    assert lone.session.send_window(1) == 16_384


def test_a_window_made_negative_by_settings_sends_nothing_but_an_empty_end():
    lone = Lone(settings={4: 1000}).greet()
    lone.receive(lone.frames.request(1))
    lone.session.send_headers(1, grpc.response_headers())
    lone.session.send_data(1, b"x" * 1000)
    lone.sent()
    events = lone.receive(lone.frames.settings({4: 0}))
    assert happened.LimitsChanged() in events
    assert lone.session.send_window(1) == -1000
    lone.session.send_data(1, b"", end=True)
    (frame,) = of_kind(lone.sent(), DataFrame)
    assert "END_STREAM" in frame.flags


def test_a_ping_comes_back_with_its_payload():
    lone = Lone().greet()
    assert lone.receive(lone.frames.ping(b"abcdefgh")) == []
    (pong,) = of_kind(lone.sent(), PingFrame)
    assert pong.opaque_data == b"abcdefgh"
    assert "ACK" in pong.flags


def test_an_answered_ping_is_reported():
    lone = Lone().greet()
    lone.session.ping(b"abcdefgh")
    assert of_kind(lone.sent(), PingFrame)
    assert lone.receive(lone.frames.ping(b"abcdefgh", ack=True)) == [
        happened.PingAnswered(b"abcdefgh")
    ]


def test_codes_have_names_and_unknown_ones_numbers():
    assert code_name(8) == "CANCEL"
    assert code_name(4711) == "code 4711"


def test_two_sessions_understand_each_other():
    pair = Pair()
    assert pair.client.ready
    assert pair.server.ready
    pair.take()
    stream_id = pair.client.open_stream(headers())
    pair.client.send_data(stream_id, b"hello", end=True)
    pair.pump()
    _, at_server = pair.take()
    assert [type(event).__name__ for event in at_server] == [
        "HeadersArrived",
        "DataArrived",
        "StreamEnded",
    ]
    pair.server.send_headers(stream_id, grpc.response_headers())
    pair.server.send_data(stream_id, b"world")
    pair.server.send_headers(stream_id, grpc.trailers(grpc.Outcome(grpc.Status.OK)), end=True)
    pair.pump()
    at_client, _ = pair.take()
    assert [type(event).__name__ for event in at_client] == [
        "HeadersArrived",
        "DataArrived",
        "TrailersArrived",
        "StreamEnded",
    ]
    assert not pair.client.is_open(stream_id)
    assert not pair.server.is_open(stream_id)


def test_what_comes_is_never_written_as_text():
    limits = ConnectionOptions().session_limits()
    connection = new_h2(limits, client=True)
    connection.incoming_buffer.max_frame_size = limits.max_frame_bytes
    connection.incoming_buffer.add_data(DataFrame(1, b"content").serialize())
    frame = next(connection.incoming_buffer)
    assert frame.data == b"content"
    assert b"content".hex()[:10] not in repr(frame)
