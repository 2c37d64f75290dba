"""What a client asks of a node to look inside, and its hand on dead letters."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import attrs

from trionode.client.types import type_name_of
from trionode.ids import format_id
from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from trionode.client.connector import Connector
    from trionode.ids import ObjectId

PAGE = 500
"""Objects asked for at a time."""


@attrs.frozen
class ObjectView:
    """An object as the node that holds it shows it.

    Attributes:
        id: its id.
        type: its type's name.
        state: `ready`, `blocked` (behind another of its ordering key), `delayed`, `leased`,
            `transferring` or `dead`.
        attempt: which attempt is next, or under way.
        age_s: seconds since its producer made it.
        state_age_s: seconds since it came into its state; None from an older node.
        size_bytes: of its payload.
        encoding: `json` or `raw`.
        waits_for: why it waits, in words; the weightiest reason first.
        due_in_s: seconds until it may be delivered, of one that is delayed.
        deadline_in_s: seconds until its producer's deadline, if it has one.
        dead: why it is a dead letter, if it is.
        failure: the text of its last failure, if there was one.
        history: what happened to it, the latest last, each with at least `what`, and `ago_s` in
            seconds where that is known.
        properties: its other rare properties, by name.
        payload: as much of its payload as was asked for, None where nothing was.
        payload_cut: whether there is more of it.
    """

    id: str
    type: str
    state: str
    attempt: int
    age_s: float
    state_age_s: float | None
    size_bytes: int
    encoding: str
    waits_for: tuple[str, ...]
    due_in_s: float | None
    deadline_in_s: float | None
    dead: str | None
    failure: str | None
    history: tuple[Mapping[str, Any], ...]
    properties: Mapping[str, Any]
    payload: bytes | None
    payload_cut: bool

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ObjectView:
        """The view in a node's JSON; what an older or newer node leaves out is absent."""
        found = document.get("payload")
        payload: bytes | None = None
        if found is not None:
            json_text = document["encoding"] == "json"
            payload = found.encode() if json_text else base64.b64decode(found)
        return cls(
            document["id"],
            document["type"],
            document["state"],
            document["attempt"],
            document["age_s"],
            document.get("state_age_s"),
            document["bytes"],
            document["encoding"],
            tuple(document.get("waits_for", ())),
            document.get("due_in_s"),
            document.get("deadline_in_s"),
            document.get("dead"),
            document.get("failure"),
            tuple(document.get("history", ())),
            document.get("properties", {}),
            payload,
            bool(document.get("payload_cut")),
        )


@attrs.frozen
class DeadLettersDone:
    """What came of retrying or discarding: to how many it was done, and to which not, and why."""

    done: int
    refused: Mapping[str, str]


@attrs.frozen
class Holder:
    """A node that holds an object, and the object as it shows it."""

    node: str
    name: str
    address: str
    object: ObjectView


@attrs.frozen
class Explanation:
    """Where an object is and why it waits, as all nodes that answered know it.

    Attributes:
        id: of the object.
        known: whether any node knows it.
        summary: one sentence that says it.
        holders: the nodes that hold it; several while it is on its way, or after a fault.
        trail: where it went, as far as is remembered: the names of the nodes it was given to.
        silent: the nodes that did not answer in time, by name, or address where none is known.
        document: all of it, as `trionode explain --json` prints it.
    """

    id: str
    known: bool
    summary: str
    holders: tuple[Holder, ...]
    trail: tuple[str, ...]
    silent: tuple[str, ...]
    document: Mapping[str, Any]

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Explanation:
        """The explanation in a node's JSON."""
        holders = [
            Holder(place["id"], place["name"], place["address"], ObjectView.of(place["object"]))
            for place in document["places"]
        ]
        silent = [each["name"] or each["address"] or each["id"] for each in document["silent"]]
        trail = [step["to"]["name"] or step["to"]["id"] for step in document["trail"]]
        return cls(
            document["id"],
            document["known"],
            document["summary"],
            tuple(holders),
            tuple(trail),
            tuple(silent),
            document,
        )


class Inspection:
    """A part of `trionode.Client`.

    All but `explain` is about the one node that the client is connected to: objects are held by
    nodes, so the dead letters of a type may be at several.
    """

    _connector: Connector

    async def objects(  # noqa: PLR0913  # each chooses among objects in its own way
        self,
        type: type | str,  # noqa: A002  # the word that people look for
        /,
        *,
        state: str = "",
        limit: int | None = None,
        preview_bytes: int = 0,
        reason: str = "",
        older_than: float = 0.0,
    ) -> AsyncIterator[ObjectView]:
        """Look at the objects of a type that the node holds, without touching them.

        They come a page at a time, in the order in which the node took them; one that arrives or
        leaves meanwhile may be among them or not.

        Args:
            type: a class, or the name of a type.
            state: only those in this state.
            limit: at most so many.
            preview_bytes: how much of each payload to show.
            reason: only those whose death or last failure has this text in it.
            older_than: only those that were made so many seconds ago, or earlier.

        Raises:
            Refused: INVALID_ARGUMENT, there is no such state.
        """
        request = frames.ObjectsRequest(
            _name(type),
            [state] if state else [],
            preview_bytes=preview_bytes,
            reason=reason,
            older_than_ms=_milliseconds(older_than),
        )
        seen: set[str] = set()
        while limit is None or len(seen) < limit:
            count = PAGE if limit is None else min(PAGE, limit - len(seen))
            request = attrs.evolve(request, limit=count)
            reply = await self._connector.ask(frames.OBJECTS, request, frames.ObjectsReply)
            for document in json.loads(reply.objects):
                if document["id"] not in seen:
                    seen.add(document["id"])
                    yield ObjectView.of(document)
            if not reply.after:
                return
            request = attrs.evolve(request, after=reply.after)

    def dead_letters(
        self,
        type: type | str,  # noqa: A002  # see objects
        /,
        *,
        limit: int | None = None,
        preview_bytes: int = 0,
        reason: str = "",
        older_than: float = 0.0,
    ) -> AsyncIterator[ObjectView]:
        """The dead letters of a type that the node holds; see `objects`."""
        return self.objects(
            type,
            state="dead",
            limit=limit,
            preview_bytes=preview_bytes,
            reason=reason,
            older_than=older_than,
        )

    async def object(self, id: ObjectId | str, /, *, preview_bytes: int = 0) -> ObjectView | None:  # noqa: A002  # see objects
        """One object that the node holds; None: it does not hold it (see `explain`)."""
        request = frames.ObjectsRequest(ids=[text_of(id)], preview_bytes=preview_bytes)
        reply = await self._connector.ask(frames.OBJECTS, request, frames.ObjectsReply)
        found = json.loads(reply.objects)
        return ObjectView.of(found[0]) if found else None

    async def explain(
        self,
        id: ObjectId | str,  # noqa: A002  # see objects
        /,
        *,
        timeout: float = 3.0,  # noqa: ASYNC109  # of the nodes, which name who is late
    ) -> Explanation:
        """Ask all nodes where an object is, and why it waits.

        Args:
            id: of the object.
            timeout: seconds that nodes have to answer; those that do not are named.

        Raises:
            Refused: INVALID_ARGUMENT, it is no id of an object.
        """
        request = frames.ExplainRequest(text_of(id), _milliseconds(timeout))
        reply = await self._connector.ask(frames.EXPLAIN, request, frames.ExplainReply)
        return Explanation.of(json.loads(reply.explanation))

    async def forget(self, node: str, /, *, everywhere: bool = False) -> Mapping[str, Any]:
        """Have the node close its books on another one that is gone for good.

        What was in doubt with it becomes ready again, marked as possibly duplicate; numbers of
        offers that came from it and its address are forgotten. Should it come back all the same,
        objects may be delivered twice, and none is lost.

        Args:
            node: its id or its name.
            everywhere: have every node do so that can be reached.

        Returns:
            What was closed, as `trionode forget --json` prints it.

        Raises:
            Refused: FAILED_PRECONDITION, it is linked, or several nodes have that name; NOT_FOUND,
                the node does not know it.
        """
        request = frames.ForgetRequest(node, everywhere)
        reply = await self._connector.ask(frames.FORGET, request, frames.ForgetReply)
        found: Mapping[str, Any] = json.loads(reply.forgotten)
        return found

    async def retry(
        self,
        type: type | str,  # noqa: A002  # see objects
        /,
        *ids: ObjectId | str,
        all: bool = False,  # noqa: A002  # the word that people look for
        reason: str = "",
        older_than: float = 0.0,
    ) -> DeadLettersDone:
        """Try dead letters again: their attempts begin at 1, their history stays.

        Returns once the node has it on disk, as a push does. A deadline that has passed is lifted.

        Args:
            type: a class, or the name of a type.
            ids: these.
            all: or all that fit `reason` and `older_than`, see `objects`.
            reason: see `objects`.
            older_than: see `objects`.

        Raises:
            TypeError: neither ids nor `all`, or both.
        """
        return await self._deal("retry", type, ids, every=all, reason=reason, older_than=older_than)

    async def discard(
        self,
        type: type | str,  # noqa: A002  # see objects
        /,
        *ids: ObjectId | str,
        all: bool = False,  # noqa: A002  # see retry
        reason: str = "",
        older_than: float = 0.0,
    ) -> DeadLettersDone:
        """Throw dead letters away for good; see `retry` for the rest."""
        return await self._deal(
            "discard", type, ids, every=all, reason=reason, older_than=older_than
        )

    async def _deal(  # noqa: PLR0913  # the two above, in one place
        self,
        action: str,
        type_: type | str,
        ids: tuple[ObjectId | str, ...],
        *,
        every: bool,
        reason: str,
        older_than: float,
    ) -> DeadLettersDone:
        if bool(ids) is every:
            raise TypeError("say which dead letters: their ids, or all=True")
        if ids and (reason or older_than):
            raise TypeError("reason and older_than choose among all: use them with all=True")
        request = frames.DeadLettersRequest(
            action,
            _name(type_),
            [text_of(id_) for id_ in ids],
            every,
            reason,
            _milliseconds(older_than),
        )
        reply = await self._connector.ask(frames.DEAD_LETTERS, request, frames.DeadLettersReply)
        return DeadLettersDone(reply.done, dict(zip(reply.refused, reply.reasons, strict=True)))


def text_of(id_: ObjectId | str) -> str:
    """An id as deliveries have it, or as commands print it, in the form that is printed."""
    return id_ if isinstance(id_, str) else format_id(id_)


def _name(type_: type | str) -> str:
    return type_ if isinstance(type_, str) else type_name_of(type_)


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
