"""One conversation in the line protocol: commands in, replies in their order, objects in between.

Commands that a driver sends in bulk (pushes and settles) are started as they are read and answered
when their outcome is known. Every other command waits until all before it have been answered, so
that it sees what they did. One task prints the replies in the order of the commands, and one task
writes, so that a line is printed whole or not at all.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.cli import lines
from trionode.cli.pipes import LINE_MAX_BYTES
from trionode.errors import ConnectError, ConnectionLost, Error, LeaseLost, Refused, Status
from trionode.ids import format_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from trionode.client import Client, Deliveries, Delivery, Pusher
    from trionode.ids import ObjectId

UNANSWERED_MAX = 512
"""Commands started and not yet answered; then reading pauses, and the driver's pipe fills.

Well below the failures at which a pusher takes no more, `trionode.client.pusher.FAILURES_MAX`: each
refused push is to be told by its own reply.
"""

_STATUS_OF_ERROR = (
    (LeaseLost, Status.FAILED_PRECONDITION),
    (ConnectError, Status.UNAVAILABLE),
    (ConnectionLost, Status.UNAVAILABLE),
)


def error_reply(error: Error) -> bytes:
    """The `ERR` line for an error of the client."""
    if isinstance(error, Refused):
        hint = f" ({error.hint})" if error.hint else ""
        return lines.err(error.grpc_status, error.message + hint)
    for kind, status in _STATUS_OF_ERROR:
        if isinstance(error, kind):
            return lines.err(status, str(error))
    return lines.err(Status.UNKNOWN, str(error))


async def converse(
    client: Client,
    batches: AsyncIterable[tuple[list[bytes | None], bool]],
    write: Callable[[bytes], Awaitable[None]],
) -> None:
    """Hold a conversation until QUIT or the end of input; unsettled deliveries then return.

    Args:
        client: connected to a node.
        batches: lines as `trionode.cli.pipes.read_lines` gives them.
        write: writes bytes to the driver, all of them.
    """
    async with contextlib.AsyncExitStack() as pushers, trio.open_nursery() as nursery:
        session = _Session(client, nursery, pushers)
        nursery.start_soon(session.write_lines, write, name="line writer")
        nursery.start_soon(session.print_replies, name="replies")
        await session.read_commands(batches)
        nursery.cancel_scope.cancel()


@attrs.frozen(eq=False)
class _Open:
    """A subscription and the task that prints its deliveries."""

    deliveries: Deliveries[Any]
    scope: trio.CancelScope
    ended: trio.Event


class _Session:
    """The state of one conversation; only its own tasks touch it."""

    def __init__(
        self, client: Client, nursery: trio.Nursery, pushers: contextlib.AsyncExitStack
    ) -> None:
        self._client = client
        self._nursery = nursery
        self._pusher_stack = pushers
        self._pushers: dict[str, Pusher] = {}
        self._subscriptions: dict[str, _Open] = {}
        self._printed: dict[ObjectId, dict[int, tuple[str, Delivery[Any]]]] = {}
        self._outbox, self._outgoing = trio.open_memory_channel[bytes](0)
        self._replies, self._awaited = trio.open_memory_channel["Callable[[], Awaitable[bytes]]"](
            UNANSWERED_MAX
        )
        self._unanswered = 0
        self._all_answered = trio.Event()
        self._handlers: dict[type, Callable[[Any], Awaitable[bytes]]] = {
            lines.Define: self._define,
            lines.Subscribe: self._subscribe,
            lines.Unsubscribe: self._unsubscribe,
            lines.AskStatus: self._status,
            lines.Ping: self._ping,
        }

    # --- the three tasks --------------------------------------------------------------------------

    async def read_commands(self, batches: AsyncIterable[tuple[list[bytes | None], bool]]) -> None:
        """Start each command as it comes; returns when the last one has been answered."""
        async for batch, unterminated in batches:
            for line in batch:
                if not await self._start(line, unterminated=unterminated):
                    await self._all_before()
                    return
        await self._all_before()

    async def print_replies(self) -> None:
        """Task: wait for the outcome of each command, in order, and print it."""
        async for outcome in self._awaited:
            try:
                reply = await outcome()
            except Error as error:
                reply = error_reply(error)
            await self._outbox.send(reply)
            self._unanswered -= 1
            if not self._unanswered:
                self._all_answered.set()

    async def write_lines(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Task: write lines, whole ones."""
        async for line in self._outgoing:
            await write(line)

    # --- commands ---------------------------------------------------------------------------------

    async def _start(self, line: bytes | None, *, unterminated: bool) -> bool:
        """Start the command of one line; False when it was the last."""
        try:
            command = _command(line, unterminated=unterminated)
            if isinstance(command, lines.Quit):
                await self._answer(_done)
                return False
            await self._answer(await self._begin(command))
        except lines.BadLine as error:
            reply = lines.err(error.status, str(error))
            await self._answer(lambda: _known(reply))
        except Error as error:
            reply = error_reply(error)
            await self._answer(lambda: _known(reply))
        return True

    async def _begin(self, command: lines.Command) -> Callable[[], Awaitable[bytes]]:
        """Do what can be done at once; returns what waits for the outcome."""
        if isinstance(command, lines.Push):
            return await self._push(command)
        if isinstance(command, (lines.Ack, lines.Nack, lines.Reject)):
            return self._settle(command)
        await self._all_before()
        reply = await self._handlers[type(command)](command)
        return lambda: _known(reply)

    async def _push(self, command: lines.Push) -> Callable[[], Awaitable[bytes]]:
        pusher = self._pushers.get(command.type)
        if pusher is None:
            pusher = self._client.pusher(type=command.type)
            self._pushers[command.type] = await self._pusher_stack.enter_async_context(pusher)
        receipt = await pusher.send(command.payload, encoding=command.encoding)

        async def outcome() -> bytes:
            return lines.ok(format_id(await receipt.wait()))

        return outcome

    def _settle(
        self, command: lines.Ack | lines.Nack | lines.Reject
    ) -> Callable[[], Awaitable[bytes]]:
        delivery = self._take(command.id, command.attempt)
        if isinstance(command, lines.Ack):
            delivery.ack()
        elif isinstance(command, lines.Nack):
            delivery.nack(delay=command.delay_s)
        else:
            delivery.reject(command.reason)

        async def outcome() -> bytes:
            await delivery.settled()
            return lines.ok()

        return outcome

    def _take(self, value: ObjectId, attempt: int | None) -> Delivery[Any]:
        """The open delivery of that name, which is then no longer open."""
        attempts = self._printed.get(value, {})
        if attempt is None and attempts:
            attempt = next(reversed(attempts))
        if attempt is None or attempt not in attempts:
            name = format_id(value) + (f"#{attempt}" if attempt is not None else "")
            raise lines.BadLine(
                f"no delivery of {name} is open here: never printed, settled already, or lost",
                Status.FAILED_PRECONDITION,
            )
        return self._forget(value, attempt)

    def _forget(self, value: ObjectId, attempt: int) -> Delivery[Any]:
        attempts = self._printed[value]
        _, delivery = attempts.pop(attempt)
        if not attempts:
            del self._printed[value]
        return delivery

    async def _define(self, command: lines.Define) -> bytes:
        return lines.ok(await self._client.define(command.type, command.schema or "{}"))

    async def _status(self, _: lines.AskStatus) -> bytes:
        return lines.ok(await self._client.status_json())

    async def _ping(self, _: lines.Ping) -> bytes:
        await self._client.ping()
        return lines.ok()

    async def _subscribe(self, command: lines.Subscribe) -> bytes:
        known = self._subscriptions.get(command.type)
        if known is not None:
            await known.deliveries.set_credit(command.credit)
        else:
            await self._nursery.start(self._print_deliveries, command, name=f"{command.type}")
        return lines.ok()

    async def _unsubscribe(self, command: lines.Unsubscribe) -> bytes:
        known = self._subscriptions.get(command.type)
        if known is None:
            raise lines.BadLine(f"not subscribed to {command.type}", Status.NOT_FOUND)
        known.scope.cancel()
        await known.ended.wait()
        return lines.ok()

    async def _print_deliveries(
        self, command: lines.Subscribe, task_status: trio.TaskStatus[None]
    ) -> None:
        """Task: one subscription."""
        ended = trio.Event()
        try:
            with trio.CancelScope() as scope:
                async with self._client.subscribe(
                    command.type, credit=command.credit, on_lost=self._lose
                ) as found:
                    self._subscriptions[command.type] = _Open(found, scope, ended)
                    task_status.started()
                    async for delivery in found:
                        await self._print(command.type, delivery)
        finally:
            self._subscriptions.pop(command.type, None)
            self._forget_all(command.type)
            ended.set()

    async def _print(self, key: str, delivery: Delivery[Any]) -> None:
        self._printed.setdefault(delivery.id, {})[delivery.attempt] = key, delivery
        await self._outbox.send(
            lines.delivery(
                delivery.type, delivery.id, delivery.attempt, delivery.encoding, delivery.payload
            )
        )

    def _forget_all(self, key: str) -> None:
        """A subscription is over: what is open of it has returned."""
        for value, attempts in list(self._printed.items()):
            for attempt in [number for number, (own, _) in attempts.items() if own == key]:
                self._forget(value, attempt)

    def _lose(self, value: ObjectId, attempt: int, reason: str) -> None:
        """A delivery that was printed and not settled is no longer the driver's."""
        if attempt in self._printed.get(value, {}):
            self._forget(value, attempt)
            self._nursery.start_soon(self._outbox.send, lines.lost(value, attempt, reason))

    # --- answering --------------------------------------------------------------------------------

    async def _answer(self, outcome: Callable[[], Awaitable[bytes]]) -> None:
        if not self._unanswered:
            self._all_answered = trio.Event()
        self._unanswered += 1
        await self._replies.send(outcome)

    async def _all_before(self) -> None:
        if self._unanswered:
            await self._all_answered.wait()


async def _done() -> bytes:
    return lines.ok()


async def _known(reply: bytes) -> bytes:
    return reply


def _command(line: bytes | None, *, unterminated: bool) -> lines.Command:
    if line is None:
        raise lines.BadLine(
            f"the line is longer than {LINE_MAX_BYTES} bytes", Status.RESOURCE_EXHAUSTED
        )
    if unterminated:
        raise lines.BadLine("the last line does not end in LF; it may be cut off")
    return lines.parse(line)
