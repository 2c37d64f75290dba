"""What all nodes together know of an object: where it is or went, in one sentence and in full (G9).

Every node has answered what it knows: that it holds it and why it waits there, that it left custody
there and when, that it gave it to another node, or that it accepted it once.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from trionode.inspection.known import KnownNode

ENDED = "settled, expired or discarded"
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@attrs.frozen
class NodeReply:
    """One node's answer: the `value` it found, or the `error` that kept it from answering."""

    node: str
    name: str
    address: str
    value: Any
    error: str


def explained(
    id_: str, replies: list[NodeReply], silent: list[KnownNode], took_s: float
) -> dict[str, Any]:
    """What all nodes together know of an object, with one sentence that says it.

    Args:
        id_: of the object.
        replies: what each node said.
        silent: who did not answer; the object may be there.
        took_s: how long it took: what was given away meanwhile may have come to a node after that
            one had answered.
    """
    answered = [reply for reply in replies if not reply.error]
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
    present = {reply.node for reply in answered}
    ended = f"{ENDED}, or it is at a node that did not answer" if silent else ENDED
    if places:
        summary = _where_held(places)
    elif left:
        summary = _how_left(left[0])
    elif trail:
        summary = _where_gone(trail[-1], present, ended, took_s)
    elif accepted:
        names = _and([each["name"] for each in accepted])
        summary = f"it was accepted at node {names}, and has left its custody: {ended}"
    elif resolved:
        names = _and([each["name"] for each in resolved])
        summary = (
            f"no node that answered holds it; its producer pushed to node {names} and knows that it"
            f" was taken or refused: if it was taken, it has been {ended}"
        )
    elif silent:
        summary = "no node that answered knows it"
    else:
        summary = (
            "no node knows it: it was never accepted here, or it ended so long ago that nobody"
            " remembers"
        )
    if silent:
        summary += f"; no answer from {_and([_call(each) for each in silent])}"
    return {
        "id": id_,
        "known": bool(places or left or trail or accepted or resolved),
        "summary": summary,
        "places": places,
        "left": left,
        "trail": trail,
        "accepted_at": accepted,
        "resolved_at": resolved,
        "silent": [
            {"id": each.node, "name": each.name, "address": each.address} for each in silent
        ],
        "errors": [{**_who(reply), "error": reply.error} for reply in replies if reply.error],
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
    at = EPOCH + dt.timedelta(seconds=end["at"])
    when = f"{at:%Y-%m-%dT%H:%M:%SZ}, {end['ago_s']:.1f} s ago"
    return f"{end['how']} at node {end['name']} at {when}"


def _where_gone(step: dict[str, Any], present: set[str], ended: str, took_s: float) -> str:
    """Said of the last transfer that is remembered, when nobody who answered holds the object."""
    to = step["to"]
    name = to["name"] or to["id"]
    gave = f"node {step['from']['name']} gave it to node {name} {step['ago_s']:.1f} s ago"
    there = " there" if ended == ENDED else ""
    if to["id"] in present and step["ago_s"] >= took_s:
        return f"{gave}, and it has left the custody of that node as well: {ended}{there}"
    if to["id"] in present:
        return f"{gave}, while this was asked: it is there, or went on from there"
    return f"{gave}, which cannot be reached: it is there, or went on from there"


def _who(reply: NodeReply) -> dict[str, str]:
    return {"id": reply.node, "name": reply.name, "address": reply.address}


def _call(silent: KnownNode) -> str:
    """A silent node for people: by the best word there is for it."""
    return silent.name or silent.address or silent.node


def _and(words: list[str]) -> str:
    *before, last = words
    return f"{', '.join(before)} and {last}" if before else last
