"""A TCP proxy that tests cut, as a network does."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import trio

from trionode.net.dialler import parse_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK_BYTES = 65_536


class Proxy:
    """Passes bytes between those who connect to `address` and a node."""

    def __init__(self, address: str, target: str) -> None:
        self.address = address
        self.cuts = 0
        self._target = parse_address(target)
        self._streams: set[trio.SocketStream] = set()

    async def cut(self) -> None:
        """Break every connection, with what is in flight; new ones can be made."""
        self.cuts += 1
        for stream in list(self._streams):
            await trio.aclose_forcefully(stream)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Pass the bytes of one connection on, both ways, until it ends or is cut."""
        async with await trio.open_tcp_stream(*self._target) as onward:
            pair = {stream, onward}
            self._streams |= pair
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_pass_on, stream, onward)
                    nursery.start_soon(_pass_on, onward, stream)
            finally:
                self._streams -= pair


async def _pass_on(source: trio.SocketStream, sink: trio.SocketStream) -> None:
    try:
        async for chunk in source:
            await sink.send_all(chunk)
        await sink.send_eof()
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        # The other side of a cut connection ends with it.
        await trio.aclose_forcefully(source)
        await trio.aclose_forcefully(sink)


@contextlib.asynccontextmanager
async def proxy_to(target: str) -> AsyncIterator[Proxy]:
    """A proxy on a free port, for the time of the block."""
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        port = listener.socket.getsockname()[1]
        proxy = Proxy(f"127.0.0.1:{port}", target)
        nursery.start_soon(trio.serve_listeners, proxy.serve, [listener])
        yield proxy
        nursery.cancel_scope.cancel()
