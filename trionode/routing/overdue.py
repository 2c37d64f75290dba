"""Leases that last longer than their subscription allows (`max_processing_time`, G4).

The time of a delivery counts from when a handler started it, as far as the consumer tells. What it
has not started counts from the delivery, or from the last start on its subscription if that was
later: what waits behind others in an honest consumer's window is not overdue, and what waits behind
a frozen one comes back together with what froze it, uncounted. Of a consumer that tells of no
starts everything counts from its delivery, as an attempt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trionode.routing.context import Context
    from trionode.routing.model import HeldObject
    from trionode.routing.subscriptions import Subscription

NEVER = float("inf")
GRAIN = 8
"""A subscription is looked at at most so often within its `max_processing_time`: what is overdue is
taken back at most an eighth of that late."""


def note_start(subscription: Subscription, now: float) -> None:
    """The consumer has told how many deliveries are started."""
    starts = subscription.starts
    first = next(iter(subscription.leases.values()), None)
    oldest = subscription.delivered if first is None else first.mark
    while len(starts) > 1 and starts[0][0] <= oldest:
        del starts[0]
    if starts and starts[-1][1] == now:
        starts[-1] = (subscription.started, now)
    else:
        starts.append((subscription.started, now))


def watch(context: Context, subscription: Subscription, now: float) -> None:
    """Have the subscription looked at when something on it may be overdue."""
    limit_s = subscription.terms.max_processing_s
    if limit_s and subscription.look_at > now + limit_s:
        subscription.look_at = now + limit_s
        context.timers.set(subscription.look_at, "overdue", subscription)


def overdue(context: Context, subscription: Subscription, now: float) -> list[HeldObject]:
    """What is overdue on a subscription; sets the timer for what may be so next."""
    limit_s = subscription.terms.max_processing_s
    if subscription.look_at > now:
        return []  # an older timer: terms may be set again
    subscription.look_at = NEVER
    if not limit_s or not subscription.leases:
        return []
    found: list[HeldObject] = []
    earliest = NEVER
    for item in subscription.leases.values():
        due = _begun(subscription, item) + limit_s
        if due <= now:
            found.append(item)
        else:
            earliest = min(earliest, due)
    if earliest < NEVER:
        subscription.look_at = max(earliest, now + limit_s / GRAIN)
        context.timers.set(subscription.look_at, "overdue", subscription)
    return found


def counts(item: HeldObject, subscription: Subscription) -> bool:
    """Whether an overdue lease counts as an attempt.

    Not if the consumer tells of starts, and has not told of this one.
    """
    return item.mark < subscription.started or not subscription.stream.confirms


def _begun(subscription: Subscription, item: HeldObject) -> float:
    starts = subscription.starts
    if not starts or not subscription.stream.confirms:
        return item.since
    if item.mark < subscription.started:
        return next((when for count, when in starts if item.mark < count), item.since)
    return max(item.since, starts[-1][1])
