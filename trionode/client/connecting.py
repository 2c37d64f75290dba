"""`connect`: builds a client of its parts, and ends it whatever happens in its block."""

from __future__ import annotations

import math
import secrets
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import trio

from trionode.client.addresses import AddressBook
from trionode.client.client import Client
from trionode.client.connector import ClientOptions, Connector, dial_tcp
from trionode.client.consumer_core import ConsumerCore
from trionode.client.consuming import Consuming
from trionode.client.definitions import Definitions
from trionode.client.producer_core import ProducerCore
from trionode.client.producing import Producing
from trionode.errors import ConnectionLost
from trionode.ids import PRODUCER_BYTES
from trionode.logs import get_logger
from trionode.net.dialler import parse_address

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from trionode.client.node_connection import NodeConnection

DEFAULT_ADDRESS = "127.0.0.1:7400"


def connect(
    *addresses: str,
    name: str = "",
    connect_timeout: float = 10.0,
    reconnect_timeout: float = math.inf,
    close_timeout: float = 2.0,
) -> AbstractAsyncContextManager[Client]:
    """Connect to a node: `async with trionode.connect("10.0.0.1:7400") as client: ...`.

    Args:
        addresses: `host:port` of nodes; the next is tried when one does not answer. Without any,
            `127.0.0.1:7400`.
        name: a label for this client that nodes show to people.
        connect_timeout: seconds that one node may take to answer.
        reconnect_timeout: seconds to go on looking for a node once the connection is lost, before
            everything that waits raises ConnectError.
        close_timeout: seconds that leaving a block may take to tell the node what it should know.

    Raises:
        ConnectError: when the block is entered: no node answers; the message says of each address
            why.
        ValueError: one of them is not an address.
    """
    for address in addresses:
        parse_address(address)
    options = ClientOptions(
        name=name,
        connect_timeout_s=connect_timeout,
        reconnect_timeout_s=reconnect_timeout,
        close_timeout_s=close_timeout,
    )
    return ClientBlock(addresses or (DEFAULT_ADDRESS,), options)


SECRET_BYTES = 16
"""Random bytes by which a node knows a consumer again that comes back."""


class ClientBlock:
    """The `async with` block of a client.

    Its background tasks live in a nursery of the user's task; what a nursery makes of exceptions is
    undone here, so that the user's own goes on as itself.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        options: ClientOptions,
        dialler: Callable[[str], Awaitable[trio.abc.Stream]] = dial_tcp,
    ) -> None:
        self._addresses = addresses
        self._options = options
        self._dialler = dialler
        self._manager: AbstractAsyncContextManager[trio.Nursery, Any] | None = None
        self._nursery: trio.Nursery | None = None
        self._connector: Connector | None = None

    async def __aenter__(self) -> Client:
        if self._manager is not None:
            raise RuntimeError("a client can be entered once")
        log = get_logger()
        connector = self._connector = Connector(
            AddressBook(self._addresses), self._options, log, self._dialler
        )
        this_version = version("trionode")
        name = self._options.name
        producer = secrets.token_bytes(PRODUCER_BYTES)
        core = ProducerCore(producer, name=name, version=this_version)
        definitions = Definitions(connector, log)
        producing = Producing(core, connector, definitions)
        consuming = Consuming(
            ConsumerCore(
                name=name,
                version=this_version,
                producer=secrets.token_bytes(PRODUCER_BYTES),
                secret=secrets.token_bytes(SECRET_BYTES),
            ),
            connector,
        )

        @trio.lowlevel.enable_ki_protection
        async def serve(node: NodeConnection) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(producing.serve, node, name="producing")
                nursery.start_soon(consuming.serve, node, name="consuming")

        @trio.lowlevel.enable_ki_protection
        async def run() -> None:
            try:
                await connector.run(serve)
            finally:
                failure = connector.failure or ConnectionLost("the client was left")
                producing.fail_all(failure)
                consuming.fail_all(failure)

        self._manager = trio.open_nursery()
        nursery = self._nursery = await self._manager.__aenter__()
        nursery.start_soon(run, name="trionode client")
        try:
            await connector.connected()
        except BaseException as error:
            connector.cancel()
            await self._leave(error)
            raise
        return Client(connector, definitions, producing, consuming)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        assert self._connector is not None
        self._connector.close()
        return await self._leave(error)

    async def _leave(self, error: BaseException | None) -> bool:
        """Wait for the background to end; whether the exception was only its end's doing."""
        assert self._manager is not None
        assert self._nursery is not None
        # While no background task has failed, the exception has nothing to do with the nursery.
        told = error if self._nursery.cancel_scope.cancel_called else None
        try:
            if told is None:
                await self._manager.__aexit__(None, None, None)
                return False
            return bool(await self._manager.__aexit__(type(told), told, told.__traceback__))
        except BaseException as raised:  # noqa: BLE001  # the cause goes on, whatever it is
            cause = _foremost(raised, error)
            if cause is error or (error is not None and isinstance(cause, trio.Cancelled)):
                return False
            raise cause from None


def _foremost(raised: BaseException, error: BaseException | None) -> BaseException:
    """Of what a nursery raised: the user's exception if it is there, else the weightiest."""
    if not isinstance(raised, BaseExceptionGroup) or raised is error:
        return raised
    if any(each is error and not isinstance(each, trio.Cancelled) for each in raised.exceptions):
        assert error is not None
        return error
    causes = [_foremost(each, None) for each in raised.exceptions]
    ours = [each for each in causes if not isinstance(each, trio.Cancelled)]
    severe = [each for each in ours if not isinstance(each, Exception)]
    return (severe or ours or causes)[0]
