"""Deliberate bugs of what it means to forget a node for good."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from tests.simulation.patching import replaced
from trionode.routing import brain, effects, events, offers
from trionode.routing.model import HeldObject, Step


def doubtful_dropped() -> Any:
    """What was on offer to the node is taken for given."""

    def make(_old: Any) -> Any:
        def give_up(self: Any, peer: str, _now: float) -> list[Any]:
            for offer in list(self.open.get(peer, {}).values()):
                given = [item for item in offer.objects if item and item.holder is offer]
                ids = self._context.custody.remove(given, Step.GIVE, "transferred")
                self._context.out.append(effects.Forget(ids))
                self._forget(offer)
            return []

        return give_up

    return replaced(offers.Givings, "give_up", make)


def doubt_goes_on() -> Any:
    """What was on offer to the node waits for it as before."""
    return patch.object(offers.Givings, "give_up", lambda *_args: [])


def duplicates_not_said() -> Any:
    """What was in doubt with the node says nothing of that."""
    give_up = offers.Givings.give_up

    def silently(self: Any, peer: str, now: float) -> Any:
        with patch.object(HeldObject, "amend", lambda *_args, **_more: None):
            return give_up(self, peer, now)

    return patch.object(offers.Givings, "give_up", silently)


def numbers_kept() -> Any:
    """The numbers of the node's own offers are remembered."""

    def make(old: Any) -> Any:
        def forgotten(self: Any, event: Any, now: float) -> None:
            with patch.object(offers.Takings, "forget_giver", lambda *_args: None):
                old(self, event, now)

        return forgotten

    return replaced(brain.Brain, "_node_forgotten", make)


def store_not_told() -> Any:
    """The store is not told, so that the next start remembers all of it."""

    def make(old: Any) -> Any:
        def handle(self: Any, event: Any, now: float) -> list[Any]:
            out: list[Any] = old(self, event, now)
            if type(event) is events.NodeForgotten:
                kinds = (effects.ForgetOffers, effects.UnmarkOffered)
                return [effect for effect in out if type(effect) not in kinds]
            return out

        return handle

    return replaced(brain.Brain, "handle", make)


def others_forgotten_too() -> Any:
    """Offers to every node that is away are given up with those to the one that is gone."""

    def make(old: Any) -> Any:
        def give_up(self: Any, peer: str, now: float) -> list[Any]:
            away = [
                each
                for each, offers_to in self.open.items()
                if any(offer.doubt is not None for offer in offers_to.values())
            ]
            return [item for each in dict.fromkeys([peer, *away]) for item in old(self, each, now)]

        return give_up

    return replaced(offers.Givings, "give_up", make)
