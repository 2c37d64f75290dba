"""One HTTP/2 connection over a trio stream: a reader task, a writer task, and its calls.

Theory of operation. Handlers, the reader and whoever opens calls change the session synchronously
and wake the writer, which alone waits in a write: one that is cancelled half-way spoils the stream,
so no other task may be cancelled in one. What is urgent is written synchronously by whoever has it,
while the writer is in no write; what the socket does not take then, the writer writes. The reader
never waits for a handler; what calls have not read is bounded by the windows, and answers to
control frames by `max_control_bytes`.

A connection ends once, in `_end`: every call is told, what is queued is written within
`close_timeout_s`, then the socket is closed. Faults of the peer never leave `run`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import attrs
import trio

from trionode.errors import ConnectError, ConnectionLost, ProtocolError
from trionode.net.calls import CallTable
from trionode.net.keeper import Keeper
from trionode.net.options import ConnectionOptions, ConnectionStatistics, Counts
from trionode.net.output import Output
from trionode.net.pings import Pings
from trionode.net.serving import Log, NoLog, Route
from trionode.net.timeouts import Timeouts
from trionode.wire import greeting, grpc
from trionode.wire import session_events as happened
from trionode.wire.h2_setup import code_name
from trionode.wire.session import Session

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from trio import TaskStatus

    from trionode.net.call import Call

# HPACK logs every header with its value at DEBUG: slow, and secrets have no place in logs.
logging.getLogger("hpack").setLevel(logging.WARNING)

READ_BYTES = 256 * 1024
"""What one read may bring: several of the largest frames."""
BATCH_BYTES = 256 * 1024
"""DATA put before one write: what an answer to a PING may have to wait for."""
DRAIN_ACK_S = 1.0
"""How long the second GOAWAY waits for the answer to the PING after the first."""
LINGER_S = 0.5
"""How long the peer's last bytes are read away before closing."""


class Connection:
    """One connection in the server role (with routes) or the client role (routes None).

    Args:
        stream: of bytes, open; closed in the end.
        routes: handlers by path.
        options: its limits and timeouts.
        peer: the other side's address, for people.
        log: where to report.
        keeper: whose care the timeouts are in, running; without one it has its own.

    Attributes:
        peer: the other side's address, for people.
        end_reason: why the connection ended; empty while it lives.
        draining: whether new calls are refused by either side.
    """

    def __init__(  # noqa: PLR0913  # what a connection is made of
        self,
        stream: trio.abc.Stream,
        *,
        routes: Mapping[str, Route] | None,
        options: ConnectionOptions | None = None,
        peer: str = "",
        log: Log | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.peer = peer
        self.end_reason = ""
        self.draining = False
        self._stream = stream
        self._client = routes is None
        self._options = options or ConnectionOptions()
        self._log: Log = log or NoLog()
        self._counts = Counts()
        self._session = Session(
            self._options.session_limits(), client=self._client, now=trio.current_time()
        )
        self._calls = CallTable(
            self,
            self._session,
            routes=routes,
            options=self._options,
            counts=self._counts,
            log=self._log,
        )
        self._pings = Pings(self._session)
        self._keeper = keeper or Keeper(self._options)
        self._keeps_itself = keeper is None
        self._timeouts = Timeouts(
            stream,
            self._session,
            self._calls,
            self._pings,
            options=self._options,
            tick_s=self._keeper.tick_s,
            client=self._client,
            end=self._end,
            fail=self._fail,
            wake=self.wake,
        )
        self._handlers: trio.Nursery | None = None
        self._io_scope = trio.CancelScope()
        self._write_scope = trio.CancelScope()
        self._work = trio.Event()
        self._output = Output(stream, self._next_output, self._counts)
        self._handshake = trio.Event()
        self._peer_closed = trio.Event()
        self._head: bytes | None = b""
        self._farewell = b""
        self._ended = False
        self._shut_down = False
        self._went_away = ""
        self._on_event: dict[type, Callable[..., None]] = {
            **self._calls.on_event,
            happened.Ready: lambda _: self._handshake.set(),
            happened.PingAnswered: lambda event: self._pings.on_answered(event.payload),
            happened.PeerGoingAway: self._on_peer_going_away,
        }

    def __repr__(self) -> str:
        role = "client" if self._client else "server"
        return f"<Connection {role} {self.peer} {self.end_reason or 'open'}>"

    # --- for everybody ------------------------------------------------------------------------

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the connection until it is over; `started` once the handshake is complete.

        A server's ends without `started` when a stranger calls: run it with `start_soon`.

        Raises:
            ConnectError: client only, before `started`: what answered does not speak HTTP/2.
        """
        try:
            async with trio.open_nursery() as nursery:
                self._handlers = nursery
                try:
                    with self._io_scope:
                        await self._run_tasks(task_status)
                finally:
                    self._keeper.remove(self._timeouts.look)
                    self._end("the connection was cancelled")
                    await trio.aclose_forcefully(self._stream)
        finally:
            self._log.debug("connection over", peer=self.peer, reason=self.end_reason)
        if self._client and not self._session.ready:
            raise ConnectError(f"{self.peer}: {self.end_reason}")

    async def _run_tasks(self, task_status: TaskStatus[None]) -> None:
        self.wake()
        self._keeper.add(self._timeouts.look)
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._guard, self._write, name=f"writer {self.peer}")
            tasks.start_soon(self._guard, self._read, name=f"reader {self.peer}")
            if self._keeps_itself:
                tasks.start_soon(self._guard, self._keeper.run, name=f"keeper {self.peer}")
            if not await self._timeouts.await_handshake(self._handshake):
                if not self._client:
                    self._farewell = greeting.SAYS + b"\n"
                self._end(f"no HTTP/2 greeting within {self._options.handshake_timeout_s:g} s")
            elif self._session.ready:
                task_status.started()

    @trio.lowlevel.enable_ki_protection
    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Keep a bug in one of the connection's tasks in this connection.

        An interrupt does not break the connection here: it goes to the program's own task.
        """
        try:
            await task()
        except Exception as error:  # noqa: BLE001  # whatever it is, other connections go on
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._log.error("a connection failed", peer=self.peer, exc_info=error)
        self._end(f"internal error: {error!r}", flush=False)

    async def open(
        self,
        path: str,
        metadata: Iterable[tuple[str, str]] = (),
        *,
        timeout_s: float | None = None,
        eager: bool = False,
    ) -> Call:
        """Client: open a call, after those that wait for a free stream before it.

        Args:
            path: `/service/method`.
            metadata: custom metadata, names in lower case.
            timeout_s: the deadline of the whole call, here and at the server.
            eager: give received bytes back to the peer's window as they arrive.

        Raises:
            ConnectionLost: the connection is over or takes no new calls.
            ValueError: the path or metadata cannot be sent.
        """
        sent = list(metadata)
        headers = grpc.request_headers(path, self.peer or "trionode", sent, timeout_s)
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        await self._calls.wait_for_slot()
        self._check_open()
        call = self._calls.open(path, headers, eager=eager, timeout_s=timeout_s)
        if call is None:
            self.drain()
            raise ConnectionLost(f"{self.peer}: this connection's stream ids are used up")
        self.wake()
        return call

    def drain(self) -> None:
        """Take no new calls and end once the running ones have; a server says so first."""
        if not self.draining:
            self.draining = True
            self._calls.wake_openers()
            if self._handlers is not None and not self._client:
                self._handlers.start_soon(self._shut_down_in_steps)
            self.on_call_over()

    def abort(self) -> None:
        """End at once: running calls are lost, handlers are told so."""
        self._end("the connection was aborted", flush=False)

    async def ping(self) -> float:
        """Ask the peer for a sign of life; the round-trip time in seconds.

        Raises:
            ConnectionLost: the connection ended first.
        """
        self._check_alive()
        sent_at = trio.current_time()
        answered = self._pings.send()
        self.wake()
        await answered.wait()
        self._check_alive()
        return trio.current_time() - sent_at

    def probe(self) -> None:
        """Send a PING without waiting for its answer, which sets `rtt_s`."""
        if self._session.ready:
            self._pings.send()
            self.wake()

    @property
    def rtt_s(self) -> float | None:
        """The round-trip time of the last PING in seconds; None before the first."""
        return self._pings.rtt_s

    def statistics(self) -> ConnectionStatistics:
        """A snapshot of the counters."""
        return ConnectionStatistics(
            **attrs.asdict(self._counts),
            calls_running=len(self._calls),
            unsent_bytes=self._calls.unsent_bytes,
        )

    # --- the tasks ----------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read until the peer ends, never waiting for a handler."""
        while True:
            limit_bytes = self._options.max_control_bytes
            while self._session.output_bytes > limit_bytes and not self._ended:
                self._output.progress = trio.Event()
                await self._output.progress.wait()
            try:
                data = bytes(await self._stream.receive_some(READ_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._peer_closed.set()
                self._end(self._went_away or "the peer closed the connection", flush=False)
                return
            self._counts.bytes_received += len(data)
            self._timeouts.heard()
            # Once over, the peer's last bytes are only read away.
            if not self._ended:
                self._take_in(data)

    def _take_in(self, data: bytes) -> None:
        """Bring the session up to date with what was read."""
        if self._head is not None:
            self._head += data
            judge = greeting.judge_server if self._client else greeting.judge_client
            verdict = judge(self._head)
            if verdict is None:
                return
            if isinstance(verdict, greeting.Stranger):
                self._farewell = verdict.answer
                self._end(f"the other side does not speak HTTP/2, but: {verdict.what}")
                return
            data, self._head = self._head, None
        try:
            events = self._session.receive(data, trio.current_time())
        except ProtocolError as error:
            self._end(f"protocol error: {error}")
            return
        for event in events:
            self._on_event[type(event)](event)
        if self._handlers is not None:
            self._calls.start_handlers(self._handlers)
        # What handlers answer wakes the writer once they have, and not between two of them.
        if self._session.output_bytes or self._calls.can_send:
            self.wake()

    async def _write(self) -> None:
        """Write whatever calls and the session have, as long as the connection lives."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while data := self._output.next():
                if not await self._send_all(data):
                    return
            if self._ended:
                await self._close()
                return

    def write_now(self) -> bool:
        """Write what there is, before this returns and without waiting; whether that was all."""
        if not self._ended and self._output.write_now():
            return True
        self.wake()
        return False

    def write_soon(self) -> None:
        """Write what there is: at once if nothing was for a while, else at the writer's turn."""
        if self._output.quiet:
            self.write_now()
        else:
            self.wake()

    def _next_output(self) -> bytes:
        if self._farewell or (self._head is not None and not self._client):
            # A stranger gets its answer and no HTTP/2; until the greeting is read, nobody does.
            data, self._farewell = self._farewell, b""
            return data
        self._calls.fill(BATCH_BYTES)
        return self._session.take_output()

    async def _send_all(self, data: bytes) -> bool:
        """One write; False when nothing can follow it."""
        options = self._options
        timeout_s = options.close_timeout_s if self._ended else options.write_timeout_s
        try:
            with trio.move_on_after(timeout_s) as self._write_scope:
                await self._output.write(data)
                return True
            self._end(f"the peer did not read for {timeout_s:g} s", flush=False)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._end(self._went_away or "the connection broke", flush=False)
        self._io_scope.cancel()
        return False

    async def _close(self) -> None:
        """End our half and read the peer's away for a moment.

        A socket closed with unread bytes sends a TCP reset, which may destroy our last words
        before the peer has read them (RFC 9112 section 9.6 describes the same for HTTP/1.1).
        """
        with trio.move_on_after(LINGER_S):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                try:
                    await self._stream.send_eof()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
                else:
                    await self._peer_closed.wait()
        self._io_scope.cancel()

    async def _shut_down_in_steps(self) -> None:
        """Two GOAWAYs, so that requests already on their way are served (RFC 9113 section 6.8)."""
        self._session.announce_shutdown()
        answered = self._pings.send()
        self.wake()
        with trio.move_on_after(DRAIN_ACK_S):
            await answered.wait()
        self._session.shut_down()
        self._shut_down = True
        self.wake()
        self.on_call_over()

    def _end(self, reason: str, *, flush: bool = True) -> None:
        """Be over: tell every call, write what is queued if `flush`, then close. Only once."""
        if self._ended:
            if not flush:
                self._io_scope.cancel()
            return
        self._ended = self.draining = True
        self.end_reason = reason
        self._calls.lose(f"{self.peer}: {reason}")
        self._calls.wake_openers()
        self._pings.give_up()
        for event in (self._handshake, self._work, self._output.progress):
            event.set()
        if flush:
            deadline = trio.current_time() + self._options.close_timeout_s
            self._write_scope.deadline = min(self._write_scope.deadline, deadline)
        else:
            self._io_scope.cancel()

    def wake(self) -> None:
        """Say that calls or the session have something to write."""
        self._work.set()

    def on_call_over(self) -> None:
        """Be told that a call is over: a connection that drains ends with its last call."""
        told = self._shut_down or self._client
        if self.draining and told and not self._calls:
            self._end(self._went_away or "drained")

    def _check_alive(self) -> None:
        if self._ended:
            raise ConnectionLost(f"{self.peer}: {self.end_reason}")

    def _check_open(self) -> None:
        self._check_alive()
        if self.draining:
            raise ConnectionLost(f"{self.peer}: the connection is going away")

    # --- what the session reports -------------------------------------------------------------

    def _on_peer_going_away(self, event: happened.PeerGoingAway) -> None:
        said = f": {greeting.show(event.debug)}" if event.debug else ""
        self._went_away = f"the peer went away ({code_name(event.code)}{said})"
        if self._client:
            self.draining = True
            self._calls.wake_openers()
            reason = f"{self.peer}: {self._went_away} and did not process the call"
            self._calls.lose(reason, above=event.last_stream_id)
            self.on_call_over()
