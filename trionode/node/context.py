"""What the parts of one node share: who it is, its engine, types, configuration and counters."""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING, TypeVar

import attrs

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.wire import frames
from trionode.wire.codec import CODEC_METADATA, MESSAGEPACK, UnknownFrame, codec_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.config import Config
    from trionode.logs import Logger
    from trionode.net.call import Call
    from trionode.node.engine import Engine
    from trionode.schema.registry import TypeRegistry
    from trionode.store import Identity
    from trionode.wire.codec import Codec
    from trionode.wire.kinds import Frame

T = TypeVar("T")


class Phase(enum.Enum):
    """Where a node is in its life."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"


@attrs.define
class Counters:
    """What went wrong without anybody failing; everybody may count up."""

    unknown_frames: int = 0
    """Optional frames of a newer protocol that were ignored."""
    refused_pushes: int = 0
    copies_dropped: int = 0
    """Copies that watchers had no room for."""
    restarts: int = 0
    """Subsystems that failed and were started again."""
    faults: int = 0
    """Defects of this software that were noticed."""


@attrs.define(eq=False)
class NodeContext:
    """Shared by the parts of a node; `phase` and `address` are set by the node only."""

    config: Config
    identity: Identity
    version: str
    engine: Engine
    types: TypeRegistry
    log: Logger
    random: Callable[[], float]
    """A number from 0 to 1."""
    phase: Phase = Phase.STARTING
    address: str = ""
    """Where others can dial this node."""
    ending: bool = False
    """Whether the node cuts off whoever is still connected: what happens to a lease then is not
    its consumer's doing (G5)."""
    peer_addresses: Callable[[], list[str]] = list
    """The addresses of the nodes that are linked now."""
    counters: Counters = attrs.field(factory=Counters)
    _handles: itertools.count[int] = attrs.field(factory=lambda: itertools.count(1))

    @property
    def name(self) -> str:
        """The node's label."""
        return self.config.node.name

    def mint_handle(self) -> int:
        """A name for a stream or link that no other ever had."""
        return next(self._handles)

    def fallback_addresses(self) -> list[str]:
        """Where a client may go: here, or to the peers; while draining, to the peers only."""
        own = [self.address] if self.phase is Phase.RUNNING else []
        return [*own, *self.peer_addresses()]

    def hello(self) -> frames.NodeHello:
        """How this node introduces itself to clients."""
        return frames.NodeHello(
            frames.PROTOCOL,
            self.version,
            self.identity.node,
            self.name,
            self.identity.incarnation,
            self.config.limits.max_object_bytes,
            self.fallback_addresses(),
        )

    def check_serving(self) -> None:
        """Let nobody begin something new with a node that is leaving.

        Raises:
            Refused: UNAVAILABLE, naming where else to go.
        """
        if self.phase is Phase.DRAINING:
            others = ", ".join(self.peer_addresses())
            hint = f"use {others}" if others else ""
            raise Refused(Status.UNAVAILABLE, f"node {self.name} is draining", hint)


def check_protocol(least: int, most: int, who: str, version: str) -> None:
    """Hold a client or peer to a protocol that both sides speak.

    Raises:
        Refused: FAILED_PRECONDITION, with both ranges and the other side's version.
    """
    if least > frames.PROTOCOL or most < frames.PROTOCOL_MIN:
        raise Refused(
            Status.FAILED_PRECONDITION,
            f"{who} (trionode {version or 'of unknown version'}) speaks protocol {least} to {most},"
            f" this node {frames.PROTOCOL_MIN} to {frames.PROTOCOL}",
            "upgrade the older side",
        )


class Wire:
    """One call as a sequence of frames; what cannot be understood ends the call."""

    def __init__(self, call: Call, context: NodeContext, codec: Codec = MESSAGEPACK) -> None:
        self.call = call
        self._context = context
        self._codec = codec

    @classmethod
    def serving(cls, call: Call, context: NodeContext) -> Wire:
        """The frames of a call that a client or peer opened, in the codec that it asked for.

        Raises:
            Refused: UNIMPLEMENTED, the codec is not known.
        """
        metadata = call.metadata
        named = metadata.get(CODEC_METADATA, "")
        return cls(call, context, codec_for(metadata.get("content-type", ""), named))

    def send(self, frame: Frame) -> None:
        """Queue a frame; one that cannot be written ends the call, or both sides would differ.

        Raises:
            ConnectionLost: the call is over.
        """
        self.call.send(self._encoded(frame))

    def send_soon(self, frame: Frame) -> None:
        """As `send`, but written at once where the connection was quiet.

        Raises:
            ConnectionLost: the call is over.
        """
        self.call.queue(self._encoded(frame))
        self.call.connection.write_soon()

    def _encoded(self, frame: Frame) -> bytes:
        try:
            return self._codec.encode(frame)
        except Exception as error:
            self._context.counters.faults += 1
            text = "a frame cannot be written; its call ends"
            self._context.log.error(text, frame=type(frame).__name__, exc_info=error)  # noqa: TRY400  # see net.Log
            self.call.reset()
            raise ConnectionLost(f"{type(frame).__name__} cannot be written") from error

    def decode(self, data: bytes) -> Frame | None:
        """A frame, or None for one that may be ignored.

        Raises:
            ProtocolError: it is garbage, or of a kind that must not be ignored.
        """
        frame = self._codec.decode(data)
        if isinstance(frame, UnknownFrame):
            self._context.counters.unknown_frames += 1
            self._context.log.debug("an unknown frame was ignored", kind=frame.kind)
            return None
        return frame

    async def first(self, kind: type[T]) -> T:
        """The frame that a call has to begin with.

        Raises:
            ProtocolError: another one came, or none.
        """
        data = await self.call.receive()
        frame = None if data is None else self.decode(data)
        if not isinstance(frame, kind):
            found = "nothing" if frame is None else type(frame).__name__
            raise ProtocolError(
                f"{self.call.path} begins with {kind.__name__}, not with {found}",
                grpc_status=Status.INVALID_ARGUMENT,
            )
        return frame


def misplaced(frame: object, wire: Wire) -> ProtocolError:
    """The error for a frame that does not belong on its call."""
    return ProtocolError(
        f"{type(frame).__name__} has no place on {wire.call.path}",
        grpc_status=Status.INVALID_ARGUMENT,
    )
