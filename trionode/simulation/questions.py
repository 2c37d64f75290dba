"""A simulated node's part in questions to every node: the searches of real nodes, on its links.

Nothing of it goes through the brain: a question is answered out of the brain's books, and whether
that was true is judged at the same moment (`answers.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from trionode.ids import format_id, parse_id
from trionode.inspection.explaining import NodeReply, explained
from trionode.inspection.known import KnownNode, KnownNodes
from trionode.inspection.looking import Looking
from trionode.inspection.searches import HOPS, Search, Searches, silent_among
from trionode.wire.link_frames import Question, RepliesEnd, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trionode.simulation.frames import Frame
    from trionode.simulation.node import SimulatedNode

TOPIC = "explain"
LOOKS_S = (0.0, 0.0, 0.0, 0.005, 0.005, 0.005, 0.3, 5.0)
"""How long a node looks for an answer; the last is longer than those who ask have patience."""

_KIND_OF = {Question: "question", Reply: "reply", RepliesEnd: "replies end"}
KINDS = frozenset(_KIND_OF.values())
"""Of frames that are questions or answers."""

Told = tuple[dict[str, Any], list[Reply]]
"""What all answers together say, and the answers."""


def name_of(index: int) -> str:
    """What a node is called, in all its lives."""
    return f"n{index}"


def address_of(index: int) -> str:
    """Where a node is, in all its lives."""
    return f"n{index}:1"


class Questions:
    """Of one life of a node."""

    def __init__(self, node: SimulatedNode) -> None:
        assert node.host.brain is not None
        self._node = node
        self._life = node.life
        self._scheduler = node.world.scheduler
        self._searches: Searches[int] = Searches()
        self._asked: dict[Search[int], tuple[int, float, Callable[[Told], None]]] = {}
        self._generator = node.world.generator.fork(1_000_000 * node.life + node.index)
        self._last: dict[str, str] = {}
        """By address, who was linked there last."""
        self.known = KnownNodes(node.host.node, name_of(node.index))
        self.looking = Looking(node.host.brain, self.known)

    # --- links ---------------------------------------------------------------------------------

    def link_up(self, peer: str) -> None:
        """A peer is linked."""
        self.learn([peer])
        self._last[address_of(self._node.world.by_name[peer].index)] = peer

    def learn(self, peers: Iterable[str]) -> None:
        """What these nodes are called is known now."""
        by_name = self._node.world.by_name
        for peer in peers:
            index = by_name[peer].index
            self.known.learn(peer, name_of(index), address_of(index))

    def link_down(self, link: int, peer: str) -> None:
        """A link is over."""
        self.known.lose(peer, self._scheduler.time)
        self._send(self._searches.link_over(link))

    def came(self, frame: Frame, link: int) -> None:
        """A peer asks, or answers."""
        kind, value = frame
        if kind == "question":
            self._heard(value, link)
        elif kind == "reply":
            self._send(self._searches.replied(value, link))
        else:
            self._send(self._searches.ended(value.search, link))

    # --- asking --------------------------------------------------------------------------------

    def ask(self, name: bytes, id_: int, timeout_s: float, told: Callable[[Told], None]) -> None:
        """Ask every node what it knows of an object; `told` hears, unless this one dies before."""
        body = orjson.dumps({"id": format_id(id_)})
        question = Question(name, TOPIC, body, HOPS, round(timeout_s * 1000))
        search = self._begin(question, None)
        self._asked[search] = (id_, self._scheduler.time, told)
        self._scheduler.after(timeout_s, self._gather, search)

    def _gather(self, search: Search[int]) -> None:
        asked = self._asked.pop(search, None)
        if asked is None or self._life != self._node.life:
            return
        id_, began, told = asked
        replies, search.replies = list(search.replies.values()), {}
        node, now = self._node, self._scheduler.time
        own = KnownNode(node.host.node, name_of(node.index), address_of(node.index))
        silent = silent_among(replies, own, self.known.familiar(self._peers(), now))
        said = explained(
            format_id(id_),
            [
                NodeReply(each.node, each.name, each.address, orjson.loads(each.body), each.error)
                for each in replies
            ],
            silent,
            now - began,
        )
        told((said, replies))

    # --- answering -----------------------------------------------------------------------------

    def _heard(self, question: Question, link: int) -> None:
        if self._searches.may_begin(question, self._scheduler.time):
            self._begin(question, link)
        else:
            self._send([(link, RepliesEnd(question.search))])

    def _begin(self, question: Question, parent: int | None) -> Search[int]:
        """Note a search, pass its question on, and look for an answer."""
        now = self._scheduler.time
        search, out = self._searches.begin(question, parent, self._node.links, now)
        self._node.world.answers.heard(question.search, self._node)
        self._send(out)
        looks_s = self._generator.pick(LOOKS_S)
        self._scheduler.after(looks_s, self._answer, search, question)
        return search

    def _answer(self, search: Search[int], question: Question) -> None:
        node = self._node
        if self._life != node.life or self._scheduler.time > search.ends:
            return
        if node.paused:
            node.inbox.append((self._answer, (search, question)))
            return
        id_ = parse_id(orjson.loads(question.body)["id"])
        answers = node.world.answers
        with answers.untouched(node):
            found = self.looking.knowledge(id_, None, node.now())
        familiar = self.known.familiar(self._peers(), self._scheduler.time)
        answers.answered(search.name, node, id_, found)
        reply = Reply(
            search.name,
            node.host.node,
            name_of(node.index),
            address_of(node.index),
            orjson.dumps(found),
            "",
            [each.node for each in familiar],
            [each.name for each in familiar],
            [each.address for each in familiar],
        )
        self._send(self._searches.answer(search, reply))

    def _peers(self) -> list[KnownNode]:
        """Who is linked, and the addresses that are dialled."""
        node = self._node
        linked = [self.known.get(peer) for peer, _, _ in node.links.values()]
        addresses = {each.address for each in linked}
        others = [other for line in node.lines for other in line.nodes if other is not node]
        dialled = [address_of(other.index) for other in others]
        return [
            *linked,
            *[
                KnownNode(last, self.known.get(last).name if last else "", each)
                for each in dialled
                if each not in addresses
                for last in (self._last.get(each, ""),)
            ],
        ]

    def _send(self, out: Iterable[tuple[int, Question | Reply | RepliesEnd]]) -> None:
        network = self._node.world.network
        for link, value in out:
            _, connection, end = self._node.links.get(link, ("", None, 0))
            if connection is not None:
                network.send(connection, end, (_KIND_OF[type(value)], value))
        for search in [search for search in self._asked if search.over]:
            self._gather(search)
