"""Custody moves in two steps (R8): the books of a giver and of a receiver.

Theory of operation
-------------------
An offer is numbered (giver, incarnation, sequence). The giver keeps an open offer until the answer
has come and what was accepted is forgotten durably; only then it reports the number closed. The
receiver keeps a number until it is reported closed, recognises repeats by number only, and answers
"accepted" only after the commit that holds the objects and the number.

Why not recognise an object by its id: the object may be here *because it is on its way back to the
giver*; answering "I have it" to a copy while our own copy is about to be forgotten loses both. So
an arriving copy merges into the one held only if that one stays; if it is on offer itself, the
arriving copy takes its place and the offer is void for it: its answer changes nothing.

Why ask instead of offering again: a second offer under a new number would be taken a second time.
On a new link the giver lists every open number; the receiver answers each, after whatever commit is
still pending for it, and forgets the numbers that the list does not name. A link's frames are
discarded when the next link opens, so "never seen" cannot be overtaken by the offer itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects, history
from trionode.routing.arrivals import arriving
from trionode.routing.forwarded import Forwarded
from trionode.routing.model import HeldObject, State, Step
from trionode.routing.ordering import giver_of

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.effects import Handle
    from trionode.routing.links import Link
    from trionode.routing.records import TakenRecord

Number = tuple[int, int]
"""(incarnation, sequence) of a giver."""


@attrs.define(eq=False)
class Offer:
    """An open offer of ours. `doubt` is since when its peer is gone, if it is; `doubted` if it was.

    `objects` in the order in which the answer counts them; None, after a restart, for one that is
    no longer on it.
    """

    peer: str
    number: Number
    objects: list[HeldObject | None]
    doubt: float | None = None
    doubted: bool = False


class Givings:
    """The giver's book: our open offers, by peer."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._sequence = 0
        self.open: dict[str, dict[Number, Offer]] = {}
        self.forwarded = Forwarded()

    def give(  # an offer is this many things
        self,
        link: Link,
        key: str,
        epoch: int,
        objects: list[HeldObject],
        *,
        draining: bool = False,
    ) -> None:
        """Offer ready (draining: any unleased) objects of one type and shape to a peer."""
        context = self._context
        self._sequence += 1
        number = (context.incarnation, self._sequence)
        offer = Offer(link.peer, number, list(objects))
        if context.custody.ordering.lines:
            context.custody.ordering.offered(objects)
        context.custody.move(objects, Step.OFFER)
        for item in objects:
            item.holder = offer
            item.since = context.now
        self.open.setdefault(link.peer, {})[number] = offer
        context.out.append(effects.MarkOffered(link.peer, *number, [item.id for item in objects]))
        context.out.append(
            effects.SendOffer(
                link.handle,
                self._sequence,
                key,
                epoch,
                objects[0].table.name,
                list(objects),
                draining,
            )
        )

    def answered(self, event: events.OfferAnswered, link: Link, now: float) -> list[HeldObject]:
        """The peer answered; returns the objects that stay here and are ready again."""
        number = (event.incarnation, event.sequence)
        offer = self.open.get(link.peer, {}).get(number)
        if offer is None:
            # Given up before, or a repeated answer: nothing changes, but the peer may forget it.
            self._close(link.handle, number)
            return []
        refused = set(event.refused) if event.known else set(range(len(offer.objects)))
        given: list[HeldObject] = []
        kept: list[HeldObject] = []
        for index, item in enumerate(offer.objects):
            if item is not None and item.holder is offer:
                (kept if index in refused else given).append(item)
        context = self._context
        waiting = self._away(offer, given, link)
        ids = context.custody.remove(given, Step.GIVE, "transferred")
        if ids:
            self.forwarded.gave(link.peer, ids, now)
            context.out.append(effects.Forget(ids))
            context.regrant(given[0].table)
        if waiting:
            context.out.append(effects.Keep(waiting))
        self._forget(offer)
        if event.known:
            self._close(link.handle, number)
        return context.keep(kept, now)

    def _away(self, offer: Offer, given: list[HeldObject], link: Link) -> list[HeldObject]:
        """Let the ordering keys of what was given wait; returns the objects that changed by it.

        Where the answer came late, on another link, what the peer had to report may have been lost
        with the first one.
        """
        ordering = self._context.custody.ordering
        if not ordering.lines:
            return []
        changed = ordering.given(given, link.peer)
        held = ordering.away.get(link.peer, {})
        if offer.doubted and (ids := [item.id for item in given if item.id in held]):
            self._context.out.append(effects.SendKeysAsked(link.handle, ids))
        return changed

    def link_up(self, link: Link) -> None:
        """Ask the peer about every open offer, and say that all others are closed.

        What was forgotten just before the link went must be so durably before it counts as closed.
        """
        offers = self.open.get(link.peer, {})
        for offer in offers.values():
            offer.doubt = None
        self._context.out.append(
            effects.SendAsk(
                link.handle,
                self._context.incarnation,
                self._sequence + 1,
                list(offers),
                after_commit=True,
            )
        )

    def link_down(self, peer: str, now: float) -> None:
        """Begin to doubt the open offers to a peer."""
        for offer in self.open.get(peer, {}).values():
            self._begin_to_doubt(offer, now)

    def reopen(self, offer: Offer, now: float) -> None:
        """Keep an offer of an earlier life open; its peer is not linked yet."""
        self.open.setdefault(offer.peer, {})[offer.number] = offer
        self._begin_to_doubt(offer, now)

    def _begin_to_doubt(self, offer: Offer, now: float) -> None:
        offer.doubt = now
        offer.doubted = True
        self._context.timers.set(now + self._context.doubt_s, "doubt", offer)

    def doubt_due(self, offer: Offer, now: float) -> list[HeldObject]:
        """Give an offer up whose peer stayed away too long; returns the objects ready again."""
        if offer.doubt is None or self.open.get(offer.peer, {}).get(offer.number) is not offer:
            return []
        if now < offer.doubt + self._context.doubt_s:
            return []
        return self._give_up(offer, now)

    def give_up_doubted(self, now: float) -> list[HeldObject]:
        """Give every open offer up whose peer is away; returns what is ready again."""
        offers = [offer for book in self.open.values() for offer in book.values()]
        doubted = [offer for offer in offers if offer.doubt is not None]
        return [item for offer in doubted for item in self._give_up(offer, now)]

    def give_up(self, peer: str, now: float) -> list[HeldObject]:
        """Give every open offer to a node up that never comes back; returns what is ready again."""
        offers = list(self.open.get(peer, {}).values())
        return [item for offer in offers for item in self._give_up(offer, now)]

    def _give_up(self, offer: Offer, now: float) -> list[HeldObject]:
        kept = [item for item in offer.objects if item is not None and item.holder is offer]
        for item in kept:
            item.amend(possibly_duplicate=True)
        self._context.note(kept, history.IN_DOUBT, why=f"node {offer.peer} stayed away")
        self._forget(offer)
        kept = self._context.keep(kept, now)
        if kept:
            self._context.out.append(effects.Keep(kept))
        return kept

    def _forget(self, offer: Offer) -> None:
        offers = self.open[offer.peer]
        del offers[offer.number]
        if not offers:
            del self.open[offer.peer]
        self._context.out.append(effects.UnmarkOffered(offer.peer, *offer.number))

    def _close(self, link: Handle, number: Number) -> None:
        self._context.out.append(effects.SendClose(link, [number], after_commit=True))


class Takings:
    """The receiver's book: numbers of offers taken and not yet reported closed, by giver."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.taken: dict[str, dict[Number, tuple[int, ...]]] = {}
        self._away: dict[str, float] = {}
        """Givers without a durable store that are not linked, and since when."""
        self._looked_for: set[str] = set()
        """Givers that a timer is set for."""

    def restore(self, record: TakenRecord, now: float) -> None:
        """Take over a number that was kept; nobody is linked yet."""
        self.taken.setdefault(record.giver, {})[record.incarnation, record.sequence] = (
            record.refused
        )
        if not record.durable:
            self._left(record.giver, now)

    def link_up(self, link: Link) -> None:
        """A giver may ask about its offers again."""
        self._away.pop(link.peer, None)

    def link_down(self, link: Link, now: float) -> None:
        """A giver went, maybe for good."""
        if not link.durable and link.peer in self.taken:
            self._left(link.peer, now)

    def _left(self, giver: str, now: float) -> None:
        """Count from now on how long a giver without a durable store stays away.

        It never comes back under its id once its process has ended, and while it lives it gives its
        offers up after `in_doubt_timeout_s` without us: whoever stays away for much longer asks no
        more. Should one have slept for all that time, it hears "never seen" and keeps what we took:
        a duplicate, not a loss.
        """
        self._away[giver] = now
        self._look_again(giver, now + self._context.options.giver_forgotten_after_s)

    def _look_again(self, giver: str, when: float) -> None:
        if giver not in self._looked_for:
            self._looked_for.add(giver)
            self._context.timers.set(when, "giver", giver)

    def away_due(self, giver: str, now: float) -> None:
        """Forget the numbers of a giver that stayed away for so long, or look again later."""
        self._looked_for.discard(giver)
        since = self._away.get(giver)
        if since is None:
            return
        due = since + self._context.options.giver_forgotten_after_s
        if now < due:
            self._look_again(giver, due)
        else:
            self.forget_giver(giver)

    def came(self, event: events.OfferCame, link: Link, room: int, now: float) -> int:
        """Take up to `room` objects of an offer, refuse the rest; returns how many were taken."""
        context = self._context
        number = (link.incarnation, event.sequence)
        book = self.taken.setdefault(link.peer, {})
        if number not in book:
            taken = min(len(event.ids), max(0, room))
            book[number] = tuple(range(taken, len(event.ids)))
            if taken:
                self._take(event, taken, link.peer, now)
            context.out.append(
                effects.RememberOffer(link.peer, *number, book[number], link.durable)
            )
        self._answer(link.handle, number, book[number])
        return len(event.ids) - len(book[number])

    def asked(self, event: events.OffersAsked, link: Link) -> None:
        """Answer about every number the giver names and forget all others below its next."""
        book = self.taken.get(link.peer, {})
        named = set(event.numbers)
        end = (event.incarnation, event.next_sequence)
        self._forget(link.peer, [each for each in book if each not in named and each < end])
        for number in event.numbers:
            self._answer(link.handle, number, book.get(number))

    def closed(self, event: events.OffersClosed, link: Link) -> None:
        """The giver will never ask about these numbers again."""
        book = self.taken.get(link.peer, {})
        self._forget(link.peer, [number for number in event.numbers if number in book])

    def forget_giver(self, giver: str) -> None:
        """Forget every number of a node that never asks again; should it, it keeps what it has."""
        self._away.pop(giver, None)
        self._forget(giver, list(self.taken.get(giver, ())))

    def _answer(self, link: Handle, number: Number, refused: tuple[int, ...] | None) -> None:
        self._context.out.append(
            effects.SendAnswer(link, *number, refused is not None, refused or (), after_commit=True)
        )

    def _forget(self, giver: str, numbers: list[Number]) -> None:
        if numbers:
            book = self.taken[giver]
            for number in numbers:
                del book[number]
            self._context.out.append(effects.ForgetOffers(giver, numbers))
        if not self.taken.get(giver, True):
            del self.taken[giver]

    def _take(self, event: events.OfferCame, count: int, giver: str, now: float) -> None:
        context = self._context
        table = context.custody.table(event.type)
        objects = context.custody.objects
        fresh: dict[int, HeldObject] = {}
        merged: list[HeldObject] = []
        for copy in arriving(event, count, table, (giver, context.node), now):
            held = objects.get(copy.id)
            if held is None and fresh.setdefault(copy.id, copy) is copy:
                continue
            context.custody.merge(table, len(copy.payload), "received")
            if held is not None:
                merged += self._merge(held, copy, now)
                if copy.detail("ordering_key") is not None and giver_of(held) != giver:
                    context.custody.ordering.report(giver, held.id)  # others are told of its end
        arrived = list(fresh.values())
        context.custody.admit(table, arrived, "received")
        context.watch(arrived)
        context.stale_plans[table.name] = None
        if arrived:
            context.out.append(effects.Keep(arrived, fresh=True))
        if merged:
            context.out.append(effects.Keep(merged))

    def _merge(self, held: HeldObject, copy: HeldObject, now: float) -> list[HeldObject]:
        """Take from an arriving copy what the one held doesn't know; of contents, the last wins.

        If ours is on its way out, the arriving one takes its place, and the offer is void for it.
        Returns the one held, if it is still.
        """
        context = self._context
        context.note([held], history.COPIED, why=copy.detail("history")[-1][5])
        if held.state == State.LEASED:
            return [held]  # a valid lease keeps its name (id, attempt) and its content
        version = copy.detail("version", 1)
        ahead = version - held.detail("version", 1)
        if ahead > 0:
            assert isinstance(copy.payload, bytes), "what arrives has its payload"
            context.custody.replace(held, copy.payload)
            held.shape, held.attempt = copy.shape, copy.attempt
            held.amend(version=version)
        elif ahead == 0:
            held.attempt = max(held.attempt, copy.attempt)
        if held.state == State.TRANSFERRING:
            if ahead >= 0:
                if held.detail("ordering_key") != copy.detail("ordering_key"):
                    context.custody.ordering.left([held], Step.GIVE)
                context.custody.ordering.superseded(held)
                held.become(copy.details)
            stays = context.keep([held], now)
            context.watch(stays)
            return stays
        return [held]
