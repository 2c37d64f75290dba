"""The links to all peers: who is linked, which of two links stays, who else there is.

Theory of operation. Both sides of a link say hello first. Whoever receives a hello looks whether it
has a link to that node already:

- a young link of the same life of the node, dialled from the other side: both dialled at once. The
  connection of the lower id wins (R9), on both sides by the same rule;
- else, a link whose peer answers a PING stays, and the new one is refused: by whoever says to be
  that node. Where it says to be a later life of it, two processes have one node id, and the later
  one is told that it is the second;
- a link whose peer does not answer is a ghost of what was before; the new one takes its place.

A node that is told by a configured peer that it is the second of its id ends, and so does one that
finds an older life of itself at a configured address. What anybody else says of this node's id is
refused and logged, and ends nobody: anybody can say it. Who is not authenticated can still take the
place of a node that is away.

A node that is told of others dials them when discovery is on; the one with the higher id waits a
moment first, so that two nodes that hear of each other rarely dial both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import trio

from trionode.errors import Refused, Status
from trionode.inspection.known import KnownNode, KnownNodes
from trionode.net.dialler import parse_address
from trionode.net.sockets import address_text
from trionode.node import convert
from trionode.node.context import Wire, check_protocol
from trionode.node.link import IDENTITY_MAX_CHARACTERS, Link, PeerIdentity
from trionode.routing import effects, events
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.net.call import Call
    from trionode.node.context import NodeContext

_ANY_HOSTS = {"0.0.0.0", "::", ""}  # noqa: S104  # recognised, not listened on

CROSSING_S = 30.0
"""Links that are older than that have not been dialled at the same time as a new one."""
CLAIMS_SAID_MAX = 100
"""Claims of an id that are logged: anybody can make them."""
TWIN_HINT = "was the data directory copied? Give each node its own"
NEWS_S = 0.1
"""How long news of the node's links waits for more of it."""


class SelfDialled(Refused):
    """The node at that address is this one."""

    def __init__(self) -> None:
        super().__init__(Status.FAILED_PRECONDITION, "this node dialled itself")


class Mesh:
    """Every open link of the node, by the id of its peer.

    Args:
        context: of the node.
        on_told: called with (node id, address) of each node that a peer tells of.
        on_twin: called with a message when another process runs with this node's id, began before
            this one, and is known from a configured address.
    """

    def __init__(
        self,
        context: NodeContext,
        *,
        on_told: Callable[[str, str], None],
        on_twin: Callable[[str], None],
    ) -> None:
        self.links: dict[str, Link] = {}
        self.dialling: Callable[[], list[dict[str, Any]]] = list
        """The status of the peers that are not linked; set by who dials them."""
        self.handlers: dict[type, Callable[[Link, Any], None]] = {frames.Peers: self._peers_told}
        """Who takes the frames of a link that are not for the brain, by type."""
        self.known = KnownNodes(context.identity.node, context.name)
        """The names of nodes, also of those that are gone."""
        self.on_over: list[Callable[[Link], None]] = []
        """Called with each link that has ended."""
        self._news = trio.Event()
        self._context = context
        self._on_told = on_told
        self._on_twin = on_twin
        self._by_handle: dict[int, Link] = {}
        self._names_said: set[str] = set()
        self._claims_said: set[str] = set()
        context.peer_addresses = self.addresses
        context.engine.connect(
            {
                effects.SendInterest: lambda e: self._to(e.link, lambda x: x.send_interest(e)),
                effects.SendOffer: lambda e: self._to(e.link, lambda x: x.send_offer(e)),
                **{kind: self._plain(make) for kind, make in convert.TO_PEERS.items()},
            }
        )

    def addresses(self) -> list[str]:
        """Where the linked peers can be dialled."""
        return [link.peer.address for link in self.links.values() if link.peer.address]

    def peers_status(self) -> list[dict[str, Any]]:
        """The peers, linked and not, as the status shows them."""
        linked = [
            {
                "id": link.peer.node,
                "name": link.peer.name,
                "address": link.peer.address,
                "version": link.peer.version,
                "state": "linked",
                "rtt_ms": None if link.rtt_s is None else round(link.rtt_s * 1000, 3),
                "last_error": "",
            }
            for link in self.links.values()
        ]
        return [*linked, *self.dialling()]

    def familiar(self) -> list[KnownNode]:
        """Every node that belongs to the mesh as far as this one knows: linked, dialled or lost."""
        peers = [
            KnownNode(peer["id"], peer["name"], peer["address"]) for peer in self.peers_status()
        ]
        return self.known.familiar(peers, trio.current_time())

    # --- opening ----------------------------------------------------------------------------------

    async def serve(self, call: Call) -> None:
        """Handle a link that a peer dialled."""
        wire = Wire.serving(call, self._context)
        hello = await wire.first(frames.LinkHello)
        if hello.node == self._context.identity.node:
            # Both sides see it: the dialler learns whom it dialled.
            wire.send(self._hello())
            self._refuse_own_id(hello)
        link = await self._admit(wire, hello, ours=False)
        wire.send(self._hello())
        await self._run(link)

    async def connect(
        self, call: Call, on_linked: Callable[[Link], None], *, configured: bool
    ) -> None:
        """Run a link over a call that this node dialled, to its end.

        Args:
            call: opened.
            on_linked: called once the link is open.
            configured: the address is from the configuration, and not from another peer: what is
                said there of this node's id is believed.

        Raises:
            SelfDialled: this node itself answered.
            Refused: the peer, or this node, does not want the link.
            ConnectionLost: it broke.
            ProtocolError: the peer broke the protocol.
        """
        wire = Wire(call, self._context)
        wire.send(self._hello())
        own = self._context.identity
        try:
            hello = await wire.first(frames.LinkHello)
        except Refused as refusal:
            if refusal.grpc_status is Status.ABORTED and configured:
                self._on_twin(f"{_in_use(own.node)}: {refusal.message}; {TWIN_HINT}")
            raise
        if hello.node == own.node:
            if configured and hello.incarnation < own.incarnation:
                who = f"node {hello.name} at {call.connection.peer}"
                self._on_twin(f"{_in_use(own.node)}, by {who}; {TWIN_HINT}")
            self._refuse_own_id(hello)
        link = await self._admit(wire, hello, ours=True)
        on_linked(link)
        await self._run(link)

    def _refuse_own_id(self, hello: frames.LinkHello) -> NoReturn:
        """This node's id came in a hello: from itself, or from whoever says to have it.

        Raises:
            SelfDialled: it is this node.
            Refused: it is another.
        """
        own = self._context.identity
        if hello.incarnation == own.incarnation:
            raise SelfDialled
        self._say_claim(own.node, self._context.address, hello.address)
        text = f"another node with the id {own.node} runs: {self._context.name}"
        raise Refused(Status.FAILED_PRECONDITION, text, TWIN_HINT)

    def _say_claim(self, node: str, holder: str, claimant: str) -> None:
        """Log, once for each, that somebody claims the id of a node that lives."""
        if claimant not in self._claims_said and len(self._claims_said) < CLAIMS_SAID_MAX:
            self._claims_said.add(claimant)
            self._context.log.warning(
                "two nodes have one id; the second is refused",
                id=node,
                address=holder,
                refused=claimant,
            )

    async def _admit(self, wire: Wire, hello: frames.LinkHello, *, ours: bool) -> Link:
        """Make a link of a call whose hello has come, or refuse it."""
        if not hello.node or len(hello.node + hello.name + hello.version) > IDENTITY_MAX_CHARACTERS:
            raise Refused(Status.INVALID_ARGUMENT, "the id, name or version of a node are amiss")
        check_protocol(hello.protocol_min, hello.protocol_max, f"node {hello.name}", hello.version)
        if self._context.ending:  # one that only drains may have objects for this peer (R10)
            raise Refused(Status.UNAVAILABLE, f"node {self._context.name} is leaving")
        peer = PeerIdentity(
            hello.node,
            hello.incarnation,
            hello.name,
            _reachable(hello.address, wire.call.connection.peer),
            hello.version,
            hello.durable,
            hello.max_object_bytes,
        )
        while (old := self.links.get(peer.node)) is not None:
            if old.peer.incarnation > peer.incarnation:
                raise Refused(
                    Status.FAILED_PRECONDITION,
                    f"node {peer.name} ({peer.node}) has a newer incarnation that is linked",
                )
            if not self._yields(old, peer, ours=ours) and await old.is_alive():
                raise self._occupied(old, peer)
            if self.links.get(peer.node) is old:
                self._close(old)
        link = Link(wire, peer, self._context, ours=ours, others=self.handlers)
        self._warn_of_name(peer)
        return link

    def _yields(self, old: Link, peer: PeerIdentity, *, ours: bool) -> bool:
        """Whether both sides dialled at once, and the new link is the one that stays."""
        crossed = (
            old.peer.incarnation == peer.incarnation
            and old.ours is not ours
            and trio.current_time() - old.since < CROSSING_S
        )
        return crossed and (self._context.identity.node < peer.node) is ours

    def _occupied(self, old: Link, peer: PeerIdentity) -> Refused:
        """Why nobody else is linked as a node whose link lives."""
        if old.peer.incarnation == peer.incarnation:
            return Refused(Status.ALREADY_EXISTS, "these nodes are linked already")
        self._say_claim(peer.node, old.peer.address, peer.address)
        text = f"node {old.peer.name} at {old.peer.address} has the id {peer.node}, and is linked"
        return Refused(Status.ABORTED, text, TWIN_HINT)

    async def _run(self, link: Link) -> None:
        """Open an admitted link in the brain, read it to its end, close it."""
        old = self.links.get(link.peer.node)
        if old is not None:
            self._close(old)
        self.links[link.peer.node] = link
        self._by_handle[link.handle] = link
        self.known.learn(link.peer.node, link.peer.name, link.peer.address)
        log = self._context.log.bind(peer=link.peer.name, peer_id=link.peer.node)
        log.info("linked", address=link.peer.address, dialled="here" if link.ours else "there")
        peer = link.peer
        reason: object = "the peer ended it"
        try:
            self._context.engine.handle(
                events.LinkUp(
                    link.handle,
                    peer.node,
                    peer.incarnation,
                    peer.durable,
                    self._limit_of(peer),
                )
            )
            self._news.set()
            await link.run()
        except BaseException as error:
            reason = error
            raise
        finally:
            self._forget(link)
            log.info("link over", reason=str(reason) or type(reason).__name__)

    def _close(self, link: Link) -> None:
        """End a link: nothing of it is read, or sent, any more."""
        if self._forget(link):
            link.close()

    def _forget(self, link: Link) -> bool:
        """Have a link be over for everybody here, once; its call may still end with a status."""
        if self._by_handle.pop(link.handle, None) is None:
            return False
        if self.links.get(link.peer.node) is link:
            del self.links[link.peer.node]
            self.known.lose(link.peer.node, trio.current_time())
        link.over.set()
        self._context.engine.handle(events.LinkDown(link.handle))
        for tell in self.on_over:
            tell(link)
        self._news.set()
        return True

    def leave(self) -> None:
        """End every link: the node goes away."""
        for link in list(self.links.values()):
            self._close(link)

    def _hello(self) -> frames.LinkHello:
        context = self._context
        return frames.LinkHello(
            frames.PROTOCOL_MIN,
            frames.PROTOCOL,
            context.version,
            context.identity.node,
            context.name,
            context.identity.incarnation,
            context.address,
            context.engine.durable,
            context.config.limits.max_object_bytes,
        )

    def _limit_of(self, peer: PeerIdentity) -> int:
        """The largest object that a peer may be offered; 0, for any, where it takes all of ours."""
        own = self._context.config.limits.max_object_bytes
        return peer.max_object_bytes if peer.max_object_bytes < own else 0

    def _warn_of_name(self, peer: PeerIdentity) -> None:
        """A name is a label, and two nodes may have it; a person will want to know."""
        same = [link.peer.node for link in self.links.values() if link.peer.name == peer.name]
        twice = peer.name == self._context.name or any(node != peer.node for node in same)
        if twice and peer.node not in self._names_said:
            self._names_said.add(peer.node)
            self._context.log.warning(
                "two nodes have one name; give each its own",
                peer=peer.name,
                peer_id=peer.node,
                address=peer.address,
            )

    # --- who else there is ------------------------------------------------------------------------

    def _peers_told(self, link: Link, frame: frames.Peers) -> None:
        self._context.engine.handle(events.NeighboursTold(link.handle, frozenset(frame.nodes)))
        for node, name, address in zip(frame.nodes, frame.names, frame.addresses, strict=True):
            self.known.learn(node, name, address)
            if node != self._context.identity.node and node not in self.links and address:
                self._on_told(node, address)

    async def run_news(self) -> None:
        """Task: tell every peer who the others are, when that has changed.

        A little later, for all changes of that time at once: when fifty nodes find each other, each
        change told alone would be a hundred thousand frames of fifty nodes.
        """
        while True:
            await self._news.wait()
            await trio.sleep(NEWS_S)
            self._news = trio.Event()
            peers = [link.peer for link in self.links.values()]
            told = frames.Peers(
                [peer.node for peer in peers],
                [peer.name for peer in peers],
                [peer.address for peer in peers],
            )
            for link in self.links.values():
                link.send(told)

    # --- effects ----------------------------------------------------------------------------------

    def _to(self, handle: int, send: Callable[[Link], None]) -> None:
        link = self._by_handle.get(handle)
        if link is not None:
            send(link)

    def _plain(self, make: Callable[[Any], Any]) -> Callable[[Any], None]:
        return lambda effect: self._to(effect.link, lambda link: link.send(make(effect)))


def _in_use(node: str) -> str:
    return f"node id {node} is in use already"


def _reachable(address: str, seen: str) -> str:
    """A peer's address, with the host that it was seen at where it listens on all of them."""
    try:
        host, port = parse_address(address)
        if host in _ANY_HOSTS:
            host = parse_address(seen)[0]
    except ValueError:
        return ""
    return address_text((host, port))
