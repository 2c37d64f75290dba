"""Cancelling any wait at any moment leaves the connection sound, or ends it cleanly."""

from __future__ import annotations

import pytest
import trio
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, RstStreamFrame
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support.connections import ECHO, RawPeer, connected, raw_client, raw_server
from tests.support.frames import of_kind
from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.net.connection import Connection
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route

PATH = "/test/Echo"


async def cancelled_at_its_wait(function, *args) -> None:
    """Run until it waits, then cancel it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(function, *args)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_a_cancelled_receive_loses_no_message():
    async with connected() as ends:
        call = await ends.client.open(PATH)
        await cancelled_at_its_wait(call.receive)
        await cancelled_at_its_wait(call.receive_many)
        call.send(b"a")
        assert await call.receive() == b"A"


async def test_a_cancelled_drained_changes_nothing():
    async with raw_server(settings={4: 1000}) as served:
        call = await served.connection.open(PATH)
        call.send(b"x" * 5000)
        await cancelled_at_its_wait(call.drained, 0)
        await served.peer.send(served.peer.frames.window_update(1, 10_000))
        await call.drained(0)


async def test_a_cancelled_open_takes_no_stream():
    async with raw_server(settings={3: 1}) as served:
        first = await served.connection.open(PATH)
        await cancelled_at_its_wait(served.connection.open, PATH)
        first.reset()
        assert (await served.connection.open(PATH)).stream_id == 3


async def test_an_open_in_a_cancelled_scope_takes_no_stream():
    async with raw_server() as served:
        with trio.CancelScope() as scope:
            scope.cancel()
            await served.connection.open(PATH)
        assert scope.cancelled_caught
        assert (await served.connection.open(PATH)).stream_id == 1


async def test_a_cancelled_ping_does_no_harm():
    async with connected() as ends:
        await cancelled_at_its_wait(trio.sleep_forever)
        with trio.CancelScope() as scope:
            scope.cancel()
            await ends.client.ping()
        assert scope.cancelled_caught
        assert await ends.client.ping() >= 0


async def test_a_caller_cancelled_inside_a_call_resets_it():
    async with raw_server() as served:

        async def use() -> None:
            with await served.connection.open(PATH) as call:
                await call.receive()

        await cancelled_at_its_wait(use)
        reset = await served.peer.until(RstStreamFrame)
        assert (reset.stream_id, reset.error_code) == (1, 8)


async def test_cancelling_senders_while_a_write_is_under_way_garbles_nothing():
    # The writer is in the middle of a write when the call that sent the bytes is cancelled; what
    # follows must still be understood, headers by HPACK and frames by their lengths.
    async with connected(lockstep=True) as ends:
        for number in range(20):

            async def use(number=number) -> None:
                with await ends.client.open(PATH, [(f"x-{number}", "value")]) as call:
                    call.send(b"x" * 100_000)
                    await call.receive()
                    await call.receive()

            with trio.move_on_after(0.001):
                await use()
        call = await ends.client.open(PATH)
        call.send(b"still here")
        assert await call.receive() == b"STILL HERE"


async def test_a_handler_cancelled_by_its_connection_ends_with_it():
    ended = []

    async def wait(call) -> None:
        try:
            await call.receive()
        finally:
            ended.append(call.path)

    one, other = memory_stream_pair()
    server = Connection(one, routes={PATH: Route(wait)})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        peer = RawPeer(other)
        await peer.greet_server()
        await peer.send(peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert ended == [PATH]
    assert server.end_reason == "the connection was cancelled"


async def test_a_cancelled_client_loses_its_calls():
    async with raw_server() as served:
        call = await served.connection.open(PATH)
        served.nursery.cancel_scope.cancel()
    with pytest.raises(ConnectionLost):
        await call.receive()
    with pytest.raises(ConnectionLost):
        call.send(b"x")


async def test_a_peer_that_reads_nothing_does_not_hold_up_the_end(autojump_clock):
    one, other = lockstep_stream_pair()
    server = Connection(one, routes=ECHO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        frames = RawPeer(other).frames
        await other.send_all(frames.preface() + frames.data(99, b"x"))
        started_at = trio.current_time()
    # close_timeout_s for the write, and the moment of lingering; never write_timeout_s.
    assert trio.current_time() - started_at < 5
    assert "protocol error" in server.end_reason


async def test_a_write_under_way_is_cut_short_when_the_connection_ends(autojump_clock):
    one, other = lockstep_stream_pair()
    server = Connection(one, routes=ECHO)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.run)
        frames = RawPeer(other).frames
        await other.send_all(frames.preface())
        await wait_all_tasks_blocked()
        # The server is stuck in writing its greeting; now it has a reason to end.
        await other.send_all(frames.data(99, b"x"))
        started_at = trio.current_time()
    assert trio.current_time() - started_at < 5


async def test_a_peer_that_does_not_read_for_the_write_timeout_is_lost(autojump_clock):
    options = ConnectionOptions(write_timeout_s=30)
    async with raw_client(options=options, greet=False, lockstep=True) as served:
        await served.peer.send(served.peer.frames.preface(), served.peer.frames.settings(ack=True))
        await trio.sleep(29)
        assert served.connection.end_reason == ""
        await trio.sleep(2)
        assert "did not read for 30 s" in served.connection.end_reason


async def test_a_call_that_has_ended_and_is_not_taken_is_given_up(autojump_clock):
    async def answer(call) -> None:
        call.send(b"x" * 100_000)

    options = ConnectionOptions(write_timeout_s=30, keepalive_idle_s=None)
    async with raw_client({PATH: Route(answer)}, options=options, settings={4: 10}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH, end=True))
        assert (await served.peer.until(RstStreamFrame)).error_code == 8
        assert served.connection.statistics().calls_running == 0


async def test_answers_to_control_frames_do_not_pile_up_for_a_peer_that_does_not_read():
    options = ConnectionOptions(max_control_bytes=1000)
    async with raw_client(options=options, greet=False, lockstep=True) as served:
        frames = served.peer.frames
        await served.peer.send(frames.preface(), frames.settings(ack=True))

        async def flood() -> None:
            for _ in range(100):
                await served.peer.send(frames.ping() * 10)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood)
            await wait_all_tasks_blocked()
            # The server has stopped reading: the flood is stuck, and little is queued.
            assert served.connection._session.output_bytes < 2000
            taken = served.connection.statistics().bytes_received
            assert taken < 100 * 10 * 17
            nursery.cancel_scope.cancel()


# --- handlers -------------------------------------------------------------------------------------


async def status_of(handler) -> tuple[Status, str, list]:
    """How the client sees a call that this handler serves, and what the server logged."""
    async with connected({PATH: Route(handler)}) as ends:
        call = await ends.client.open(PATH)
        with pytest.raises(Refused) as caught:
            await call.receive()
        await wait_all_tasks_blocked()
        other = await ends.client.open("/test/None")
        with pytest.raises(Refused, match="unknown method"):
            await other.receive()
        return caught.value.grpc_status, caught.value.message, ends.log.at("error")


async def test_a_handlers_bug_is_internal_logged_counted_and_stays_in_its_call():
    async def broken(_call) -> None:
        raise KeyError("secret")

    assert await status_of(broken) == (Status.INTERNAL, "internal error", ["a handler failed"])
    async with connected({PATH: Route(broken)}) as ends:
        call = await ends.client.open(PATH)
        with pytest.raises(Refused):
            await call.receive()
        await wait_all_tasks_blocked()
        assert ends.server.statistics().handler_faults == 1


async def test_a_handlers_bug_in_one_of_its_tasks_is_found_in_the_group():
    async def broken(call) -> None:
        async def bug() -> None:
            raise KeyError("secret")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.receive)
            nursery.start_soon(bug)

    assert await status_of(broken) == (Status.INTERNAL, "internal error", ["a handler failed"])


async def test_a_refusal_in_one_of_a_handlers_tasks_is_the_calls_status():
    async def refuse(call) -> None:
        async def no() -> None:
            raise Refused(Status.ABORTED, "no")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.receive)
            nursery.start_soon(no)

    assert await status_of(refuse) == (Status.ABORTED, "no", [])


async def test_a_broken_protocol_elsewhere_is_the_calls_status():
    async def decode(_call) -> None:
        raise ProtocolError("not a frame", grpc_status=Status.INVALID_ARGUMENT)

    assert await status_of(decode) == (Status.INVALID_ARGUMENT, "not a frame", [])


async def test_a_connection_that_a_handler_lost_elsewhere_is_unavailable():
    async def relay(_call) -> None:
        raise ConnectionLost("the other node died")

    assert await status_of(relay) == (Status.UNAVAILABLE, "the other node died", [])


async def test_a_lost_call_whose_tasks_all_notice_is_nobodys_fault():
    async def busy(call) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.receive)
            call.send(b"x" * 1_000_000)
            nursery.start_soon(call.drained, 0)

    async with raw_client({PATH: Route(busy)}, settings={4: 10}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        await served.peer.send(served.peer.frames.reset(1))
        await wait_all_tasks_blocked()
        statistics = served.connection.statistics()
        assert (statistics.calls_running, statistics.handler_faults) == (0, 0)
        assert served.log.at("error") == []


async def test_a_bug_in_a_handlers_clean_up_does_not_leave_a_cancelled_connection():
    async def broken(_call) -> None:
        async def bug() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("secret")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(bug)
            nursery.start_soon(trio.sleep_forever)

    async with raw_client({PATH: Route(broken)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        served.nursery.cancel_scope.cancel()
    assert served.log.at("error") == ["a handler failed when cancelled"]


async def test_a_handler_that_refuses_while_it_is_cancelled_is_nobodys_fault():
    async def leave(_call) -> None:
        async def refuse() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise Refused(Status.UNAVAILABLE, "going away")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            nursery.start_soon(trio.sleep_forever)

    async with raw_client({PATH: Route(leave)}) as served:
        await served.peer.send(served.peer.frames.request(1, PATH))
        await wait_all_tasks_blocked()
        served.nursery.cancel_scope.cancel()
    assert served.log.at("error") == []


async def test_data_read_together_with_what_made_its_call_be_reset_is_given_back():
    async def hold(_call) -> None:
        with trio.CancelScope(shield=True):
            await release.wait()

    release = trio.Event()
    options = ConnectionOptions(max_unread_bytes=1000)
    async with raw_client({PATH: Route(hold, eager=True)}, options=options) as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH), *[frames.data(1, bytes(600))] * 4)
        assert (await served.peer.until(RstStreamFrame)).error_code == 11
        manager = served.connection._session._h2._inbound_flow_control_window_manager
        assert manager.max_window_size - manager.current_window_size == 2400
        assert manager._bytes_processed == 2400
        release.set()


async def test_a_call_that_ended_in_order_leaves_nothing_behind():
    async with raw_client() as served:
        await served.peer.send(served.peer.frames.request(1, PATH, end=True))
        frames = await served.peer.settled()
        assert of_kind(frames, GoAwayFrame) == of_kind(frames, DataFrame) == []
        assert len(of_kind(frames, HeadersFrame)) == 1
        assert served.connection._session._owned == set()
        assert len(served.connection._calls) == 0
