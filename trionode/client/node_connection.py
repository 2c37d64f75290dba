"""One connection of a client to a node: making it, the hellos, and unary calls on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import attrs

from trionode.errors import ConnectError, ConnectionLost, ProtocolError, Refused, Status
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK

if TYPE_CHECKING:
    import trio

    from trionode.net.connection import Connection
    from trionode.wire.kinds import Frame

T = TypeVar("T")


@attrs.define(eq=False)
class NodeConnection:
    """A connection that a node has answered on.

    Attributes:
        address: where the node was dialled.
        connection: the HTTP/2 connection.
        hello: how the node introduced itself.
        left: set once a new connection should be made; this one may still have calls that end.
    """

    address: str
    connection: Connection
    hello: frames.NodeHello
    left: trio.Event
    _reason: str = ""

    def leave(self, reason: str) -> None:
        """Have the client make a new connection; only the first reason counts."""
        if not self.left.is_set():
            self._reason = reason
            self.left.set()

    @property
    def reason(self) -> str:
        """Why it is to be left."""
        return self._reason or self.connection.end_reason


async def ask(connection: Connection, path: str, request: Frame, kind: type[T]) -> T:
    """Make a unary call.

    Raises:
        ConnectionLost: the connection or the call ended first.
        Refused: the node said no.
        ProtocolError: it said something else.
    """
    with await connection.open(path) as call:
        call.send(MESSAGEPACK.encode(request))
        call.end_sending()
        message = await call.receive()
        if message is None:
            raise ProtocolError(f"{connection.peer} answered {path} with nothing")
        await call.receive()
    reply = MESSAGEPACK.decode(message)
    if not isinstance(reply, kind):
        raise ProtocolError(f"{connection.peer} answered {path} with {type(reply).__name__}")
    return reply


async def greet(connection: Connection) -> frames.NodeHello:
    """Find out who answers on a new connection.

    Raises:
        ConnectError: no node, or one that speaks another version of the protocol.
    """
    address = connection.peer
    try:
        hello = await ask(connection, frames.PING, frames.PingRequest(), frames.NodeHello)
    except Refused as error:
        if error.grpc_status is Status.UNIMPLEMENTED:
            raise ConnectError(
                f"{address}: something that speaks HTTP/2, but not a trionode node"
                f" ({error.message or 'UNIMPLEMENTED'})"
            ) from None
        raise ConnectError(f"{address}: {error}") from None
    except ProtocolError as error:
        raise ConnectError(f"{address}: not a trionode node: {error}") from None
    except ConnectionLost as error:
        raise ConnectError(str(error)) from None
    if not frames.PROTOCOL_MIN <= hello.protocol <= frames.PROTOCOL:
        raise ConnectError(
            f"{address}: node {hello.name} (trionode {hello.version}) speaks protocol"
            f" {hello.protocol}, this client {frames.PROTOCOL_MIN} to {frames.PROTOCOL}:"
            " upgrade the older side"
        )
    return hello
