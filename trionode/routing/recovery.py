"""A node's return with its store: records become custody and books again.

Nothing counts as an attempt (G5): what was leased is ready. What was on offer waits for its peer as
if its link had just gone: a marked object is asked about, an unmarked one is ready (R8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing.model import HeldObject, Shape, State
from trionode.routing.offers import Offer

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.intake import Intake
    from trionode.routing.offers import Givings, Takings
    from trionode.routing.records import GivenRecord, ObjectRecord
    from trionode.routing.residency import Residency


class Recovery:
    """Fills the books of a brain that has handled nothing yet."""

    def __init__(
        self,
        context: Context,
        intake: Intake,
        givings: Givings,
        takings: Takings,
        residency: Residency,
    ) -> None:
        self._context = context
        self._intake = intake
        self._givings = givings
        self._takings = takings
        self._residency = residency
        self._marked: dict[int, tuple[Offer, int, int]] = {}
        """Object id -> the offer it was last on, its index there, and the offer's stamp."""
        self._shapes: dict[tuple[str, str], Shape] = {}

    def recovered(self, event: events.Recovered, now: float) -> None:
        """Take in a part of what the store had; offers must come before the objects on them."""
        for producer in event.producers:
            self._intake.producers.restore(producer)
        if event.keys:
            self._intake.restore_keys(event.keys, now)
        for taken in event.taken:
            self._takings.restore(taken, now)
        for given in sorted(event.given, key=lambda each: each.stamp):
            self._reopen(given, now)
        for name, count, size_bytes in event.damaged:
            self._context.custody.damaged(self._context.custody.table(name), count, size_bytes)
        fresh: dict[str, list[HeldObject]] = {}
        for record in event.objects:
            fresh.setdefault(record.type, []).append(self._object(record, now))
        for name, objects in fresh.items():
            table = self._context.custody.table(name)
            self._wait_behind(objects, now)
            self._context.custody.admit(table, objects, "recovered")
            self._context.watch(objects)
            self._residency.make_room(objects)
            table.local_gone = now  # its consumers were cut off, and come back as this node did
            self._context.stale_plans[name] = None

    def _wait_behind(self, objects: list[HeldObject], now: float) -> None:
        """Let keys wait again for what other nodes had of them."""
        context = self._context
        for item in objects:
            if item.details is not None and item.details.get("behind"):
                for peer in dict.fromkeys(context.custody.ordering.recovered(item, now)):
                    context.timers.set(now + context.options.in_doubt_timeout_s, "order", peer)

    def _reopen(self, given: GivenRecord, now: float) -> None:
        number = (given.incarnation, given.sequence)
        offer = Offer(given.peer, number, [None] * len(given.ids))
        self._givings.reopen(offer, now)
        for index, id_ in enumerate(given.ids):
            self._marked[id_] = (offer, index, given.stamp)

    def _object(self, record: ObjectRecord, now: float) -> HeldObject:
        names = (record.encoding, record.fingerprint)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._shapes[names] = Shape(*names)
        details = record.details
        item = HeldObject(
            record.id,
            self._context.custody.table(record.type),
            record.payload,
            shape,
            record.created,
            now,
            attempt=record.attempt,
            details=details,
        )
        offer, index, stamp = self._marked.get(record.id, (None, 0, 0))
        if offer is not None and record.stamp < stamp:
            item.state = State.TRANSFERRING
            item.holder = offer
            offer.objects[index] = item
        elif details is not None:
            if details.get("dead") is not None:
                item.state = State.DEAD
            elif details.get("due", now) > now:
                item.state = State.DELAYED
        return item
