"""Accepting connections and running each so that its faults stay its own."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.errors import ConnectError
from trionode.net import sockets
from trionode.net.connection import Connection
from trionode.net.keeper import Keeper
from trionode.net.serving import Log, NoLog, Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio import TaskStatus

    from trionode.net.options import ConnectionOptions

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""
MAX_CONNECTIONS = 1 << 20
"""No limit of ours: the system's file descriptors end before."""
RETRY_S = 0.1
"""How long accepting rests after an error: file descriptors and memory need time to come back."""


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Listen on an address; port 0 is a free one.

    Raises:
        ConnectError: the address cannot be listened on; the message says why.
    """
    address = sockets.address_text((host, port))
    try:
        return list(await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG))
    except OSError as error:
        raise ConnectError(f"cannot listen on {address}: {_explain(error)}") from error


def _explain(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; is another node running?"
    if error.errno == errno.EADDRNOTAVAIL:
        return "no network interface of this host has that address"
    if error.errno == errno.EACCES:
        return "not allowed; ports below 1024 need privileges"
    return str(error)


def bound_address(listener: trio.SocketListener) -> str:
    """`host:port` that a listener really has."""
    return sockets.address_text(listener.socket.getsockname())


@attrs.frozen(eq=False)
class _Service:
    """What every accepted connection is served with."""

    routes: Mapping[str, Route]
    options: ConnectionOptions
    connections: set[Connection]
    max_connections: int
    log: Log
    keeper: Keeper


async def serve(  # noqa: PLR0913  # what a server is made of
    listeners: Sequence[trio.abc.Listener[Any]],
    routes: Mapping[str, Route],
    options: ConnectionOptions,
    *,
    connections: set[Connection],
    max_connections: int = MAX_CONNECTIONS,
    log: Log | None = None,
    task_status: TaskStatus[Sequence[trio.abc.Listener[Any]]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept and serve connections until cancelled; the listeners are closed in the end.

    Cancelling stops accepting and aborts what runs; to drain, close the listeners (this returns
    once the connections are over) and call `drain` on what is in `connections`.

    Args:
        listeners: from `listen`, or of streams in memory.
        routes: handlers by path.
        options: of each connection.
        connections: kept up to date with those that live.
        max_connections: beyond so many, new ones are closed at once.
        log: where to report.
        task_status: started with the listeners once they accept.
    """
    keeper = Keeper(options)
    service = _Service(routes, options, connections, max_connections, log or NoLog(), keeper)
    async with trio.open_nursery() as keeping:
        keeping.start_soon(keeper.run, name="keeper")
        async with trio.open_nursery() as nursery:
            for number, listener in enumerate(listeners):
                nursery.start_soon(_accept, nursery, listener, service, name=f"listener {number}")
            task_status.started(listeners)
        keeping.cancel_scope.cancel()


async def _accept(
    nursery: trio.Nursery, listener: trio.abc.Listener[Any], service: _Service
) -> None:
    """Accept from one listener until it is closed."""
    async with listener:
        while True:
            try:
                stream = await listener.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                # Out of file descriptors or memory, or an error of the network that accept(2)
                # passes on: none is a reason to stop serving.
                service.log.warning("cannot accept a connection", error=str(error), retry_s=RETRY_S)
                await trio.sleep(RETRY_S)
                continue
            if len(service.connections) >= service.max_connections:
                service.log.warning(
                    "too many connections; a new one was closed", limit=service.max_connections
                )
                await trio.aclose_forcefully(stream)
                continue
            nursery.start_soon(_supervise, stream, service)


async def _supervise(stream: trio.abc.Stream, service: _Service) -> None:
    """Run one connection; whatever goes wrong in it, the others go on."""
    peer = "memory"
    socket = getattr(stream, "socket", None)
    if socket is not None:
        try:
            peer = sockets.address_text(socket.getpeername())
        except OSError:
            # It was reset between being accepted and being looked at.
            await trio.aclose_forcefully(stream)
            return
        sockets.prepare(stream)  # type: ignore[arg-type]  # only a SocketStream has a socket
    connection = Connection(
        stream,
        routes=service.routes,
        options=service.options,
        peer=peer,
        log=service.log,
        keeper=service.keeper,
    )
    service.connections.add(connection)
    try:
        await connection.run()
    except Exception as error:  # the other connections go on
        service.log.error("a connection failed", peer=peer, exc_info=error)  # noqa: TRY400  # see Log
    finally:
        service.connections.discard(connection)
        await trio.aclose_forcefully(stream)
