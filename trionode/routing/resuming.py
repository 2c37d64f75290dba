"""Consumers that lose their connection and come back: `reconnect_grace` (G4).

The stream of such a consumer is set aside with its leases, without credit. Who comes with its
secret gets it back under a new handle, and says of each subscription what it still has: a lease
stays where its delivery had reached the consumer and both sides know it by the same name. What was
under way when the stream broke is returned, uncounted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.model import HeldObject
    from trionode.routing.subscriptions import ConsumerStream, Subscription

NOT_YOURS = "the lease ended while its consumer was away"


def set_aside(context: Context, stream: ConsumerStream, now: float) -> None:
    """Keep what leases something and has a grace; the timer `away` is set for each.

    Nobody can come back to a node that is leaving.
    """
    stream.silent = False
    if not stream.secret or context.draining:
        return
    for subscription in stream.subscriptions.values():
        grace_s = subscription.terms.reconnect_grace_s
        if grace_s and subscription.leases and subscription.away_until is None:
            subscription.away_until = now + grace_s
            subscription.credit = 0
            context.timers.set(subscription.away_until, "away", subscription)
            for demand in subscription.demands:
                context.stale_grants[demand.key] = None
        subscription.refresh()


def is_another(subscription: Subscription, event: events.Subscribed) -> bool:
    """Whether a subscription that was set aside is not the one that the consumer asks for now."""
    if subscription.away_until is None:
        return False
    keys = {demand.key for demand in subscription.demands}
    return event.resumed is None or keys != set(event.keys)


def resume(
    subscription: Subscription, resumed: events.Resumed
) -> tuple[list[HeldObject], list[tuple[int, int, str]]]:
    """Go on counting deliveries where the consumer is; what it has stays leased to it.

    Returns what it has not got, to be given back, and which of its leases are none any more.
    """
    held = dict.fromkeys(resumed.held)
    undelivered: list[HeldObject] = []
    for item in subscription.leases.values():
        name = (item.id, item.attempt)
        if name in held and item.mark < resumed.delivered:
            del held[name]
        else:
            undelivered.append(item)
    subscription.delivered = resumed.delivered
    subscription.started = min(subscription.started, resumed.delivered)
    return undelivered, [(id_, attempt, NOT_YOURS) for id_, attempt in held]
