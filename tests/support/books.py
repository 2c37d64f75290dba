"""What must be true of a brain's books after every event: I6, I7, I8, and that they agree.

Slow and simple on purpose: everything is counted anew from the objects.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from trionode.routing.custody import FLOWS_IN, FLOWS_OUT
from trionode.routing.model import HELD_STATES, Spilled, State
from trionode.routing.offers import Offer
from trionode.routing.subscriptions import Subscription
from trionode.routing.weights import COVERED_BYTES, weight_of
from trionode.simulation.books import check_patterns

if TYPE_CHECKING:
    from trionode.routing import Brain
    from trionode.routing.context import Context
    from trionode.routing.custody import Custody


def check_books(brain: Brain) -> None:
    """All checks that hold at any moment."""
    context = brain.context
    _check_accounts(context)
    _check_queues(context)
    _check_holders(brain)
    _check_windows(context)
    _check_timers(context)
    _check_keys(context)
    check_patterns(brain)


def _check_accounts(context: Context) -> None:
    """I8: what is held is what came in less what went out, in objects and in bytes."""
    custody = context.custody
    counts = Counter((item.table.name, item.state) for item in custody.objects.values())
    sizes: Counter[str] = Counter()
    for item in custody.objects.values():
        sizes[item.table.name] += len(item.payload)
    for name, table in custody.tables.items():
        assert [table.counts[state] for state in HELD_STATES] == [
            counts[name, state] for state in HELD_STATES
        ]
        flows = table.flows
        assert table.held == sum(flows[door].count for door in FLOWS_IN) - sum(
            flows[door].count for door in FLOWS_OUT
        )
        assert table.held_bytes == sizes[name]
        assert table.held_bytes == sum(flows[door].size_bytes for door in FLOWS_IN) - sum(
            flows[door].size_bytes for door in FLOWS_OUT
        )
    assert custody.held_bytes == sum(sizes.values())
    _check_weights(custody)
    spilled = [each for each in custody.objects.values() if isinstance(each.payload, Spilled)]
    assert custody.spilled_bytes == sum(len(each.payload) for each in spilled)
    for table in custody.tables.values():
        assert table.spilled == sum(each.table is table for each in spilled)
    assert all(each.state != State.LEASED for each in spilled)
    assert {name for name, _ in counts} <= set(custody.tables)


def _check_weights(custody: Custody) -> None:
    """The memory that objects take is that of each, whatever happened to them before."""
    weights = {
        id_: weight_of(item.details) - COVERED_BYTES
        for id_, item in custody.objects.items()
        if item.details is not None
    }
    assert custody.weights.beyond == {id_: weight for id_, weight in weights.items() if weight > 0}
    assert custody.weights.total_bytes == sum(custody.weights.beyond.values())


def _check_queues(context: Context) -> None:
    """Every ready object waits in the queue of its type, once; no other is found there."""
    for table in context.custody.tables.values():
        queued = Counter(item.id for item in table.ready)
        assert all(count == 1 for count in queued.values()), "an object is queued twice"
        ready = {
            item.id
            for item in context.custody.objects.values()
            if item.table is table and item.state == State.READY
        }
        assert set(queued) == ready


def _check_holders(brain: Brain) -> None:
    """I6: a leased object is in one window, one on offer in one open offer, others in none."""
    leased = 0
    book = brain.context.subscriptions
    streams = {*book.streams.values(), *book.secrets.values()}
    for stream in streams:
        away = [each for each in stream.subscriptions.values() if each.away_until is not None]
        assert stream.handle in book.streams or stream.subscriptions, "an empty stream is kept"
        assert stream.handle in book.streams or len(away) == len(stream.subscriptions)
        assert all(each.credit == 0 for each in away)
    for item in brain.context.custody.objects.values():
        holder = item.holder
        if item.state == State.LEASED:
            leased += 1
            assert isinstance(holder, Subscription)
            assert holder.leases[item.id] is item
            assert holder.stream in streams
            assert holder.stream.subscriptions[holder.number] is holder
        elif item.state == State.TRANSFERRING:
            assert isinstance(holder, Offer)
            assert brain.givings.open[holder.peer][holder.number] is holder
            assert any(each is item for each in holder.objects)
        else:
            assert holder is None, f"{item.state.name} and held by {type(holder).__name__}"
    windows = [subscription for stream in streams for subscription in stream.subscriptions.values()]
    assert leased == sum(len(window.leases) for window in windows)
    for stream in streams:
        leases = [lease for each in stream.subscriptions.values() for lease in each.leases.values()]
        assert stream.suspects == sum(lease.suspect for lease in leases) <= 1
        taken_bytes = stream.lost_bytes + sum(len(lease.payload) for lease in leases)
        assert stream.free_bytes == stream.limit_bytes - taken_bytes
        assert stream.free_bytes >= 0 or len([one for one in leases if one.payload]) <= 1
        assert stream.full or stream.free_bytes > 0
        assert leases or stream.lost_bytes or not stream.full
    assert all(offers for offers in brain.givings.open.values()), "an empty book is kept"
    assert all(offers for offers in brain.takings.taken.values()), "an empty book is kept"


def _check_windows(context: Context) -> None:
    """Free credit is what the windows and leases say, also as summed up per key."""
    for key, demand in context.subscriptions.demands.items():
        assert demand.subscriptions, f"nobody wants {key} any more"
        for window in demand.subscriptions:
            size_bytes = sum(len(item.payload) for item in window.leases.values())
            assert window.leased_bytes == size_bytes
            free_bytes = max(0, window.credit_bytes - size_bytes)
            open_ = free_bytes and not window.stream.holds_back
            free = max(0, window.credit - len(window.leases)) if open_ else 0
            assert (window.free, window.free_bytes) == (free, free_bytes)
            assert not free or list(demand.available).count(window) == 1
        assert demand.free == sum(window.free for window in demand.subscriptions)
        assert demand.free_bytes == sum(window.free_bytes for window in demand.subscriptions)


def _check_timers(context: Context) -> None:
    """Whatever waits for a time is woken: delays, deadlines."""
    heap = context.timers._heap
    timed = {(kind, key.id) for _, _, kind, key in heap if kind in {"due", "deadline"}}
    for item in context.custody.objects.values():
        if item.state == State.DELAYED:
            assert ("due", item.id) in timed, "a delay without an end"
        waits = item.state in (State.READY, State.DELAYED, State.LEASED)
        if waits and item.detail("deadline") is not None:
            assert ("deadline", item.id) in timed, "a deadline that nobody watches"


def _check_keys(context: Context) -> None:
    """Of an ordering key at most one object can be leased, and what follows waits in its line."""
    ordering = context.custody.ordering
    places: Counter[int] = Counter()
    for (name, key), line in ordering.lines.items():
        assert (line.table.name, line.key) == (name, key)
        assert line.play or line.away or line.followers or line.guests, "an empty line is kept"
        assert line.play or line.away or not line.followers, "a line waits for nothing"
        assert line.play or not line.guests, "a guest waits for nothing"
        places.update([*line.play, *line.followers, *line.guests])
        at_hand = [each for each in line.play.values() if each.state != State.TRANSFERRING]
        assert len(at_hand) <= 1 or context.draining
        for each in line.play.values():
            assert each.state not in (State.BLOCKED, State.DEAD)
            assert context.custody.objects[each.id] is each
        for each in [*line.followers.values(), *line.guests.values()]:
            assert each.state in (State.BLOCKED, State.DELAYED)
    for item in context.custody.objects.values():
        ordered = item.detail("ordering_key") is not None and item.detail("dead") is None
        assert places[item.id] == ordered, f"{item.state.name} in {places[item.id]} lines"
    away = [each for line in ordering.lines.values() for each in line.away.values()]
    assert all(ordering.away[each.peer][each.id] is each for each in away)


def check_no_interest_left(brain: Brain) -> None:
    """I7: nothing is known or promised of any key."""
    interest = brain.interest
    assert brain.context.subscriptions.demands == {}
    assert interest.routes == {}
    assert interest._own == {}
    assert interest._gone == {}
    for link in interest.links.values():
        assert (link.advertised, link.give, link.take) == ({}, {}, {})
    assert brain.context.custody.patterns.open_ones == {}
    unused = [
        name
        for name, table in brain.context.custody.tables.items()
        if not any(flow.count for flow in table.flows.values())
    ]
    assert unused == []
    context = brain.context
    assert (context.stale_plans, context.stale_interest, context.stale_grants) == ({}, {}, {})
    assert context.fresh_credit == {}
