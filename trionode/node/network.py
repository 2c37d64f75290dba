"""Where a node's streams come from: TCP, or, in tests, memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from trionode.net import dialler, listener

if TYPE_CHECKING:
    from collections.abc import Sequence

    import trio


class Network(Protocol):
    """Makes listeners and streams."""

    async def listen(self, host: str, port: int) -> Sequence[trio.abc.Listener[Any]]:
        """Listen on an address.

        Raises:
            ConnectError: it cannot be listened on.
        """

    async def dial(self, host: str, port: int, *, timeout_s: float) -> trio.abc.Stream:
        """Open a stream to an address.

        Raises:
            ConnectError: nobody answers there.
        """

    def address_of(self, listening: trio.abc.Listener[Any]) -> str:
        """`host:port` that a listener really has."""


class Tcp:
    """The real network."""

    async def listen(self, host: str, port: int) -> Sequence[trio.SocketListener]:
        """See `Network.listen`."""
        return await listener.listen(host, port)

    async def dial(self, host: str, port: int, *, timeout_s: float) -> trio.SocketStream:
        """See `Network.dial`."""
        return await dialler.dial(host, port, timeout_s=timeout_s)

    def address_of(self, listening: trio.abc.Listener[Any]) -> str:
        """See `Network.address_of`."""
        return listener.bound_address(listening)  # type: ignore[arg-type]  # made by `listen`
