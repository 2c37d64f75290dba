"""The unary calls for people who look inside a node, and for their hand on dead letters."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import attrs
import orjson
import trio

from trionode.errors import Refused, Status
from trionode.ids import format_id, parse_id
from trionode.inspection.pages import Place, Selection, page
from trionode.inspection.views import STATES
from trionode.node.previews import previews_of
from trionode.node.unary import unary_route
from trionode.routing import effects, events
from trionode.routing.model import State
from trionode.wire import frames

if TYPE_CHECKING:
    from trionode.inspection.looking import Looking
    from trionode.net.serving import Route
    from trionode.node.context import NodeContext
    from trionode.routing.model import HeldObject

PAGE_MAX = 1000
"""Objects of one page."""
PREVIEW_MAX_BYTES = 256 * 1024
PAGE_BYTES_MAX = 1 << 20
"""About what one page may take, beyond its first object."""
IDS_MAX = 10_000
"""Ids that one request may name."""
HAND_BATCH = 1000
"""Dead letters that are dealt with in one turn of the brain."""


@attrs.define(eq=False)
class _Outcome:
    """What becomes of one thing that a person asked for."""

    known: trio.Event = attrs.field(factory=trio.Event)
    answer: effects.AnswerPerson | None = None


class Inspecting:
    """Serves the calls that look at objects, and those that deal with dead letters.

    Args:
        context: of the node.
        looking: reads the brain's books.
    """

    def __init__(self, context: NodeContext, looking: Looking) -> None:
        self._context = context
        self._looking = looking
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Outcome] = {}
        context.engine.connect({effects.AnswerPerson: self._answered})

    def routes(self) -> dict[str, Route]:
        """The handlers by path."""
        return {
            frames.OBJECTS: unary_route(self._context, frames.ObjectsRequest, self._objects),
            frames.DEAD_LETTERS: unary_route(
                self._context, frames.DeadLettersRequest, self._dead_letters
            ),
        }

    # --- looking ----------------------------------------------------------------------------------

    async def _objects(self, request: frames.ObjectsRequest) -> frames.ObjectsReply:
        preview_bytes = min(request.preview_bytes, PREVIEW_MAX_BYTES)
        custody = self._context.engine.brain.context.custody
        if request.ids:
            ids = _parse_ids(request.ids[:PAGE_MAX])
            held = [custody.objects[id_] for id_ in ids if id_ in custody.objects]
            named = [item for item in held if request.type in ("", item.table.name)]
            return frames.ObjectsReply(await self._shown(named, preview_bytes))
        limit = max(1, min(request.limit, PAGE_MAX))
        if preview_bytes:
            limit = max(1, min(limit, PAGE_BYTES_MAX // preview_bytes))
        selection = Selection(
            request.type,
            frozenset(_state(word) for word in request.states or STATES),
            request.reason,
            request.older_than_ms / 1000,
        )
        found, place = page(custody, selection, _place(request.after), limit, trio.current_time())
        after = "" if place is None else f"{place.passed}:{place.departed}"
        return frames.ObjectsReply(await self._shown(found, preview_bytes), after)

    async def _shown(self, items: list[HeldObject], preview_bytes: int) -> bytes:
        """Objects as they are at this moment, as JSON; payloads may have to be read for it."""
        now = trio.current_time()
        views = {item.id: self._looking.at(item, now) for item in items}
        for id_, preview in (await previews_of(self._context.engine, items, preview_bytes)).items():
            views[id_] |= preview
        return orjson.dumps(list(views.values()))

    # --- dead letters -----------------------------------------------------------------------------

    async def _dead_letters(self, request: frames.DeadLettersRequest) -> frames.DeadLettersReply:
        make = events.Retried if request.action == "retry" else events.Discarded
        if request.ids:
            return await self._with_named(make, request)
        if not request.every:
            raise Refused(
                Status.INVALID_ARGUMENT,
                f"which dead letters of {request.type}?",
                "give their ids, or say that all are meant",
            )
        return await self._with_all(make, request)

    async def _with_named(
        self, make: type[events.Retried | events.Discarded], request: frames.DeadLettersRequest
    ) -> frames.DeadLettersReply:
        if len(request.ids) > IDS_MAX:
            raise Refused(Status.INVALID_ARGUMENT, f"more than {IDS_MAX} ids in one request")
        ids = _parse_ids(request.ids)
        objects = self._context.engine.brain.context.custody.objects
        other = [id_ for id_ in ids if id_ in objects and objects[id_].table.name != request.type]
        answer = await self._do(make, [id_ for id_ in ids if id_ not in other])
        refused = [*answer.refused, *((id_, f"its type is not {request.type}") for id_ in other)]
        return frames.DeadLettersReply(
            len(answer.done), [format_id(id_) for id_, _ in refused], [why for _, why in refused]
        )

    async def _with_all(
        self, make: type[events.Retried | events.Discarded], request: frames.DeadLettersRequest
    ) -> frames.DeadLettersReply:
        """All dead letters that fit, a page at a time, so that the node goes on meanwhile."""
        custody = self._context.engine.brain.context.custody
        selection = Selection(
            request.type,
            frozenset({State.DEAD}),
            request.reason,
            request.older_than_ms / 1000,
        )
        began = trio.current_time()
        done = 0
        seen: set[int] = set()
        place: Place | None = Place()
        while place is not None:
            found, place = page(custody, selection, place, HAND_BATCH, began)
            # One that died again meanwhile has had its turn.
            ids = [item.id for item in found if item.id not in seen]
            seen.update(ids)
            if ids:
                done += len((await self._do(make, ids)).done)
            await trio.lowlevel.checkpoint()
        return frames.DeadLettersReply(done)

    async def _do(
        self, make: type[events.Retried | events.Discarded], ids: list[int]
    ) -> effects.AnswerPerson:
        """Have the brain do it; returns once it is durable."""
        number = next(self._numbers)
        outcome = self._waiting[number] = _Outcome()
        try:
            self._context.engine.handle(make(number, ids))
            await outcome.known.wait()
        finally:
            del self._waiting[number]
        assert outcome.answer is not None
        return outcome.answer

    def _answered(self, effect: effects.AnswerPerson) -> None:
        outcome = self._waiting.get(effect.number)
        if outcome is not None:
            outcome.answer = effect
            outcome.known.set()


def _parse_ids(texts: list[str]) -> list[int]:
    try:
        return [parse_id(text) for text in dict.fromkeys(texts)]
    except ValueError as error:
        raise Refused(Status.INVALID_ARGUMENT, str(error)) from None


def _state(word: str) -> State:
    try:
        return STATES[word]
    except KeyError:
        text = f"{word!r} is not a state an object can be in"
        raise Refused(Status.INVALID_ARGUMENT, text, f"use one of {', '.join(STATES)}") from None


def _place(text: str) -> Place:
    if not text:
        return Place()
    try:
        passed, departed = map(int, text.split(":"))
    except ValueError:
        text = f"{text!r} is not where a page ended"
        raise Refused(Status.INVALID_ARGUMENT, text, "use `after` of the page before") from None
    return Place(passed, departed)
