"""Accepting connections and running each so that its faults stay its own."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import trio

from trionode.errors import ConnectError
from trionode.net import sockets
from trionode.net.connection import Connection
from trionode.net.serving import Log, NoLog, Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio import TaskStatus

    from trionode.net.options import ConnectionOptions

BACKLOG = 1024
"""Connections that the kernel holds until they are accepted."""
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


async def serve(  # noqa: PLR0913  # what a server is made of
    listeners: Sequence[trio.SocketListener],
    routes: Mapping[str, Route],
    options: ConnectionOptions,
    *,
    connections: set[Connection],
    log: Log | None = None,
    task_status: TaskStatus[Sequence[trio.SocketListener]] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Accept and serve connections until cancelled; the listeners are closed in the end.

    Cancelling stops accepting and aborts what runs; to drain, close the listeners (this returns
    once the connections are over) and call `drain` on what is in `connections`.

    Args:
        listeners: from `listen`.
        routes: handlers by path.
        options: of each connection.
        connections: kept up to date with those that live.
        log: where to report.
        task_status: started with the listeners once they accept.
    """
    log = log or NoLog()
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            name = f"listener {bound_address(listener)}"
            nursery.start_soon(
                _accept, nursery, listener, routes, options, connections, log, name=name
            )
        task_status.started(listeners)


async def _accept(  # noqa: PLR0913, PLR0917  # start_soon passes no keywords
    nursery: trio.Nursery,
    listener: trio.SocketListener,
    routes: Mapping[str, Route],
    options: ConnectionOptions,
    connections: set[Connection],
    log: Log,
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
                log.warning("cannot accept a connection", error=str(error), retry_s=RETRY_S)
                await trio.sleep(RETRY_S)
                continue
            nursery.start_soon(_supervise, stream, routes, options, connections, log)


async def _supervise(
    stream: trio.SocketStream,
    routes: Mapping[str, Route],
    options: ConnectionOptions,
    connections: set[Connection],
    log: Log,
) -> None:
    """Run one connection; whatever goes wrong in it, the others go on."""
    try:
        peer = sockets.address_text(stream.socket.getpeername())
    except OSError:
        # It was reset between being accepted and being looked at.
        await trio.aclose_forcefully(stream)
        return
    sockets.prepare(stream)
    connection = Connection(stream, routes=routes, options=options, peer=peer, log=log)
    connections.add(connection)
    try:
        await connection.run()
    except Exception as error:  # the other connections go on
        log.error("a connection failed", peer=peer, exc_info=error)  # noqa: TRY400  # see Log
    finally:
        connections.discard(connection)
        await trio.aclose_forcefully(stream)
