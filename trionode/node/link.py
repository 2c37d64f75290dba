"""One open link to a peer: its frames as events of the brain, and the brain's effects as frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.node import convert, offering
from trionode.node.context import misplaced
from trionode.schema.definition import check_key, check_type_name
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trionode.node.context import NodeContext, Wire
    from trionode.routing import effects
    from trionode.schema.definition import Definition
    from trionode.wire.kinds import Frame

KEYS_MAX = 100_000
"""Keys that a peer may have told of at one time: each is memory here and news for other peers."""
IDENTITY_MAX_CHARACTERS = 300
"""A node's id, name and version together; every node is told of them."""
ALIVE_TIMEOUT_S = 5.0
"""How long an old link may take to show that it lives when a second one to its peer opens."""


@attrs.frozen
class PeerIdentity:
    """Who is at the other end of a link."""

    node: str
    incarnation: int
    name: str
    address: str
    version: str
    durable: bool
    max_object_bytes: int


class Link:
    """An open link; both hellos have been exchanged.

    Args:
        wire: its call.
        peer: who is at the other end.
        context: of the node.
        ours: whether this node dialled.
        others: who takes the frames that are not for the brain, by type.

    Attributes:
        handle: its name in the brain.
        peer: who is at the other end.
        ours: whether this node dialled.
        since: when it was opened.
        over: set when the link has ended.
    """

    def __init__(
        self,
        wire: Wire,
        peer: PeerIdentity,
        context: NodeContext,
        *,
        ours: bool,
        others: Mapping[type, Callable[[Link, Any], None]],
    ) -> None:
        self.handle = context.mint_handle()
        self.peer = peer
        self.ours = ours
        self.since = trio.current_time()
        self.over = trio.Event()
        self._wire = wire
        self._context = context
        self._known: set[tuple[str, str]] = set()
        """Definitions (type, fingerprint) that the peer has, or that it was sent."""
        self._handlers: dict[type, Callable[[Any], None]] = {
            frames.Interest: self._interest,
            frames.Offer: self._offer,
        }
        self._others = others

    @property
    def rtt_s(self) -> float | None:
        """The round-trip time of the last PING."""
        return self._wire.call.connection.rtt_s

    async def run(self) -> None:
        """Read until the link ends; the frames of one that was replaced are discarded (R9).

        Raises:
            ConnectionLost: the link broke.
            ProtocolError: the peer broke the protocol.
        """
        call = self._wire.call
        call.connection.probe()  # for the status; keepalive asks only a peer that is silent
        while messages := await call.receive_many():
            for data in messages:
                if self.over.is_set():
                    return
                frame = self._wire.decode(data)
                if frame is not None:
                    self._take(frame)

    async def is_alive(self) -> bool:
        """Whether the peer answers on this link."""
        with trio.move_on_after(ALIVE_TIMEOUT_S):
            try:
                await self._wire.call.connection.ping()
            except ConnectionLost:
                return False
            return not self.over.is_set()
        return False

    def close(self) -> None:
        """End the link at once."""
        self.over.set()
        self._wire.call.reset()

    # --- out --------------------------------------------------------------------------------------

    def send(self, frame: Frame) -> None:
        """Queue a frame; one for a link that has just gone is lost with it."""
        if self.over.is_set():
            return
        try:
            self._wire.send(frame)
        except ConnectionLost:
            return

    def send_interest(self, effect: effects.SendInterest) -> None:
        """Tell the peer what can be processed here, with the definitions of what it is told of."""
        types = self._context.types
        definitions: list[Definition] = []
        for update in effect.updates:
            if update.path:
                definitions += self._unknown(types.definitions(update.key))
        for frame in convert.interest(effect, definitions):
            self.send(frame)

    def send_offer(self, effect: effects.SendOffer) -> None:
        """Offer objects, with the definition that they were pushed under."""
        fingerprint = effect.objects[0].shape.fingerprint
        found = self._context.types.definition(effect.type, fingerprint) if fingerprint else None
        definitions = [] if found is None else self._unknown([found])
        self.send(offering.offer(effect, definitions, trio.current_time()))

    def _unknown(self, definitions: Iterable[Definition]) -> list[Definition]:
        """Those that the peer does not have yet; it will."""
        new = [each for each in definitions if (each.type, each.fingerprint) not in self._known]
        self._known.update((each.type, each.fingerprint) for each in new)
        return new

    # --- in ---------------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        plain = convert.FROM_PEERS.get(type(frame))
        if plain is not None:
            self._context.engine.handle(plain(frame, self.handle))
            return
        handler = self._handlers.get(type(frame))
        if handler is not None:
            handler(frame)
            return
        other = self._others.get(type(frame))
        if other is None:
            raise misplaced(frame, self._wire)
        other(self, frame)

    def _interest(self, frame: frames.Interest) -> None:
        known = self._context.engine.brain.interest.links[self.handle].give
        if len(frame.keys) + len(known) > KEYS_MAX:
            raise _wrong(f"interest in more than {KEYS_MAX} types")
        if any(len(node) > IDENTITY_MAX_CHARACTERS for path in frame.paths for node in path):
            raise _wrong("an id that is too long to be a node's")
        for key in frame.keys:
            _check_name(key, check_key)
        self._learn(frame.definitions)
        self._context.engine.handle(convert.interest_told(frame, self.handle))

    def _offer(self, frame: frames.Offer) -> None:
        _check_name(frame.type)
        if not frame.ids:
            raise _wrong("an offer of nothing")
        self._learn(frame.definitions)
        self._context.engine.handle(offering.offer_came(frame, self.handle, trio.current_time()))

    def _learn(self, definitions: list[Definition]) -> None:
        for definition in definitions:
            self._known.add((definition.type, definition.fingerprint))
            if self._context.types.learn(definition):
                self._context.engine.keep_definition(definition)


def _wrong(what: str) -> ProtocolError:
    return ProtocolError(f"a peer told of {what}", grpc_status=Status.INVALID_ARGUMENT)


def _check_name(name: str, check: Callable[[str], str] = check_type_name) -> None:
    try:
        check(name)
    except Refused as refusal:
        raise ProtocolError(str(refusal), grpc_status=Status.INVALID_ARGUMENT) from None
