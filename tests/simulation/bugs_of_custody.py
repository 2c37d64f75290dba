"""Deliberate bugs of custody that moves between nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import in_effects, replaced, together
from trionode.routing import context, effects, events, offers, rebalance
from trionode.routing.model import Step

if TYPE_CHECKING:
    from collections.abc import Callable


def forget_before_accepted() -> Any:
    """The giver forgets when it offers."""

    def make(old: Any) -> Any:
        def give(self: Any, link: Any, key: str, epoch: int, objects: Any, **more: Any) -> None:
            old(self, link, key, epoch, objects, **more)
            copies = [attrs.evolve(item) for item in objects]
            self._context.out[-1] = attrs.evolve(self._context.out[-1], objects=copies)
            ids = self._context.custody.remove(objects, Step.GIVE, "transferred")
            self._context.out.append(effects.Forget(ids))

        return give

    return replaced(offers.Givings, "give", make)


def incarnation_dropped() -> Any:
    """Offers are recognised by their sequence alone."""

    def came(_old: Any) -> Any:
        def take(self: Any, event: Any, link: Any, room: int, now: float) -> int:
            number = (0, event.sequence)
            book = self.taken.setdefault(link.peer, {})
            if number not in book:
                taken = min(len(event.ids), max(0, room))
                book[number] = tuple(range(taken, len(event.ids)))
                if taken:
                    self._take(event, taken, link.peer, now)
                self._context.out.append(effects.RememberOffer(link.peer, *number, book[number]))
            self._answer(link.handle, (link.incarnation, event.sequence), book[number])
            return len(event.ids) - len(book[number])

        return take

    def plain(old: Any) -> Any:
        def run(self: Any, event: Any, link: Any) -> None:
            old(self, attrs.evolve(event, numbers=[(0, s) for _, s in event.numbers]), link)

        return run

    def asked(_old: Any) -> Any:
        def run(self: Any, event: Any, link: Any) -> None:
            book = self.taken.get(link.peer, {})
            for number in event.numbers:
                self._answer(link.handle, number, book.get((0, number[1])))

        return run

    return together(
        replaced(offers.Takings, "came", came),
        replaced(offers.Takings, "asked", asked),
        replaced(offers.Takings, "closed", plain),
    )


def repeats_by_object_id() -> Any:
    """An offered object that is here already, even on its way out, counts as taken."""

    def make(_old: Any) -> Any:
        return lambda _self, held, _copy, _now: [held]

    return replaced(offers.Takings, "_merge", make)


def offer_again() -> Any:
    """After a reconnect the giver doesn't ask, it offers again."""

    def make(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            for offer in list(self.open.get(link.peer, {}).values()):
                kept = [i for i in offer.objects if i is not None and i.holder is offer]
                self._forget(offer)
                self._context.keep(kept, 0.0)
            old(self, link)

        return link_up

    return replaced(offers.Givings, "link_up", make)


def _answered(change: Callable[[Any], Any]) -> Any:
    def make(old: Any) -> Any:
        return lambda self, event, link, now: old(self, change(event), link, now)

    return replaced(offers.Givings, "answered", make)


def never_seen_is_accepted() -> Any:
    """An offer that never came counts as taken."""
    return _answered(lambda event: attrs.evolve(event, known=True))


def refusals_ignored() -> Any:
    """What was refused counts as taken."""
    return _answered(lambda event: attrs.evolve(event, refused=()))


def in_doubt_for_ever() -> Any:
    """An offer is never given up."""
    return patch.object(offers.Givings, "doubt_due", lambda _self, _offer, _now: [])


def given_up_at_once() -> Any:
    """An offer is given up as soon as its peer is gone."""

    def make(old: Any) -> Any:
        def begin(self: Any, offer: Any, now: float) -> None:
            timeout_s = self._context.options.in_doubt_timeout_s
            old(self, offer, now - timeout_s)

        return begin

    return replaced(offers.Givings, "_begin_to_doubt", make)


def number_forgotten_with_answer() -> Any:
    """The receiver forgets an offer's number when it has answered."""

    def make(old: Any) -> Any:
        def came(self: Any, event: Any, link: Any, room: int, now: float) -> int:
            taken = old(self, event, link, room, now)
            self._forget(link.peer, [(link.incarnation, event.sequence)])
            return taken

        return came

    return replaced(offers.Takings, "came", make)


def superseded_not_stored() -> Any:
    """A copy that took the place of one on offer is not written."""

    def change(event: Any, out: list[Any]) -> list[Any]:
        keep = type(event) is not events.OfferCame
        return [e for e in out if keep or type(e) is not effects.Keep or e.fresh]

    return in_effects(change)


def volatile_peers_trusted() -> Any:
    """Durable nodes give to nodes in memory."""
    if hasattr(context.Context, "may_give_to"):
        return patch.object(context.Context, "may_give_to", lambda _self, _link: True)
    return patch.object(rebalance.Rebalancer, "_durable_enough", lambda _self, _link: True)


def _offer_came(change: Callable[[Any], Any]) -> Any:
    def make(old: Any) -> Any:
        return lambda self, event, *more: old(self, change(event), *more)

    return replaced(offers.Takings, "_take", make)


def attempts_reset() -> Any:
    """A transfer forgets the attempts."""
    return _offer_came(lambda event: attrs.evolve(event, attempts=None))


def deadline_reset() -> Any:
    """A transfer forgets the deadline."""

    def change(event: Any) -> Any:
        details = {
            index: {name: value for name, value in each.items() if name != "deadline"}
            for index, each in event.details.items()
        }
        return attrs.evolve(event, details=details)

    return _offer_came(change)
