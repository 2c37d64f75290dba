"""All checkers of I1-I9, put together: what is looked at after every event, and what in samples.

Each invariant is checked in one place: I1, I6, G3 and G5 by the ledger; I3 and I4 by the moves;
R4 by the grants; ordering keys and the turns of priorities by the order; I7 and I8 by the books; I2
and I9 here; I5 at the end of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, events
from trionode.routing.model import State
from trionode.simulation.books import check_sums, recount
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.forgetting import Forgetting
from trionode.simulation.grants import Grants
from trionode.simulation.ledger import Ledger
from trionode.simulation.moves import Moves
from trionode.simulation.order import Order
from trionode.simulation.rates import Rates
from trionode.simulation.watchers import Watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from trionode.routing.effects import Effect
    from trionode.routing.options import RoutingOptions
    from trionode.simulation.host import Host

SAMPLE_SUMS = 64
"""With sampling, the sums of a node are checked after so many of its events."""
SAMPLE_GRANTS = 4
"""The same of unspent credit, at ticks."""
SAMPLE_RECOUNT = 8192
"""The same of its objects, counted one by one: that costs as much as the node holds."""

STEADY = frozenset({"delays", "clocks", "consumers"})
"""Faults that take no node, no link and no producer away."""

_CUSTODY = (
    effects.Keep,
    effects.Forget,
    effects.Deliver,
    effects.LoseLeases,
    effects.MarkOffered,
    effects.SendOffer,
)


class Invariants:
    """Sees every event of every node.

    Args:
        options: what the brains run with.
        hosts: all nodes by index, also those that come later.
        every: check all at every event; else only the ledger is exact and the rest sampled.
        faults: what is simulated. Without any, I2 must hold; without `clocks` no clock jumps or
            runs unevenly; with some of `STEADY` only, a key's order holds over the whole mesh.
    """

    def __init__(
        self,
        options: RoutingOptions,
        hosts: Sequence[Host],
        *,
        every: bool,
        faults: tuple[str, ...],
    ) -> None:
        self._hosts = hosts
        self.ledger = Ledger(options, even_clocks="clocks" not in faults)
        self.moves = Moves()
        self.grants = Grants(self.moves)
        self.rates = Rates(options, self.ledger)
        self.order = Order(self.ledger, steady=STEADY.issuperset(faults))
        self.watchers = Watchers(self.ledger)
        self.forgetting = Forgetting(self.ledger)
        self.checks = 0
        self._checks_of: dict[type, Callable[[Host, Any, list[Effect]], None]] = {
            events.LinkDown: lambda _host, _event, out: self._check_undisturbed(out),
            events.NodeForgotten: self.forgetting.check,
        }
        if not faults:
            self._checks_of[events.OfferCame] = lambda _host, event, _out: self._check_holders(
                event
            )
        self._sums_mask = 1 if every else SAMPLE_SUMS
        self._grants_mask = 1 if every else SAMPLE_GRANTS
        self._recount_mask = 1 if every else SAMPLE_RECOUNT

    def node_started(self, host: Host, now: float) -> None:
        """A life of a node begins."""
        self.ledger.node_started(host)
        self.moves.node_started(host, now)
        self.grants.node_started(host)
        self.order.node_started(host)
        self.watchers.node_started(host)

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """A brain took an event; raises `InvariantBroken` if that must not have happened."""
        kind = type(event)
        if kind is events.Recovered:
            return
        if out or kind is not events.Tick or self.ledger.leases[host.index].away:
            self.watchers.observe(host, event, out)
            self.ledger.observe(host, event, out, now)
            self.moves.observe(host, event, out, now)
            for id_ in self.moves.returned:
                self.rates.returned(id_)
            self.grants.observe(host, event, out, now)
            if out:
                self.order.observe(host, out)
        if kind in self._checks_of:
            self._checks_of[kind](host, event, out)
        turns = host.turns
        assert host.brain is not None
        if kind is events.Tick and turns % self._grants_mask == 0:
            self.grants.check_withdrawn(host, now)
        if turns % self._sums_mask == 0:
            self.checks += 1
            check_sums(host.brain, len(self.ledger.held[host.index]))
        if turns % self._recount_mask == 0:
            recount(host.brain)

    @staticmethod
    def _check_undisturbed(out: list[Effect]) -> None:
        """I9: the end of a link, as by a crash, moves no object."""
        for effect in out:
            if isinstance(effect, _CUSTODY):
                raise InvariantBroken("I9", f"a lost link caused {type(effect).__name__}")

    def _check_holders(self, event: events.OfferCame) -> None:
        """I2: without faults all holders of an object but one are giving it away.

        There may be more than two: a receiver may hand an object on before its giver has the
        answer.
        """
        for id_ in event.ids:
            holders = self.ledger.fates[id_].holders
            if len(holders) < 2:
                continue
            staying = [each for each in holders if not self._moves_away(each, id_)]
            if len(staying) > 1:
                raise InvariantBroken("I2", f"in the custody of nodes {holders}", id_)

    def _moves_away(self, index: int, id_: int) -> bool:
        brain = self._hosts[index].brain
        assert brain is not None
        return brain.context.custody.objects[id_].state == State.TRANSFERRING
