"""Questions to every node: asked at one, answered by all that can be reached, gathered there.

How a question floods the mesh, and how its answers come back, is in `inspection/searches.py`; here
are the links, the time, and those that answer.

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
from trionode.inspection.explaining import NodeReply
from trionode.inspection.known import KnownNode
from trionode.inspection.searches import (
    HOPS,
    QUESTION_BYTES_MAX,
    REPLY_BYTES_MAX,
    Search,
    Searches,
    silent_among,
)
from trionode.wire import frames
from trionode.wire.checks import SEARCH_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from trionode.node.context import NodeContext
    from trionode.node.link import Link
    from trionode.node.mesh import Mesh

    Answerer = Callable[[Any], Awaitable[Any]]

TIMEOUT_S = 3.0
"""How long answers are waited for when nothing else is said."""
TIMEOUT_MAX_S = 60.0
RUNNING_MAX = 256
"""Questions of others that are being answered at one time; beyond it, a new one is not."""


@attrs.frozen
class Gathered:
    """What came of a question; the node's own answer is the first."""

    replies: list[NodeReply]
    silent: list[KnownNode]


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
        self._searches: Searches[Link] = Searches()
        self._asked: dict[Search[Link], trio.Event] = {}
        """Those that somebody here waits for."""
        self._nursery: trio.Nursery | None = None
        self._running = 0
        mesh.handlers.update(
            {
                frames.Question: self._heard,
                frames.Reply: lambda link, reply: self._send(self._searches.replied(reply, link)),
                frames.RepliesEnd: lambda link, end: self._send(
                    self._searches.ended(end.search, link)
                ),
            }
        )
        mesh.on_over.append(lambda link: self._send(self._searches.link_over(link)))

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
        body = orjson.dumps(asked)
        assert len(body) <= QUESTION_BYTES_MAX, "a question is short"
        timeout_ms = math.ceil(min(timeout_s, TIMEOUT_MAX_S) * 1000)
        question = frames.Question(self._random_bytes(SEARCH_BYTES), topic, body, hops, timeout_ms)
        search = self._begin(question, None)
        over = self._asked[search] = trio.Event()
        try:
            with trio.move_on_after(timeout_ms / 1000):
                await self._answer(search, question)
                await over.wait()
        finally:
            del self._asked[search]
        replies, search.replies = list(search.replies.values()), {}
        context = self._context
        own = KnownNode(context.identity.node, context.name, context.address)
        silent = silent_among(replies, own, self._mesh.familiar())
        return Gathered([_value_of(reply) for reply in replies], silent)

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
        question = attrs.evolve(
            question, timeout_ms=min(question.timeout_ms, int(TIMEOUT_MAX_S * 1000))
        )
        busy = self._nursery is None or self._running >= RUNNING_MAX
        if busy or not self._searches.may_begin(question, trio.current_time()):
            link.send(frames.RepliesEnd(question.search))
            return
        assert self._nursery is not None
        self._running += 1
        self._nursery.start_soon(
            self._relay, self._begin(question, link), question, name="question"
        )

    def _begin(self, question: frames.Question, parent: Link | None) -> Search[Link]:
        """Note a search, and pass its question on."""
        links = self._mesh.links.values()
        search, out = self._searches.begin(question, parent, links, trio.current_time())
        self._send(out)
        return search

    async def _relay(self, search: Search[Link], question: frames.Question) -> None:
        try:
            with trio.move_on_after(question.timeout_ms / 1000):
                await self._answer(search, question)
        finally:
            self._running -= 1

    async def _answer(self, search: Search[Link], question: frames.Question) -> None:
        self._send(self._searches.answer(search, await self._own_reply(question)))

    def _send(
        self, out: Iterable[tuple[Link, frames.Question | frames.Reply | frames.RepliesEnd]]
    ) -> None:
        for link, frame in out:
            link.send(frame)
        for search, over in self._asked.items():
            if search.over:
                over.set()

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


def _value_of(reply: frames.Reply) -> NodeReply:
    value, error = None, reply.error
    if not error:
        try:
            value = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            error = "the answer is no JSON"
    return NodeReply(reply.node, reply.name, reply.address, value, error)
