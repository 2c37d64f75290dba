"""Checks of a brain's own books: exact accounting (I8), and no trace of dead interest (I7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing.custody import FLOWS_IN, FLOWS_OUT
from trionode.routing.model import HELD_STATES, Spilled, State
from trionode.routing.patterns import is_pattern, matches
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing import Brain
    from trionode.routing.custody import TypeTable


def check_sums(brain: Brain, held: int) -> None:
    """I8 in a few sums: what came in less what went out is what is here, `held` in all."""
    custody = brain.context.custody
    count = size_bytes = 0
    for table in custody.tables.values():
        flows = table.flows
        inside = inside_bytes = 0
        for door in FLOWS_IN:
            flow = flows[door]
            inside += flow.count
            inside_bytes += flow.size_bytes
        for door in FLOWS_OUT:
            flow = flows[door]
            inside -= flow.count
            inside_bytes -= flow.size_bytes
        if inside != table.held or inside_bytes != table.held_bytes:
            raise InvariantBroken("I8", f"{table.name}: {inside} by the doors, {table.held} held")
        count += inside
        size_bytes += inside_bytes
    if count != len(custody.objects) or size_bytes != custody.held_bytes:
        raise InvariantBroken("I8", f"{count} by type, {len(custody.objects)} by id")
    if count != held:
        raise InvariantBroken("I1", f"{held} by what the node put out, {count} by its books")


def recount(brain: Brain) -> None:
    """I8 object by object: states, bytes, queues, windows and offers against each other."""
    context = brain.context
    counts: dict[str, list[int]] = {}
    spilled: dict[str, int] = {}
    spilled_bytes = 0
    sizes: dict[str, int] = {}
    for id_, item in context.custody.objects.items():
        table = item.table
        if id_ != item.id or context.custody.tables.get(table.name) is not table:
            raise InvariantBroken("I8", "an object is filed where it doesn't belong", id_)
        counts.setdefault(table.name, [0] * len(HELD_STATES))[item.state] += 1
        sizes[table.name] = sizes.get(table.name, 0) + len(item.payload)
        if isinstance(item.payload, Spilled):
            spilled[table.name] = spilled.get(table.name, 0) + 1
            spilled_bytes += len(item.payload)
        _check_holder(brain, item)
    if spilled_bytes != context.custody.spilled_bytes:
        raise InvariantBroken("I8", "the bytes left to the store are not those of the objects")
    for table in context.custody.tables.values():
        found = counts.get(table.name, [0] * len(HELD_STATES))
        if found != table.counts or sizes.get(table.name, 0) != table.held_bytes:
            raise InvariantBroken("I8", f"{table.name}: {table.counts} in the books, {found} found")
        if spilled.get(table.name, 0) != table.spilled:
            raise InvariantBroken("I8", f"{table.name}: {table.spilled} left to the store")
        _check_queue(table)
    _check_windows(brain)
    check_patterns(brain)


def check_patterns(brain: Brain) -> None:
    """Each type knows the patterns in use that it belongs to, each pattern where objects wait."""
    context = brain.context
    custody, patterns = context.custody, context.custody.patterns.open_ones
    used = {*context.subscriptions.demands, *brain.interest.routes}
    if {key for key in used if is_pattern(key)} != set(patterns):
        raise InvariantBroken("I7", f"{list(patterns)} are open, {list(used)} are used")
    for table in custody.tables.values():
        belongs = {key for key in patterns if matches(key, table.name)}
        if table.keys[0] != table.name or set(table.keys[1:]) != belongs:
            raise InvariantBroken("I8", f"{table.name} goes by {table.keys}, not {belongs}")
        for key in belongs:
            if table not in patterns[key].tables:
                raise InvariantBroken("I8", f"{key} doesn't know of {table.name}")
            if table.counts[State.READY] and table not in patterns[key].waiting:
                raise InvariantBroken("I5", f"{key} doesn't know what waits of {table.name}")
    if any(custody.tables.get(t.name) is not t for p in patterns.values() for t in p.tables):
        raise InvariantBroken("I7", "a pattern knows of a type that is forgotten")


def _check_holder(brain: Brain, item: object) -> None:
    holder = item.holder  # type: ignore[attr-defined]  # a HeldObject; its holder is one of two classes
    id_, state = item.id, item.state  # type: ignore[attr-defined]  # the same
    if state == State.LEASED and isinstance(item.payload, Spilled):  # type: ignore[attr-defined]  # the same
        raise InvariantBroken("I6", "an object is leased without its payload", id_)
    if state == State.LEASED:
        if holder is None or holder.leases.get(id_) is not item:
            raise InvariantBroken("I6", "a leased object is not in its subscription's window", id_)
    elif state == State.TRANSFERRING:
        offers = brain.givings.open.get(holder.peer, {}) if holder is not None else {}
        if holder is None or offers.get(holder.number) is not holder:
            raise InvariantBroken("I1", "an object is on an offer that is not open", id_)
    elif holder is not None:
        raise InvariantBroken("I6", "an object that nobody has is held by somebody", id_)


def _check_queue(table: TypeTable) -> None:
    ready = [item.id for item in table.ready]
    if len(ready) != table.counts[State.READY] or len(dict.fromkeys(ready)) != len(ready):
        raise InvariantBroken("I8", f"{table.name}: {len(ready)} queued, {table.counts} counted")


def _check_windows(brain: Brain) -> None:
    """Free credit of each key is the sum over its subscriptions."""
    subscriptions = brain.context.subscriptions
    for demand in subscriptions.demands.values():
        free = 0
        for subscription in demand.subscriptions:
            size_bytes = sum(len(item.payload) for item in subscription.leases.values())
            if subscription.leased_bytes != size_bytes:
                raise InvariantBroken("I8", "a window's bytes are not those of its leases")
            left = max(0, subscription.credit - len(subscription.leases))
            if size_bytes < subscription.credit_bytes and not subscription.stream.holds_back:
                free += left
        if free != demand.free:
            raise InvariantBroken("I8", f"{demand.key}: credit {demand.free}, {free} found")


def check_no_interest(brain: Brain) -> None:
    """I7: with no subscription left anywhere, no table holds a key."""
    interest, context = brain.interest, brain.context
    found: list[str] = [*context.subscriptions.demands, *interest.routes]
    for link in interest.links.values():
        found += [*link.advertised, *link.give, *link.take]
    found += [*context.stale_interest, *context.stale_grants, *context.custody.patterns.open_ones]
    if found:
        raise InvariantBroken("I7", f"{context.node} still has interest in {found[0]}")


def check_nothing_in_doubt(brain: Brain) -> None:
    """I5: offers are all answered and closed, on both sides."""
    for offers in brain.givings.open.values():
        for offer in offers.values():
            raise InvariantBroken("I5", f"offer {offer.number} to {offer.peer} is still open")
