"""Serves the call that says where an object is and why it waits, asked at any node (G9).

What a node knows of an object, and what the answers of all nodes say, is in `inspection`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import trio

from trionode.errors import Refused, Status
from trionode.ids import format_id, parse_id
from trionode.inspection.explaining import explained
from trionode.node.unary import unary_route
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.ids import ObjectId
    from trionode.inspection.looking import Looking
    from trionode.net.serving import Route
    from trionode.node.asking import Asking
    from trionode.node.context import NodeContext
    from trionode.node.querying import Querying

TOPIC = "explain"


class Explaining:
    """Answers what this node knows of an object, and gathers what all know.

    Args:
        context: of the node.
        asking: asks every node.
        looking: reads the brain's books.
        querying: finds the objects that have left.
    """

    def __init__(
        self, context: NodeContext, asking: Asking, looking: Looking, querying: Querying
    ) -> None:
        self._context = context
        self._asking = asking
        self._looking = looking
        self._querying = querying
        asking.answer_with(TOPIC, self._answer)

    def routes(self) -> dict[str, Route]:
        """The handler by path."""
        return {frames.EXPLAIN: unary_route(self._context, frames.ExplainRequest, self._explain)}

    async def _answer(self, asked: dict[str, str]) -> dict[str, Any]:
        """What this node knows of an object."""
        id_ = parse_id(asked["id"])
        held = self._context.engine.brain.context.custody.objects
        left = None if id_ in held else await self._left(id_)
        # Only now, all at one moment: meanwhile it may have come.
        return self._looking.knowledge(id_, left, trio.current_time())

    async def _left(self, id_: ObjectId) -> dict[str, Any] | None:
        """How and when it left custody here, as far as that is kept."""
        left = await self._querying.left(format_id(id_))
        if left is None:
            return None
        ago_s = trio.current_time() + self._context.engine.offset_s() - left["at"]
        return {**left, "ago_s": round(ago_s, 3)}

    async def _explain(self, request: frames.ExplainRequest) -> frames.ExplainReply:
        try:
            id_ = parse_id(request.id)
        except ValueError as error:
            raise Refused(Status.INVALID_ARGUMENT, str(error)) from None
        began = trio.current_time()
        gathered = await self._asking.ask(
            TOPIC, {"id": format_id(id_)}, timeout_s=request.timeout_ms / 1000
        )
        took_s = trio.current_time() - began
        said = explained(format_id(id_), gathered.replies, gathered.silent, took_s)
        return frames.ExplainReply(orjson.dumps(said))
