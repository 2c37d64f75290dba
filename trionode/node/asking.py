"""Questions to every node: asked at one, answered by all that can be reached, gathered there.

Theory of operation. A question floods: each node that hears of it the first time answers, and
passes it on over its other links, as long as it has hops left. It is recognised by the name of its
search, so that each node answers once; whoever brings it again hears at once that nothing follows.
Answers go back by the way the question came, one by one as they are ready, and after the last one
a word that it was the last. So who asked need not wait for the whole timeout unless a node is
silent. Each answer also names the nodes that the answering one knows, linked or lost: of these,
whoever has not answered in the end is named as silent. Relays keep nothing but the search's name
and where it came from.

To add a question: write `async def answer(self, asked) -> found`, where both are plain JSON values,
register it at each node's start with `asking.answer_with("topic", answer)`, and have the node that
is asked by a client call `await asking.ask("topic", asked, timeout_s=...)`. The node's own answer
is among those gathered. A `Refused` that the answerer raises becomes the reply's error. A node of
an older version that does not know the topic answers with an error; one that knows no questions at
all is named as silent. An answer is at most `REPLY_BYTES_MAX` of JSON: bound what you find, and say
in it that there is more.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import orjson
import trio

from trionode.errors import Refused
from trionode.wire import frames
from trionode.wire.checks import SEARCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trionode.node.context import NodeContext
    from trionode.node.link import Link
    from trionode.node.mesh import Mesh

    Answerer = Callable[[Any], Awaitable[Any]]

TIMEOUT_S = 3.0
"""How long answers are waited for when nothing else is said."""
TIMEOUT_MAX_S = 60.0
HOPS = 16
"""Links that a question may cross: twice what objects may, so that it reaches where they went."""
QUESTION_BYTES_MAX = 65_536
REPLY_BYTES_MAX = 512 * 1024
GATHERED_BYTES_MAX = 32 * 1024 * 1024
"""Of all answers together: they are in memory at the node that asked."""
SEARCHES_MAX = 10_000
"""Searches remembered at one time; beyond it a new one is neither answered nor passed on."""
RUNNING_MAX = 256
"""Questions of others that are being answered at one time; beyond it, the same."""
REMEMBERED_S = 10.0
"""How long after its timeout a search is recognised."""


@attrs.frozen
class NodeReply:
    """One node's answer: the `value` it found, or the `error` that kept it from answering."""

    node: str
    name: str
    address: str
    value: Any
    error: str


@attrs.frozen
class SilentNode:
    """A node that others know and that did not answer in time; its id or name may be unknown."""

    node: str
    name: str
    address: str


@attrs.frozen
class Gathered:
    """What came of a question; the node's own answer is the first."""

    replies: list[NodeReply]
    silent: list[SilentNode]


@attrs.define(eq=False)
class _Search:
    """One question at this node.

    `parent` is the link it came by, None where it was asked here; `waiting` the links it was passed
    on over and that may still bring replies.
    """

    name: bytes
    parent: Link | None
    ends: float
    waiting: dict[Link, None] = attrs.field(factory=dict)
    answered: bool = False
    done: trio.Event = attrs.field(factory=trio.Event)
    replies: dict[str, frames.Reply] = attrs.field(factory=dict)
    size_bytes: int = 0

    def check(self) -> None:
        """Notice that all is known."""
        if self.answered and not self.waiting:
            self.done.set()


class Asking:
    """A node's part in questions to every node.

    Args:
        context: of the node.
        mesh: its links.
        random_bytes: gives so many random bytes.
    """

    def __init__(
        self, context: NodeContext, mesh: Mesh, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._context = context
        self._mesh = mesh
        self._random_bytes = random_bytes
        self._answerers: dict[str, Answerer] = {}
        self._searches: dict[bytes, _Search] = {}
        self._nursery: trio.Nursery | None = None
        self._running = 0
        mesh.handlers.update(
            {
                frames.Question: self._heard,
                frames.Reply: self._replied,
                frames.RepliesEnd: self._ended,
            }
        )
        mesh.on_over.append(self._link_over)

    def answer_with(self, topic: str, answerer: Answerer) -> None:
        """Say who answers the questions of a topic at this node."""
        self._answerers[topic] = answerer

    async def ask(
        self, topic: str, asked: Any, *, timeout_s: float = TIMEOUT_S, hops: int = HOPS
    ) -> Gathered:
        """Ask every node that can be reached, this one included.

        Args:
            topic: what is asked, as registered with `answer_with`.
            asked: a plain JSON value for the answerers.
            timeout_s: how long to wait for those that are slow; at most `TIMEOUT_MAX_S`.
            hops: over how many links the question may go; 0 asks this node only.
        """
        timeout_s = min(timeout_s, TIMEOUT_MAX_S)
        body = orjson.dumps(asked)
        assert len(body) <= QUESTION_BYTES_MAX, "a question is short"
        name = self._random_bytes(SEARCH_BYTES)
        question = frames.Question(name, topic, body, hops, math.ceil(timeout_s * 1000))
        search = self._begin(question, None, timeout_s)
        await self._serve(search, question, timeout_s)
        replies, search.replies = list(search.replies.values()), {}
        return self._gathered(replies)

    async def run(self) -> None:
        """Task: answer the questions of others, until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                await trio.sleep_forever()
        finally:
            self._nursery = None
            self._running = 0

    # --- a question -------------------------------------------------------------------------------

    def _heard(self, link: Link, question: frames.Question) -> None:
        """A peer asks, or passes a question on."""
        self._forget_old()
        busy = self._running >= RUNNING_MAX or len(self._searches) >= SEARCHES_MAX
        too_large = len(question.body) > QUESTION_BYTES_MAX
        if question.search in self._searches or busy or too_large or self._nursery is None:
            link.send(frames.RepliesEnd(question.search))
            return
        timeout_s = min(question.timeout_ms / 1000, TIMEOUT_MAX_S)
        search = self._begin(question, link, timeout_s)
        self._running += 1
        self._nursery.start_soon(self._relay, search, question, timeout_s, name="question")

    def _begin(self, question: frames.Question, parent: Link | None, timeout_s: float) -> _Search:
        """Note a search, and pass its question on."""
        ends = trio.current_time() + timeout_s
        search = self._searches[question.search] = _Search(question.search, parent, ends)
        if question.hops > 0:
            onward = attrs.evolve(question, hops=min(question.hops, HOPS) - 1)
            for link in self._mesh.links.values():
                if link is not parent:
                    search.waiting[link] = None
                    link.send(onward)
        return search

    async def _relay(self, search: _Search, question: frames.Question, timeout_s: float) -> None:
        try:
            await self._serve(search, question, timeout_s)
        finally:
            self._running -= 1
        if search.done.is_set() and search.parent is not None:
            search.parent.send(frames.RepliesEnd(search.name))

    async def _serve(self, search: _Search, question: frames.Question, timeout_s: float) -> None:
        """Answer a question, and wait for what comes of those it was passed on to."""
        with trio.move_on_after(timeout_s):
            self._pass_back(search, await self._own_reply(question))
            search.answered = True
            search.check()
            await search.done.wait()

    async def _own_reply(self, question: frames.Question) -> frames.Reply:
        context = self._context
        body, error = b"", ""
        answerer = self._answerers.get(question.topic)
        if answerer is None:
            error = f"trionode {context.version} does not know this question"
        else:
            try:
                body = orjson.dumps(await answerer(orjson.loads(question.body)))
            except Refused as refusal:
                error = str(refusal)
            except Exception as defect:  # whatever it is, the others answer
                context.counters.faults += 1
                text = "a question was not answered"
                context.log.error(text, topic=question.topic, exc_info=defect)  # noqa: TRY400  # see net.Log
                error = "internal error"
        if len(body) > REPLY_BYTES_MAX:
            body, error = b"", f"the answer is larger than {REPLY_BYTES_MAX} bytes"
        known = self._mesh.familiar()
        return frames.Reply(
            question.search,
            context.identity.node,
            context.name,
            context.address,
            body,
            error,
            [each.node for each in known],
            [each.name for each in known],
            [each.address for each in known],
        )

    def _forget_old(self) -> None:
        """Drop searches that nobody brings any more."""
        before = trio.current_time() - REMEMBERED_S
        for name, search in list(self._searches.items()):
            if search.ends < before:
                del self._searches[name]

    # --- answers ----------------------------------------------------------------------------------

    def _replied(self, link: Link, reply: frames.Reply) -> None:
        search = self._searches.get(reply.search)
        if search is not None and link in search.waiting and len(reply.body) <= REPLY_BYTES_MAX:
            self._pass_back(search, reply)

    def _ended(self, link: Link, frame: frames.RepliesEnd) -> None:
        search = self._searches.get(frame.search)
        if search is not None:
            search.waiting.pop(link, None)
            search.check()

    def _link_over(self, link: Link) -> None:
        for search in self._searches.values():
            search.waiting.pop(link, None)
            search.check()

    @staticmethod
    def _pass_back(search: _Search, reply: frames.Reply) -> None:
        if search.parent is not None:
            search.parent.send(reply)
            return
        if reply.node in search.replies:
            return
        search.size_bytes += len(reply.body)
        if search.size_bytes > GATHERED_BYTES_MAX:
            reply = attrs.evolve(reply, body=b"", error="left out: the answers are too large")
        search.replies[reply.node] = reply

    def _gathered(self, replies: list[frames.Reply]) -> Gathered:
        """What has come, and who is known and missing."""
        answered = {self._context.identity.node, *(reply.node for reply in replies)}
        addresses = {self._context.address, *(reply.address for reply in replies)}
        silent: dict[str, SilentNode] = {}
        for reply in replies:
            columns = (reply.known_nodes, reply.known_names, reply.known_addresses)
            for node, name, address in zip(*columns, strict=True):
                if node not in answered and address not in addresses:
                    key = node or address
                    known = silent.get(key)
                    if known is None or not known.name:
                        silent[key] = SilentNode(node, name, address)
        return Gathered([_value_of(reply) for reply in replies], list(silent.values()))


def _value_of(reply: frames.Reply) -> NodeReply:
    value, error = None, reply.error
    if not error:
        try:
            value = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            error = "the answer is no JSON"
    return NodeReply(reply.node, reply.name, reply.address, value, error)
