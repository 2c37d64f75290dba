"""Pushes: new sequences are taken into custody, repeats are recognised (R11)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.ids import SEQUENCE_BITS
from trionode.routing import effects
from trionode.routing.model import HeldObject, State
from trionode.routing.producers import Producers

if TYPE_CHECKING:
    from trionode.ids import Run
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.leases import Leases
    from trionode.routing.producers import AcceptedSequences


class Intake:
    """Mutates the producers' books; custody through `Custody`."""

    def __init__(self, context: Context, leases: Leases) -> None:
        self._context = context
        self._leases = leases
        self.producers = Producers(context.options.producers_remembered)

    def pushed(self, event: events.Pushed, now: float) -> None:
        """Take custody of what is new and acknowledge all of it once the store has it."""
        context = self._context
        book, forgotten = self.producers.book(event.producer)
        if forgotten is not None:
            context.out.append(effects.ForgetProducer(forgotten))
        floor = max(book.floor, event.acknowledged)
        book.raise_floor(event.acknowledged)
        count = len(event.payloads)
        fresh = book.missing(event.first, count)
        if fresh:
            self._take(event, book, fresh, now)
            context.out.append(effects.RememberProducer(event.producer, fresh, floor))
        context.out.append(
            effects.AcknowledgePush(event.stream, [(event.first, count)], after_commit=True)
        )

    def _take(
        self, event: events.Pushed, book: AcceptedSequences, fresh: list[Run], now: float
    ) -> None:
        context = self._context
        table = context.custody.table(event.type)
        objects: list[HeldObject] = []
        for first, length in fresh:
            book.add(first, length)
            objects += self._objects(event, table, (first, length), now)
        objects = [item for item in objects if not self._merged(item)]
        if objects:
            context.custody.admit(table, objects, "accepted")
            if event.details:
                context.watch(objects)
            context.out.append(effects.Keep(objects, fresh=True))
            self._leases.match(table)

    def _merged(self, item: HeldObject) -> bool:
        """Whether the object is here already: pushed to another node before, and transferred."""
        custody = self._context.custody
        if item.id not in custody.objects:
            return False
        custody.merge(item.table, len(item.payload), "accepted")
        return True

    @staticmethod
    def _objects(
        event: events.Pushed, table: TypeTable, part: tuple[int, int], now: float
    ) -> list[HeldObject]:
        first, length = part
        base = event.producer << SEQUENCE_BITS
        offset = first - event.first
        shape, details = event.shape, event.details
        objects = [
            HeldObject(base + first + index, table, payload, shape, now, now)
            for index, payload in enumerate(event.payloads[offset : offset + length])
        ]
        for index, rare in details.items():
            if offset <= index < offset + length:
                item = objects[index - offset]
                item.details = rare
                if rare.get("due", now) > now:
                    item.state = State.DELAYED
        return objects
