"""Which payloads are in memory, and which the store keeps alone.

A node with a durable store needs the payloads of those objects in memory that are leased or on
offer, and of those that are next. Beyond `payload_limit_bytes` what was written leaves memory, the
newest first, since the oldest are next in turn. Ahead of the queue's front payloads are read back
in lease order; an object is neither leased nor offered before its payload is there. Never decides
where an object goes.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from trionode.routing import effects
from trionode.routing.model import HeldObject, Spilled, State, Step

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable

AHEAD_OBJECTS = 2048
"""How far the front of a queue is read ahead: some reads long, so that consumers need not wait."""

AHEAD_BYTES = 8 << 20
"""The same in bytes; the last object may reach beyond it."""

AT_REST = (State.READY, State.DELAYED, State.DEAD, State.BLOCKED)
"""States in which an object's payload is not needed in memory."""


class Residency:
    """Mutates objects' payloads, through `Custody`, and nothing else of them."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limit_bytes = context.options.payload_limit_bytes

    @property
    def short(self) -> bool:
        """Whether there are more payloads in memory than there should be."""
        context = self._context
        return context.durable and context.custody.resident_bytes > self._limit_bytes

    # --- out of memory -------------------------------------------------------------------------

    def written(self, event: events.Written) -> None:
        """Let go of payloads that the store has, if there are too many in memory."""
        objects = self._context.custody.objects
        self.make_room([objects[id_] for id_ in event.ids if id_ in objects])

    def make_room(self, written: list[HeldObject]) -> None:
        """The same for objects, oldest first, that the store has as they are."""
        custody = self._context.custody
        for item in reversed(written):
            if not self.short:
                break
            if item.state in AT_REST and isinstance(item.payload, bytes):
                custody.spill(item)

    # --- back into memory ----------------------------------------------------------------------

    def in_memory(self, table: TypeTable, taken: list[HeldObject]) -> list[HeldObject]:
        """What of objects just taken off the queue has its payload here, up to the first without.

        The rest goes back to the front, to be taken again once it was read.
        """
        for index, item in enumerate(taken):
            if isinstance(item.payload, Spilled):
                table.ready.give_back(taken[index:])
                self._look_ahead(table, item)
                return taken[:index]
        self.took(table, len(taken), None)
        return taken

    def took(self, table: TypeTable, count: int, absent: HeldObject | None) -> None:
        """So many objects were taken off the queue, and of one in turn the payload is not here."""
        table.look_in -= count
        if absent is not None or table.look_in <= 0:
            self._look_ahead(table, absent)

    def fetched(self, event: events.Fetched) -> TypeTable | None:
        """Payloads were read; returns the type whose objects can go on."""
        custody = self._context.custody
        table = custody.tables.get(event.effect.type)
        lost = []
        effect = event.effect
        for item, mark, payload in zip(effect.objects, effect.marks, event.payloads, strict=True):
            if item.payload is not mark:
                continue  # it left, or was given new content
            if payload is None:
                lost.append(item)
            else:
                custody.restore(item, payload)
        if lost:
            # Not forgotten: the store keeps what is left of them for a person to look at.
            custody.remove(lost, Step.LOSE, "damaged")
        if table is not None:
            table.fetching = False
            self._context.stale_plans[table.name] = None
        return table

    def _look_ahead(self, table: TypeTable, first: HeldObject | None) -> None:
        """Ask for what of the queue's front is not in memory; `first` certainly."""
        if table.fetching:
            return
        wanted = {} if first is None else {first.id: first}
        looked = size_bytes = 0
        for item in itertools.islice(table.ready, AHEAD_OBJECTS):
            looked += 1
            size_bytes += len(item.payload)
            if isinstance(item.payload, Spilled):
                wanted[item.id] = item
            if size_bytes >= AHEAD_BYTES:
                break
        table.look_in = looked // 2
        if wanted:
            table.fetching = True
            objects = list(wanted.values())
            marks = [item.payload for item in objects if isinstance(item.payload, Spilled)]
            self._context.out.append(effects.Fetch(table.name, objects, marks))
