"""What the parts of the brain share: identity, books, timers, and the effects of this turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing import effects, history
from trionode.routing.custody import Custody, TypeTable
from trionode.routing.model import HeldObject, State, Step
from trionode.routing.queues import Timers
from trionode.routing.subscriptions import Subscriptions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing.effects import Effect, Handle
    from trionode.routing.links import Link
    from trionode.routing.options import RoutingOptions


EXPIRED = "expired"
"""Why an object whose deadline passed is a dead letter, where its producer had it kept."""


@attrs.define(eq=False)
class Context:
    """Shared by the parts of one brain, mutated by them only.

    `out` gathers the effects of the current turn. The `stale_…` dicts are ordered sets of what the
    next tick has to look at: types whose transfers to plan, keys whose interest to tell, keys whose
    grants to recompute. `hungry`: every key of which a peer would like to offer more than it was
    granted, and maybe some of which none does. `fresh_credit`: links and patterns for which peers
    stated what they accept, and which of the types that wait for it are to be planned is seen then.
    `leftover`: a leaving node may have something to hand over. `doubt_s`: how long an offer without
    an answer waits for its peer's return. `now` is the time of the current turn.
    """

    node: str
    incarnation: int
    durable: bool
    options: RoutingOptions
    custody: Custody = attrs.field(factory=Custody)
    subscriptions: Subscriptions = attrs.field(factory=Subscriptions)
    timers: Timers = attrs.field(factory=Timers)
    out: list[Effect] = attrs.field(factory=list)
    stale_plans: dict[str, None] = attrs.field(factory=dict)
    stale_interest: dict[str, None] = attrs.field(factory=dict)
    stale_grants: dict[str, None] = attrs.field(factory=dict)
    hungry: dict[str, None] = attrs.field(factory=dict)
    fresh_credit: dict[tuple[Handle, str], None] = attrs.field(factory=dict)
    draining: bool = False
    leftover: bool = False
    doubt_s: float = attrs.field()
    now: float = 0.0

    @doubt_s.default
    def _usual_doubt_s(self) -> float:
        return self.options.in_doubt_timeout_s

    def __attrs_post_init__(self) -> None:
        self.custody.ordering.node = self.node

    def note(
        self, items: list[HeldObject], what: str, *, consumer: str = "", why: str = ""
    ) -> None:
        """Write down in their histories what has just happened to these objects."""
        history.note(items, self.now, what, self.node, consumer=consumer, why=why)

    def requeue(self, objects: list[HeldObject], now: float) -> None:
        """Put objects that have just become ready at the front of their types' queues, in order.

        The caller has moved them to READY and matches the types afterwards.
        """
        by_table: dict[TypeTable, list[HeldObject]] = {}
        for item in objects:
            item.holder = None
            item.since = now
            by_table.setdefault(item.table, []).append(item)
        for table, group in by_table.items():
            table.ready.put_back(group)
            self.stale_plans[table.name] = None

    def replan(self, tables: Iterable[TypeTable]) -> None:
        """Have the next tick plan the transfers of these types anew."""
        self.stale_plans.update([(table.name, None) for table in tables])

    def regrant(self, table: TypeTable) -> None:
        """Have the next tick grant credit anew for every key that a type belongs to."""
        self.stale_grants.update([(key, None) for key in table.keys])

    def may_give_to(self, link: Link) -> bool:
        """R2: a durable node gives nothing to one of lesser durability, unless that is allowed."""
        return link.durable or not self.durable or self.options.allow_volatile

    def backoff_s(self, item: HeldObject) -> float:
        """R3: how long an object waits before it may overflow, return or go beyond `max_hops`."""
        options = self.options
        doublings = min(item.detail("hops", 0), 32)
        return min(options.overflow_after_s * float(2**doublings), options.overflow_cap_s)

    def delay(self, items: list[HeldObject], due: float) -> None:
        """Make objects wait until `due`; a timer then makes each ready."""
        self.custody.move(items, Step.DELAY)
        for item in items:
            item.holder = None
            item.since = self.now
            item.amend(due=due)
            self.timers.set(due, "due", item)

    def keep(self, items: list[HeldObject], now: float) -> list[HeldObject]:
        """Objects on offer stay here: as what they were before, ready ones to the front.

        Those whose deadline passed meanwhile leave, or become dead letters; those that are held
        still are returned. The caller matches their types afterwards.
        """
        self.custody.move(items, Step.KEEP)
        ready, over = [], []
        for item in items:
            item.holder = None
            if item.detail("dead") is not None:
                self.custody.move([item], Step.BURY)
            elif item.detail("deadline", float("inf")) <= now:
                over.append(item)
            elif item.detail("due", now) > now:
                self.delay([item], item.detail("due"))
            else:
                ready.append(item)
        self.requeue(ready, now)
        if over:
            self.end_at_deadline(over, now)
        return [item for item in items if item.held]

    def end_at_deadline(self, items: list[HeldObject], now: float) -> None:
        """The deadline of these has passed: they leave, or stay as dead letters where asked for.

        None of them is leased or on offer any more, as far as its holder goes.
        """
        kept = [item for item in items if item.detail("keep_expired")]
        gone = [item for item in items if not item.detail("keep_expired")] if kept else items
        if kept:
            self.custody.move(kept, Step.BURY)
            for item in kept:
                item.holder = None
                item.since = self.now
                item.amend(dead=EXPIRED, due=None)
            self.out.append(effects.Keep(kept))
        if gone:
            ids = self.custody.remove(gone, Step.EXPIRE, "expired")
            self.out.append(effects.Forget(ids, "expired", now))

    def watch(self, items: list[HeldObject]) -> None:
        """Weigh the properties of objects new in custody and set the timers that they need."""
        weights = self.custody.weights
        plain: dict[str, Any] | None = None  # properties that need nothing of it
        for item in items:
            details = item.details
            if details is None or details is plain:
                continue
            weights.note(item.id, details)
            if item.state == State.DELAYED:
                self.timers.set(details["due"], "due", item)
            if "deadline" in details:
                self.timers.set(details["deadline"], "deadline", item)
            elif "due" not in details and weights.weightless:
                plain = details
