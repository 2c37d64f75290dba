"""Subscriptions that outlive a broken connection (`reconnect_grace`). Pure, part of the core.

Theory of operation. When the stream of such a subscription is lost, its window is set aside with
the deliveries in it instead of ending with the stream; what the user settles meanwhile waits in
`Window.deferred`, with what was sent and not answered. The next stream adopts the window: its
Subscribe names every lease that is here, and the node answers which of them are over. Only then go
the deferred settles, so that none of them meets a lease that the node did not confirm. A settle
that was sent before the break, and whose lease is over now, may or may not have been done.

A window is away from when its stream is lost until another one adopts it, and resuming from then
until the node has answered. A driver that has a clock gives up what is away for too long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.client.leases import Lease, LeaseState, Window
from trionode.ids import to_runs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.client.consumer_stream import Way
    from trionode.wire import frames

RESUMED_MAX = 10_000
"""Leases that one subscription goes on with: nodes let nobody name more that has none."""
TOO_MANY = "more than a node is told of after a break"

Deferred = list[tuple[Lease, "Way", bool]]
"""Settles that wait: the lease, the way, and whether it was sent before and not answered."""


def names_of(window: Window) -> list[tuple[int, int]]:
    """Every lease that a window has, oldest first, as (id, attempt)."""
    return list(_names(window))[:RESUMED_MAX]


def _names(window: Window) -> Iterable[tuple[int, int]]:
    for lease, _, _ in window.deferred or ():
        yield lease.id, lease.attempt
    for lease in window.held.values():
        yield lease.id, lease.attempt
    for batch in window.subscription.batches:
        if batch.window is window:
            yield from batch.names()


def resume(window: Window, wish: frames.Subscribe) -> frames.Subscribe:
    """The wish of a window that was adopted, with the leases that it goes on with."""
    names = names_of(window)
    window.resuming = wish.number, frozenset(names)
    return attrs.evolve(
        wish,
        resumed_ids=to_runs([value for value, _ in names]),
        resumed_attempts=[attempt for _, attempt in names],
        resumed_delivered=window.delivered,
    )


def unsettled_of(
    sent: list[tuple[Way, list[Lease]]], queued: list[tuple[Way, list[Lease]]]
) -> dict[Window, Deferred]:
    """By window, what was sent and not answered, and what was not sent."""
    found: dict[Window, Deferred] = {}
    for settles, in_doubt in ((sent, True), (queued, False)):
        for way, leases in settles:
            for lease in leases:
                found.setdefault(lease.window, []).append((lease, way, in_doubt))
    return found


def set_aside(window: Window, unsettled: Iterable[tuple[Lease, Way, bool]]) -> None:
    """The window's stream is lost; what of it was not settled or not answered waits."""
    window.away = True
    window.resuming = None
    window.confirmed = False
    window.deferred = [*(window.deferred or ()), *unsettled]


def end(window: Window, reason: str) -> list[Lease]:
    """Everything in a window that is away or was refused is over; returns the leases."""
    ended: list[Lease] = []
    for lease, _, in_doubt in window.deferred or ():
        lease.end(LeaseState.UNKNOWN if in_doubt else LeaseState.REFUSED, reason)
        ended.append(lease)
    for lease in window.held.values():
        lease.end(LeaseState.LOST, reason)
        ended.append(lease)
    window.held.clear()
    window.settling = 0
    window.deferred = None
    window.away = False
    return ended


def confirm(window: Window, refused: dict[tuple[int, int], str]) -> tuple[list[Lease], Deferred]:
    """The node has answered; returns the leases that are over, and the settles that can go."""
    assert window.resuming is not None
    told = window.resuming[1]
    ended: list[Lease] = []
    going: Deferred = []

    def reason_of(lease: Lease) -> str | None:
        name = (lease.id, lease.attempt)
        return refused.get(name) if name in told else TOO_MANY

    for lease, way, in_doubt in window.deferred or ():
        reason = reason_of(lease)
        if reason is None:
            going.append((lease, way, in_doubt))
            continue
        window.settling -= 1
        lease.end(LeaseState.UNKNOWN if in_doubt else LeaseState.REFUSED, reason)
        ended.append(lease)
    for lease in list(window.held.values()):
        reason = reason_of(lease)
        if reason is not None:
            del window.held[lease.id]
            lease.end(LeaseState.LOST, reason)
            ended.append(lease)
    for batch in window.subscription.batches:
        if batch.window is window:
            for value, attempt in batch.names():
                if (value, attempt) in refused or (value, attempt) not in told:
                    window.buffered -= batch.drop(value, attempt)
    window.deferred = None
    window.resuming = None
    return ended, going
