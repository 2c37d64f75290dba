"""The Produce streams of a client: trio's part of the producer core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

from trionode.client.producer_core import (
    FRAME_BYTES_MAX,
    FRAME_OBJECTS_MAX,
    PendingPush,
    ProducerCore,
    PushState,
    Shape,
)
from trionode.errors import ConnectionLost, Error, ProtocolError, Refused, Status
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK, UnknownFrame

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from trionode.client.connector import Connector
    from trionode.client.definitions import Definitions
    from trionode.client.node_connection import NodeConnection
    from trionode.ids import ObjectId
    from trionode.net.call import Call

WRITE_BYTES = 512 * 1024
"""Payload bytes made into frames at one turn of the writer."""
UNSENT_BYTES = 512 * 1024
"""The writer makes no more frames while so much waits for the connection."""
GATHER_S: Final = 0.001
"""While the node has yet to answer, what is pushed is gathered for so long, or until it is enough
for a frame: many small frames would take node and consumer more time than they save. What is pushed
when all is answered goes at once. (The same that RFC 896 does for segments of TCP.)"""
LEAVE_TIMEOUT_S = 10.0
"""How long a node that is left may take to answer what it was sent; then it is sent elsewhere."""


class PushOwner(Protocol):
    """Whoever wants to know what became of a push."""

    def on_outcome(self, push: PendingPush) -> None:
        """It was pushed, or failed."""


class Producing:
    """Sends what is pushed, and tells its owners what became of it."""

    def __init__(self, core: ProducerCore, connector: Connector, definitions: Definitions) -> None:
        self._core = core
        self._connector = connector
        self._definitions = definitions
        self._work = trio.Event()
        self._gathering = False
        """Whether the writer waits for more; then a push does not wake it."""
        self._gathered = 0
        """Objects that were pushed since the writer last made frames,"""
        self._gathered_bytes = 0
        """and their bytes."""
        self._gather_until = 0.0
        self._turn = trio.Lock()
        """Held by the one stream there is; the next node's waits until the last one's is over."""

    # --- the user's side --------------------------------------------------------------------------

    def push(self, push: PendingPush) -> None:
        """Take a push.

        Raises:
            ConnectionLost: the client has been left.
        """
        if self._connector.failure is not None:
            raise self._connector.failure.with_traceback(None)
        self._core.push(push)
        self._gathered += 1
        self._gathered_bytes += push.size_bytes
        if not self._gathering or self._enough:
            self._work.set()

    @property
    def _enough(self) -> bool:
        """Whether what was gathered is worth a frame without waiting for more."""
        return self._gathered >= FRAME_OBJECTS_MAX or self._gathered_bytes >= FRAME_BYTES_MAX

    async def push_one(
        self, shape: Shape, payload: bytes, details: Mapping[str, Any] | None = None
    ) -> PendingPush:
        """Push and wait for the outcome; a push whose wait is cancelled is not sent again.

        Raises:
            Refused: the node did not take it.
            ConnectionLost: the client was left first.
        """
        waiter = _Waiter()
        push = PendingPush(shape, payload, waiter, details)
        self.push(push)
        try:
            await waiter.known.wait()
        except BaseException:
            self._core.withdraw(push)
            raise
        if push.error is not None:
            raise push.error
        return push

    def withdraw(self, push: PendingPush) -> bool:
        """Forget a push; whether it never left."""
        return self._core.withdraw(push)

    def id_of(self, push: PendingPush) -> ObjectId:
        """The object's id, once it has been sent."""
        return self._core.id_of(push)

    def text_id_of(self, push: PendingPush) -> str:
        """The id in the form that commands print."""
        return self._core.text_id_of(push)

    def fail_all(self, error: Error) -> None:
        """The client is over: whatever has no outcome fails."""
        self._tell(self._core.fail_all(error))

    @staticmethod
    def _tell(pushes: Iterable[PendingPush]) -> None:
        for push in pushes:
            owner: PushOwner = push.owner  # type: ignore[assignment]  # only we make pushes
            # A receipt knows its push: without this, only the garbage collector would end the pair.
            push.owner = None
            owner.on_outcome(push)

    # --- the node's side --------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def serve(self, node: NodeConnection) -> None:
        """Have a stream on this connection when there is something to push, until it is left."""
        async with self._turn, trio.open_nursery() as nursery:
            self._core.receive(node.hello)
            nursery.start_soon(self._wake_when_left, node)
            while not node.left.is_set():
                if self._core.wants_stream:
                    await self._stream(node)
                else:
                    await self._wait()
            nursery.cancel_scope.cancel()

    @trio.lowlevel.enable_ki_protection
    async def _wake_when_left(self, node: NodeConnection) -> None:
        await node.left.wait()
        self._work.set()

    async def _wait(self) -> None:
        await self._work.wait()
        self._work = trio.Event()

    async def _stream(self, node: NodeConnection) -> None:
        """One Produce call from its beginning to its end."""
        core = self._core
        try:
            await self._definitions.renew(node.connection)
            call = await node.connection.open(frames.PRODUCE)
        except ConnectionLost as error:
            node.leave(str(error))
            return
        with call:
            call.send(MESSAGEPACK.encode(core.open_stream()))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, call, node)
                nursery.start_soon(_give_up, call, node)
                outcome = await self._read(call, node)
                nursery.cancel_scope.cancel()
        if isinstance(outcome, Refused) and outcome.grpc_status is not Status.UNAVAILABLE:
            self._tell(core.fail_sent(outcome))
        else:
            if isinstance(outcome, Refused):
                self._connector.book.avoid(node.address)
            node.leave(str(outcome or "the node ended the producer stream"))
        core.lose_stream()

    async def _read(self, call: Call, node: NodeConnection) -> Error | None:
        """Take in what the node says; why the stream ended, or None when it did in order."""
        core = self._core
        try:
            while messages := await call.receive_many():
                for data in messages:
                    frame = MESSAGEPACK.decode(data)
                    if isinstance(frame, frames.Draining):
                        self._connector.on_draining(node, frame)
                    elif not isinstance(frame, UnknownFrame):
                        self._tell(core.receive(frame))
                if node.left.is_set() or (self._gathering and not core.has_sent):
                    self._work.set()
        except (ConnectionLost, ProtocolError, Refused) as error:
            return error
        return None

    @trio.lowlevel.enable_ki_protection
    async def _write(self, call: Call, node: NodeConnection) -> None:
        """Send what is queued at each turn, all of it; once left, only await the answers."""
        core = self._core
        try:
            while True:
                if node.left.is_set():
                    if not core.has_sent:
                        call.end_sending()
                        return
                elif core.has_unsent:
                    await self._gather(node)
                    now = trio.current_time()
                    self._gather_until = now + GATHER_S
                    self._gathered = self._gathered_bytes = 0
                    made, oversized = core.next_frames(WRITE_BYTES, now)
                    for frame in made:
                        call.queue(MESSAGEPACK.encode(frame))
                    call.connection.write_soon()
                    self._tell(oversized)
                    await call.drained(UNSENT_BYTES)
                    continue
                await self._wait()
        except ConnectionLost:
            # The reader knows, and judges what it means.
            return

    async def _gather(self, node: NodeConnection) -> None:
        """Wait for more to be pushed, for as long as that is worth it; see GATHER_S."""
        if not self._core.has_sent or trio.current_time() >= self._gather_until:
            return
        self._gathering = True
        try:
            with trio.move_on_at(self._gather_until):
                while self._core.has_sent and not self._enough and not node.left.is_set():
                    await self._wait()
        finally:
            self._gathering = False


@trio.lowlevel.enable_ki_protection
async def _give_up(call: Call, node: NodeConnection) -> None:
    await node.left.wait()
    await trio.sleep(LEAVE_TIMEOUT_S)
    call.reset()


class _Waiter:
    """Waits for one push."""

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known = trio.Event()

    def on_outcome(self, push: PendingPush) -> None:
        """Wake whoever waits."""
        assert push.state in (PushState.PUSHED, PushState.FAILED)
        self.known.set()
