"""The Consume streams of a client: trio's part of the consumer core."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import trio

from trionode.client.leases import LeaseState
from trionode.client.news import Arrived, Confirmed, Ended
from trionode.errors import ConnectionLost, Error, ProtocolError, Refused, Status
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK, UnknownFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

    from trionode.client.connector import Connector
    from trionode.client.consumer_core import ConsumerCore, Subscription
    from trionode.client.consumer_stream import ConsumerStream
    from trionode.client.leases import Lease, Window
    from trionode.client.news import Event
    from trionode.client.node_connection import NodeConnection
    from trionode.client.terms import Terms
    from trionode.net.call import Call

BREATH_S = 0.002
"""A loop over deliveries that are already here lets other tasks run at least this often. What was
settled meanwhile leaves in one frame, so that shorter turns cost throughput."""

_FINAL = frozenset(
    {
        Status.INVALID_ARGUMENT,
        Status.FAILED_PRECONDITION,
        Status.PERMISSION_DENIED,
        Status.UNAUTHENTICATED,
        Status.UNIMPLEMENTED,
    }
)
"""Answers to a Consume call that another try would not change."""


class SubscriptionOwner(Protocol):
    """Whoever iterates over a subscription."""

    def on_news(self) -> None:
        """There may be something to take, an answer, or an end."""

    def on_lost(self, lease: Lease) -> None:
        """A held delivery was lost."""


class _Open:
    """A stream and the task that writes to it."""

    def __init__(self, stream: ConsumerStream, call: Call) -> None:
        self.stream = stream
        self.call = call
        self.work = trio.Event()
        stream.on_work = self.wake

    def wake(self) -> None:
        """Have the writer look whether there is something to do."""
        self.work.set()

    def flush(self) -> None:
        """Queue what the node has to be told."""
        for frame in self.stream.next_frames():
            self.call.send(MESSAGEPACK.encode(frame))

    def write(self) -> bool:
        """Write what the node has to be told, before this returns; whether that was possible."""
        for frame in self.stream.next_frames():
            self.call.queue(MESSAGEPACK.encode(frame))
        return self.call.connection.write_now()


class Consuming:
    """Carries subscriptions, deliveries and settles between the user and the nodes.

    Attributes:
        core: all decisions; what nodes have to be told of them goes by itself.
        refused: how many settles nodes have refused.
    """

    def __init__(self, core: ConsumerCore, connector: Connector) -> None:
        self.core = core
        self.refused = 0
        self._connector = connector
        self._open: dict[ConsumerStream, _Open] = {}
        self._wanted = trio.Event()
        self._adopted = trio.Event()
        """Set, and replaced, when a stream opens, which adopts what was set aside."""
        # Of the clock itself, since trio.current_time first looks for it each time.
        self._now = trio.lowlevel.current_clock().current_time
        self._tell_at = 0.0
        """From when the node is told of a start before its handler begins,"""
        self._yield_at = 0.0
        """and from when the others have a turn first."""
        self._on_event: Mapping[type, Callable[[Any], None]] = {
            Arrived: self._on_news,
            Confirmed: self._on_news,
            Ended: self._on_ended,
        }

    # --- the user's side --------------------------------------------------------------------------

    def subscribe(
        self,
        types: list[str],
        credit: int,
        credit_bytes: int,
        owner: SubscriptionOwner,
        terms: Terms | None = None,
    ) -> Subscription:
        """Begin a subscription; `owner` hears what comes of it.

        Raises:
            ConnectionLost: the client has been left.
            ValueError: a window that cannot be.
        """
        if self._connector.failure is not None:
            raise self._connector.failure.with_traceback(None)
        subscription = self.core.subscribe(types, credit, credit_bytes, owner, terms)
        self._wanted.set()
        return subscription

    def abandon(self, lease: Lease) -> None:
        """The handler of a delivery was cancelled; see the core."""
        self.core.abandon(lease)
        _owner(lease.window.subscription).on_news()

    def close(self, subscription: Subscription, failure: str = "") -> None:
        """End a subscription; `subscription.closed` tells when the node has heard it all."""
        self._handle(self.core.close(subscription, failure))

    def has_to_tell(self, lease: Lease) -> bool:
        """Whether `tell_started` must be called before a delivery is handed over.

        It must when the delivery is urgent, or when other tasks have not run for a while.
        """
        return self.core.is_urgent(lease) or self._now() >= self._tell_at

    @trio.lowlevel.enable_ki_protection
    async def tell_started(self, lease: Lease) -> None:
        """Tell the node that a delivery has been started before this returns.

        Cannot be cancelled: the delivery is the user's now.
        """
        opened = self._open.get(lease.window.stream)
        written = True
        if opened is not None:
            # If the call is over its reader knows, and judges what it means.
            with contextlib.suppress(ConnectionLost):
                written = opened.write()
        if not written or self._now() >= self._yield_at:
            # Two turns of the others: what the first reads, or has left to write, the second does.
            await trio.lowlevel.cancel_shielded_checkpoint()
            await trio.lowlevel.cancel_shielded_checkpoint()
            self.on_rest()
        self._tell_at = self._now() + BREATH_S

    def on_rest(self) -> None:
        """The loop over deliveries has just waited: others had their turn."""
        self._yield_at = self._now() + BREATH_S

    def fail_all(self, error: Error) -> None:
        """The client is over."""
        self._handle(self.core.fail_all(error))

    # --- the node's side --------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def serve(self, node: NodeConnection) -> None:
        """Have a stream on this connection once there is a subscription, until it is left."""
        while not node.left.is_set():
            if self.core.wants_stream:
                await self._stream(node)
            else:
                await self._wait_for_a_wish(node)

    async def _wait_for_a_wish(self, node: NodeConnection) -> None:
        async with trio.open_nursery() as nursery:

            @trio.lowlevel.enable_ki_protection
            async def wake_when_left() -> None:
                await node.left.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(wake_when_left)
            await self._wanted.wait()
            self._wanted = trio.Event()
            nursery.cancel_scope.cancel()

    async def _stream(self, node: NodeConnection) -> None:
        """One Consume call from its beginning to its end."""
        try:
            call = await node.connection.open(frames.CONSUME)
        except ConnectionLost as error:
            node.leave(str(error))
            return
        with call:
            stream = self.core.open_stream()
            call.send(MESSAGEPACK.encode(stream.hello))
            opened = self._open[stream] = _Open(stream, call)
            opened.wake()
            self._adopted.set()
            self._adopted = trio.Event()
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write, opened)
                    nursery.start_soon(_leave, opened, node)
                    outcome = await self._read(opened, node)
                    nursery.cancel_scope.cancel()
            finally:
                del self._open[stream]
        reason = str(outcome or "the node ended the consumer stream")
        final = isinstance(outcome, Refused) and outcome.grpc_status in _FINAL
        windows = list(stream.windows.values())
        self._handle(stream.lose(reason, coming_back=not final))
        if final:
            assert outcome is not None
            self._handle(self.core.fail_all(outcome))
        else:
            if isinstance(outcome, Refused):
                self._connector.book.avoid(node.address)
            node.leave(reason)
        await self._give_up_in_time(windows, reason)

    async def _give_up_in_time(self, windows: list[Window], reason: str) -> None:
        """What was set aside is lost once no stream has gone on with it for its time of grace.

        The node counts from when it noticed the break, which was no earlier than the client's.
        """
        lost = trio.current_time()
        for window in sorted(windows, key=lambda each: each.subscription.terms.reconnect_grace):
            deadline = lost + window.subscription.terms.reconnect_grace
            with trio.move_on_at(deadline):
                while window.away:
                    await self._adopted.wait()
            self._handle(self.core.give_up(window, reason))

    async def _read(self, opened: _Open, node: NodeConnection) -> Error | None:
        """Take in what the node says; why the stream ended, or None when it did in order."""
        stream = opened.stream
        try:
            while messages := await opened.call.receive_many():
                for data in messages:
                    frame = MESSAGEPACK.decode(data)
                    if isinstance(frame, frames.Draining):
                        self._connector.on_draining(node, frame)
                    elif not isinstance(frame, UnknownFrame):
                        self._handle(stream.receive(frame))
                if stream.leaving:
                    opened.wake()
        except (ConnectionLost, ProtocolError, Refused) as error:
            return error
        return None

    @trio.lowlevel.enable_ki_protection
    async def _write(self, opened: _Open) -> None:
        """Send what there is at each turn; end a stream that is left once it is idle."""
        stream, call = opened.stream, opened.call
        try:
            while True:
                await opened.work.wait()
                opened.work = trio.Event()
                opened.flush()
                await call.drained()
                if stream.leaving and stream.idle:
                    call.end_sending()
                    return
        except ConnectionLost:
            # The reader knows, and judges what it means.
            return

    # --- events -----------------------------------------------------------------------------------

    def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            self._on_event[type(event)](event)

    @staticmethod
    def _on_news(event: Arrived | Confirmed) -> None:
        _owner(event.subscription).on_news()

    def _on_ended(self, event: Ended) -> None:
        for lease in event.leases:
            if lease.waiter is not None:
                lease.waiter.set()
            elif lease.state in (LeaseState.REFUSED, LeaseState.UNKNOWN):
                self.refused += 1
                self._connector.log.warning("a settle was not done", reason=str(lease.error))
            if lease.state is LeaseState.LOST:
                if lease.owner is not None:
                    lease.owner.cancel()
                _owner(lease.window.subscription).on_lost(lease)


def _owner(subscription: Subscription) -> SubscriptionOwner:
    owner: SubscriptionOwner = subscription.owner  # type: ignore[assignment]  # see `subscribe`
    return owner


@trio.lowlevel.enable_ki_protection
async def _leave(opened: _Open, node: NodeConnection) -> None:
    """From when the node is left, only settles go on its stream."""
    await node.left.wait()
    opened.stream.leaving = True
    opened.wake()
