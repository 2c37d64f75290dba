"""One HTTP/2 connection over a trio stream: a reader task, a writer task, and its calls.

Theory of operation. Handlers, the reader and whoever opens calls change the session synchronously
and wake the writer, which alone writes: a write that is cancelled half-way spoils the stream, so no
other task may be cancelled in one. The reader never waits for a handler; what calls have not read
is bounded by the windows, and answers to control frames by `max_control_bytes`.

A connection ends once, in `_end`: every call is told, what is queued is written within
`close_timeout_s`, then the socket is closed. Faults of the peer never leave `run`.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from typing import TYPE_CHECKING

import attrs
import trio

from trionode.errors import ConnectError, ConnectionLost, ProtocolError
from trionode.net.call import Call
from trionode.net.options import ConnectionOptions, ConnectionStatistics, Counts
from trionode.net.serving import Log, NoLog, Route, serve_call
from trionode.wire import greeting, grpc
from trionode.wire import session_events as happened
from trionode.wire.outbound import SendQueue, SendScheduler
from trionode.wire.session import NO_ERROR, Session, code_name

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from trio import TaskStatus

# HPACK logs every header with its value at DEBUG: slow, and secrets have no place in logs.
logging.getLogger("hpack").setLevel(logging.WARNING)

READ_BYTES = 256 * 1024
"""What one read may bring: several of the largest frames."""
BATCH_BYTES = 256 * 1024
"""DATA put before one write: what an answer to a PING may have to wait for."""
TICK_S = 5.0
"""How often timeouts are looked at."""
DRAIN_ACK_S = 1.0
"""How long the second GOAWAY waits for the answer to the PING after the first."""
LINGER_S = 0.5
"""How long the peer's last bytes are read away before closing."""


class Connection:
    """One connection in the server role (with routes) or the client role (routes None).

    Attributes:
        peer: the other side's address, for people.
        end_reason: why the connection ended; empty while it lives.
        draining: whether new calls are refused by either side.
        rtt_s: the round-trip time of the last PING; None before the first.
    """

    def __init__(
        self,
        stream: trio.abc.Stream,
        *,
        routes: Mapping[str, Route] | None,
        options: ConnectionOptions | None = None,
        peer: str = "",
        log: Log | None = None,
    ) -> None:
        self.peer = peer
        self.end_reason = ""
        self.draining = False
        self.rtt_s: float | None = None
        self._stream = stream
        self._client = routes is None
        self._routes = routes or {}
        self._options = options or ConnectionOptions()
        self._log: Log = log or NoLog()
        self._session = Session(
            self._options.session_limits(), client=self._client, now=trio.current_time()
        )
        self._scheduler = SendScheduler(self._session)
        self._calls: dict[int, Call] = {}
        self._pending: list[tuple[Call, Route, float | None]] = []
        self._openers: deque[trio.Event] = deque()
        self._granted_slots = 0
        self._pings: dict[bytes, tuple[float, trio.Event]] = {}
        self._ping_numbers = itertools.count(1)
        self._io_scope = trio.CancelScope()
        self._write_scope = trio.CancelScope()
        self._handlers: trio.Nursery | None = None
        self._work = trio.Event()
        self._written = trio.Event()
        self._handshake = trio.Event()
        self._drain_asked = trio.Event()
        self._peer_closed = trio.Event()
        self._head: bytes | None = b""
        self._farewell = b""
        self._ended = False
        self._shut_down = False
        self._went_away = ""
        self._ticks_without_bytes = 0
        self._counts = Counts()
        self._on_event: dict[type, Callable[..., None]] = {
            happened.Ready: self._on_ready,
            happened.HeadersArrived: self._on_headers,
            happened.TrailersArrived: self._on_trailers,
            happened.DataArrived: self._on_data,
            happened.StreamEnded: self._on_stream_ended,
            happened.StreamReset: self._on_stream_reset,
            happened.WindowOpened: self._on_window_opened,
            happened.LimitsChanged: self._on_limits_changed,
            happened.PingAnswered: self._on_ping_answered,
            happened.PeerGoingAway: self._on_peer_going_away,
        }

    def __repr__(self) -> str:
        role = "client" if self._client else "server"
        return f"<Connection {role} {self.peer} {self.end_reason or 'open'}>"

    # --- for everybody ------------------------------------------------------------------------

    async def run(self, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve the connection until it is over; `started` once the handshake is complete.

        Raises:
            ConnectError: client only, before `started`: what answered does not speak HTTP/2.
        """
        try:
            async with trio.open_nursery() as self._handlers:
                try:
                    with self._io_scope:
                        await self._run_tasks(task_status)
                finally:
                    self._end("the connection was cancelled")
                    await trio.aclose_forcefully(self._stream)
        finally:
            self._log.debug("connection over", peer=self.peer, reason=self.end_reason)
        if self._client and not self._session.ready:
            raise ConnectError(f"{self.peer}: {self.end_reason}")

    async def _run_tasks(self, task_status: TaskStatus[None]) -> None:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._guard, self._write, name=f"writer {self.peer}")
            tasks.start_soon(self._guard, self._read, name=f"reader {self.peer}")
            tasks.start_soon(self._guard, self._keep, name=f"keeper {self.peer}")
            with trio.move_on_after(self._options.handshake_timeout_s) as scope:
                await self._handshake.wait()
            if scope.cancelled_caught:
                self._farewell = greeting.SAYS + b"\n"
                self._end(f"no HTTP/2 greeting within {self._options.handshake_timeout_s:g} s")
            elif self._session.ready:
                task_status.started()

    async def _guard(self, task: Callable[[], Awaitable[None]]) -> None:
        """Keep a bug in one of the connection's tasks in this connection."""
        try:
            await task()
        except Exception as error:  # noqa: BLE001  # whatever it is, other connections go on
            self._log.exception("a connection failed", peer=self.peer)
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
        await self._wait_for_slot()
        self._check_open()
        stream_id = self._session.open_stream(headers)
        if stream_id is None:
            self.drain()
            raise ConnectionLost(f"{self.peer}: this connection's stream ids are used up")
        now = trio.current_time()
        call = self._new_call(
            SendQueue(stream_id, None),
            grpc.Request(path, grpc.metadata_of(headers), grpc.CONTENT_TYPE, "", timeout_s),
            eager=eager,
            deadline=math.inf if timeout_s is None else now + timeout_s,
        )
        self._work.set()
        return call

    def drain(self) -> None:
        """Take no new calls and end once the running ones have; a server says so first."""
        if not self.draining:
            self.draining = True
            self._wake_openers()
            self._drain_asked.set()
            self._end_if_drained()

    def abort(self) -> None:
        """End at once: running calls are lost, handlers are told so."""
        self._end("the connection was aborted", flush=False)

    async def ping(self) -> float:
        """Ask the peer for a sign of life; the round-trip time in seconds.

        Raises:
            ConnectionLost: the connection ended first.
        """
        self._check_alive()
        sent_at, answered = self._send_ping()
        await answered.wait()
        self._check_alive()
        return trio.current_time() - sent_at

    def statistics(self) -> ConnectionStatistics:
        """A snapshot of the counters."""
        return ConnectionStatistics(
            **attrs.asdict(self._counts),
            calls_running=len(self._calls),
            unsent_bytes=self._scheduler.unsent_bytes,
        )

    # --- the tasks ----------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read until the peer ends, never waiting for a handler."""
        while True:
            while self._session.output_bytes > self._options.max_control_bytes:
                self._written = trio.Event()
                await self._written.wait()
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                self._peer_closed.set()
                self._end(self._went_away or "the peer closed the connection", flush=False)
                return
            self._counts.bytes_received += len(data)
            self._ticks_without_bytes = 0
            # After the end the peer's last bytes are only read away.
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
        self._start_handlers()
        self._work.set()

    async def _write(self) -> None:
        """Write whatever calls and the session have, as long as the connection lives."""
        while True:
            await self._work.wait()
            self._work = trio.Event()
            while data := self._next_output():
                if not await self._send_all(data):
                    return
                self._counts.bytes_sent += len(data)
                self._written.set()
            if self._ended:
                await self._close()
                return

    def _next_output(self) -> bytes:
        if self._farewell or (self._head is not None and not self._client):
            # A stranger gets its answer and no HTTP/2; until the greeting is read, nobody does.
            data, self._farewell = self._farewell, b""
            return data
        for queue in self._scheduler.fill(BATCH_BYTES):
            call = self._calls.get(queue.stream_id)
            if call is not None:
                call.on_progress()
                if queue.done:
                    call.on_all_sent()
        return self._session.take_output()

    async def _send_all(self, data: bytes) -> bool:
        """One write; False when nothing can follow it."""
        options = self._options
        timeout_s = options.close_timeout_s if self._ended else options.write_timeout_s
        try:
            with trio.move_on_after(timeout_s) as self._write_scope:
                await self._stream.send_all(data)
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

    async def _keep(self) -> None:
        """Look after timeouts, keepalive and the steps of a drain.

        Silence is counted in ticks, not by the clock: when our own event loop was blocked for a
        minute, that is one tick, not a minute in which the peer said nothing.
        """
        options = self._options
        idle_s = options.keepalive_idle_s or math.inf
        timeout_s = options.keepalive_timeout_s or math.inf
        tick_s = min(TICK_S, idle_s, timeout_s, options.handshake_timeout_s)
        while not self._ended:
            with trio.move_on_after(tick_s):
                await self._drain_asked.wait()
            if self._drain_asked.is_set() and not self._client and not self._shut_down:
                await self._shut_down_in_steps()
            self._ticks_without_bytes += 1
            silence_s = self._ticks_without_bytes * tick_s
            if silence_s >= idle_s + timeout_s:
                self._end(f"the peer was silent for {silence_s:g} s", flush=False)
            elif idle_s <= silence_s < idle_s + tick_s and self._session.ready:
                self._send_ping()
            try:
                self._session.check(trio.current_time())
            except ProtocolError as error:
                self._end(f"protocol error: {error}")
            self._work.set()
            if self._drain_asked.is_set():
                await trio.sleep(tick_s)

    async def _shut_down_in_steps(self) -> None:
        """Two GOAWAYs, so that requests already on their way are served (RFC 9113 section 6.8)."""
        self._session.announce_shutdown()
        _, answered = self._send_ping()
        with trio.move_on_after(DRAIN_ACK_S):
            await answered.wait()
        self._session.shut_down()
        self._shut_down = True
        self._work.set()
        self._end_if_drained()

    def _end(self, reason: str, *, flush: bool = True) -> None:
        """Be over: tell every call, write what is queued if `flush`, then close. Only once."""
        if self._ended:
            if not flush:
                self._io_scope.cancel()
            return
        self._ended = self.draining = True
        self.end_reason = reason
        for call in list(self._calls.values()):
            call.on_lost(f"{self.peer}: {reason}", self._options.lost_call_grace_s)
        self._pending.clear()
        self._wake_openers()
        for _, answered in self._pings.values():
            answered.set()
        for event in (self._handshake, self._drain_asked, self._work, self._written):
            event.set()
        if flush:
            deadline = trio.current_time() + self._options.close_timeout_s
            self._write_scope.deadline = min(self._write_scope.deadline, deadline)
        else:
            self._io_scope.cancel()

    def _end_if_drained(self) -> None:
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

    # --- slots, pings -------------------------------------------------------------------------

    async def _wait_for_slot(self) -> None:
        """Wait for a free stream, in the order of asking."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        if not self._openers and self._session.free_slots > self._granted_slots:
            return
        granted = trio.Event()
        self._openers.append(granted)
        try:
            await granted.wait()
        except BaseException:
            if granted.is_set():
                self._granted_slots -= 1
                self._grant_slots()
            else:
                self._openers.remove(granted)
            raise
        self._granted_slots -= 1

    def _grant_slots(self) -> None:
        while self._openers and self._session.free_slots > self._granted_slots:
            self._granted_slots += 1
            self._openers.popleft().set()

    def _wake_openers(self) -> None:
        """All that wait for a slot: they will find the connection going away."""
        while self._openers:
            self._granted_slots += 1
            self._openers.popleft().set()

    def _send_ping(self) -> tuple[float, trio.Event]:
        payload = next(self._ping_numbers).to_bytes(8, "big")
        entry = self._pings[payload] = (trio.current_time(), trio.Event())
        self._session.ping(payload)
        self._work.set()
        return entry

    # --- what the session reports -------------------------------------------------------------

    def _on_ready(self, _event: happened.Ready) -> None:
        self._handshake.set()

    def _on_headers(self, event: happened.HeadersArrived) -> None:
        if self._client:
            call = self._calls.get(event.stream_id)
            if call is not None:
                call.on_headers(event.headers)
            return
        stream_id = event.stream_id
        request = grpc.read_request(event.headers)
        if isinstance(request, grpc.Rejection):
            self._reject(stream_id, request)
            return
        route = self._routes.get(request.path)
        if route is None:
            self._reject(stream_id, grpc.unknown_method(request.path))
            return
        queue = SendQueue(stream_id, grpc.response_headers(request.content_type))
        call = self._new_call(queue, request, eager=route.eager)
        self._pending.append((call, route, request.timeout_s))

    def _reject(self, stream_id: int, rejection: grpc.Rejection) -> None:
        """Answer a request at once; its body, if any, is not wanted."""
        self._counts.calls_rejected += 1
        self._session.send_headers(stream_id, grpc.rejection_headers(rejection), end=True)
        self._session.reset(stream_id, NO_ERROR)
        self._session.release(stream_id, completed=True)

    def _new_call(
        self, queue: SendQueue, request: grpc.Request, *, eager: bool, deadline: float = math.inf
    ) -> Call:
        call = self._calls[queue.stream_id] = Call(
            self,
            queue,
            path=request.path,
            metadata=request.metadata,
            client=self._client,
            eager=eager,
            max_message_bytes=self._options.max_message_bytes,
            max_unsent_bytes=self._options.max_unsent_bytes,
            encoding=request.encoding,
            deadline=deadline,
        )
        self._scheduler.add(queue)
        self._counts.calls_opened += 1
        return call

    def _start_handlers(self) -> None:
        """Start what the last read asked for, but not what was reset in the same read."""
        for call, route, timeout_s in self._pending:
            if call.over:
                self._session.release(call.stream_id, completed=False)
            elif self._handlers is not None:
                self._handlers.start_soon(self._serve, call, route, timeout_s, name=repr(call))
        self._pending.clear()

    async def _serve(self, call: Call, route: Route, timeout_s: float | None) -> None:
        try:
            if not await serve_call(call, route.handler, timeout_s, self._log):
                self._counts.handler_faults += 1
        finally:
            call.on_handler_ended()
            if call.over:
                self._session.release(call.stream_id, completed=call.completed)

    def _on_trailers(self, event: happened.TrailersArrived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.on_trailers(event.headers)

    def _on_data(self, event: happened.DataArrived) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.on_data(event.data, event.flow_bytes)
        else:
            self._session.acknowledge(event.stream_id, event.flow_bytes)

    def _on_stream_ended(self, event: happened.StreamEnded) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            call.on_peer_ended()

    def _on_stream_reset(self, event: happened.StreamReset) -> None:
        call = self._calls.get(event.stream_id)
        if call is not None:
            who = f"{self.peer} reset the call" if event.by_peer else "the call broke the protocol"
            call.on_lost(f"{who} ({code_name(event.code)})", self._options.lost_call_grace_s)

    def _on_window_opened(self, event: happened.WindowOpened) -> None:
        # Calls that wait for the connection's window are listed: the writer's next turn sees them.
        if event.stream_id:
            self._scheduler.window_opened(event.stream_id)

    def _on_limits_changed(self, _event: happened.LimitsChanged) -> None:
        self._scheduler.limits_changed()
        self._grant_slots()

    def _on_ping_answered(self, event: happened.PingAnswered) -> None:
        entry = self._pings.pop(event.payload, None)
        if entry is not None:
            sent_at, answered = entry
            self.rtt_s = trio.current_time() - sent_at
            answered.set()

    def _on_peer_going_away(self, event: happened.PeerGoingAway) -> None:
        self._went_away = f"the peer went away ({code_name(event.code)}"
        self._went_away += f": {greeting.show(event.debug)})" if event.debug else ")"
        if self._client:
            self.draining = True
            self._wake_openers()
            for stream_id in [i for i in self._calls if i > event.last_stream_id]:
                self._calls[stream_id].on_lost(f"{self.peer}: {self._went_away}; not processed")
            self._end_if_drained()

    # --- what calls ask for -------------------------------------------------------------------

    def call_wants_to_send(self, queue: SendQueue) -> None:
        """Something was queued."""
        self._scheduler.wake(queue)
        self._work.set()

    def call_read(self, stream_id: int, flow_bytes: int) -> None:
        """So many received bytes were taken up."""
        if flow_bytes:
            self._session.acknowledge(stream_id, flow_bytes)
            self._work.set()

    def call_reset(self, stream_id: int, code: int) -> None:
        """The stream is to end at once."""
        self._session.reset(stream_id, code)
        self._work.set()

    def call_over(self, call: Call, *, completed: bool) -> None:
        """Neither side of the call will send more."""
        self._calls.pop(call.stream_id, None)
        self._scheduler.remove(call.stream_id)
        if not completed:
            self._counts.calls_reset += 1
        if self._client or call.handler_ended:
            self._session.release(call.stream_id, completed=completed)
        self._grant_slots()
        self._work.set()
        self._end_if_drained()
