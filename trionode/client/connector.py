"""Keeps a client connected to some node: the first connection, each next one, and the last end.

Theory of operation. One root task owns everything that a client does in the background, in a
shielded scope: when the user's task is cancelled, the blocks that it leaves still need the
connection to return deliveries. The scope ends when the client is left, within `close_timeout_s`.

An interrupt (KeyboardInterrupt) is for the user's task, which leaves its blocks in order; so the
background tasks are protected from it, each by itself.

A connection is left when it is lost or its node drains. Its streams then finish what is outstanding
while the next connection is already being made.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from trionode.client.node_connection import NodeConnection, ask, greet
from trionode.errors import ConnectError, ConnectionLost
from trionode.net.connection import Connection
from trionode.net.dialler import Backoff, dial, parse_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trionode.client.addresses import AddressBook
    from trionode.errors import Error
    from trionode.logs import Logger
    from trionode.wire import frames
    from trionode.wire.kinds import Frame

T = TypeVar("T")

STABLE_S = 5.0
"""A connection that lived so long was a success: waits between tries begin anew."""
ASK_TRIES = 2
"""How often a unary call is made when connections are lost under it."""


@attrs.frozen(kw_only=True)
class ClientOptions:
    """How long a client waits for what; see `trionode.connect`."""

    name: str = ""
    connect_timeout_s: float = 10.0
    reconnect_timeout_s: float = math.inf
    close_timeout_s: float = 2.0


async def dial_tcp(address: str) -> trio.abc.Stream:
    """Open a TCP connection to `host:port`; whoever calls bounds the time.

    Raises:
        ConnectError: nobody answers there.
    """
    try:
        host, port = parse_address(address)
    except ValueError as error:
        # Given addresses are checked before; a node may tell anything.
        raise ConnectError(str(error)) from None
    return await dial(host, port, timeout_s=math.inf)


class Connector:
    """The connections of one client, one after the other.

    Args:
        book: where nodes are.
        options: the timeouts.
        log: for what happens in the background.
        dialler: opens a byte stream to an address.
    """

    def __init__(
        self,
        book: AddressBook,
        options: ClientOptions,
        log: Logger,
        dialler: Callable[[str], Awaitable[trio.abc.Stream]] = dial_tcp,
    ) -> None:
        self.book = book
        self.options = options
        self.log = log
        self.current: NodeConnection | None = None
        """The newest connection, unless it has been left."""
        self.reconnects = 0
        self.failure: Error | None = None
        """Why there will be no connection any more."""
        self._dial = dialler
        self._changed = trio.Event()
        self._scope = trio.CancelScope(shield=True)
        self._closing = False

    # --- for the rest of the client ---------------------------------------------------------------

    async def connected(self) -> NodeConnection:
        """Wait for a connection.

        Raises:
            ConnectError: none was made in time.
            ConnectionLost: the client has been left.
        """
        while True:
            if self.failure is not None:
                raise self.failure.with_traceback(None)
            if self.current is not None and not self.current.left.is_set():
                return self.current
            await self._changed.wait()

    async def ask(self, path: str, request: Frame, kind: type[T]) -> T:
        """Make a unary call that may be repeated; once more if a connection is lost under it.

        Raises:
            ConnectionLost: connections were lost under it each time.
            Refused: the node said no.
        """
        for tries_left in reversed(range(ASK_TRIES)):
            node = await self.connected()
            try:
                return await ask(node.connection, path, request, kind)
            except ConnectionLost as error:
                if node.connection.draining:
                    node.leave(str(error))
                if not tries_left:
                    raise
        raise AssertionError("the last try returns or raises")

    def on_draining(self, node: NodeConnection, frame: frames.Draining) -> None:
        """The node asks its clients to go, maybe to these addresses."""
        self.book.learn(frame.addresses)
        self.book.avoid(node.address)
        node.leave("the node is draining")

    def close(self) -> None:
        """End: streams finish what is outstanding, for at most `close_timeout_s`."""
        self._closing = True
        if self.current is None or self.current.left.is_set():
            self._scope.cancel()
        else:
            self.current.leave("the client was left")
            self._scope.deadline = trio.current_time() + self.options.close_timeout_s

    def cancel(self) -> None:
        """End at once."""
        self._closing = True
        self._scope.cancel()

    # --- the root task ----------------------------------------------------------------------------

    async def run(self, serve: Callable[[NodeConnection], Awaitable[None]]) -> None:
        """Connect, and connect again, until closed.

        Args:
            serve: uses a connection; returns once it is left and nothing is outstanding on it.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    await self._run(nursery, serve)
        finally:
            self._fail(ConnectionLost("the client was left"))

    async def _run(
        self, nursery: trio.Nursery, serve: Callable[[NodeConnection], Awaitable[None]]
    ) -> None:
        backoff = Backoff(random.random)
        try:
            node = await self._try_all(nursery)
            while True:
                self._announce(node)
                nursery.start_soon(self._serve, node, serve, name=f"client of {node.address}")
                since = trio.current_time()
                await node.left.wait()
                if self._closing:
                    return
                self.log.warning("the node is left", node=node.address, reason=node.reason)
                if trio.current_time() - since >= STABLE_S:
                    backoff.reset()
                else:
                    await trio.sleep(backoff.next_s())
                node = await self._reconnect(nursery, backoff)
        except ConnectError as error:
            self._fail(error)

    @trio.lowlevel.enable_ki_protection
    async def _serve(
        self, node: NodeConnection, serve: Callable[[NodeConnection], Awaitable[None]]
    ) -> None:
        await serve(node)
        node.connection.drain()

    async def _reconnect(self, nursery: trio.Nursery, backoff: Backoff) -> NodeConnection:
        """Try all addresses, again and again, for at most `reconnect_timeout_s`."""
        deadline = trio.current_time() + self.options.reconnect_timeout_s
        while True:
            try:
                node = await self._try_all(nursery)
            except ConnectError as error:
                wait_s = backoff.next_s()
                if trio.current_time() + wait_s > deadline:
                    raise
                self.log.warning("no node answers", reason=str(error), next_try_s=round(wait_s, 3))
                await trio.sleep(wait_s)
            else:
                self.reconnects += 1
                self.log.info("connected again", node=node.address)
                return node

    async def _try_all(self, nursery: trio.Nursery) -> NodeConnection:
        """Connect to the first address that answers as a node.

        Raises:
            ConnectError: none does; the message says of each why.
        """
        reasons: list[str] = []
        for address in self.book.round():
            try:
                return await self._try(nursery, address)
            except ConnectError as error:
                reasons.append(str(error))
        raise ConnectError("; ".join(reasons))

    async def _try(self, nursery: trio.Nursery, address: str) -> NodeConnection:
        timeout_s = self.options.connect_timeout_s
        connection: Connection | None = None
        left = trio.Event()
        with trio.move_on_after(timeout_s) as scope:
            try:
                stream = await self._dial(address)
                connection = Connection(stream, routes=None, peer=address, log=self.log)
                await nursery.start(_carry, connection, left, name=f"connection to {address}")
                hello = await greet(connection)
            except BaseException:
                if connection is not None:
                    connection.abort()
                raise
        if scope.cancelled_caught:
            raise ConnectError(
                f"{address} did not answer within {timeout_s:g} s: is the host up, not firewalled,"
                " and the node well?"
            )
        assert connection is not None
        self.book.connected(address)
        self.book.learn(hello.addresses)
        return NodeConnection(address, connection, hello, left)

    def _announce(self, node: NodeConnection) -> None:
        self.current = node
        self._changed.set()
        self._changed = trio.Event()

    def _fail(self, failure: Error) -> None:
        self.failure = self.failure or failure
        self._changed.set()


@trio.lowlevel.enable_ki_protection
async def _carry(
    connection: Connection,
    left: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a connection; when it is over, it is left."""
    try:
        await connection.run(task_status)
    finally:
        left.set()
