"""A network in memory: listeners and streams by address, which can be cut and healed."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, TypeAlias

import trio
from trio.testing import memory_stream_pair

from trionode.errors import ConnectError
from trionode.net.sockets import address_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from trio.testing import MemoryReceiveStream, MemorySendStream

Stream: TypeAlias = "trio.StapledStream[MemorySendStream, MemoryReceiveStream]"
FIRST_FREE_PORT = 40_000


class MemoryListener(trio.abc.Listener["Stream"]):
    """Accepts the streams that are dialled to one address."""

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self.address = address
        self._network = network
        self._send, self._accepted = trio.open_memory_channel["Stream"](math.inf)

    async def accept(self) -> Stream:
        """The next stream."""
        try:
            return await self._accepted.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            raise trio.ClosedResourceError from None

    def connect(self, stream: Stream) -> None:
        """A stream was dialled."""
        self._send.send_nowait(stream)

    async def aclose(self) -> None:
        """Nobody can dial the address any more."""
        self._network.forget(self)
        self._send.close()
        await trio.lowlevel.checkpoint()


class MemoryNetwork:
    """See `trionode.node.network.Network`."""

    def __init__(self) -> None:
        self._listeners: dict[str, MemoryListener] = {}
        self._streams: dict[str, list[Stream]] = {}
        self._ports = itertools.count(FIRST_FREE_PORT)
        self._cut: set[str] = set()

    async def listen(self, host: str, port: int) -> Sequence[MemoryListener]:
        """Listen on an address; port 0 is a free one."""
        address = address_text((host, port or next(self._ports)))
        if address in self._listeners:
            raise ConnectError(f"cannot listen on {address}: the port is in use")
        self._listeners[address] = MemoryListener(self, address)
        await trio.lowlevel.checkpoint()
        return [self._listeners[address]]

    async def dial(self, host: str, port: int, *, timeout_s: float) -> Stream:  # noqa: ARG002  # see Network
        """Open a stream to an address."""
        address = address_text((host, port))
        await trio.lowlevel.checkpoint()
        listening = self._listeners.get(address)
        if listening is None or address in self._cut:
            raise ConnectError(f"{address}: nobody listens there")
        ours, theirs = memory_stream_pair()
        self._streams.setdefault(address, []).extend((ours, theirs))
        listening.connect(theirs)
        return ours

    def address_of(self, listening: trio.abc.Listener[Any]) -> str:
        """The address that a listener has."""
        assert isinstance(listening, MemoryListener)
        return listening.address

    def forget(self, listening: MemoryListener) -> None:
        """A listener was closed."""
        if self._listeners.get(listening.address) is listening:
            del self._listeners[listening.address]

    async def cut(self, address: str) -> None:
        """Break every stream to an address, with what is in flight, and let none be opened."""
        self._cut.add(address)
        for stream in self._streams.pop(address, []):
            await trio.aclose_forcefully(stream)

    def heal(self, address: str) -> None:
        """Let streams to an address be opened again."""
        self._cut.discard(address)
