"""Whatever a peer sends, and however it is cut, a session takes it or raises ProtocolError.

Frame by frame and byte by byte it does exactly the same, also while its owner answers, resets,
pings and shuts down in between; so it does with the whole at once, but that of two faults it may
name the later, which the scanner sees first. What it writes are whole frames, in a failure a
GOAWAY last. Input: a byte of choices (see `Choices`), commands, what the peer sends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import attrs

from fuzz import invariant
from tests.support.frames import PREFACE
from tests.support.sessions import Lone
from trionode.errors import ProtocolError, Status
from trionode.wire import greeting, grpc
from trionode.wire import session_events as happened
from trionode.wire.outbound import SendQueue, SendScheduler
from trionode.wire.session import CANCEL

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 1024
HEADER_BYTES = 9
FILL_BYTES = 65_536


@attrs.frozen
class Choices:
    """What the first byte says: our role, whether the handshake is done, what the owner does."""

    client: bool
    greeted: bool
    answers: bool
    commands: int

    @classmethod
    def read(cls, byte: int) -> Choices:
        return cls(
            client=bool(byte & 1),
            greeted=not byte & 2,
            answers=bool(byte & 4),
            commands=byte >> 4 if byte & 4 else 0,
        )


class Owner:
    """Who owns the session, as a connection does: answers calls, and follows commands."""

    def __init__(self, choices: Choices, commands: bytes) -> None:
        self.lone = Lone(client=choices.client)
        if choices.greeted:
            self.lone.greet()
        self.session = self.lone.session
        self.scheduler = SendScheduler(self.session)
        self.queues: dict[int, SendQueue] = {}
        self.commands = deque(commands)
        self.events: list[happened.Event] = []
        self.output: list[bytes] = []
        self.fault: tuple[int, str] | None = None
        if choices.client and choices.greeted:
            self.open()
            self.open()
            self.output.append(self.session.take_output())
        self.on_event: dict[type, Callable[[Any], None]] = {}
        if choices.answers:
            self.on_event = self.answers()

    def answers(self) -> dict[type, Callable[[Any], None]]:
        """What a connection does about each event."""
        return {
            happened.HeadersArrived: self.on_response if self.lone.client else self.on_request,
            happened.TrailersArrived: self.on_trailers,
            happened.DataArrived: self.on_data,
            happened.StreamEnded: self.on_ended,
            happened.StreamReset: self.on_reset,
            happened.WindowOpened: lambda event: self.scheduler.window_opened(event.stream_id),
            happened.LimitsChanged: lambda _: self.scheduler.limits_changed(),
        }

    def take(self, piece: bytes) -> None:
        """Hand bytes of the peer to the session and act on each event."""
        if self.fault is not None:
            return
        try:
            for event in self.session.receive(piece, self.lone.now):
                self.events.append(event)
                self.on_event.get(type(event), lambda _: None)(event)
                if self.commands:
                    self.command(self.commands.popleft(), getattr(event, "stream_id", 1))
                self.scheduler.fill(FILL_BYTES)
        except ProtocolError as error:
            self.fault = error.h2_code, str(error)
        self.output.append(self.session.take_output())

    # --- what a connection does ---------------------------------------------------------------

    def open(self) -> None:
        """Begin a call (client)."""
        if self.session.free_slots > 0 and not self.session.broken:
            headers = grpc.request_headers("/a/b", "node", [("x", "y")], 1.0)
            stream_id = self.session.open_stream(headers)
            if stream_id is not None:
                self.add(SendQueue(stream_id, None))

    def add(self, queue: SendQueue) -> None:
        self.queues[queue.stream_id] = queue
        self.scheduler.add(queue)

    def on_request(self, event: happened.HeadersArrived) -> None:
        request = grpc.read_request(event.headers)
        if isinstance(request, grpc.Rejection):
            headers = grpc.rejection_headers(request)
            self.session.send_headers(event.stream_id, headers, end=True)
            self.release(event.stream_id, completed=True)
        else:
            self.add(SendQueue(event.stream_id, grpc.response_headers()))

    def on_response(self, event: happened.HeadersArrived) -> None:
        grpc.read_outcome(event.headers, grpc.read_http_status(event.headers))
        grpc.metadata_of(event.headers)

    def on_trailers(self, event: happened.TrailersArrived) -> None:
        grpc.read_outcome(event.headers, 200)

    def on_data(self, event: happened.DataArrived) -> None:
        self.session.acknowledge(event.stream_id, event.flow_bytes)

    def on_ended(self, event: happened.StreamEnded) -> None:
        if self.lone.client:
            self.release(event.stream_id, completed=True)
        else:
            self.send(event.stream_id, b"done", end=True)

    def on_reset(self, event: happened.StreamReset) -> None:
        self.release(event.stream_id, completed=False)

    def send(self, stream_id: int, message: bytes, *, end: bool) -> None:
        queue = self.queues.get(stream_id)
        if queue is None or queue.ending:
            return
        queue.add(message)
        if end:
            outcome = grpc.Outcome(Status.OK)
            queue.end(None if self.lone.client else grpc.trailers(outcome))
        self.scheduler.wake(queue)

    def release(self, stream_id: int, *, completed: bool) -> None:
        self.queues.pop(stream_id, None)
        self.scheduler.remove(stream_id)
        self.session.release(stream_id, completed=completed)

    # --- what it may do at any time -----------------------------------------------------------

    def command(self, byte: int, stream_id: int) -> None:
        """Do one of all the things that a connection may do between two frames of the peer."""
        match byte % 10:
            case 1:
                self.session.reset(stream_id, CANCEL)
            case 2:
                self.release(stream_id, completed=byte >= 128)
            case 3:
                self.session.ping(bytes(8))
            case 4:
                self.send(stream_id, bytes(byte * 500), end=False)
            case 5:
                self.send(stream_id, bytes(byte), end=True)
            case 6:
                self.session.announce_shutdown()
            case 7:
                self.session.shut_down()
            case 8 if self.lone.client:
                self.open()
            case 9:
                self.lone.now += byte / 10
                self.session.check(self.lone.now)


def frames_in(stream: bytes, *, preface: bool) -> list[bytes]:
    """The stream cut into frames; what is left is a piece, too."""
    pieces = []
    if preface:
        pieces.append(stream[: len(PREFACE)])
        stream = stream[len(PREFACE) :]
    while stream:
        length = HEADER_BYTES + int.from_bytes(stream[:3], "big")
        pieces.append(stream[:length])
        stream = stream[length:]
    return pieces


def play(choices: Choices, commands: bytes, pieces: list[bytes]) -> Owner:
    """Let a session take these pieces, and look at what it wrote."""
    owner = Owner(choices, commands)
    for piece in pieces:
        owner.take(piece)
    written = owner.lone.frames.read(b"".join(owner.output))
    assert owner.session.broken is (owner.fault is not None)
    if owner.fault is not None:
        assert written[-1].type == 7, "the last frame of a broken session is no GOAWAY"
        assert written[-1].error_code == owner.fault[0]
    return owner


def check_greeting(choices: Choices, stream: bytes) -> None:
    """What the first bytes are taken for does not depend on how they are cut, either."""
    judge = greeting.judge_server if choices.client else greeting.judge_client
    verdicts = (judge(stream[:length]) for length in range(len(stream) + 1))
    first = next((verdict for verdict in verdicts if verdict is not None), None)
    assert (first is True) is (judge(stream) is True)


@invariant
def check(data: bytes) -> None:
    choices = Choices.read(data[0] if data else 0)
    commands, stream = data[1 : 1 + choices.commands], data[1 + choices.commands :]
    if not choices.greeted:
        check_greeting(choices, stream)
    pieces = frames_in(stream, preface=not choices.client and not choices.greeted)
    frames = play(choices, commands, pieces)
    single = play(choices, commands, [stream[i : i + 1] for i in range(len(stream))])
    assert (single.events, single.fault) == (frames.events, frames.fault)
    assert b"".join(single.output) == b"".join(frames.output)
    if choices.answers:
        # What the owner does about a frame must not come after the next one.
        return
    whole = play(choices, commands, [stream])
    assert (whole.fault is None) is (frames.fault is None)
    if whole.fault is None:
        assert whole.events == frames.events
        assert b"".join(whole.output) == b"".join(frames.output)
