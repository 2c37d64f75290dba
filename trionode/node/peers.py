"""Dialling: one task for each address where a peer should be, for as long as it should be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.errors import Error
from trionode.net.connection import Connection
from trionode.net.dialler import Backoff, parse_address
from trionode.node.mesh import SelfDialled
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.node.context import NodeContext
    from trionode.node.link import Link
    from trionode.node.mesh import Mesh
    from trionode.node.network import Network

DIAL_TIMEOUT_S = 10.0
COURTESY_S = 0.5
"""How long the node with the higher id leaves dialling to the other, once both know."""
TOLD_MAX = 1000
"""Addresses that peers told of and that are pursued at one time."""
FORGET_AFTER_S = 600.0
"""A peer that was only told of is given up after so long without a link."""


@attrs.define(eq=False)
class Target:
    """An address that is to be linked, and how that stands.

    `node` is the id of who was there last, or who is said to be there, `name` its name if it was
    linked; `told`: by a peer, not by the configuration.
    """

    address: str
    told: bool
    node: str = ""
    name: str = ""
    state: str = "dialling"
    last_error: str = ""
    lost_at: float = 0.0
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


class Peers:
    """Dials the configured peers, and those that peers tell of.

    Args:
        context: of the node.
        network: makes streams.
    """

    def __init__(self, context: NodeContext, network: Network) -> None:
        self._context = context
        self._network = network
        self._targets: dict[str, Target] = {}
        self._nursery: trio.Nursery | None = None
        self._mesh: Mesh

    async def run(self, mesh: Mesh) -> None:
        """Task: dial, until cancelled."""
        self._mesh = mesh
        mesh.dialling = self.status
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for target in self._targets.values():
                    self._start(target)
                self.set_configured(self._context.config.peers.addresses)
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def set_configured(self, addresses: tuple[str, ...]) -> None:
        """The configured addresses, which may have changed: links to others stay as they are."""
        for target in list(self._targets.values()):
            if not target.told and target.address not in addresses:
                target.scope.cancel()
                del self._targets[target.address]
        for address in addresses:
            known = self._targets.get(address)
            if known is not None:
                known.told = False
            else:
                self._add(Target(address, told=False))

    def told(self, node: str, address: str) -> None:
        """A peer is linked to that node, which has that address."""
        known = self._targets.get(address)
        if known is not None:
            known.node = known.node or node
        elif self._may_add(address):
            self._add(Target(address, told=True, node=node, lost_at=trio.current_time()))

    def forget(self, node: str, address: str) -> tuple[list[str], list[str]]:
        """Give up the addresses of a node that is gone, unless they are configured.

        Returns the addresses that are dialled no more, and those that are because the configuration
        says so.
        """
        own = [
            target
            for target in self._targets.values()
            if target.node == node or (address and target.address == address)
        ]
        dropped = [target for target in own if target.told]
        for target in dropped:
            target.scope.cancel()
            del self._targets[target.address]
        return (
            [target.address for target in dropped],
            [target.address for target in own if not target.told],
        )

    def _may_add(self, address: str) -> bool:
        """Whether to dial an address that a peer told of; peers can be wrong, and tell of many."""
        if not self._context.config.peers.discovery or address == self._context.address:
            return False
        try:
            _, port = parse_address(address)
        except ValueError:
            return False
        told = sum([target.told for target in self._targets.values()])
        return port > 0 and told < TOLD_MAX

    def status(self) -> list[dict[str, Any]]:
        """The targets that are not linked, as the status shows peers."""
        return [
            {
                "id": target.node,
                "name": target.name,
                "address": target.address,
                "version": "",
                # Its link may just have gone, and who dials not know yet.
                "state": "lost" if target.state == "linked" else target.state,
                "rtt_ms": None,
                "last_error": target.last_error,
            }
            for target in self._targets.values()
            if self._link_of(target) is None
        ]

    def _add(self, target: Target) -> None:
        self._targets[target.address] = target
        self._start(target)

    def _start(self, target: Target) -> None:
        if self._nursery is not None:
            target.scope = trio.CancelScope()
            self._nursery.start_soon(self._pursue, target, name=f"peer {target.address}")

    async def _pursue(self, target: Target) -> None:
        """Keep a link to an address, until it is given up."""
        with target.scope:
            try:
                await self._keep_linked(target)
            except SelfDialled:
                self._context.log.warning(
                    "an address of a peer is this node's own; it is left out",
                    address=target.address,
                )
            if self._targets.get(target.address) is target:
                del self._targets[target.address]

    async def _keep_linked(self, target: Target) -> None:
        settings = self._context.config.peers
        backoff = Backoff(self._context.random, settings.backoff_min_s, settings.backoff_max_s)
        if target.told and self._context.identity.node > target.node:
            await trio.sleep(COURTESY_S)
        while True:
            while (link := self._link_of(target)) is not None:
                await link.over.wait()
                self._note_loss(target)
                backoff.reset()
                await trio.sleep(backoff.next_s())
            if target.told and trio.current_time() - target.lost_at > FORGET_AFTER_S:
                return
            try:
                await self._dial(target)
            except SelfDialled:
                raise
            except Error as error:
                self._note_error(target, str(error))
            except Exception as error:  # whatever it is, the other links go on
                self._context.counters.faults += 1
                text = "a link failed"
                self._context.log.error(text, address=target.address, exc_info=error)  # noqa: TRY400  # see net.Log
                self._note_error(target, "internal error")
            if target.state == "linked":
                self._note_loss(target)
                backoff.reset()
            await trio.sleep(backoff.next_s())

    async def _dial(self, target: Target) -> None:
        """Dial once, and run the link to its end if there is one."""
        context = self._context
        host, port = parse_address(target.address)
        stream = await self._network.dial(host, port, timeout_s=DIAL_TIMEOUT_S)
        connection = Connection(
            stream,
            routes=None,
            options=context.config.connection_options(),
            peer=target.address,
            log=context.log,
        )

        def on_linked(link: Link) -> None:
            target.node = link.peer.node
            target.name = link.peer.name
            target.state = "linked"
            target.last_error = ""

        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            # Caught here, so that the nursery does not wrap it in a group.
            try:
                await nursery.start(connection.run)
                with await connection.open(frames.LINK, eager=True) as call:
                    await self._mesh.connect(call, on_linked, configured=not target.told)
            except Error as error:
                failure = error
            connection.abort()
        if failure is not None:
            raise failure

    def _link_of(self, target: Target) -> Link | None:
        links = self._mesh.links
        if target.node in links:
            return links[target.node]
        return next((each for each in links.values() if each.peer.address == target.address), None)

    @staticmethod
    def _note_loss(target: Target) -> None:
        target.state = "lost"
        target.lost_at = trio.current_time()

    def _note_error(self, target: Target, text: str) -> None:
        """Say why, once for each reason, since the dialling goes on for as long as it takes."""
        if text != target.last_error and self._link_of(target) is None:
            self._context.log.warning("no link yet", address=target.address, reason=text)
        target.last_error = text
