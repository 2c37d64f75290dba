"""Pushes: new sequences are taken into custody, repeats are recognised (R11), also by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.ids import SEQUENCE_BITS, format_id
from trionode.routing import effects
from trionode.routing.keys import FORGET_MANY, Keys, digest_of
from trionode.routing.model import HeldObject, State
from trionode.routing.producers import Producers

if TYPE_CHECKING:
    from trionode.ids import Run
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.leases import Leases
    from trionode.routing.producers import AcceptedSequences
    from trionode.routing.records import KeysRecord


class Intake:
    """Mutates the books of producers and keys; custody through `Custody`."""

    def __init__(self, context: Context, leases: Leases) -> None:
        self._context = context
        self._leases = leases
        options = context.options
        self.producers = Producers(options.producers_remembered)
        self.keys = Keys(options.key_window_s, options.keys_remembered)
        self._keys_watched = False
        """Whether a timer is set for the oldest key."""

    def pushed(self, event: events.Pushed, now: float) -> None:
        """Take custody of what is new and acknowledge all of it once the store has it."""
        came = self._accept(event, now)
        others = self._others(event, now) if event.details else []
        count = len(event.payloads)
        new = None
        if came == count and not any("key" in rare for rare in event.details.values()):
            first = (event.producer << SEQUENCE_BITS) + event.first
            new = range(first, first + count)
        self._context.out.append(
            effects.AcknowledgePush(
                event.stream, [(event.first, count)], others, new, after_commit=True
            )
        )

    def emitted(self, event: events.Settled, settled: list[int], now: float) -> None:
        """Take custody of the results of those acks that were valid, by their indexes.

        It is the step in which the parents leave: one commit has both, or neither. Never refused
        for space (G7).
        """
        valid = set(settled)
        for index, pushed in event.emitted:
            if index in valid:
                self._accept(_children(pushed, event.ids[index]), now)

    def _accept(self, event: events.Pushed, now: float) -> int:
        """Take custody of what is new of a push; returns of how many objects."""
        context = self._context
        book, forgotten = self.producers.book(event.producer)
        if forgotten is not None:
            context.out.append(effects.ForgetProducer(forgotten))
        floor = max(book.floor, event.acknowledged)
        book.raise_floor(event.acknowledged)
        count = len(event.payloads)
        fresh = book.missing(event.first, count)
        if not fresh:
            return 0
        came = self._take(event, book, fresh, now)
        context.out.append(effects.RememberProducer(event.producer, fresh, floor))
        return came

    def _take(
        self, event: events.Pushed, book: AcceptedSequences, fresh: list[Run], now: float
    ) -> int:
        context = self._context
        table = context.custody.table(event.type)
        objects: list[HeldObject] = []
        for first, length in fresh:
            book.add(first, length)
            objects += self._objects(event, table, (first, length), now)
        if event.details:
            objects = self._without_repeats(objects, table, now)
        objects = [item for item in objects if not self._merged(item)]
        if objects:
            context.custody.admit(table, objects, "accepted")
            if event.details:
                context.watch(objects)
            context.out.append(effects.Keep(objects, fresh=True))
            self._leases.match(table)
        return len(objects)

    def _merged(self, item: HeldObject) -> bool:
        """Whether the object is here already: pushed to another node before, and transferred."""
        custody = self._context.custody
        if item.id not in custody.objects:
            return False
        custody.merge(item.table, len(item.payload), "accepted")
        return True

    # --- keys ----------------------------------------------------------------------------------

    def restore_keys(self, kept: list[KeysRecord], now: float) -> None:
        """Take over all keys that a store kept."""
        self.keys.restore(kept, now)
        self._watch_keys()

    def keys_due(self, _: object, now: float) -> None:
        """A timer: some keys may be over."""
        self._keys_watched = False
        self._forget_keys(now)
        self._watch_keys()

    def _without_repeats(
        self, objects: list[HeldObject], table: TypeTable, now: float
    ) -> list[HeldObject]:
        """The objects but for those whose keys mean others; the keys of these are remembered."""
        kept: list[HeldObject] = []
        fresh: list[tuple[bytes, int]] = []
        for item in objects:
            key = item.detail("key")
            if key is not None:
                digest = digest_of(table.name, key)
                if self.keys.find(digest, now) is not None:
                    continue
                self.keys.add(digest, item.id, now)
                fresh.append((digest, item.id))
            kept.append(item)
        if fresh:
            self._context.out.append(effects.RememberKeys(now, tuple(fresh)))
            self._watch_keys()
            if self.keys.unsaid >= FORGET_MANY:
                self._forget_keys(now)
        return kept

    def _others(self, event: events.Pushed, now: float) -> list[tuple[int, int]]:
        """Which sequences of a push stand for objects of other ids, because of their keys."""
        base = event.producer << SEQUENCE_BITS
        others: list[tuple[int, int]] = []
        for index, rare in event.details.items():
            if "key" in rare:
                sequence = event.first + index
                found = self.keys.find(digest_of(event.type, rare["key"]), now)
                if found is not None and found != base + sequence:
                    others.append((sequence, found))
        return others

    def _forget_keys(self, now: float) -> None:
        until = self.keys.forget(now)
        if until is not None:
            self._context.out.append(effects.ForgetKeys(until))

    def _watch_keys(self) -> None:
        wake_at = self.keys.wake_at
        if wake_at is not None and not self._keys_watched:
            self._keys_watched = True
            self._context.timers.set(wake_at, "keys", None)

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


def _children(pushed: events.Pushed, parent: int) -> events.Pushed:
    """The push of an object's results, each of which names it."""
    family = {"parent": format_id(parent)}
    details = {
        index: {**own, **family} if (own := pushed.details.get(index)) else family
        for index in range(len(pushed.payloads))
    }
    return attrs.evolve(pushed, details=details)
