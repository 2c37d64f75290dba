"""The producer's half of the client, without I/O: sequences, batches, and what is not acknowledged.

Frames in, frames out; no trio, no clock, no randomness. Whoever drives it opens Produce streams,
sends what it gives and feeds it what comes. One core lives as long as its client, over any number
of streams.
"""

from __future__ import annotations

import enum
import functools
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from trionode.client.properties import told_at
from trionode.errors import ProtocolError, Refused, Status
from trionode.ids import PRODUCER_BYTES, ObjectId, format_id, object_id
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from trionode.errors import Error

FRAME_OBJECTS_MAX = 256
"""Objects of one Push frame: enough that a frame's own cost no longer shows."""
FRAME_BYTES_MAX = 1024 * 1024
"""Payload bytes of one Push frame of several objects; far below what nodes take as one message."""


class Shape(NamedTuple):
    """What the objects of one Push frame have in common."""

    type: str
    encoding: str = "json"
    fingerprint: str = ""


@functools.lru_cache(maxsize=1024)
def shape_without_definition(type_name: str, encoding: str) -> Shape:
    """The shape of objects that no class defines: one and the same for all of a type."""
    return Shape(type_name, encoding)


class PushState(enum.Enum):
    """What became of a push."""

    QUEUED = "queued"
    SENT = "sent"
    PUSHED = "pushed"
    FAILED = "failed"
    WITHDRAWN = "withdrawn"


QUEUED, SENT, PUSHED = PushState.QUEUED, PushState.SENT, PushState.PUSHED
"""What each push passes: a name of their own is found four times faster than a member."""


class PendingPush:
    """One pushed object until its outcome is known; the core alone changes it.

    Attributes:
        shape: its type, encoding and fingerprint.
        payload: its bytes; empty once the outcome is known.
        size_bytes: the size of the payload.
        sequence: its number at this producer; 0 while it waits to be sent.
        state: what became of it.
        error: why it failed, if it did.
        owner: whatever the driver wants to find again, such as the waiting task's event.
        details: its properties, with times on the clock that `next_frames` is told; or None.
        other: the id of the object that was pushed before with the same key; 0: none was.
    """

    __slots__ = (
        "details",
        "error",
        "other",
        "owner",
        "payload",
        "sequence",
        "shape",
        "size_bytes",
        "state",
    )

    def __init__(
        self,
        shape: Shape,
        payload: bytes,
        owner: object = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        self.shape = shape
        self.payload = payload
        self.size_bytes = len(payload)
        self.sequence = 0
        self.state = QUEUED
        self.error: Error | None = None
        self.owner = owner
        self.details = details
        self.other = 0


class ProducerCore:
    """Everything one producer has pushed and not heard of yet.

    Args:
        producer: its 80-bit id, random.
        name: a label that the node shows to people.
        version: of this software.
    """

    def __init__(self, producer: bytes, *, name: str = "", version: str = "") -> None:
        if len(producer) != PRODUCER_BYTES:
            raise ValueError(f"a producer's id has {PRODUCER_BYTES} bytes, not {len(producer)}")
        self.producer = producer
        self.max_object_bytes = 0
        """The largest payload that the node takes; 0: not known yet."""
        self._producer_number = int.from_bytes(producer, "big")
        self._name = name
        self._version = version
        self._queued: dict[Shape, deque[PendingPush]] = {}
        self._sent: dict[int, PendingPush] = {}
        """Sent and not answered, by sequence, in that order."""
        self._resend: deque[PendingPush] = deque()
        """Sent on a lost stream: the first to go on the next, before anything new."""
        self._last = 0
        self._acknowledged = 0
        self._open = False
        self._detailed = False
        """Whether any push ever had properties; most producers never say any."""
        self._on_frame: Mapping[type, Callable[..., list[PendingPush]]] = {
            frames.NodeHello: self._on_hello,
            frames.Pushed: self._on_pushed,
            frames.PushRefused: self._on_refused,
        }

    # --- the user's side ----------------------------------------------------------------------

    def push(self, push: PendingPush) -> None:
        """Take a push; it goes out with the next `next_frames`."""
        queue = self._queued.get(push.shape)
        if queue is None:
            queue = self._queued[push.shape] = deque()
        queue.append(push)
        if push.details is not None:
            self._detailed = True

    def withdraw(self, push: PendingPush) -> bool:
        """Forget a push; whether it never left, so that its outcome is known: nothing happened.

        One that has been sent may yet be accepted; if its stream is lost, it is not sent again.
        """
        if push.state is PushState.QUEUED:
            self._queued[push.shape].remove(push)
            push.state = PushState.WITHDRAWN
            return True
        if push.state is PushState.SENT:
            push.state = PushState.WITHDRAWN
        return False

    def id_of(self, push: PendingPush) -> ObjectId:
        """The object's id; known once it has been sent, of one with a key once it was answered."""
        if not push.sequence:
            raise ValueError("an object that was not sent has no id yet")
        if push.other:
            return ObjectId(push.other)
        return object_id(self._producer_number, push.sequence)

    def text_id_of(self, push: PendingPush) -> str:
        """The id in the form that commands print."""
        return format_id(self.id_of(push))

    @property
    def acknowledged(self) -> int:
        """The sequence up to which every outcome is known, or nothing will be sent again."""
        sent = self._sent
        number, last = self._acknowledged, self._last
        while number < last and number + 1 not in sent:
            number += 1
        self._acknowledged = number
        return number

    @property
    def wants_stream(self) -> bool:
        """Whether there is something that only a Produce stream can resolve."""
        return bool(self._sent) or self.has_unsent

    @property
    def has_sent(self) -> bool:
        """Whether the node has yet to answer something that it was sent."""
        return len(self._sent) > len(self._resend)

    @property
    def has_unsent(self) -> bool:
        """Whether `next_frames` would give something."""
        return bool(self._resend) or any(self._queued.values())

    # --- the stream's side --------------------------------------------------------------------

    def open_stream(self) -> frames.ClientHello:
        """A new Produce stream begins with this frame; what is unacknowledged will go again."""
        self.lose_stream()
        self._open = True
        self._resend.extend(self._sent.values())
        return frames.ClientHello(
            version=self._version,
            name=self._name,
            producer=self.producer,
            acknowledged=self.acknowledged,
        )

    def lose_stream(self) -> None:
        """The stream is over. What was withdrawn since it was sent is not sent again."""
        self._open = False
        self._resend.clear()
        for push in [each for each in self._sent.values() if each.state is PushState.WITHDRAWN]:
            del self._sent[push.sequence]
            push.payload = b""

    def next_frames(
        self, limit_bytes: int, now: float = 0.0
    ) -> tuple[list[frames.Push], list[PendingPush]]:
        """Push frames for what waits, up to about so many bytes, and what is too large to be sent.

        What waits longest goes first, but objects of one shape go together: order means something
        only among objects of one type. What is left at `now` of delays and deadlines is what goes.
        """
        made: list[frames.Push] = []
        oversized: list[PendingPush] = []
        if not self._open:
            return made, oversized
        acknowledged = self.acknowledged
        room_bytes = limit_bytes
        while self._resend and room_bytes > 0:
            batch = self._take_resent()
            made.append(self._frame(batch, acknowledged, now))
            room_bytes -= sum([push.size_bytes for push in batch])
        for shape in list(self._queued):
            queue = self._queued[shape]
            while queue and room_bytes > 0:
                batch = self._take_queued(queue, oversized)
                if batch:
                    made.append(self._frame(batch, acknowledged, now))
                    room_bytes -= sum([push.size_bytes for push in batch])
            if queue:
                break
            del self._queued[shape]
        return made, oversized

    def receive(self, frame: object) -> list[PendingPush]:
        """Take in a frame of the node; returns the pushes whose outcome is now known.

        Raises:
            ProtocolError: nodes do not say that on a Produce stream.
        """
        handler = self._on_frame.get(type(frame))
        if handler is None:
            raise ProtocolError(f"{type(frame).__name__} has no place on a Produce stream")
        return handler(frame)

    def fail_sent(self, error: Error) -> list[PendingPush]:
        """The stream was refused: nothing that was sent on it will be sent again."""
        failed = list(self._sent.values())
        self._sent.clear()
        self._resend.clear()
        return self._fail(failed, error)

    def fail_all(self, error: Error) -> list[PendingPush]:
        """The client is over: everything without an outcome fails."""
        failed = [*self._sent.values(), *(push for each in self._queued.values() for push in each)]
        self._sent.clear()
        self._resend.clear()
        self._queued.clear()
        return self._fail(failed, error)

    # --- details ------------------------------------------------------------------------------

    def _take_resent(self) -> list[PendingPush]:
        """The next pushes to send again that go in one frame: one shape, sequences in a row."""
        resend = self._resend
        first = resend.popleft()
        batch, size_bytes = [first], first.size_bytes
        while resend and len(batch) < FRAME_OBJECTS_MAX:
            push = resend[0]
            size_bytes += push.size_bytes
            if (
                push.shape != first.shape
                or push.sequence != first.sequence + len(batch)
                or size_bytes > FRAME_BYTES_MAX
            ):
                break
            batch.append(resend.popleft())
        return batch

    def _take_queued(
        self, queue: deque[PendingPush], oversized: list[PendingPush]
    ) -> list[PendingPush]:
        """The next new pushes of one shape that go in one frame, with sequences given to them."""
        batch: list[PendingPush] = []
        size_bytes = 0
        largest_bytes = self.max_object_bytes
        sequence = self._last
        sent = self._sent
        while queue and len(batch) < FRAME_OBJECTS_MAX:
            push = queue[0]
            if largest_bytes and push.size_bytes > largest_bytes:
                queue.popleft()
                oversized.extend(self._fail([push], _too_large(push, largest_bytes)))
                continue
            size_bytes += push.size_bytes
            if batch and size_bytes > FRAME_BYTES_MAX:
                break
            queue.popleft()
            sequence += 1
            push.sequence = sequence
            push.state = SENT
            sent[sequence] = push
            batch.append(push)
        self._last = sequence
        return batch

    def _frame(self, batch: list[PendingPush], acknowledged: int, now: float) -> frames.Push:
        first = batch[0]
        details: dict[int, dict[str, Any]] = {}
        if self._detailed:
            for index, push in enumerate(batch):
                if push.details is not None:
                    details[index] = told_at(push.details, now)
        return frames.Push(
            type=first.shape.type,
            first=first.sequence,
            payloads=[push.payload for push in batch],
            encoding=first.shape.encoding,
            fingerprint=first.shape.fingerprint,
            details=details,
            acknowledged=acknowledged,
        )

    def _on_hello(self, hello: frames.NodeHello) -> list[PendingPush]:
        self.max_object_bytes = hello.max_object_bytes
        return []

    def _on_pushed(self, frame: frames.Pushed) -> list[PendingPush]:
        resolved: list[PendingPush] = []
        sent = self._sent
        for sequence, raw in frame.others:
            if sequence in sent:
                sent[sequence].other = int.from_bytes(raw, "big")
        for first, count in frame.sequences:
            for sequence in range(first, first + count):
                push = sent.pop(sequence, None)
                if push is not None:
                    push.payload = b""
                    if push.state is SENT:
                        push.state = PUSHED
                        resolved.append(push)
        return resolved

    def _on_refused(self, frame: frames.PushRefused) -> list[PendingPush]:
        numbers = range(frame.first, frame.first + frame.count)
        found = [push for number in numbers if (push := self._sent.pop(number, None)) is not None]
        return self._fail(found, Refused(frame.status, frame.message, frame.hint))

    @staticmethod
    def _fail(pushes: Iterable[PendingPush], error: Error) -> list[PendingPush]:
        failed = []
        for push in pushes:
            push.payload = b""
            if push.state is not PushState.WITHDRAWN:
                push.state = PushState.FAILED
                push.error = error
                failed.append(push)
        return failed


def _too_large(push: PendingPush, largest_bytes: int) -> Refused:
    return Refused(
        Status.INVALID_ARGUMENT,
        f"an object of {push.size_bytes} bytes; this node takes at most {largest_bytes}",
        "keep large content elsewhere and push a reference, or raise max_object_bytes",
    )
