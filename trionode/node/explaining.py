"""Where an object is and why it waits, asked at any node (G9).

Every node answers what it knows of the object: that it holds it and why it waits there, that it
left custody there and when, where its store keeps that, that it gave it to another node, or that it
accepted it once. What they said is put together here.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import orjson
import trio

from trionode.errors import Refused, Status
from trionode.ids import SEQUENCE_BITS, SEQUENCE_MASK, format_id, parse_id
from trionode.node.unary import unary_route
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.ids import ObjectId
    from trionode.net.serving import Route
    from trionode.node.asking import Asking, Gathered, NodeReply, SilentNode
    from trionode.node.context import NodeContext
    from trionode.node.inspecting import Inspecting
    from trionode.node.known import KnownNodes
    from trionode.node.querying import Querying

TOPIC = "explain"
ENDED = "settled, expired or discarded"


class Explaining:
    """Answers what this node knows of an object, and gathers what all know.

    Args:
        context: of the node.
        known: what nodes are called.
        asking: asks every node.
        inspecting: shows the objects held here.
        querying: finds those that have left.
    """

    def __init__(
        self,
        context: NodeContext,
        known: KnownNodes,
        asking: Asking,
        inspecting: Inspecting,
        querying: Querying,
    ) -> None:
        self._context = context
        self._known = known
        self._asking = asking
        self._inspecting = inspecting
        self._querying = querying
        asking.answer_with(TOPIC, self._answer)

    def routes(self) -> dict[str, Route]:
        """The handler by path."""
        return {frames.EXPLAIN: unary_route(self._context, frames.ExplainRequest, self._explain)}

    async def _answer(self, asked: dict[str, str]) -> dict[str, Any]:
        """What this node knows of an object."""
        id_ = parse_id(asked["id"])
        brain = self._context.engine.brain
        item = brain.context.custody.objects.get(id_)
        forward = brain.givings.forwarded.find(id_)
        book = brain.intake.producers.find(id_ >> SEQUENCE_BITS)
        sequence = id_ & SEQUENCE_MASK
        given: dict[str, Any] | None = None
        if forward is not None:
            to = self._known.get(forward.peer)
            given = {
                "to": {"id": to.node, "name": to.name, "address": to.address},
                "ago_s": round(trio.current_time() - forward.when, 3),
            }
        return {
            "held": None if item is None else self._inspecting.look(item),
            "left": None if item is not None else await self._left(id_),
            "given": given,
            "accepted": book is not None and sequence > book.floor and sequence in book,
            # Its producer has told that it knows the outcome, which is then remembered no more.
            "resolved": book is not None and sequence <= book.floor,
        }

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
        gathered = await self._asking.ask(
            TOPIC, {"id": format_id(id_)}, timeout_s=request.timeout_ms / 1000
        )
        return frames.ExplainReply(orjson.dumps(explained(format_id(id_), gathered)))


def explained(id_: str, gathered: Gathered) -> dict[str, Any]:
    """What all nodes together know of an object, with one sentence that says it."""
    answered = [reply for reply in gathered.replies if not reply.error]
    places = [
        {**_who(reply), "object": reply.value["held"]}
        for reply in answered
        if reply.value.get("held")
    ]
    trail = [
        {"from": _who(reply), **reply.value["given"]}
        for reply in answered
        if reply.value.get("given")
    ]
    left = [{**_who(reply), **reply.value["left"]} for reply in answered if reply.value.get("left")]
    left.sort(key=lambda end: end["ago_s"])
    trail.sort(key=lambda step: -step["ago_s"])
    accepted = [_who(reply) for reply in answered if reply.value.get("accepted")]
    resolved = [_who(reply) for reply in answered if reply.value.get("resolved")]
    silent = [
        {"id": each.node, "name": each.name, "address": each.address} for each in gathered.silent
    ]
    present = {reply.node for reply in answered}
    if places:
        summary = _where_held(places)
    elif left:
        summary = _how_left(left[0])
    elif trail:
        summary = _where_gone(trail[-1], present)
    elif accepted:
        names = _and([each["name"] for each in accepted])
        summary = f"it was accepted at node {names}, and has left its custody: {ENDED}"
    elif resolved:
        names = _and([each["name"] for each in resolved])
        summary = (
            f"no node that answered holds it; its producer pushed to node {names} and knows that it"
            f" was taken or refused: if it was taken, it has been {ENDED}"
        )
    elif silent:
        summary = "no node that answered knows it"
    else:
        summary = (
            "no node knows it: it was never accepted here, or it ended so long ago that nobody"
            " remembers"
        )
    if silent:
        summary += f"; no answer from {_and([_call(each) for each in gathered.silent])}"
    return {
        "id": id_,
        "known": bool(places or left or trail or accepted or resolved),
        "summary": summary,
        "places": places,
        "left": left,
        "trail": trail,
        "accepted_at": accepted,
        "resolved_at": resolved,
        "silent": silent,
        "errors": [
            {**_who(reply), "error": reply.error} for reply in gathered.replies if reply.error
        ],
    }


def _where_held(places: list[dict[str, Any]]) -> str:
    first = places[0]["object"]
    reason = first["waits_for"][0] if first["waits_for"] else ""
    if len(places) == 1:
        return f"at node {places[0]['name']}, {first['state']}: {reason}"
    # A transfer whose answer is under way is held at both ends; after a fault there may be copies.
    each = _and([f"{place['name']} ({place['object']['state']})" for place in places])
    return f"at {len(places)} nodes: {each}"


def _how_left(end: dict[str, Any]) -> str:
    at = dt.datetime.fromtimestamp(end["at"], dt.UTC)
    when = f"{at:%Y-%m-%dT%H:%M:%SZ}, {end['ago_s']:.1f} s ago"
    return f"{end['how']} at node {end['name']} at {when}"


def _where_gone(step: dict[str, Any], present: set[str]) -> str:
    """Said of the last transfer that is remembered, when nobody who answered holds the object."""
    to = step["to"]
    name = to["name"] or to["id"]
    gave = f"node {step['from']['name']} gave it to node {name} {step['ago_s']:.1f} s ago"
    if to["id"] in present:
        return f"{gave}, and it has left the custody of that node as well: {ENDED} there"
    return f"{gave}, which cannot be reached: it is there, or went on from there"


def _who(reply: NodeReply) -> dict[str, str]:
    return {"id": reply.node, "name": reply.name, "address": reply.address}


def _call(silent: SilentNode) -> str:
    """A silent node for people: by the best word there is for it."""
    return silent.name or silent.address or silent.node


def _and(words: list[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
