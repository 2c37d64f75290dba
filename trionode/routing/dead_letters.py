"""A person's hand on dead letters: they are tried again, or discarded for good (G2, G5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, history
from trionode.routing.context import EXPIRED
from trionode.routing.model import HeldObject, State, Step

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.leases import Leases

NOT_HELD = "this node does not have it"
NOT_DEAD = "it is no dead letter"


class DeadLetters:
    """Revives and discards; custody ends only through `Custody`."""

    def __init__(self, context: Context, leases: Leases) -> None:
        self._context = context
        self._leases = leases

    def retried(self, event: events.Retried, now: float) -> None:
        """Make dead letters ready again, as if never tried; their history stays.

        A deadline that has passed is lifted: whoever retries an expired object wants it processed.
        """
        context = self._context
        items, refused = self._chosen(event.ids)
        context.note(items, history.RETRIED)
        # What expired while it was ready has left an entry in its queue.
        for table in dict.fromkeys(
            [each.table for each in items if each.detail("dead") == EXPIRED]
        ):
            table.ready.purge()
        context.custody.move(items, Step.RETRY)
        for item in items:
            over = item.detail("deadline", float("inf")) <= now
            item.amend(dead=None, due=None, suspect=None)
            if over:
                item.amend(deadline=None)
            item.attempt = 1
            item.holder = None
            item.since = now
            item.table.ready.append([item])
        if items:
            context.out.append(effects.Keep(items))
        for table in {item.table.name: item.table for item in items}.values():
            self._leases.match(table)
            context.stale_plans[table.name] = None
        self._answer(event.number, [item.id for item in items], refused)

    def discarded(self, event: events.Discarded) -> None:
        """End custody of dead letters."""
        context = self._context
        items, refused = self._chosen(event.ids)
        for table in {item.table.name: item.table for item in items}.values():
            context.regrant(table)
        ids = context.custody.remove(items, Step.DISCARD, "discarded")
        if ids:
            context.out.append(effects.Forget(ids))
        self._answer(event.number, ids, refused)

    def _chosen(self, ids: list[int]) -> tuple[list[HeldObject], list[tuple[int, str]]]:
        """The dead letters among some ids, each once, and why the others are none."""
        objects = self._context.custody.objects
        chosen: list[HeldObject] = []
        refused: list[tuple[int, str]] = []
        for id_ in dict.fromkeys(ids):
            item = objects.get(id_)
            if item is not None and item.state == State.DEAD:
                chosen.append(item)
            else:
                refused.append((id_, NOT_HELD if item is None else NOT_DEAD))
        return chosen, refused

    def _answer(self, number: int, done: list[int], refused: list[tuple[int, str]]) -> None:
        self._context.out.append(effects.AnswerPerson(number, done, refused, after_commit=True))
