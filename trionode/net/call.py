"""One gRPC call, either side: messages in and out over one HTTP/2 stream.

Sending queues and never blocks; the connection's writer turns what is queued into frames. Received
bytes are given back to the peer's window as `receive` takes them up, so a call that is not read
holds its peer back and nobody else.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Self

import attrs
import trio

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.wire import grpc
from trionode.wire.messages import MessageParser
from trionode.wire.session import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from trionode.net.calls import CallTable
    from trionode.net.connection import Connection
    from trionode.wire.outbound import SendQueue

DRAINED_BYTES = 65_536
"""What `Call.drained` waits for when nothing else is said: about one frame."""


@attrs.frozen
class CallLimits:
    """What a call may hold, in bytes; see ConnectionOptions."""

    max_message_bytes: int
    max_unsent_bytes: int
    max_unread_bytes: int


class Call:
    """One gRPC call. Use it in one task at a time per direction.

    As a context manager it is reset on exit unless it has ended by itself.

    Attributes:
        path: `/service/method`.
        metadata: the request's metadata, names in lower case, repeated values joined by commas.
        connection: the connection that carries it.
        stream_id: the HTTP/2 stream.
    """

    def __init__(  # noqa: PLR0913  # built in one place, CallTable._add
        self,
        connection: Connection,
        table: CallTable,
        queue: SendQueue,
        request: grpc.Request,
        *,
        client: bool,
        eager: bool,
        limits: CallLimits,
        deadline: float,
    ) -> None:
        self.path = request.path
        self.metadata: Mapping[str, str] = request.metadata
        self.connection = connection
        self.stream_id = queue.stream_id
        self.over = False
        """Whether neither side will send more."""
        self.completed = False
        """Whether both sides ended it in order."""
        self.scope: trio.CancelScope | None = None
        """The handler's cancel scope (server)."""
        self.handler_ended = False
        self.stuck_since = math.inf
        """When a call whose handler has ended last sent something."""
        self._table = table
        self._queue = queue
        self._client = client
        self._eager = eager
        self._limits = limits
        self._deadline = deadline
        self._parser = MessageParser(limits.max_message_bytes, request.encoding)
        self._messages: deque[bytes] = deque()
        self._inbox: list[bytes] = []
        self._inbox_bytes = 0
        self._owed_bytes = 0
        self._parked = 0
        self._http_status = 0
        self._peer_ended = False
        self._all_sent = False
        self._failure: Exception | None = None
        self._outcome: grpc.Outcome | None = None
        self._arrival = trio.Event()
        self._departure = trio.Event()

    def __repr__(self) -> str:
        return f"<Call {self.path} stream {self.stream_id} with {self.connection.peer}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.reset()

    # --- receiving ----------------------------------------------------------------------------

    async def receive(self) -> bytes | None:
        """Wait for the next message; None once the peer has finished cleanly.

        Raises:
            ConnectionLost: the call was reset or its connection ended.
            Refused: the server answered with a status that is not OK, or a message broke the rules.
        """
        while not self._messages:
            if not await self._more():
                return None
        return self._messages.popleft()

    async def receive_many(self) -> list[bytes]:
        """Wait for at least one message and give all that are there; [] at the clean end.

        Raises:
            ConnectionLost: the call was reset or its connection ended.
            Refused: the server answered with a status that is not OK, or a message broke the rules.
        """
        while True:
            if self._inbox:
                self._take_up()
            if self._messages:
                messages = list(self._messages)
                self._messages.clear()
                return messages
            if not await self._more():
                return []

    async def _more(self) -> bool:
        """Get on towards the next message; False at the clean end."""
        if self._inbox:
            self._take_up()
            return True
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        if self._peer_ended:
            self._judge_end()
            return False
        if self._arrival.is_set():
            self._arrival = trio.Event()
        with trio.CancelScope(deadline=self._deadline) as scope:
            await self._park(self._arrival)
        if scope.cancelled_caught:
            self._fail(Refused(Status.DEADLINE_EXCEEDED, f"{self.path} took longer than allowed"))
        return True

    async def _park(self, event: trio.Event) -> None:
        """Wait, known to wait: whoever waits here is told of a loss and need not be cancelled."""
        self._parked += 1
        try:
            await event.wait()
        finally:
            self._parked -= 1

    def _take_up(self) -> None:
        """Pass what has arrived through the parser and give it back to the peer's window."""
        inbox, self._inbox = self._inbox, []
        self._inbox_bytes = 0
        self._give_back()
        try:
            self._messages.extend(
                self._parser.feed(b"".join(inbox) if len(inbox) > 1 else inbox[0])
            )
        except ProtocolError as error:
            self._fail(Refused(error.grpc_status, str(error)))

    def _judge_end(self) -> None:
        """The peer has ended and everything was read: was that right?"""
        outcome = self._outcome
        if outcome is not None and outcome.status is not Status.OK:
            raise Refused(outcome.status, outcome.message, outcome.hint)
        if self._parser.buffered_bytes:
            raise Refused(Status.INTERNAL, "the stream ended in the middle of a message")

    def _fail(self, failure: Exception) -> None:
        """Nothing more can be read; a client gives the call up, a server answers with a status."""
        self._failure = failure
        self._drop_inbox()
        if self._client:
            self.reset(CANCEL)

    def _drop_inbox(self) -> None:
        """Nobody will take up what is unread."""
        self._inbox = []
        self._inbox_bytes = 0
        self._give_back()

    def _give_back(self) -> None:
        """Return what the inbox holds to the peer's window."""
        flow_bytes, self._owed_bytes = self._owed_bytes, 0
        self._table.read(self.stream_id, flow_bytes)

    # --- sending ------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """Bytes queued here and not yet handed to the connection's output."""
        return self._queue.unsent_bytes

    def send(self, message: bytes) -> None:
        """Queue one message for the connection's next turn; never blocks.

        Raises:
            ConnectionLost: see `queue`.
        """
        self.queue(message)
        self.connection.wake()

    def queue(self, message: bytes) -> None:
        """Queue one message; `connection.write_now` or `write_soon` must follow.

        Raises:
            ConnectionLost: the call is over or its end is already queued, or the peer has left more
                than `max_unsent_bytes` unread, which ends it.
        """
        queue = self._queue
        if self.over or queue.ending:
            raise self._gone()
        unsent_bytes = queue.unsent_bytes
        if unsent_bytes and unsent_bytes + len(message) > self._limits.max_unsent_bytes:
            self.reset(CANCEL)
            raise ConnectionLost(f"{self.connection.peer} left {unsent_bytes} bytes unread")
        queue.add(message)
        if queue.idle:
            self._table.list(queue)

    async def drained(self, below_bytes: int = DRAINED_BYTES) -> None:
        """Wait until at most so many bytes are unsent.

        Raises:
            ConnectionLost: the call ended first.
        """
        while self._queue.unsent_bytes > below_bytes:
            if self._departure.is_set():
                self._departure = trio.Event()
            await self._park(self._departure)
        if self.over and not self._all_sent:
            raise self._gone()
        await trio.lowlevel.checkpoint_if_cancelled()

    def end_sending(self) -> None:
        """Client: say that no message follows those queued. Again, or too late, does nothing."""
        self._end(None)

    def finish(
        self,
        status: Status = Status.OK,
        message: str = "",
        metadata: Iterable[tuple[str, str]] = (),
        *,
        hint: str = "",
    ) -> None:
        """Server: end the call with a status after what is queued. Too late does nothing.

        Raises:
            ValueError: a piece of metadata cannot be sent.
        """
        self._end(grpc.trailers(grpc.Outcome(status, message, hint), metadata))

    def _end(self, trailers: grpc.Headers | None) -> None:
        if not self.over and not self._queue.ending:
            self._queue.end(trailers)
            self._table.list(self._queue)
            self.connection.wake()

    def reset(self, code: int = CANCEL) -> None:
        """End the call at once in both directions; nothing happens when it is over."""
        if not self.over:
            self._table.reset(self.stream_id, code)
            self.on_lost("the call was reset here")

    def _gone(self) -> ConnectionLost:
        if isinstance(self._failure, ConnectionLost):
            return self._failure
        return ConnectionLost(f"the call {self.path} is over")

    # --- what the connection reports ----------------------------------------------------------

    def on_headers(self, headers: grpc.Headers) -> None:
        """Client: the response begins."""
        self._http_status = grpc.read_http_status(headers)
        fields = grpc.metadata_of(headers)
        self._parser = MessageParser(
            self._limits.max_message_bytes, fields.get("grpc-encoding", "")
        )
        # Trailers-Only: the only headers hold the status too, and the stream ends with them.
        if "grpc-status" in fields or self._http_status != 200:
            self._outcome = grpc.read_outcome(headers, self._http_status)

    def on_trailers(self, headers: grpc.Headers) -> None:
        """Client: the status came. Request trailers mean nothing to gRPC."""
        if self._client:
            self._outcome = grpc.read_outcome(headers, self._http_status)

    def on_data(self, data: bytes, flow_bytes: int) -> None:
        """Bytes came."""
        unwanted = self.over or self._failure is not None or self._outcome is not None
        if unwanted:
            self._table.read(self.stream_id, flow_bytes)
            return
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        self._arrival.set()
        if not self._eager:
            self._owed_bytes += flow_bytes
            self._table.keep_open()
            return
        self._table.read(self.stream_id, flow_bytes)
        if self._inbox_bytes > self._limits.max_unread_bytes:
            self.reset(ENHANCE_YOUR_CALM)

    def on_peer_ended(self) -> None:
        """The peer's half is done."""
        self._peer_ended = True
        if self._client:
            if self._outcome is None:
                self._outcome = grpc.read_outcome([], self._http_status)
            self._close(completed=True)
        self._arrival.set()

    def on_all_sent(self) -> None:
        """Our half is done. A server that ends first stops the client: its status says it all."""
        self._all_sent = True
        if not self._client:
            if not self._peer_ended:
                self._table.reset(self.stream_id, NO_ERROR)
            self._close(completed=True)

    def on_progress(self) -> None:
        """Bytes left the queue."""
        if self.handler_ended:
            self.stuck_since = trio.current_time()
        self._departure.set()

    def on_lost(self, reason: str, grace_s: float = math.inf, *, cancelled: bool = False) -> None:
        """The call is over without a status; what arrived can still be read before this raises.

        A handler is told by `receive` and `drained`, and cancelled after `grace_s`; at once when
        the peer has `cancelled` the call and the handler has nothing to read and waits in neither.
        """
        if self.over:
            return
        self._failure = self._failure or ConnectionLost(reason)
        if self.scope is not None:
            unaware = not (self._parked or self._inbox or self._messages)
            wait_s = 0.0 if cancelled and unaware else grace_s
            self.scope.deadline = min(self.scope.deadline, trio.current_time() + wait_s)
        self._close(completed=False)

    def on_handler_ended(self) -> None:
        """Server: nobody will read what is still to come."""
        self.handler_ended = True
        self.stuck_since = trio.current_time()
        self._failure = self._failure or ConnectionLost("the handler has ended")
        self._drop_inbox()

    def _close(self, *, completed: bool) -> None:
        self.over = True
        self.completed = completed
        # What is unread can still be read, but it may not hold up the connection's other calls.
        self._give_back()
        self._queue.discard()
        self._arrival.set()
        self._departure.set()
        self._table.over(self)
