"""The calls of one connection: who may open one, which stream is whose, what goes out next.

Between the session, which knows streams, and the connection's tasks, which know sockets: nothing
here waits for I/O, and all of it runs synchronously within one scheduling step.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import trio

from trionode.net.call import Call, CallLimits
from trionode.net.serving import serve_call
from trionode.wire import grpc
from trionode.wire import session_events as happened
from trionode.wire.h2_setup import code_name
from trionode.wire.outbound import SendQueue, SendScheduler
from trionode.wire.session import NO_ERROR, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from trionode.net.connection import Connection
    from trionode.net.options import ConnectionOptions, Counts
    from trionode.net.serving import Log, Route


class CallTable:
    """Every call of a connection that is not over, and the way new ones get in.

    Args:
        connection: whose calls; it is woken when there is something to write.
        session: the HTTP/2 session.
        routes: handlers by path; None in the client role.
        options: limits.
        counts: the connection's counters.
        log: for handlers that fail.
    """

    def __init__(  # noqa: PLR0913  # built in one place, Connection.__init__
        self,
        connection: Connection,
        session: Session,
        *,
        routes: Mapping[str, Route] | None,
        options: ConnectionOptions,
        counts: Counts,
        log: Log,
    ) -> None:
        self._connection = connection
        self._session = session
        self._client = routes is None
        self._routes = routes or {}
        self._limits = CallLimits(
            max_message_bytes=options.max_message_bytes,
            max_unsent_bytes=options.max_unsent_bytes,
            max_unread_bytes=options.max_unread_bytes,
        )
        self._grace_s = options.lost_call_grace_s
        self._counts = counts
        self._log = log
        self._scheduler = SendScheduler(session)
        self._calls: dict[int, Call] = {}
        self._pending: list[tuple[Call, Route, float | None]] = []
        self._openers: deque[trio.Event] = deque()
        self._granted_slots = 0
        self.on_event: Mapping[type, Callable[..., None]] = {
            happened.HeadersArrived: self._on_headers,
            happened.TrailersArrived: self._on_trailers,
            happened.DataArrived: self._on_data,
            happened.StreamEnded: self._on_stream_ended,
            happened.StreamReset: self._on_stream_reset,
            happened.WindowOpened: self._on_window_opened,
            happened.LimitsChanged: self._on_limits_changed,
        }
        """What to do about each event of the session that concerns calls."""

    def __len__(self) -> int:
        return len(self._calls)

    @property
    def can_send(self) -> bool:
        """Whether a call has something for a frame, unless the connection's window is shut."""
        return self._scheduler.has_listed

    @property
    def unsent_bytes(self) -> int:
        """What all calls have queued and not in a frame yet."""
        return self._scheduler.unsent_bytes

    # --- opening (client) ---------------------------------------------------------------------

    async def wait_for_slot(self) -> None:
        """Wait for a free stream, in the order of asking."""
        if not self._openers and self._session.free_slots > self._granted_slots:
            return
        granted = trio.Event()
        self._openers.append(granted)
        try:
            await granted.wait()
        except BaseException:
            # Once the event is set this task is scheduled, and cancelling it comes too late.
            self._openers.remove(granted)
            raise
        self._granted_slots -= 1

    def _grant_slots(self) -> None:
        while self._openers and self._session.free_slots > self._granted_slots:
            self._granted_slots += 1
            self._openers.popleft().set()

    def wake_openers(self) -> None:
        """Wake all that wait for a slot: they will find the connection going away."""
        while self._openers:
            self._granted_slots += 1
            self._openers.popleft().set()

    def open(
        self, path: str, headers: grpc.Headers, *, eager: bool, timeout_s: float | None
    ) -> Call | None:
        """Open a call in the slot that was waited for; None when the stream ids are used up."""
        stream_id = self._session.open_stream(headers)
        if stream_id is None:
            return None
        request = grpc.Request(path, grpc.metadata_of(headers), "", "", timeout_s)
        return self._add(SendQueue(stream_id, None), request, eager=eager)

    def _add(self, queue: SendQueue, request: grpc.Request, *, eager: bool) -> Call:
        deadline = math.inf
        if self._client and request.timeout_s is not None:
            deadline = trio.current_time() + request.timeout_s
        call = Call(
            self._connection,
            self,
            queue,
            request,
            client=self._client,
            eager=eager,
            limits=self._limits,
            deadline=deadline,
        )
        self._calls[queue.stream_id] = call
        self._scheduler.add(queue)
        self._counts.calls_opened += 1
        return call

    # --- serving ------------------------------------------------------------------------------

    def start_handlers(self, nursery: trio.Nursery) -> None:
        """Start what the last read asked for, but not what was reset in the same read."""
        for call, route, timeout_s in self._pending:
            if call.over:
                self._session.release(call.stream_id, completed=False)
            else:
                nursery.start_soon(self._serve, call, route, timeout_s, name=call.path)
        self._pending.clear()

    async def _serve(self, call: Call, route: Route, timeout_s: float | None) -> None:
        try:
            if not await serve_call(call, route.handler, timeout_s, self._log):
                self._counts.handler_faults += 1
        finally:
            call.on_handler_ended()
            if call.over:
                self._session.release(call.stream_id, completed=call.completed)
                self._connection.wake()

    def _reject(self, stream_id: int, rejection: grpc.Rejection) -> None:
        """Answer a request at once; its body, if any, is not wanted."""
        self._counts.calls_rejected += 1
        self._session.send_headers(stream_id, grpc.rejection_headers(rejection), end=True)
        self._session.reset(stream_id, NO_ERROR)
        self._session.release(stream_id, completed=True)

    # --- what the session reports -------------------------------------------------------------

    def _on_headers(self, event: happened.HeadersArrived) -> None:
        stream_id = event.stream_id
        if self._client:
            call = self._calls.get(stream_id)
            if call is not None:
                call.on_headers(event.headers)
            return
        request = grpc.read_request(event.headers)
        if isinstance(request, grpc.Rejection):
            self._reject(stream_id, request)
            return
        route = self._routes.get(request.path)
        if route is None:
            self._reject(stream_id, grpc.unknown_method(request.path))
            return
        queue = SendQueue(stream_id, grpc.response_headers(request.content_type))
        call = self._add(queue, request, eager=route.eager)
        self._pending.append((call, route, request.timeout_s))

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
            what = "reset the call" if event.by_peer else "broke the protocol on the call"
            reason = f"{self._connection.peer} {what} ({code_name(event.code)})"
            call.on_lost(reason, self._grace_s, cancelled=True)

    def _on_window_opened(self, event: happened.WindowOpened) -> None:
        # Calls that wait for the connection's window (0) are seen by the writer's next turn.
        if event.stream_id:
            self._scheduler.window_opened(event.stream_id)

    def _on_limits_changed(self, _event: happened.LimitsChanged) -> None:
        self._scheduler.limits_changed()
        self._grant_slots()

    # --- what the connection asks for ---------------------------------------------------------

    def fill(self, limit_bytes: int) -> None:
        """Put frames of about so many bytes into the session and tell the calls."""
        for queue in self._scheduler.fill(limit_bytes):
            call = self._calls.get(queue.stream_id)
            if call is not None:
                call.on_progress()
                if queue.done:
                    call.on_all_sent()

    def lose(self, reason: str, above: int = 0) -> None:
        """Tell the calls on streams above an id, or all, that they are lost."""
        for call in [call for stream_id, call in self._calls.items() if stream_id > above]:
            call.on_lost(reason, self._grace_s)

    def lose_stuck(self, timeout_s: float) -> None:
        """Give up calls whose handlers have ended and whose last bytes the peer does not take."""
        limit = trio.current_time() - timeout_s
        for call in [call for call in self._calls.values() if call.stuck_since < limit]:
            call.reset()

    # --- what calls ask for -------------------------------------------------------------------

    def list(self, queue: SendQueue) -> None:
        """Something was queued; the connection is to be told, too."""
        self._scheduler.wake(queue)

    def keep_open(self) -> None:
        """See that calls which are not read leave the others a window."""
        self._session.keep_open()

    def read(self, stream_id: int, flow_bytes: int) -> None:
        """So many received bytes were taken up, or will never be."""
        if flow_bytes and self._session.acknowledge(stream_id, flow_bytes):
            self._connection.wake()

    def reset(self, stream_id: int, code: int) -> None:
        """The stream is to end at once."""
        self._session.reset(stream_id, code)
        self._connection.wake()

    def over(self, call: Call) -> None:
        """Neither side of the call will send more."""
        self._calls.pop(call.stream_id, None)
        self._scheduler.remove(call.stream_id)
        if not call.completed:
            self._counts.calls_reset += 1
        # A server's slot stays taken until the handler has ended, or resets would start any number.
        if self._client or call.handler_ended:
            self._session.release(call.stream_id, completed=call.completed)
        self._grant_slots()
        self._connection.wake()
        self._connection.on_call_over()
