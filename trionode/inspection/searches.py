"""The books of questions to every node: whom they were passed on to, and who has answered.

Theory of operation. A question floods: each node that hears of it the first time answers, and
passes it on over its other links, as long as it has hops left. It is recognised by the name of its
search, so that each node answers once; whoever brings it again hears at once that nothing follows.
Answers go back by the way the question came, one by one as they are ready, and after the last one
a word that it was the last. So who asked need not wait for the whole timeout unless a node is
silent. Each answer also names the nodes that the answering one knows, linked or lost: of these,
whoever has not answered in the end is named as silent. Relays keep nothing but the search's name
and where it came from.

Every method returns what is to be sent, each with the link it goes to. A link may be named by
anything that can be a key.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs

from trionode.inspection.known import KnownNode
from trionode.wire.link_frames import Question, RepliesEnd, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

Link = TypeVar("Link")

HOPS = 16
"""Links that a question may cross: twice what objects may, so that it reaches where they went."""
QUESTION_BYTES_MAX = 65_536
REPLY_BYTES_MAX = 512 * 1024
GATHERED_BYTES_MAX = 32 * 1024 * 1024
"""Of all answers together: they are in memory at the node that asked."""
SEARCHES_MAX = 10_000
"""Searches remembered at one time; beyond it a new one is neither answered nor passed on."""
REMEMBERED_S = 10.0
"""How long after its timeout a search is recognised."""


@attrs.define(eq=False)
class Search(Generic[Link]):
    """One question at this node; mutated by `Searches` only.

    `parent` is the link it came by, None where it was asked here; `waiting` the links it was passed
    on over and that may still bring replies; `answered` that this node has; `replies` what has come
    where it was asked.
    """

    name: bytes
    parent: Link | None
    ends: float
    waiting: dict[Link, None] = attrs.field(factory=dict)
    answered: bool = False
    replies: dict[str, Reply] = attrs.field(factory=dict)
    size_bytes: int = 0

    @property
    def over(self) -> bool:
        """Whether no more answers come."""
        return self.answered and not self.waiting


class Searches(Generic[Link]):
    """All questions that one node has heard of lately."""

    def __init__(self) -> None:
        self._searches: dict[bytes, Search[Link]] = {}

    def begin(
        self, question: Question, parent: Link | None, links: Iterable[Link], now: float
    ) -> tuple[Search[Link], list[tuple[Link, Question]]]:
        """Note a search that is asked here (`parent` None), or that a peer has brought.

        Args:
            question: what is asked; its hops are those that it has left.
            parent: the link it came by.
            links: all links of this node.
            now: any clock in seconds, the same for all calls.
        """
        search = Search(question.search, parent, now + question.timeout_ms / 1000)
        self._searches[question.search] = search
        if question.hops > 0:
            onward = attrs.evolve(question, hops=min(question.hops, HOPS) - 1)
            search.waiting = {link: None for link in links if link != parent}
            return search, [(link, onward) for link in search.waiting]
        return search, []

    def may_begin(self, question: Question, now: float) -> bool:
        """Whether a question that a peer brings is a new one, and there is room for it."""
        self._forget_old(now)
        return (
            question.search not in self._searches
            and len(self._searches) < SEARCHES_MAX
            and len(question.body) <= QUESTION_BYTES_MAX
        )

    def _forget_old(self, now: float) -> None:
        """Drop searches that nobody brings any more."""
        for name, search in list(self._searches.items()):
            if search.ends < now - REMEMBERED_S:
                del self._searches[name]

    # --- answers ----------------------------------------------------------------------------------

    def answer(self, search: Search[Link], reply: Reply) -> list[tuple[Link, Reply | RepliesEnd]]:
        """This node answers."""
        search.answered = True
        return [*self._pass_back(search, reply), *self._end(search)]

    def replied(self, reply: Reply, link: Link) -> list[tuple[Link, Reply | RepliesEnd]]:
        """A peer's answer came, or one that it passes back."""
        search = self._searches.get(reply.search)
        if search is None or link not in search.waiting or len(reply.body) > REPLY_BYTES_MAX:
            return []
        return self._pass_back(search, reply)

    def ended(self, name: bytes, link: Link) -> list[tuple[Link, Reply | RepliesEnd]]:
        """No more answers to a search come over a link."""
        search = self._searches.get(name)
        return [] if search is None else self._wait_no_more(search, link)

    def link_over(self, link: Link) -> list[tuple[Link, Reply | RepliesEnd]]:
        """No more answers to any search do."""
        searches = self._searches.values()
        return [each for search in searches for each in self._wait_no_more(search, link)]

    def _wait_no_more(
        self, search: Search[Link], link: Link
    ) -> list[tuple[Link, Reply | RepliesEnd]]:
        if link not in search.waiting:
            return []
        del search.waiting[link]
        return self._end(search)

    @staticmethod
    def _end(search: Search[Link]) -> list[tuple[Link, Reply | RepliesEnd]]:
        """Say that nothing follows, if that is so."""
        if search.parent is None or not search.over:
            return []
        return [(search.parent, RepliesEnd(search.name))]

    @staticmethod
    def _pass_back(search: Search[Link], reply: Reply) -> list[tuple[Link, Reply | RepliesEnd]]:
        if search.parent is not None:
            return [(search.parent, reply)]
        if reply.node not in search.replies:
            search.size_bytes += len(reply.body)
            if search.size_bytes > GATHERED_BYTES_MAX:
                reply = attrs.evolve(reply, body=b"", error="left out: the answers are too large")
            search.replies[reply.node] = reply
        return []


def silent_among(
    replies: list[Reply], own: KnownNode, familiar: list[KnownNode]
) -> list[KnownNode]:
    """Who is known to those that answered or to who asked, and has not answered; each once.

    Of some, the id or the name may be unknown.

    Args:
        replies: what has come.
        own: the node where it was asked; it may not have had time for its own answer.
        familiar: whom it knows.
    """
    answered = {reply.node for reply in replies}
    addresses = {reply.address for reply in replies}
    silent: dict[str, KnownNode] = {}
    columns = [
        zip(reply.known_nodes, reply.known_names, reply.known_addresses, strict=True)
        for reply in replies
    ]
    mine = [(each.node, each.name, each.address) for each in (own, *familiar)]
    for node, name, address in chain(mine, *columns):
        if node not in answered and address not in addresses:
            known = silent.get(node or address)
            if known is None or not known.name:
                silent[node or address] = KnownNode(node, name, address)
    called = {each.address for each in silent.values() if each.node}
    return [each for each in silent.values() if each.node or each.address not in called]
