"""One keeper for all connections of a server: each deadline is acted on, and no peer delays others.

Everything goes through `serve`, on streams in memory and with the clock of the test.
"""

from __future__ import annotations

import gc
import itertools
import weakref
from contextlib import asynccontextmanager

import attrs
import pytest
import trio
from hyperframe.frame import GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from tests.support.connections import NoteLog, RawPeer
from trionode.net import keeper as keeping
from trionode.net.listener import serve
from trionode.net.options import ConnectionOptions
from trionode.net.serving import Route
from trionode.net.sockets import PeerWatch
from trionode.testing.network import MemoryNetwork

PATH = "/test/Answer"


async def answer(call) -> None:
    """One message, larger than some windows."""
    call.send(b"x" * 100_000)


@attrs.define
class Server:
    nursery: trio.Nursery
    listener: object
    connections: set
    log: NoteLog

    async def stranger(self, streams=memory_stream_pair) -> RawPeer:
        """A peer that has said nothing yet."""
        ours, theirs = streams()
        self.listener.connect(theirs)
        await wait_all_tasks_blocked()
        return RawPeer(ours)

    async def client(self, settings: dict[int, int] | None = None) -> RawPeer:
        """A peer that has shaken hands."""
        peer = await self.stranger()
        await peer.greet_server(settings)
        return peer


@asynccontextmanager
async def serving(**options):
    (listener,) = await MemoryNetwork().listen("server", 1)
    log, connections = NoteLog(), set()

    async def run(task_status) -> None:
        await serve(
            [listener],
            {PATH: Route(answer)},
            ConnectionOptions(**options),
            connections=connections,
            log=log,
            task_status=task_status,
        )

    with trio.fail_after(1_000):
        async with trio.open_nursery() as nursery:
            await nursery.start(run)
            yield Server(nursery, listener, connections, log)
            nursery.cancel_scope.cancel()


async def live_on(peer: RawPeer) -> None:
    """See that a connection still serves."""
    await peer.send(peer.frames.ping(b"stillyou"))
    await peer.until(PingFrame, opaque_data=b"stillyou", flags={"ACK"})


async def test_a_stranger_that_says_nothing_runs_out_of_time_alone(autojump_clock):
    async with serving() as server:
        peer, other = await server.stranger(), await server.client()
        assert b"trionode" in bytes(await peer.stream.receive_some())
        assert 10 <= trio.current_time() < 11
        await live_on(other)


async def test_a_header_block_that_is_not_ended_runs_out_of_time_alone(autojump_clock):
    async with serving() as server:
        peer, other = await server.client(), await server.client()
        await peer.send(peer.frames.raw(1, 0, 1, b""))
        assert b"header block" in (await peer.until(GoAwayFrame)).additional_data
        assert 10 < trio.current_time() <= 15
        await live_on(other)


async def test_settings_that_are_not_acknowledged_run_out_of_time_alone(autojump_clock):
    async with serving() as server:
        peer, other = await server.stranger(), await server.client()
        await peer.send(peer.frames.preface())
        await peer.until(SettingsFrame)
        assert (await peer.until(GoAwayFrame)).error_code == 4
        assert 10 < trio.current_time() <= 15
        await live_on(other)


async def test_an_answer_that_is_not_taken_is_given_up_alone(autojump_clock):
    async with serving(write_timeout_s=30, keepalive_idle_s=None) as server:
        peer, other = await server.client({4: 10}), await server.client()
        await peer.send(peer.frames.request(1, PATH, end=True))
        assert (await peer.until(RstStreamFrame)).error_code == 8
        assert 30 < trio.current_time() <= 35
        await live_on(peer)
        await live_on(other)


async def test_a_peer_that_answers_no_ping_is_lost_alone(autojump_clock):
    async with serving(keepalive_timeout_s=20) as server:
        peer, other = await server.client(), await server.client()
        asked_at: list[float] = []

        async def stay() -> None:
            while True:
                ping = await other.until(PingFrame)
                asked_at.append(trio.current_time())
                await other.send(other.frames.ping(ping.opaque_data, ack=True))

        server.nursery.start_soon(stay)
        await peer.until(PingFrame)
        pinged_at = trio.current_time()
        assert 15 <= pinged_at <= 20
        assert await peer.frame() is None
        assert 20 <= trio.current_time() - pinged_at <= 20 + 5 / keeping.GRAINS_PER_TICK
        await trio.sleep(100)
        assert len(server.connections) == 1
        waits = [after - before for before, after in itertools.pairwise(asked_at)]
        assert len(waits) >= 5
        assert all(15 <= wait <= 20 for wait in waits)


async def test_a_dead_host_is_lost_alone(autojump_clock, monkeypatch):
    async with serving() as server:
        peer = await server.client()
        (doomed,) = server.connections
        other = await server.client()
        dead = doomed._timeouts._watch
        monkeypatch.setattr(PeerWatch, "is_dead", lambda watch: watch is dead)
        assert await peer.frame() is None
        assert trio.current_time() <= 5
        assert "host does not answer" in doomed.end_reason
        await live_on(other)


async def test_a_peer_that_reads_nothing_does_not_hold_up_the_looks_at_others(autojump_clock):
    async with serving(write_timeout_s=1000) as server:
        # In lockstep: whatever is written to it waits until it is read, which it never is.
        await server.stranger(lockstep_stream_pair)
        stuck = await server.stranger(lockstep_stream_pair)
        await stuck.send(stuck.frames.preface(), stuck.frames.settings(ack=True))
        other = await server.client()
        await other.until(PingFrame)
        assert trio.current_time() <= 20
        await trio.sleep(300)
        assert len(server.connections) == 2


async def test_a_server_asks_no_client_that_asks_by_itself(autojump_clock):
    async with serving() as server:
        peer = await server.client()
        for _ in range(10):
            await trio.sleep(15)
            await peer.send(peer.frames.ping())
        assert {frozenset(frame.flags) for frame in await peer.settled()} == {frozenset({"ACK"})}


async def test_a_bug_in_a_look_ends_its_connection_alone_and_is_logged(autojump_clock, monkeypatch):
    async with serving() as server:
        peer = await server.client()
        (doomed,) = server.connections
        other = await server.client()
        monkeypatch.delattr(doomed._timeouts, "_watch")
        assert await peer.frame() is None
        assert "internal error" in doomed.end_reason
        assert server.log.at("error") == ["a connection failed"]
        await live_on(other)
        await other.until(PingFrame)


async def test_a_keeper_keeps_nothing_of_a_connection_that_is_over(autojump_clock):
    async with serving() as server:
        peer = await server.client()
        connection = weakref.ref(next(iter(server.connections)))
        await peer.stream.aclose()
        await wait_all_tasks_blocked()
        assert not server.connections
        gc.collect()
        assert connection() is None
        other = await server.client()
        await other.until(PingFrame)


class Times(trio.abc.Instrument):
    """Notes when any task had something to do."""

    def __init__(self) -> None:
        self.seen: set[float] = set()

    def before_task_step(self, task: object) -> None:
        self.seen.add(trio.current_time())


@pytest.mark.parametrize("clients", [1, 200])
async def test_many_connections_wake_the_process_no_oftener_than_few(autojump_clock, clients):
    async with serving(keepalive_idle_s=None) as server:
        for _ in range(clients):
            await server.client()
            await trio.sleep(5 / clients)
        times = Times()
        trio.lowlevel.add_instrument(times)
        await trio.sleep(100)
        trio.lowlevel.remove_instrument(times)
        # 20 ticks, and the beginning and end of the test's own sleep.
        assert 20 <= len(times.seen) <= 20 * min(clients, keeping.GRAINS_PER_TICK) + 2
