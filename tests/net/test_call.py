"""Calls as their users see them: messages both ways, the end, and every way a call can fail."""

from __future__ import annotations

import pytest
import trio
from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame
from trio.testing import wait_all_tasks_blocked

from tests.support.connections import ECHO, connected, raw_client, raw_server
from tests.support.frames import of_kind
from trionode.errors import ConnectionLost, Refused, Status
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route

PATH = "/test/Echo"


async def test_messages_go_both_ways_and_the_call_ends_cleanly():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        call.send(b"one")
        call.send(b"")
        assert await call.receive() == b"ONE"
        assert await call.receive() == b""
        call.send(b"two")
        call.end_sending()
        assert await call.receive() == b"TWO"
        assert await call.receive() is None
        assert await call.receive() is None
        assert await call.receive_many() == []


async def test_receive_many_gives_all_messages_that_are_there():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        for message in (b"a", b"b", b"c"):
            call.send(message)
        await wait_all_tasks_blocked()
        assert await call.receive_many() == [b"A", b"B", b"C"]
        call.end_sending()
        assert await call.receive_many() == []


async def test_receive_many_after_receive_gives_the_rest():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        for message in (b"a", b"b", b"c"):
            call.send(message)
        await wait_all_tasks_blocked()
        assert await call.receive() == b"A"
        assert await call.receive_many() == [b"B", b"C"]


async def test_a_message_larger_than_every_window_goes_through():
    options = ConnectionOptions(stream_window_bytes=65_535, connection_window_bytes=65_535)
    async with connected(options=options) as ends:
        call = await ends.client.open(PATH)
        call.send(b"x" * 3_000_000)
        assert await call.receive() == b"X" * 3_000_000


async def test_the_handler_sees_path_and_metadata():
    seen = {}

    async def look(call) -> None:
        seen.update(path=call.path, metadata=dict(call.metadata), peer=call.connection.peer)

    async with connected({PATH: Route(look)}) as ends:
        call = await ends.client.open(PATH, [("x-one", "1"), ("x-two", "a"), ("x-two", "b")])
        assert await call.receive() is None
    assert seen["path"] == PATH
    assert seen["peer"] == "client"
    assert seen["metadata"]["x-one"] == "1"
    assert seen["metadata"]["x-two"] == "a,b"
    assert "grpc-timeout" not in seen["metadata"]


async def test_a_refusal_reaches_the_client_with_status_message_and_hint():
    async def refuse(call) -> None:
        call.send(b"before")
        raise Refused(Status.RESOURCE_EXHAUSTED, "full — sorry", "try another node")

    async with connected({PATH: Route(refuse)}) as ends:
        call = await ends.client.open(PATH)
        assert await call.receive() == b"before"
        with pytest.raises(Refused) as caught:
            await call.receive()
    assert caught.value.grpc_status is Status.RESOURCE_EXHAUSTED
    assert caught.value.message == "full — sorry"
    assert caught.value.hint == "try another node"


async def test_finish_sends_its_status_after_what_is_queued():
    async def answer(call) -> None:
        call.send(b"last")
        call.finish(Status.NOT_FOUND, "no more", [("x-left", "0")])
        with pytest.raises(ConnectionLost, match="is over"):
            call.send(b"too late")

    async with raw_client({PATH: Route(answer)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        trailers = await served.peer.until(HeadersFrame)
        assert trailers.fields[":status"] == "200"
        data = await served.peer.until(DataFrame)
        assert data.data.endswith(b"last")
        trailers = await served.peer.until(HeadersFrame)
        assert trailers.fields["grpc-status"] == "5"
        assert trailers.fields["x-left"] == "0"
        assert "END_STREAM" in trailers.flags


async def test_finish_refuses_metadata_that_cannot_be_sent():
    async def answer(call) -> None:
        with pytest.raises(ValueError, match="reserved"):
            call.finish(metadata=[("grpc-status", "0")])

    async with connected({PATH: Route(answer)}) as ends:
        call = await ends.client.open(PATH)
        assert await call.receive() is None


async def test_a_server_that_ends_early_resets_the_stream_without_error():
    async def stop(call) -> None:
        call.send(b"enough")

    async with raw_client({PATH: Route(stop)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        reset = await served.peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (1, 0)
        await served.peer.send(served.peer.frames.request(3, PATH, end=True))
        frames = await served.peer.settled()
        assert of_kind(frames, RstStreamFrame) == []
        assert [type(frame) for frame in frames] == [HeadersFrame, DataFrame, HeadersFrame]


async def test_a_client_hears_the_status_even_while_it_is_still_sending():
    async def stop(_call) -> None:
        raise Refused(Status.FAILED_PRECONDITION, "stop")

    async with connected({PATH: Route(stop)}) as ends:
        call = await ends.client.open(PATH)
        for _ in range(100):
            call.send(b"x" * 50_000)
        with pytest.raises(Refused, match="stop"):
            await call.receive()
        with pytest.raises(ConnectionLost, match="over"):
            call.send(b"more")
        with pytest.raises(ConnectionLost, match="over"):
            await call.drained()
        assert call.unsent_bytes == 0


async def test_a_reset_by_the_client_ends_the_handler_and_its_own_reading():
    lost = trio.Event()

    async def wait(call) -> None:
        with pytest.raises(ConnectionLost, match="CANCEL"):
            await call.receive()
        lost.set()

    async with connected({PATH: Route(wait)}) as ends:
        with await ends.client.open(PATH) as call:
            await wait_all_tasks_blocked()
        with pytest.raises(ConnectionLost, match="reset here"):
            await call.receive()
        await lost.wait()
        assert ends.log.at("error") == []


async def test_messages_that_arrived_before_a_reset_can_still_be_read():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        frames = served.peer.frames
        await served.peer.send(
            frames.response(1), frames.message(1, b"a"), frames.message(1, b"b"), frames.reset(1)
        )
        await wait_all_tasks_blocked()
        assert await call.receive() == b"a"
        assert await call.receive() == b"b"
        with pytest.raises(ConnectionLost, match="reset the call"):
            await call.receive()


async def test_messages_that_arrived_before_the_connection_broke_reach_the_handler():
    seen = []

    async def collect(call) -> None:
        await start.wait()
        while (message := await call.receive()) is not None:
            seen.append(message)

    start = trio.Event()
    async with raw_client({PATH: Route(collect)}) as served:
        frames = served.peer.frames
        await served.peer.send(
            frames.request(1, PATH), frames.message(1, b"a"), frames.message(1, b"b")
        )
        await wait_all_tasks_blocked()
        await served.peer.stream.aclose()
        await wait_all_tasks_blocked()
        start.set()
        await wait_all_tasks_blocked()
    assert seen == [b"a", b"b"]


async def test_a_handler_that_waits_elsewhere_is_cancelled_when_its_call_is(autojump_clock):
    ended = trio.Event()

    async def forget(_call) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with raw_client({PATH: Route(forget)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        reset_at = trio.current_time()
        await served.peer.send(served.peer.frames.reset(1))
        await ended.wait()
        assert trio.current_time() == reset_at
        assert served.connection.end_reason == ""


async def test_a_handler_with_messages_to_read_has_time_to_read_them(autojump_clock):
    read = []

    async def dawdle(call) -> None:
        await trio.sleep(3)
        read.append(await call.receive())
        await trio.sleep(3)
        read.append("never")

    async with raw_client({PATH: Route(dawdle)}) as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH), frames.message(1, b"settle this"))
        await wait_all_tasks_blocked()
        await served.peer.send(frames.reset(1))
        await trio.sleep(60)
        assert read == [b"settle this"]


async def test_a_handler_whose_connection_breaks_has_time_to_finish_what_it_does(autojump_clock):
    done = []

    async def work(_call) -> None:
        await trio.sleep(3)
        done.append("committed")
        await trio.sleep(3)
        done.append("never")

    async with raw_client({PATH: Route(work)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        await served.peer.stream.aclose()
        await trio.sleep(60)
        assert done == ["committed"]


async def test_a_call_whose_deadline_passes_is_cancelled_at_the_server(autojump_clock):
    ended = trio.Event()

    async def slow(_call) -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    async with raw_client({PATH: Route(slow)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH, ("grpc-timeout", "2S")))
        reset = await served.peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (1, 8)
        await ended.wait()


async def test_a_call_whose_deadline_passes_is_given_up_by_the_client(autojump_clock):
    async with raw_server() as served:
        call = await served.connection.open(PATH, timeout_s=2)
        request = await served.peer.until(HeadersFrame)
        assert request.fields["grpc-timeout"] == "2000000u"
        with pytest.raises(Refused) as caught:
            await call.receive()
        assert caught.value.grpc_status is Status.DEADLINE_EXCEEDED
        assert (await served.peer.until(RstStreamFrame)).error_code == 8


@pytest.mark.parametrize(
    ("extra", "message", "status"),
    [
        ((), b"\x01\x00\x00\x00\x01x", 13),
        ((("grpc-encoding", "gzip"),), b"\x01\x00\x00\x00\x01x", 12),
        ((), b"\x02\x00\x00\x00\x01x", 13),
        ((), b"\x00\x7f\xff\xff\xff", 8),
    ],
    ids=["compressed", "gzip", "flag 2", "too long"],
)
async def test_a_bad_message_ends_its_call_with_a_status(extra, message, status):
    async with raw_client() as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH, *extra), frames.data(1, message))
        trailers = await served.peer.until(HeadersFrame)
        assert trailers.fields["grpc-status"] == str(status)
        if status == 12:
            assert trailers.fields["grpc-accept-encoding"] == "identity"
        await served.peer.send(frames.request(3, PATH, end=True))
        assert (await served.peer.until(HeadersFrame, stream_id=3)).fields["grpc-status"] == "0"


async def test_a_stream_that_ends_inside_a_message_is_an_internal_error():
    async with raw_client() as served:
        frames = served.peer.frames
        await served.peer.send(
            frames.request(1, PATH), frames.data(1, b"\x00\x00\x00\x00\x05ab", end=True)
        )
        trailers = await served.peer.until(HeadersFrame)
        assert trailers.fields["grpc-status"] == "13"
        assert "middle" in trailers.fields["grpc-message"]


async def test_a_bad_message_from_a_server_refuses_the_call_at_the_client():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        frames = served.peer.frames
        await served.peer.send(frames.response(1), frames.data(1, b"\x00\x7f\xff\xff\xff"))
        with pytest.raises(Refused) as caught:
            await call.receive()
        assert caught.value.grpc_status is Status.RESOURCE_EXHAUSTED
        assert (await served.peer.until(RstStreamFrame)).error_code == 8


@pytest.mark.parametrize(
    ("http_status", "status"), [("404", Status.UNIMPLEMENTED), ("503", Status.UNAVAILABLE)]
)
async def test_an_http_error_of_a_proxy_is_mapped_and_its_body_ignored(http_status, status):
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        frames = served.peer.frames
        await served.peer.send(
            frames.headers(1, [(":status", http_status), ("content-type", "text/html")]),
            frames.data(1, b"<html>no", end=True),
        )
        with pytest.raises(Refused, match=http_status) as caught:
            await call.receive()
        assert caught.value.grpc_status is status


async def test_a_response_that_ends_without_a_status_is_unknown():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        frames = served.peer.frames
        await served.peer.send(
            frames.response(1), frames.message(1, b"a"), frames.data(1, b"", end=True)
        )
        assert await call.receive() == b"a"
        with pytest.raises(Refused) as caught:
            await call.receive()
        assert caught.value.grpc_status is Status.UNKNOWN


async def test_a_status_in_the_only_headers_ends_the_call():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        headers = [(":status", "200"), ("grpc-status", "5"), ("grpc-message", "no%20such")]
        await served.peer.send(served.peer.frames.headers(1, headers, end=True))
        with pytest.raises(Refused, match="no such") as caught:
            await call.receive()
        assert caught.value.grpc_status is Status.NOT_FOUND


async def test_a_reset_after_the_status_changes_nothing():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        frames = served.peer.frames
        await served.peer.send(
            frames.response(1),
            frames.message(1, b"a"),
            frames.trailers(1),
            frames.reset(1, 0),
        )
        assert await call.receive() == b"a"
        assert await call.receive() is None


async def test_drained_waits_until_the_peer_takes_what_was_sent():
    async with raw_server(settings={4: 10_000}) as served:
        call = await served.connection.open(PATH)
        call.send(b"x" * 29_995)
        await wait_all_tasks_blocked()
        assert call.unsent_bytes == 20_000
        reached = []

        async def wait(below_bytes: int) -> None:
            await call.drained(below_bytes)
            reached.append(below_bytes)

        served.nursery.start_soon(wait, 10_000)
        served.nursery.start_soon(wait, 0)
        await wait_all_tasks_blocked()
        assert reached == []
        await served.peer.send(served.peer.frames.window_update(1, 10_000))
        await wait_all_tasks_blocked()
        assert reached == [10_000]
        await served.peer.send(served.peer.frames.window_update(1, 10_000))
        await wait_all_tasks_blocked()
        assert reached == [10_000, 0]


async def test_drained_raises_when_the_call_is_lost_first():
    async with raw_server(settings={4: 10}) as served:
        call = await served.connection.open(PATH)
        call.send(b"x" * 1000)
        with pytest.RaisesGroup(ConnectionLost):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call.drained, 0)
                await wait_all_tasks_blocked()
                await served.peer.send(served.peer.frames.reset(1, 7))
                await trio.sleep_forever()


async def test_a_peer_that_leaves_too_much_unread_loses_the_call_and_nothing_else():
    options = ConnectionOptions(max_unsent_bytes=100_000)
    async with raw_server(options=options, settings={4: 10}) as served:
        call = await served.connection.open(PATH)
        call.send(b"x" * 150_000)
        with pytest.raises(ConnectionLost, match="unread"):
            call.send(b"x")
        assert (await served.peer.until(RstStreamFrame)).stream_id == 1
        assert await served.connection.open(PATH)


async def test_an_eager_call_gives_windows_back_unread_up_to_a_limit():
    options = ConnectionOptions(
        stream_window_bytes=65_535, connection_window_bytes=65_535, max_unread_bytes=300_000
    )

    async def idle(_call) -> None:
        await trio.sleep_forever()

    async with connected({PATH: Route(idle, eager=True)}, options=options) as ends:
        call = await ends.client.open(PATH)
        call.send(b"x" * 250_000)
        await call.drained(0)
        call.send(b"x" * 100_000)
        with pytest.raises(ConnectionLost, match="ENHANCE_YOUR_CALM"):
            await call.receive()


async def test_an_eager_call_is_read_like_any_other():
    async with connected({PATH: Route(ECHO[PATH].handler, eager=True)}) as ends:
        call = await ends.client.open(PATH, eager=True)
        call.send(b"x" * 2_000_000)
        assert await call.receive() == b"X" * 2_000_000


async def test_sending_after_the_end_is_refused():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        call.end_sending()
        call.end_sending()
        with pytest.raises(ConnectionLost, match="over"):
            call.send(b"x")
        assert await call.receive() is None
        call.end_sending()
        call.reset()


async def test_a_call_says_what_it_is():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        assert repr(call) == "<Call /test/Echo stream 1 with server>"
