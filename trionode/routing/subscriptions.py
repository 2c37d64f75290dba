"""Consumer streams, their subscriptions and windows, and who is next in turn for a type.

Keeps credit only: what is leased is decided in `leases`. Every figure is kept as it changes, so
that asking for free credit costs the same with one subscription and with ten thousand.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from trionode.routing.custody import TypeTable
    from trionode.routing.effects import Handle
    from trionode.routing.model import HeldObject
    from trionode.routing.options import RoutingOptions


@attrs.define(eq=False)
class Demand:
    """All local subscriptions for one key, the credit they have free, and their turn.

    `available` holds each subscription with free credit once, and may hold some without, which are
    dropped when their turn comes.
    """

    key: str
    subscriptions: dict[Subscription, None] = attrs.field(factory=dict)
    available: deque[Subscription] = attrs.field(factory=deque)
    free: int = 0
    free_bytes: int = 0

    @property
    def turns(self) -> int:
        """How many are in line."""
        return len(self.available)

    def next(self) -> Subscription | None:
        """The subscription whose turn it is; it goes to the back of the line."""
        line = self.available
        while line:
            subscription = line[0]
            if subscription.free > 0:
                line.rotate(-1)
                return subscription
            line.popleft()
            subscription.lines.discard(self.key)
        return None

    def sweep(self) -> None:
        """Drop those without credit from the line when they outnumber the subscriptions."""
        if len(self.available) > 2 * len(self.subscriptions) + 16:
            line = deque(each for each in self.available if each.free > 0)
            for each in self.available:
                if each.free <= 0:
                    each.lines.discard(self.key)
            self.available = line


class Demands:
    """The demands of several keys that a type belongs to, taken as one line.

    Each subscription in one of the lines has as many turns as any other.
    """

    def __init__(self, table: TypeTable, demands: list[Demand]) -> None:
        self._table = table
        self._demands = demands

    @property
    def turns(self) -> int:
        """How many are in line."""
        return sum([len(each.available) for each in self._demands])

    @property
    def free(self) -> int:
        """Objects that all together have credit for."""
        return sum([each.free for each in self._demands])

    def next(self) -> Subscription | None:
        """The subscription whose turn it is; it goes to the back of its line."""
        demands, table = self._demands, self._table
        table.turn += 1
        place = table.turn % max(1, self.turns)
        first = 0
        for first, demand in enumerate(demands):  # noqa: B007  # which one it was, is used below
            place -= len(demand.available)
            if place < 0:
                break
        for demand in (*demands[first:], *demands[:first]):
            subscription = demand.next()
            if subscription is not None:
                return subscription
        return None


@attrs.frozen
class Wishes:
    """What a subscription asks for beside its window; None: as the node has it configured.

    `max_processing_s` is how long a delivery may take, 0 without bound; `max_attempts` after how
    many failures its consumer makes a dead letter; the two after it shape the back-off.
    `reconnect_grace_s` is how long leases outlive a broken stream.
    """

    max_processing_s: float | None = None
    max_attempts: int | None = None
    retry_base_s: float | None = None
    retry_cap_s: float | None = None
    reconnect_grace_s: float = 0.0


NO_WISHES = Wishes()


@attrs.frozen
class Terms:
    """The wishes of a subscription over the node's options."""

    max_processing_s: float = 0.0
    max_attempts: int = 1
    retry_base_s: float = 0.0
    retry_cap_s: float = 0.0
    reconnect_grace_s: float = 0.0

    @classmethod
    def of(cls, wishes: Wishes, options: RoutingOptions) -> Terms:
        """What holds where the node's options are these."""
        values = {
            name: getattr(options, name) if value is None else value
            for name, value in attrs.asdict(wishes).items()
        }
        values["retry_cap_s"] = max(values["retry_cap_s"], values["retry_base_s"])
        return cls(**values)


DEFAULT_TERMS = Terms()


@attrs.define(eq=False)
class Subscription:
    """A consumer stream's window on some keys. `leases` is in the order of delivery.

    `delivered` counts deliveries ever made, `started` how many of these a handler has begun.
    `lines` are the keys in whose line it stands; `demands` are in the order in which what is freed
    of the window is offered to their types. `starts` and `look_at` are for `overdue`:
    (how many were started, when that was told), and when to look for what is overdue. `away_until`
    is set while its stream is broken.
    """

    stream: ConsumerStream
    number: int
    demands: list[Demand]
    credit: int = 0
    credit_bytes: int = 0
    leases: dict[int, HeldObject] = attrs.field(factory=dict)
    leased_bytes: int = 0
    delivered: int = 0
    started: int = 0
    free: int = 0
    free_bytes: int = 0
    lines: set[str] = attrs.field(factory=set)
    terms: Terms = DEFAULT_TERMS
    starts: list[tuple[int, float]] = attrs.field(factory=list)
    look_at: float = float("inf")
    away_until: float | None = None

    def refresh(self) -> None:
        """Recompute the free window after leases or credit changed, and stand in line again.

        At least one object fits an untouched window, whatever its size.
        """
        free = max(0, self.credit - len(self.leases))
        free_bytes = max(0, self.credit_bytes - self.leased_bytes)
        if not free_bytes or self.stream.holds_back:
            free = 0
        more, more_bytes = free - self.free, free_bytes - self.free_bytes
        self.free, self.free_bytes = free, free_bytes
        for demand in self.demands:
            demand.free += more
            demand.free_bytes += more_bytes
            if free and demand.key not in self.lines:
                self.lines.add(demand.key)
                demand.available.append(self)

    def served(self, demand: Demand) -> None:
        """Let the other keys go first the next time: they share the window."""
        if len(self.demands) > 1:
            self.demands.remove(demand)
            self.demands.append(demand)


@attrs.define(eq=False)
class ConsumerStream:
    """One consumer's stream and the subscriptions on it.

    `label` names it for people; `suspects` counts those it leases.

    `confirms`: the consumer tells what it starts, and when it has taken in that leases were taken
    back; `told` and `heard` are how many times it was told of that, and has said so. While it is
    `silent` about some that its own slowness caused, it gets nothing.

    `secret`: whoever opens a stream with the same one is the same consumer.

    `limit_bytes` may be unsettled of all subscriptions together, `free_bytes` are left of it, and
    `lost_bytes` taken by leases that it has not heard of having lost: they may be under way still.
    While it is `full`, none of its subscriptions gets anything: what was next did not fit.
    Subscriptions are in the order in which they have their turn when there is room again.
    """

    handle: Handle
    label: str = ""
    confirms: bool = False
    told: int = 0
    heard: int = 0
    silent: bool = False
    secret: bytes = b""
    subscriptions: dict[int, Subscription] = attrs.field(factory=dict)
    suspects: int = 0
    limit_bytes: int = 1 << 62
    free_bytes: int = attrs.field(
        default=attrs.Factory(lambda self: self.limit_bytes, takes_self=True)
    )
    lost_bytes: int = 0
    full: bool = False

    @property
    def holds_back(self) -> bool:
        """Whether its subscriptions get nothing, whatever their windows."""
        return self.full or self.silent

    def fitting(self, batch: list[HeldObject]) -> int:
        """How many of the first of these objects it has room for; one alone always fits."""
        room_bytes = self.free_bytes
        for index, item in enumerate(batch):
            room_bytes -= len(item.payload)
            if room_bytes < 0 and (index or self.free_bytes < self.limit_bytes):
                return index
        return len(batch)

    def fill(self) -> None:
        """Have nothing more go to it until some of what it has is settled."""
        if not self.full:
            self.full = True
            self.refresh()

    def empty(self) -> bool:
        """Something of it was settled; whether its subscriptions may get more by that."""
        if not self.full or self.free_bytes <= 0:
            return False
        self.full = False
        return True

    def lose(self, size_bytes: int) -> None:
        """Leases were taken back that it may not have got yet; see `hear`."""
        self.lost_bytes += size_bytes
        self.free_bytes -= size_bytes
        if self.free_bytes <= 0:
            self.fill()

    def hear(self) -> None:
        """It has got all that was sent before it was told last that leases were taken back."""
        self.free_bytes += self.lost_bytes
        self.lost_bytes = 0
        self.silent = False
        self.full = self.free_bytes <= 0
        self.refresh()

    def turn(self, subscription: Subscription) -> None:
        """Let the others go first the next time: they share what it may have."""
        if len(self.subscriptions) > 1:
            del self.subscriptions[subscription.number]
            self.subscriptions[subscription.number] = subscription

    def refresh(self) -> None:
        """Recompute the windows of all its subscriptions."""
        for subscription in self.subscriptions.values():
            subscription.refresh()


class Subscriptions:
    """All consumer streams of the node and the demand they make, by key."""

    def __init__(self) -> None:
        self.streams: dict[Handle, ConsumerStream] = {}
        self.secrets: dict[bytes, ConsumerStream] = {}
        """Streams with a secret, also broken ones whose consumers may come back."""
        self.demands: dict[str, Demand] = {}

    def line(self, table: TypeTable) -> Demand | Demands | None:
        """All local subscriptions that want a type; None where there are none."""
        keys = table.keys
        if len(keys) == 1:
            return self.demands.get(table.name)
        demands = [demand for key in keys if (demand := self.demands.get(key)) is not None]
        if len(demands) > 1:
            return Demands(table, demands)
        return demands[0] if demands else None

    def find(self, stream: Handle, number: int) -> Subscription | None:
        """A subscription by its stream and number."""
        found = self.streams.get(stream)
        return None if found is None else found.subscriptions.get(number)

    def open(self, stream: ConsumerStream, number: int, keys: tuple[str, ...]) -> list[str]:
        """Add a subscription; returns the keys that had no local subscription before."""
        keys = tuple(dict.fromkeys(keys))
        fresh = [key for key in keys if key not in self.demands]
        demands = [self.demands.setdefault(key, Demand(key)) for key in keys]
        subscription = Subscription(stream, number, demands)
        stream.subscriptions[number] = subscription
        for demand in demands:
            demand.subscriptions[subscription] = None
        return fresh

    def close(self, subscription: Subscription) -> list[str]:
        """Remove a subscription without leases; returns the keys that have none left."""
        assert not subscription.leases, "leases must be returned before"
        del subscription.stream.subscriptions[subscription.number]
        subscription.credit = subscription.credit_bytes = 0
        subscription.refresh()
        gone = []
        for demand in subscription.demands:
            del demand.subscriptions[subscription]
            demand.sweep()
            if not demand.subscriptions:
                del self.demands[demand.key]
                gone.append(demand.key)
        return gone
