"""A consumer's settles on their way to the brain: counted, their content checked, made events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.errors import ProtocolError, Status
from trionode.ids import from_runs
from trionode.node.convert import NODES_DETAILS, properties_heard, seconds
from trionode.node.judging import first_bad, too_large
from trionode.node.producing import PUSH_OBJECTS_MAX
from trionode.routing import events
from trionode.routing.model import Shape

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.ids import ObjectId, Run
    from trionode.node.context import NodeContext
    from trionode.wire import frames

SETTLE_MAX = 10_000
"""Leases that one settle may name when its stream has fewer: the answer names each refused."""
NO_STREAM = 0
"""The handle of no stream: results are answered with the settle that brought them."""


class Settles:
    """Judges settles; what is refused here leaves their leases as they are."""

    def __init__(self, context: NodeContext, clock: Callable[[], float]) -> None:
        self._context = context
        self._clock = clock

    def event_of(self, frame: frames.Settle, stream: int, producer: int) -> events.Settled:
        """The event of a settle on a stream whose results are those of `producer`.

        Raises:
            Refused: its content cannot be taken, so nothing of it is to be done.
            ProtocolError: nobody may say that.
        """
        self.check_count(frame.ids, stream)
        ids = from_runs(frame.ids)
        if frame.action == "replace":
            self._check_content(frame, ids)
        emitted = self._emitted(frame, producer) if frame.emitted else []
        return events.Settled(
            stream,
            frame.number,
            frame.action,
            ids,  # type: ignore[arg-type]  # an ObjectId is an int, but lists are invariant
            frame.attempts,
            None if frame.delay_ms is None else seconds(frame.delay_ms),
            frame.reason,
            frame.payloads,
            Shape(frame.encoding, frame.fingerprint) if frame.action == "replace" else None,
            emitted,
        )

    def check_count(self, runs: list[Run], stream: int) -> None:
        """Let nobody have a million refusals made by twenty bytes.

        Raises:
            ProtocolError: more leases are named than the consumer can have.
        """
        count = sum([count for _, count in runs])
        if count <= SETTLE_MAX:
            return
        found = self._context.engine.brain.context.subscriptions.streams.get(stream)
        windows = [] if found is None else list(found.subscriptions.values())
        held = sum([len(each.leases) for each in windows])
        if count > held:
            raise ProtocolError(
                f"{count} leases are named by a consumer that has {held}",
                grpc_status=Status.INVALID_ARGUMENT,
            )

    def _check_content(self, frame: frames.Settle, ids: list[ObjectId]) -> None:
        """New content is held to the type as a push is.

        Raises:
            Refused: it does not fit.
        """
        limit_bytes = self._context.config.limits.max_object_bytes
        objects = self._context.engine.brain.context.custody.objects
        for id_, payload in zip(ids, frame.payloads, strict=True):
            item = objects.get(id_)
            if item is None:
                continue  # its lease is refused, whatever the content
            if len(payload) > limit_bytes:
                raise too_large(len(payload), limit_bytes)
            self._context.types.check(item.table.name, payload, frame.encoding, frame.fingerprint)

    # --- results ----------------------------------------------------------------------------------

    def _emitted(self, frame: frames.Settle, producer: int) -> list[tuple[int, events.Pushed]]:
        """The results of a settle, held to what pushes are, but for space (G7)."""
        self._check_results(frame, producer)
        now = self._clock()
        return [
            (
                each.parent,
                events.Pushed(
                    NO_STREAM,
                    producer,
                    each.first,
                    each.type,
                    Shape(each.encoding, each.fingerprint),
                    each.payloads,
                    frame.acknowledged,
                    properties_heard(each.details, now, NODES_DETAILS),
                ),
            )
            for each in frame.emitted
            if each.payloads
        ]

    def _check_results(self, frame: frames.Settle, producer: int) -> None:
        context = self._context
        if not producer:
            text = "a consumer that emits results says its producer id in its hello"
            raise ProtocolError(text, grpc_status=Status.INVALID_ARGUMENT)
        if sum([len(each.payloads) for each in frame.emitted]) > PUSH_OBJECTS_MAX:
            text = f"a settle with more than {PUSH_OBJECTS_MAX} results"
            raise ProtocolError(text, grpc_status=Status.INVALID_ARGUMENT)
        for definition in frame.definitions:
            if context.types.definition(definition.type, definition.fingerprint) is None:
                found = context.types.define(definition.type, definition.schema)
                context.engine.keep_definition(found)
        for each in frame.emitted:
            bad = first_bad(context, each, 0, each.payloads) if each.payloads else None
            if bad is not None:
                raise bad[1]
