"""What calls have to send, and in which order it becomes frames.

Each call has a `SendQueue`; sending to it only appends to a list. The `SendScheduler` turns queues
into frames, one DATA frame per call and turn, as far as the windows allow.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from trionode.wire.messages import PREFIX_BYTES, prefix

if TYPE_CHECKING:
    from trionode.wire.grpc import Headers
    from trionode.wire.session import Session


class SendQueue:
    """The unsent part of one stream: headers, messages, trailers or the end, in this order.

    Only the owner of the call and the scheduler change it.

    Args:
        stream_id: the stream.
        headers: headers to go before the first message, or None when they are already sent.
    """

    __slots__ = (
        "_chunks",
        "_end",
        "_headers",
        "_offset",
        "_trailers",
        "blocked",
        "done",
        "idle",
        "stream_id",
        "unsent_bytes",
    )

    def __init__(self, stream_id: int, headers: Headers | None) -> None:
        self.stream_id = stream_id
        self.unsent_bytes = 0
        """Bytes of messages, prefixes included, that are not in a frame yet."""
        self.done = False
        """Whether the end of the stream is in a frame, or nothing more may be."""
        self.idle = True
        """Whether the scheduler must be told when something is added."""
        self.blocked = False
        """Whether it waits for its stream's window to open."""
        self._headers = headers
        self._chunks: deque[bytes] = deque()
        self._offset = 0
        self._trailers: Headers | None = None
        self._end = False

    @property
    def ending(self) -> bool:
        """Whether the end is queued: nothing can be added."""
        return self._end

    def add(self, message: bytes) -> None:
        """Queue one message."""
        chunks = self._chunks
        chunks.append(prefix(message))
        chunks.append(message)
        self.unsent_bytes += PREFIX_BYTES + len(message)

    def end(self, trailers: Headers | None = None) -> None:
        """Queue the end of the stream, with trailers or (client) without."""
        self._trailers = trailers
        self._end = True

    def discard(self) -> None:
        """Forget everything: the stream is gone."""
        self._chunks.clear()
        self.unsent_bytes = 0
        self.done = True

    def emit(self, session: Session) -> bool:
        """Put the next frame into the session; False when the stream's window is shut."""
        if self.unsent_bytes:
            window = session.send_window(self.stream_id)
            if window <= 0:
                return False
        if self._headers is not None:
            self._emit_headers(session)
        if self.unsent_bytes:
            data = self._take(window)
            last = self._end and self._trailers is None and not self.unsent_bytes
            session.send_data(self.stream_id, data, end=last)
            self.done = last
        elif self._end and not self.done and self._trailers is None:
            session.send_data(self.stream_id, b"", end=True)
            self.done = True
        if self._trailers is not None and not self.unsent_bytes and not self.done:
            session.send_headers(self.stream_id, self._trailers, end=True)
            self.done = True
        return True

    def _emit_headers(self, session: Session) -> None:
        headers, self._headers = self._headers or [], None
        if self._trailers is not None and not self.unsent_bytes:
            # No message at all: headers and trailers are one block ("Trailers-Only").
            session.send_headers(self.stream_id, headers + self._trailers, end=True)
            self.done = True
        else:
            session.send_headers(self.stream_id, headers)

    @property
    def has_work(self) -> bool:
        """Whether there is a frame to send, were the windows open."""
        return not self.done and (self.unsent_bytes > 0 or self._end)

    def _take(self, limit_bytes: int) -> bytes:
        """Remove up to so many bytes from the front."""
        chunks = self._chunks
        if self.unsent_bytes <= limit_bytes and not self._offset:
            data = b"".join(chunks)
            chunks.clear()
            self.unsent_bytes = 0
            return data
        room = limit_bytes
        pieces: list[bytes | memoryview] = []
        while chunks and room:
            chunk = chunks[0]
            left = len(chunk) - self._offset
            if left <= room:
                pieces.append(memoryview(chunk)[self._offset :] if self._offset else chunk)
                chunks.popleft()
                self._offset = 0
                room -= left
            else:
                pieces.append(memoryview(chunk)[self._offset : self._offset + room])
                self._offset += room
                room = 0
        data = b"".join(pieces)
        self.unsent_bytes -= len(data)
        return data


class SendScheduler:
    """Round robin over the queues that have something to send and a window to send it in.

    A queue is idle (nothing to send), listed (in the ring) or blocked (its stream's window is
    shut). A shut connection window leaves queues listed.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._listed: deque[SendQueue] = deque()
        self._queues: dict[int, SendQueue] = {}

    def add(self, queue: SendQueue) -> None:
        """Take a queue into service."""
        self._queues[queue.stream_id] = queue

    def remove(self, stream_id: int) -> None:
        """Drop a queue; what is in it is not sent."""
        queue = self._queues.pop(stream_id, None)
        if queue is not None:
            queue.discard()

    @property
    def unsent_bytes(self) -> int:
        """What all queues hold."""
        return sum(queue.unsent_bytes for queue in self._queues.values())

    @property
    def has_listed(self) -> bool:
        """Whether `fill` has a queue to look at."""
        return bool(self._listed)

    def wake(self, queue: SendQueue) -> None:
        """Say that something was added to an idle queue."""
        if queue.idle and queue.has_work:
            queue.idle = False
            self._listed.append(queue)

    def window_opened(self, stream_id: int) -> None:
        """Say that a stream's window opened."""
        queue = self._queues.get(stream_id)
        if queue is not None and queue.blocked:
            queue.blocked = False
            self._listed.append(queue)

    def limits_changed(self) -> None:
        """Say that every stream's window may have opened."""
        for stream_id in self._queues:
            self.window_opened(stream_id)

    def fill(self, limit_bytes: int) -> list[SendQueue]:
        """Put frames of about so many bytes into the session; give the queues that moved."""
        listed = self._listed
        starved: list[SendQueue] = []
        moved: dict[int, SendQueue] = {}
        while listed and limit_bytes > 0:
            queue = listed.popleft()
            if not queue.has_work:
                queue.idle = True
                continue
            before = queue.unsent_bytes
            if before and self._session.connection_window <= 0:
                starved.append(queue)
                continue
            if not queue.emit(self._session):
                queue.blocked = True
                continue
            moved[queue.stream_id] = queue
            limit_bytes -= before - queue.unsent_bytes
            if queue.has_work:
                listed.append(queue)
            else:
                queue.idle = True
        listed.extendleft(reversed(starved))
        return list(moved.values())
