"""Flow control both ways: what is not read holds back its own call, and every byte is paid back."""

from __future__ import annotations

import trio
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, WindowUpdateFrame
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.support.connections import connected, raw_client, raw_server
from tests.support.frames import of_kind
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route

PATH = "/test/Echo"
SMALL = ConnectionOptions(stream_window_bytes=65_535, connection_window_bytes=262_144)


async def test_a_call_that_is_not_read_holds_its_peer_back_and_no_other_call():
    async def idle(_call) -> None:
        await trio.sleep_forever()

    async def echo(call) -> None:
        while (message := await call.receive()) is not None:
            call.send(message)

    routes = {"/test/Idle": Route(idle), PATH: Route(echo)}
    async with connected(routes, options=SMALL) as ends:
        stalled = await ends.client.open("/test/Idle")
        stalled.send(b"x" * 1_000_000)
        await wait_all_tasks_blocked()
        assert stalled.unsent_bytes == 1_000_005 - 65_535
        call = await ends.client.open(PATH)
        for _ in range(20):
            call.send(b"y" * 100_000)
            assert await call.receive() == b"y" * 100_000
        assert stalled.unsent_bytes == 1_000_005 - 65_535


def test_by_default_it_takes_many_calls_that_are_not_read_to_starve_the_others():
    options = ConnectionOptions()
    assert options.connection_window_bytes >= 8 * options.stream_window_bytes


async def test_a_flood_of_empty_messages_for_a_handler_that_does_not_read_is_held_back():
    # Every message costs memory of its own, five bytes of window or not.
    async def idle(_call) -> None:
        await trio.sleep_forever()

    async with raw_client({PATH: Route(idle)}, options=SMALL) as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH))
        await served.peer.send(*[frames.data(1, bytes(5 * 1000))] * 13)
        assert of_kind(await served.peer.settled(), WindowUpdateFrame) == []
        await served.peer.send(frames.data(1, bytes(5 * 1000)))
        assert (await served.peer.until(GoAwayFrame)).error_code == 3


async def test_handlers_that_never_read_cost_the_connection_nothing():
    # Were their bytes not given back, the connection's window would be gone after a few calls.
    async def ignore(call) -> None:
        call.send(b"ok")

    async with connected({PATH: Route(ignore)}, options=SMALL) as ends:
        for _ in range(50):
            call = await ends.client.open(PATH)
            call.send(b"x" * 60_000)
            assert await call.receive() == b"ok"
            assert await call.receive() is None


async def test_answers_that_are_never_read_cost_the_connection_nothing():
    async def answer(call) -> None:
        call.send(b"x" * 60_000)

    async with connected({PATH: Route(answer)}, options=SMALL) as ends:
        for _ in range(50):
            call = await ends.client.open(PATH)
            await wait_all_tasks_blocked()
            call.reset()
        unread = []
        for _ in range(50):
            unread.append(await ends.client.open(PATH))
            await wait_all_tasks_blocked()
        assert [await call.receive() for call in unread] == [b"x" * 60_000] * 50


async def test_windows_are_given_back_as_bytes_are_read_not_as_they_come():
    gate = trio.Event()

    async def late(call) -> None:
        await gate.wait()
        while await call.receive() is not None:
            pass

    async with raw_client({PATH: Route(late)}, options=SMALL) as served:
        frames = served.peer.frames
        await served.peer.send(frames.request(1, PATH), frames.message(1, b"x" * 16_000) * 3)
        assert of_kind(await served.peer.settled(), WindowUpdateFrame) == []
        gate.set()
        updates = of_kind(await served.peer.settled(), WindowUpdateFrame)
        assert [frame.stream_id for frame in updates] == [1]
        assert updates[0].window_increment > 32_000


async def test_a_connection_window_that_opens_lets_every_waiting_call_send():
    async with raw_server(settings={4: 10_000_000}) as served:
        calls = [await served.connection.open(PATH) for _ in range(3)]
        for call in calls:
            call.send(b"x" * 65_530)
        await wait_all_tasks_blocked()
        assert sum(call.unsent_bytes for call in calls) == 3 * 65_535 - 65_535
        await served.peer.send(served.peer.frames.window_update(0, 200_000))
        await wait_all_tasks_blocked()
        assert [call.unsent_bytes for call in calls] == [0, 0, 0]


async def test_settings_that_widen_windows_wake_waiting_calls():
    async with raw_server(settings={4: 0}) as served:
        call = await served.connection.open(PATH)
        call.send(b"x" * 100)
        await wait_all_tasks_blocked()
        assert call.unsent_bytes == 105
        await served.peer.send(served.peer.frames.settings({4: 1000}))
        await call.drained(0)


async def test_a_window_made_negative_and_opened_again_delivers_everything():
    async with raw_server(settings={4: 1000}) as served:
        call = await served.connection.open(PATH)
        call.send(bytes(range(200)) * 20)
        await wait_all_tasks_blocked()
        frames = served.peer.frames
        await served.peer.send(frames.settings({4: 0}))
        await served.peer.send(frames.window_update(1, 500))
        await wait_all_tasks_blocked()
        assert call.unsent_bytes == 4005 - 1000
        await served.peer.send(frames.window_update(1, 10_000))
        await call.drained(0)
        call.end_sending()
        data = b"".join(frame.data for frame in of_kind(await served.peer.settled(), DataFrame))
        assert data[5:] == bytes(range(200)) * 20


async def test_an_end_without_data_passes_a_shut_window():
    async with raw_server(settings={4: 0}) as served:
        call = await served.connection.open(PATH)
        call.end_sending()
        assert "END_STREAM" in (await served.peer.until(DataFrame)).flags


async def test_many_messages_sent_at_once_become_few_frames():
    async with raw_server(settings={4: 10_000_000, 5: 65_536}) as served:
        call = await served.connection.open(PATH)
        for _ in range(1000):
            call.send(b"x" * 27)
        data = of_kind(await served.peer.settled(), DataFrame)
        assert len(data) == 1
        assert len(data[0].data) == 32_000


async def test_a_busy_call_does_not_hold_up_a_small_one():
    async with raw_server(settings={4: 10_000_000}) as served:
        await served.peer.send(served.peer.frames.window_update(0, 10_000_000))
        busy = await served.connection.open(PATH)
        small = await served.connection.open(PATH)
        busy.send(b"x" * 1_000_000)
        small.send(b"y")
        order = [frame.stream_id for frame in of_kind(await served.peer.settled(), DataFrame)]
        assert order.index(3) == 1


async def test_the_flow_of_a_slow_link_is_held_back_by_its_stream():
    # On a lockstep stream nothing is buffered: what is unsent stays with the call.
    async with connected(lockstep=True) as ends:
        call = await ends.client.open(PATH)
        call.send(b"x" * 3_000_000)
        await call.drained(0)
        assert await call.receive() == b"X" * 3_000_000


class Ledger:
    """Counts what a session receives under flow control and what it gives back, h2's part too."""

    def __init__(self, connection) -> None:
        manager = connection._session._h2._inbound_flow_control_window_manager
        consumed, processed = manager.window_consumed, manager.process_bytes
        self.received = self.acknowledged = 0

        def window_consumed(size):
            self.received += size
            return consumed(size)

        def process_bytes(size):
            self.acknowledged += size
            return processed(size)

        manager.window_consumed = window_consumed
        manager.process_bytes = process_bytes


steps = st.lists(
    st.tuples(
        st.sampled_from(["data", "padded", "empty", "end", "reset", "stray"]),
        st.integers(0, 4),
        st.integers(0, 3000),
    ),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(
    steps, st.lists(st.sampled_from(["read", "ignore", "leave", "some"]), min_size=5, max_size=5)
)
async def test_every_byte_received_is_given_back_or_waits_unread(script, habits):
    handlers = iter(habits)

    async def behave(call) -> None:
        habit = next(handlers)
        if habit == "leave":
            return
        if habit == "some":
            await call.receive()
        if habit == "read":
            while await call.receive() is not None:
                pass
        else:
            await finish.wait()

    finish = trio.Event()
    async with raw_client({PATH: Route(behave)}, options=SMALL) as served:
        ledger = Ledger(served.connection)
        frames, ended = served.peer.frames, set()
        calls = []
        for number in range(5):
            await served.peer.send(frames.request(2 * number + 1, PATH))
            await wait_all_tasks_blocked()
        calls = list(served.connection._calls._calls.values())
        for kind, number, size in script:
            stream_id = 2 * number + 1
            if stream_id in ended and kind != "stray":
                continue
            if kind == "data":
                await served.peer.send(frames.message(stream_id, b"x" * size))
            elif kind == "padded":
                await served.peer.send(frames.data(stream_id, bytes(5), pad_length=size % 256))
            elif kind == "empty":
                await served.peer.send(frames.data(stream_id, b""))
            elif kind == "end":
                await served.peer.send(frames.data(stream_id, b"", end=True))
                ended.add(stream_id)
            elif kind == "reset":
                await served.peer.send(frames.reset(stream_id))
                ended.add(stream_id)
            await wait_all_tasks_blocked()
            owed = sum(call._owed_bytes for call in calls)
            assert ledger.received == ledger.acknowledged + owed
        finish.set()
        await wait_all_tasks_blocked()
        assert served.connection.end_reason == ""
        for stream_id in {1, 3, 5, 7, 9} - ended:
            await served.peer.send(frames.reset(stream_id))
        await wait_all_tasks_blocked()
        assert ledger.received == ledger.acknowledged
        assert served.connection._session._owned == set()
        await served.peer.send(frames.request(11, "/test/None", end=True))
        assert await served.peer.until(HeadersFrame, stream_id=11)
