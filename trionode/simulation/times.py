"""Checks of delays and deadlines: nothing is leased before its time or after its end (G2, R7).

Judged twice: by the simulation's time against what the producer or the consumer asked for, so that
no transfer or restart may shorten a delay; and by the node's own clock against what it believes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import events
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing import RoutingOptions
    from trionode.routing.model import HeldObject
    from trionode.routing.subscriptions import Wishes
    from trionode.simulation.fates import Fate
    from trionode.simulation.host import Host

ROUNDING_S = 1e-3
"""What sums of floats and a wire's milliseconds may be off."""
DRIFT_S = 0.1
"""How far clocks that run unevenly, but never jump, come apart over a delay or a deadline."""
JITTER = 0.8
"""The least part of a retry's back-off that is waited."""


class Times:
    """Judges deliveries and ends of objects by their times.

    Args:
        options: of the brains.
        even: all clocks run evenly, so that no more than rounding is allowed for.
    """

    def __init__(self, options: RoutingOptions, *, even: bool) -> None:
        self._options = options
        self._slack_s = ROUNDING_S if even else DRIFT_S
        self.time = 0.0
        """Now, in simulated time."""
        self.now = 0.0
        """The same on the clock of the node whose event is looked at."""
        self.jumps_s = 0.0
        """How far all clocks together have jumped forward."""

    @staticmethod
    def jumped(fates: Iterable[Fate], forward_s: float) -> None:
        """The clock of the node that holds these jumps: their times come that much nearer."""
        for fate in fates:
            if fate.timed:
                fate.early_s += forward_s

    def offered(self, fate: Fate) -> None:
        """An object is sent to a peer; what remains of its times is not counted on the way."""
        fate.sent = self.time

    def arrived(self, fate: Fate) -> None:
        """It has come there."""
        fate.late_s += self.time - fate.sent

    def nacked(self, fate: Fate, delay_s: float | None, wishes: Wishes) -> None:
        """A consumer failed with an object; `fate.attempt` is the one that comes next."""
        if delay_s is None:
            options = self._options
            base_s = options.retry_base_s if wishes.retry_base_s is None else wishes.retry_base_s
            cap_s = options.retry_cap_s if wishes.retry_cap_s is None else wishes.retry_cap_s
            backoff_s = base_s * float(2 ** max(0, fate.attempt - 2))
            delay_s = JITTER * min(backoff_s, max(base_s, cap_s))
        fate.due = self.time + delay_s
        fate.timed = True

    def is_past(self, fate: Fate) -> bool:
        """Whether an object may be at its end, by some node's clock."""
        latest = self.time + self._slack_s + fate.early_s
        return fate.deadline is not None and fate.deadline <= latest

    def check_delivery(self, host: Host, event: object, fate: Fate, item: HeldObject) -> None:
        """An object that has times is leased."""
        latest = self.time + self._slack_s + fate.early_s
        if fate.not_before > latest:
            early_s = fate.not_before - self.time
            raise InvariantBroken("R7", f"leased {early_s:.3f} s before its time", item.id)
        if fate.due > latest and not fate.excuses:
            text = f"leased {fate.due - self.time:.3f} s before its retry is due"
            raise InvariantBroken("R7", text, item.id)
        now = self.now
        if item.detail("due", now) > now:
            raise InvariantBroken("R7", "leased before its time on this node's clock", item.id)
        if fate.deadline is None or fate.lifted or _is_tick_owed(host, event, item, now):
            return
        known = item.detail("deadline")
        if known is None and fate.excuses:
            return  # it was pushed again, elsewhere, when its producer no longer knew of its times
        late_s = self.time - fate.deadline
        if known is None or known < now or late_s > self._slack_s + fate.late_s:
            raise InvariantBroken("G2", f"leased {late_s:.3f} s after its deadline", item.id)


def _is_tick_owed(host: Host, event: object, item: HeldObject, now: float) -> bool:
    """Whether the node was kept from looking at its timers, as after a pause."""
    assert host.brain is not None
    wake = host.brain.wake_at
    if type(event) is events.Tick or (type(event) is events.OfferCame and item.id in event.ids):
        return False
    return wake is not None and wake <= now
