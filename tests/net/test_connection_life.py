"""How connections begin and end: handshakes, strangers, keepalive, drains, faults."""

from __future__ import annotations

import pytest
import trio
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from tests.support.connections import RawPeer, connected, raw_client, raw_server
from tests.support.frames import FrameFactory, of_kind
from trionode.errors import ConnectError, ConnectionLost
from trionode.net.connection import Connection
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route
from trionode.net.sockets import PeerWatch

PATH = "/test/Echo"


async def hold(call) -> None:
    """A handler that reads to the end and answers only then."""
    while await call.receive() is not None:
        pass
    call.send(b"done")


HOLD = {PATH: Route(hold)}


async def answer_of(stream: trio.abc.ReceiveStream) -> bytes:
    answer = b""
    while data := await stream.receive_some(65_536):
        answer += bytes(data)
    return answer


# --- the handshake --------------------------------------------------------------------------------


async def test_an_http1_request_is_answered_in_http1_and_closed():
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="browser")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await other.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await answer_of(other)
        await other.aclose()
    assert answer.startswith(b"HTTP/1.1 505 ")
    assert b"trionode" in answer
    assert "HTTP/1.1" in server.end_reason


async def test_garbage_is_answered_in_one_line_and_closed_though_it_goes_on(autojump_clock):
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="noise")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await other.send_all(b"\x00" * 100_000)
        answer = await answer_of(other)
        await other.send_all(b"\x00" * 100_000)
    assert answer.count(b"\n") == 1
    assert b"trionode" in answer


async def test_a_silent_client_is_told_what_speaks_here_and_closed(autojump_clock):
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="silence")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        assert b"trionode" in await answer_of(other)
    assert server.end_reason == "no HTTP/2 greeting within 10 s"


async def test_a_client_that_stops_inside_the_preface_runs_out_of_time(autojump_clock):
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="slow")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        await other.send_all(b"PRI * HTTP/2.0\r\n")
        await answer_of(other)
    assert "no HTTP/2 greeting" in server.end_reason


async def test_a_client_that_dribbles_the_preface_runs_out_of_time(autojump_clock):
    # Each byte in good time, all of them too late.
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="slow")

    async def dribble() -> None:
        for byte in FrameFactory().preface():
            await other.send_all(bytes([byte]))
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(dribble)
        await server.run()
        nursery.cancel_scope.cancel()
    assert "no HTTP/2 greeting" in server.end_reason


async def test_a_header_block_that_is_dribbled_runs_out_of_time(autojump_clock):
    async with raw_client(HOLD) as served:
        frames = served.peer.frames

        async def dribble() -> None:
            await served.peer.send(frames.raw(1, 0, 1, b""))
            while True:
                await trio.sleep(1)
                await served.peer.send(frames.continuation(1, b"\x83"))

        served.nursery.start_soon(dribble)
        goaway = await served.peer.until(GoAwayFrame)
        assert goaway.error_code == 1
        assert b"header block" in goaway.additional_data
        assert 10 < trio.current_time() <= 15  # looked at every five seconds


async def test_a_client_that_says_only_the_preface_runs_out_of_time(autojump_clock):
    async with raw_client(HOLD, greet=False) as served:
        await served.peer.send(served.peer.frames.preface()[:24])
        await served.peer.until(SettingsFrame)
        await served.peer.rest()
        assert "no HTTP/2 greeting" in served.connection.end_reason


async def test_a_first_frame_that_is_not_settings_is_answered_with_a_goaway():
    async with raw_client(HOLD, greet=False) as served:
        await served.peer.send(served.peer.frames.preface()[:24], served.peer.frames.ping())
        assert (await served.peer.until(GoAwayFrame)).error_code == 1
        assert await served.peer.frame() is None


@pytest.mark.parametrize(
    ("said", "named"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"", "closed the connection"),
    ],
)
async def test_dialling_something_else_is_an_error_that_names_what_answered(said, named):
    one, other = memory_stream_pair()
    client = Connection(one, routes=None, peer="10.0.0.1:22")

    async def stranger() -> None:
        await other.send_all(said)
        await other.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stranger)
        with pytest.raises(ConnectError) as caught:
            await nursery.start(client.run)
    assert "10.0.0.1:22" in str(caught.value)
    assert named in str(caught.value)


async def test_dialling_something_that_never_answers_is_an_error(autojump_clock):
    one, _other = memory_stream_pair()
    client = Connection(one, routes=None, peer="somewhere")
    async with trio.open_nursery() as nursery:
        with pytest.raises(ConnectError, match="no HTTP/2 greeting within 10 s"):
            await nursery.start(client.run)


async def test_settings_that_are_never_acknowledged_end_the_connection(autojump_clock):
    async with raw_client(HOLD, greet=False) as served:
        await served.peer.send(served.peer.frames.preface())
        assert (await served.peer.until(GoAwayFrame)).error_code == 4


# --- keepalive ------------------------------------------------------------------------------------


async def test_a_ping_measures_the_round_trip():
    async with connected() as ends:
        assert ends.client.rtt_s is None
        assert await ends.client.ping() >= 0
        assert ends.client.rtt_s is not None


async def test_an_answer_with_other_data_answers_no_ping():
    async with raw_server() as served, trio.open_nursery() as nursery:
        nursery.start_soon(served.connection.ping)
        ping = await served.peer.until(PingFrame)
        await served.peer.send(served.peer.frames.ping(b"whatever", ack=True))
        await wait_all_tasks_blocked()
        assert served.connection.rtt_s is None
        await served.peer.send(served.peer.frames.ping(ping.opaque_data, ack=True))
        await wait_all_tasks_blocked()
        assert served.connection.rtt_s is not None


async def test_a_silent_peer_gets_one_ping_and_lives_when_tcp_alone_judges(autojump_clock):
    async with raw_client(HOLD) as served:
        await trio.sleep(1000)
        frames = await served.peer.settled()
        assert [type(frame) for frame in frames] == [PingFrame]
        assert served.connection.end_reason == ""


async def test_each_answered_ping_is_followed_by_another_after_silence(autojump_clock):
    async with raw_client(HOLD) as served:
        for _ in range(3):
            ping = await served.peer.until(PingFrame)
            await served.peer.send(served.peer.frames.ping(ping.opaque_data, ack=True))
        await wait_all_tasks_blocked()
        assert served.connection.rtt_s is not None


async def test_a_peer_that_answers_no_ping_in_time_is_lost(autojump_clock):
    options = ConnectionOptions(keepalive_timeout_s=20)
    async with raw_server(options=options) as served:
        call = await served.connection.open(PATH)
        with pytest.raises(ConnectionLost, match="silent for 35 s"):
            await call.receive()


async def test_a_dead_host_is_lost(autojump_clock, monkeypatch):
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        monkeypatch.setattr(PeerWatch, "is_dead", lambda _: True)
        with pytest.raises(ConnectionLost, match="host does not answer"):
            await call.receive()


async def test_a_process_that_was_blocked_does_not_blame_its_peer(mock_clock):
    # Ten minutes pass at once for us; the peer's answer to the PING lies in the socket.
    options = ConnectionOptions(keepalive_timeout_s=20)
    async with raw_server(options=options) as served:
        for _ in range(3):
            mock_clock.jump(5)
            await wait_all_tasks_blocked()
        ping = await served.peer.until(PingFrame)
        await served.peer.send(served.peer.frames.ping(ping.opaque_data, ack=True))
        mock_clock.jump(600)
        await wait_all_tasks_blocked()
        assert served.connection.end_reason == ""


async def test_any_byte_is_a_sign_of_life(autojump_clock):
    options = ConnectionOptions(keepalive_timeout_s=20)
    async with raw_server(options=options) as served:
        for _ in range(20):
            await trio.sleep(30)
            await served.peer.send(served.peer.frames.window_update(0, 1))
            await wait_all_tasks_blocked()
        assert served.connection.end_reason == ""


async def test_waiting_ends_when_the_connection_does():
    async with raw_server(settings={3: 0}) as served:
        outcomes = []

        async def fail(function, *args) -> None:
            with pytest.raises(ConnectionLost):
                await function(*args)
            outcomes.append(function.__name__)

        served.nursery.start_soon(fail, served.connection.ping)
        served.nursery.start_soon(fail, served.connection.open, PATH)
        await wait_all_tasks_blocked()
        await served.peer.stream.aclose()
        await wait_all_tasks_blocked()
        assert sorted(outcomes) == ["open", "ping"]
        for function in (served.connection.ping, lambda: served.connection.open(PATH)):
            with pytest.raises(ConnectionLost, match="closed the connection"):
                await function()


# --- streams --------------------------------------------------------------------------------------


async def test_calls_wait_for_a_free_stream_in_the_order_of_asking():
    async with raw_server(settings={3: 1}) as served:
        first = await served.connection.open(PATH)
        opened = []

        async def ask(name: str) -> None:
            opened.append((name, await served.connection.open(PATH)))

        for name in ("a", "b", "c"):
            served.nursery.start_soon(ask, name)
            await wait_all_tasks_blocked()
        assert opened == []
        first.reset()
        await wait_all_tasks_blocked()
        assert [name for name, _ in opened] == ["a"]
        await served.peer.send(served.peer.frames.settings({3: 2}))
        await wait_all_tasks_blocked()
        assert [name for name, _ in opened] == ["a", "b"]


async def test_one_that_gives_up_waiting_for_a_stream_passes_its_turn_on():
    async with raw_server(settings={3: 1}) as served:
        first = await served.connection.open(PATH)
        opened = []

        async def ask(name: str, task_status) -> None:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                await served.connection.open(PATH)
                opened.append(name)

        scopes = [await served.nursery.start(ask, name) for name in ("a", "b", "c")]
        await wait_all_tasks_blocked()
        scopes[0].cancel()
        await wait_all_tasks_blocked()
        first.reset()
        # Too late: the slot is this one's already.
        scopes[1].cancel()
        await wait_all_tasks_blocked()
        assert opened == ["b"]


async def test_used_up_stream_ids_drain_the_connection():
    async with raw_server() as served:
        served.connection._session._h2.highest_outbound_stream_id = 2**31 - 1
        with pytest.raises(ConnectionLost, match="used up"):
            await served.connection.open(PATH)
        assert served.connection.draining


async def test_calls_beyond_the_limit_are_refused_and_can_be_tried_again():
    options = ConnectionOptions(max_concurrent_streams=2)
    async with raw_client(HOLD, options=options) as served:
        frames = served.peer.frames
        await served.peer.send(*(frames.request(stream_id, PATH) for stream_id in (1, 3, 5)))
        reset = await served.peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (5, 7)
        await served.peer.send(frames.data(1, b"", end=True))
        await served.peer.until(HeadersFrame, stream_id=1)
        await served.peer.until(HeadersFrame, stream_id=1)
        await served.peer.send(frames.request(7, PATH, end=True))
        assert (await served.peer.until(HeadersFrame)).stream_id == 7


@pytest.mark.parametrize(
    ("request_fields", "status", "grpc_status"),
    [
        ({"method": "GET"}, "405", "2"),
        ({"content_type": "application/grpc-web"}, "415", "2"),
        ({"path": "/test/None"}, "200", "12"),
        ({"path": "/odd"}, "200", "12"),
    ],
)
@pytest.mark.parametrize("end", [True, False])
async def test_a_request_for_nothing_is_answered_in_one_header_block(
    request_fields, status, grpc_status, end
):
    async with raw_client(HOLD) as served:
        await served.peer.send(served.peer.frames.request(1, end=end, **request_fields))
        frames = await served.peer.settled()
        assert frames[0].fields[":status"] == status
        assert frames[0].fields["grpc-status"] == grpc_status
        assert "END_STREAM" in frames[0].flags
        resets = of_kind(frames, RstStreamFrame)
        assert [frame.error_code for frame in resets] == ([] if end else [0])
        assert served.connection.statistics().calls_rejected == 1


# --- draining -------------------------------------------------------------------------------------


async def test_a_server_drains_in_two_steps_and_running_calls_finish():
    async with raw_client(HOLD) as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH))
        await wait_all_tasks_blocked()
        served.connection.drain()
        assert (await served.peer.until(GoAwayFrame)).last_stream_id == 2**31 - 1
        ping = await served.peer.until(PingFrame)
        # This request was on its way when the first GOAWAY came: it counts.
        await served.peer.send(frames.request(3, PATH), frames.ping(ping.opaque_data, ack=True))
        assert (await served.peer.until(GoAwayFrame)).last_stream_id == 3
        await served.peer.send(frames.request(5, PATH))
        reset = await served.peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (5, 7)
        for stream_id in (1, 3):
            await served.peer.send(frames.data(stream_id, b"", end=True))
            assert (await served.peer.until(DataFrame)).stream_id == stream_id
            await served.peer.until(HeadersFrame, stream_id=stream_id)
        assert await served.peer.rest() == []
        assert served.connection.end_reason == "drained"


async def test_a_drain_does_not_wait_for_ever_for_the_answer_to_its_ping(autojump_clock):
    async with raw_client(HOLD) as served:
        served.connection.drain()
        served.connection.drain()
        goaways = of_kind(await served.peer.rest(), GoAwayFrame)
        assert [frame.last_stream_id for frame in goaways] == [2**31 - 1, 0]


async def test_a_client_told_to_go_finishes_its_calls_and_opens_no_more():
    async with connected(HOLD) as ends:
        call = await ends.client.open(PATH)
        await wait_all_tasks_blocked()
        ends.server.drain()
        await wait_all_tasks_blocked()
        assert ends.client.draining
        with pytest.raises(ConnectionLost, match="going away"):
            await ends.client.open(PATH)
        call.end_sending()
        assert await call.receive() == b"done"
        assert await call.receive() is None
        await wait_all_tasks_blocked()
        assert ends.server.end_reason == "drained"
        assert "went away" in ends.client.end_reason


async def test_calls_that_a_goaway_says_were_not_processed_are_lost():
    async with raw_server() as served:
        first = await served.connection.open(PATH)
        second = await served.connection.open(PATH)
        await served.peer.send(served.peer.frames.goaway(1, 0, b"restarting"))
        with pytest.raises(ConnectionLost, match=r"restarting.*did not process"):
            await second.receive()
        frames = served.peer.frames
        await served.peer.send(frames.response(1), frames.message(1, b"a"), frames.trailers(1))
        assert await first.receive() == b"a"
        assert await first.receive() is None


async def test_a_client_that_drains_ends_with_its_last_call():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        ends.client.drain()
        with pytest.raises(ConnectionLost, match="going away"):
            await ends.client.open(PATH)
        call.send(b"x")
        assert await call.receive() == b"X"
        call.end_sending()
        assert await call.receive() is None
        await wait_all_tasks_blocked()
        assert ends.client.end_reason == "drained"
        assert ends.server.end_reason == "the peer closed the connection"


async def test_an_idle_client_that_drains_ends_at_once():
    async with connected() as ends:
        ends.client.drain()
        await wait_all_tasks_blocked()
        assert ends.client.end_reason == "drained"


async def test_an_abort_loses_running_calls_on_both_sides():
    async with connected(HOLD) as ends:
        call = await ends.client.open(PATH)
        await wait_all_tasks_blocked()
        ends.server.abort()
        with pytest.raises(ConnectionLost):
            await call.receive()
        await wait_all_tasks_blocked()
        assert ends.server.end_reason == "the connection was aborted"
        assert "aborted" in repr(ends.server)


async def test_a_connection_aborted_before_it_runs_ends_at_once():
    one, _other = memory_stream_pair()
    server = Connection(one, routes=HOLD)
    server.abort()
    await server.run()
    assert server.end_reason == "the connection was aborted"


# --- faults of the peer ---------------------------------------------------------------------------


async def test_a_protocol_error_is_answered_with_a_goaway_and_the_end():
    async with raw_client(HOLD) as served:
        await served.peer.send(served.peer.frames.data(99, b"x"))
        goaway = await served.peer.until(GoAwayFrame)
        assert goaway.error_code == 1
        assert await served.peer.frame() is None
        assert "protocol error" in served.connection.end_reason


async def test_a_goaway_is_sent_even_while_the_peer_goes_on_sending(autojump_clock):
    async with raw_client(HOLD) as served:
        frames = served.peer.frames
        await served.peer.send(frames.data(99, b"x"), *[frames.ping()] * 100)
        await served.peer.send(*[frames.ping()] * 100)
        assert (await served.peer.until(GoAwayFrame)).error_code == 1


async def test_a_rapid_reset_attack_starts_no_handlers_and_ends_in_a_goaway():
    started = []

    async def count(call) -> None:
        started.append(call)

    async with raw_client({PATH: Route(count)}) as served:
        frames = served.peer.frames
        for stream_id in range(1, 5001, 2):
            await served.peer.send(frames.request(stream_id, PATH) + frames.reset(stream_id))
        goaway = await served.peer.until(GoAwayFrame)
        assert goaway.error_code == 11
        assert started == []


async def test_handlers_whose_calls_were_reset_count_against_the_limit(autojump_clock):
    running = []

    async def stubborn(call) -> None:
        running.append(call)
        with trio.CancelScope(shield=True):
            await release.wait()

    release = trio.Event()
    options = ConnectionOptions(max_concurrent_streams=3)
    async with raw_client({PATH: Route(stubborn)}, options=options) as served:
        frames = served.peer.frames
        for stream_id in range(1, 21, 2):
            await served.peer.send(frames.request(stream_id, PATH))
            await wait_all_tasks_blocked()
            await served.peer.send(frames.reset(stream_id))
            await wait_all_tasks_blocked()
        assert len(running) == 3
        release.set()
        await wait_all_tasks_blocked()
        await served.peer.send(frames.request(99, PATH))
        await wait_all_tasks_blocked()
        assert len(running) == 4


async def test_a_bug_in_the_connection_ends_it_alone_and_is_logged():
    async with raw_client(HOLD) as served:
        served.connection._session.receive = lambda data, now: 1 / 0
        await served.peer.send(served.peer.frames.ping())
        await wait_all_tasks_blocked()
        assert "internal error" in served.connection.end_reason
        assert served.log.at("error") == ["a connection failed"]


async def test_statistics_count_what_happened():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        call.send(b"x" * 1000)
        assert call.unsent_bytes == 1005
        assert ends.client.statistics().unsent_bytes == 1005
        await call.receive()
        call.end_sending()
        await call.receive()
        with await ends.client.open(PATH):
            assert ends.client.statistics().calls_running == 1
        await wait_all_tasks_blocked()
        client, server = ends.client.statistics(), ends.server.statistics()
        assert client.calls_opened == server.calls_opened == 2
        assert client.calls_reset == server.calls_reset == 1
        assert client.bytes_sent == server.bytes_received > 1000
        assert client.bytes_received == server.bytes_sent > 1000
        assert server.calls_running == server.handler_faults == 0


async def test_a_raw_peer_that_just_leaves_is_noticed():
    one, other = memory_stream_pair()
    server = Connection(one, routes=HOLD, peer="leaver")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        peer = RawPeer(other)
        await peer.greet_server()
        await other.aclose()
    assert server.end_reason == "the peer closed the connection"
