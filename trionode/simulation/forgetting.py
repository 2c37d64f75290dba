"""Checks of what it means that a person has a node forgotten: all books with it are closed (R8).

What was in doubt with it stays here, and says of itself that it may be a duplicate; what is open
with others stays open.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.effects import Effect
    from trionode.simulation.host import Host
    from trionode.simulation.ledger import Ledger

Number = tuple[int, int]


@attrs.define(eq=False)
class _Books:
    """What is open just before: of the node to be forgotten, and how many with each other one."""

    gone: str
    doubtful: list[int]
    given: dict[Number, None]
    taken: dict[Number, None]
    others: dict[str, int]


class Forgetting:
    """Compares a node before and after it forgets another.

    Args:
        ledger: knows what is held.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._before: _Books | None = None

    def begins(self, host: Host, gone: Host, gone_node: str) -> None:
        """A node is about to forget another, which may not be gone at all.

        Of what that one is giving to this node, this one knows no more whether it took it.
        """
        assert host.brain is not None
        open_ones = host.brain.givings.open
        given = open_ones.get(gone_node, {})
        self._before = _Books(
            gone_node,
            [
                item.id
                for offer in given.values()
                for item in offer.objects
                if item is not None and item.holder is offer
            ],
            dict.fromkeys(given),
            dict.fromkeys(host.brain.takings.taken.get(gone_node, {})),
            {peer: len(offers) for peer, offers in open_ones.items() if peer != gone_node},
        )
        if gone.node == gone_node:
            for id_ in _on_offer(gone, host.node):
                self._ledger.fates[id_].excuse("a node was forgotten")
        self._ledger.count("nodes forgotten")
        self._ledger.count("nodes forgotten with objects in doubt", bool(self._before.doubtful))

    def check(self, host: Host, event: events.NodeForgotten, out: list[Effect]) -> None:
        """It has.

        Raises:
            InvariantBroken: a book with it is open, or one with another node was closed.
        """
        before, self._before = self._before, None
        assert host.brain is not None
        assert before is not None
        brain = host.brain
        if (
            before.gone in brain.givings.open
            or before.gone in brain.takings.taken
            or before.gone in brain.context.custody.ordering.away
        ):
            raise InvariantBroken("R8", f"there are books with {event.node}, which is forgotten")
        if before.others != {peer: len(each) for peer, each in brain.givings.open.items()}:
            raise InvariantBroken("R8", f"{event.node} was forgotten, and offers to others with it")
        self._check_stored(before, out)
        self._check_kept(host, before)

    @staticmethod
    def _check_stored(before: _Books, out: list[Effect]) -> None:
        """The store hears of it as well."""
        unmarked = [
            (effect.incarnation, effect.sequence)
            for effect in out
            if type(effect) is effects.UnmarkOffered and effect.peer == before.gone
        ]
        forgotten = [
            number
            for effect in out
            if type(effect) is effects.ForgetOffers and effect.giver == before.gone
            for number in effect.numbers
        ]
        if dict.fromkeys(unmarked) != before.given or dict.fromkeys(forgotten) != before.taken:
            raise InvariantBroken("R8", f"the store keeps books with {before.gone}")

    def _check_kept(self, host: Host, before: _Books) -> None:
        """What was in doubt is here, unless its time is over, and is not taken for the only one."""
        assert host.brain is not None
        held = host.brain.context.custody.objects
        for id_ in before.doubtful:
            fate = self._ledger.fates[id_]
            item = held.get(id_)
            if item is None and not fate.expired:
                raise InvariantBroken("R8", "in doubt with a node, and gone with it", id_)
            if item is not None and item.detail("possibly_duplicate") is None:
                raise InvariantBroken("R8", "in doubt, and not said to be a duplicate", id_)


def _on_offer(giver: Host, peer: str) -> list[int]:
    """What a node, up or down, has on offer to a peer."""
    if giver.brain is not None:
        offers = giver.brain.givings.open.get(peer, {}).values()
        return [item.id for offer in offers for item in offer.objects if item is not None]
    if giver.disk is None:
        return []
    given = [each for (to, _, _), each in giver.disk.given.items() if to == peer]
    return [id_ for each in given for id_ in each.ids]
