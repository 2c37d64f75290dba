"""Closing the books on a node that is gone for good, because a person says that it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from trionode.errors import Refused, Status
from trionode.node.unary import unary_route
from trionode.routing import events
from trionode.store.base import NODE_ID_BYTES
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.net.serving import Route
    from trionode.node.asking import Asking
    from trionode.node.context import NodeContext
    from trionode.node.mesh import Mesh
    from trionode.node.peers import Peers

TOPIC = "forget"
_ID = re.compile(f"[0-9a-f]{{{2 * NODE_ID_BYTES}}}")
LISTED_MAX = 20
"""Nodes that a refusal names at most."""


class Forgetting:
    """Serves the call that forgets a node, here or at every node.

    Args:
        context: of the node.
        mesh: its links.
        peers: whom it dials.
        asking: has other nodes do the same.
    """

    def __init__(self, context: NodeContext, mesh: Mesh, peers: Peers, asking: Asking) -> None:
        self._context = context
        self._mesh = mesh
        self._peers = peers
        self._asking = asking
        asking.answer_with(TOPIC, self._answer)

    def routes(self) -> dict[str, Route]:
        """The handler by path."""
        return {frames.FORGET: unary_route(self._context, frames.ForgetRequest, self._serve)}

    async def _serve(self, request: frames.ForgetRequest) -> frames.ForgetReply:
        whole_id = request.everywhere and _ID.fullmatch(request.node)
        # Other nodes may have books on one that this node never met, or has forgotten.
        node = request.node if whole_id else self._resolve(request.node)
        name = self._mesh.known.get(node).name
        asked = {"node": node}
        if request.everywhere:
            self._check_gone(node)
            gathered = await self._asking.ask(TOPIC, asked)
            silent = [each for each in gathered.silent if each.node != node]
            results = [
                {"at": reply.name, "id": reply.node, "error": reply.error, **(reply.value or {})}
                for reply in gathered.replies
            ]
        else:
            own = await self._answer(asked)
            silent = []
            context = self._context
            results = [{"at": context.name, "id": context.identity.node, "error": "", **own}]
        forgotten = {
            "id": node,
            "name": name,
            "nodes": results,
            "silent": [each.name or each.address or each.node for each in silent],
        }
        return frames.ForgetReply(orjson.dumps(forgotten))

    async def _answer(self, asked: dict[str, str]) -> dict[str, Any]:
        """Close this node's books on another; returns once that is durable."""
        node = asked["node"]
        self._check_gone(node)
        engine = self._context.engine
        brain = engine.brain
        offers = brain.givings.open.get(node, {}).values()
        in_doubt = sum(
            item is not None and item.holder is offer for offer in offers for item in offer.objects
        )
        numbers = len(brain.takings.taken.get(node, ()))
        dropped, configured = self._peers.forget(node, self._mesh.known.get(node).address)
        engine.handle(events.NodeForgotten(node))
        self._mesh.known.forget(node)
        await engine.committed()
        self._context.log.info(
            "a node was forgotten", peer_id=node, ready_again=in_doubt, numbers=numbers
        )
        return {
            "ready_again": in_doubt,
            "numbers": numbers,
            "dialled_no_more": dropped,
            "configured": configured,
        }

    def _check_gone(self, node: str) -> None:
        """Refuse to forget a node that is there.

        Raises:
            Refused: FAILED_PRECONDITION, it is linked or this one.
        """
        if node == self._context.identity.node:
            raise Refused(Status.FAILED_PRECONDITION, "that is this node itself")
        link = self._mesh.links.get(node)
        if link is not None:
            raise Refused(
                Status.FAILED_PRECONDITION,
                f"node {link.peer.name} ({node}) is linked: it is not gone",
                "stop it first; only what is gone for good may be forgotten",
            )

    def _resolve(self, text: str) -> str:
        """The id of the node that is meant.

        Raises:
            Refused: NOT_FOUND, nobody here knows it; FAILED_PRECONDITION, several have that name.
        """
        if text in self._ids():
            return text
        named = self._mesh.known.named(text)
        if len(named) == 1:
            return named[0].node
        if named:
            each = ", ".join(known.node for known in named[:LISTED_MAX])
            raise Refused(
                Status.FAILED_PRECONDITION,
                f"{len(named)} nodes are called {text}",
                f"say which: {each}",
            )
        brain = self._context.engine.brain
        open_ones = sorted({*brain.givings.open, *brain.takings.taken} - set(self._mesh.links))
        hint = f"there are open books with {', '.join(open_ones[:LISTED_MAX])}" if open_ones else ""
        raise Refused(Status.NOT_FOUND, f"this node knows no node {text}", hint)

    def _ids(self) -> set[str]:
        brain = self._context.engine.brain
        known = {each.node for each in self._mesh.familiar()}
        remembered = self._mesh.known.ids()
        return {*known, *remembered, *brain.givings.open, *brain.takings.taken} - {""}
