"""What the brain knows of each open link, and the accounts of credit on it, both ways."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from trionode.routing.effects import Handle, RouteUpdate
    from trionode.routing.model import HeldObject


@attrs.define
class GiveAccount:
    """As giver, per link and key: what we offered and what the peer accepts, since `epoch` began.

    `wished` is the last count up to which we told the peer that we would like to offer; `surplus`
    what waits for more credit, by type, in the order in which the types have their turn;
    `surplus_sum` of all types that belong to the key.
    """

    epoch: int
    offered: int = 0
    offered_bytes: int = 0
    limit: int = 0
    byte_limit: int = 0
    wished: int = 0
    surplus: OrderedDict[str, int] = attrs.field(factory=OrderedDict)
    surplus_sum: int = 0

    def set_surplus(self, type_: str, count: int) -> int:
        """Note how many more objects of a type could be offered; returns how many of all types.

        A type that waits already keeps its place: one that gets ever more would else have no turn.
        """
        self.surplus_sum += count - self.surplus.get(type_, 0)
        if count:
            self.surplus[type_] = count
        else:
            self.surplus.pop(type_, None)
        return self.surplus_sum

    def next_type(self) -> str:
        """The type whose turn it is of those that wait for credit; it goes to the end."""
        type_ = next(iter(self.surplus))
        self.surplus.move_to_end(type_)
        return type_

    @property
    def credit(self) -> int:
        """How many more objects may be offered now."""
        if self.offered_bytes >= self.byte_limit:
            return 0
        return max(0, self.limit - self.offered)


@attrs.define(eq=False)
class TakeAccount:
    """As receiver, per link and key: what came and what we granted, since `epoch` began.

    `wanted` is what the peer said it would like to offer in all; `used` when the grant was last
    raised or drawn on.
    """

    link: Link
    key: str
    epoch: int
    received: int = 0
    received_bytes: int = 0
    limit: int = 0
    byte_limit: int = 0
    wanted: int = 0
    used: float = 0.0
    timed: bool = False

    @property
    def outstanding(self) -> int:
        """Objects granted and not yet drawn on; none where the bytes granted are used up."""
        if self.received_bytes >= self.byte_limit:
            return 0
        return max(0, self.limit - self.received)

    @property
    def outstanding_bytes(self) -> int:
        """Bytes granted and not yet drawn on."""
        return self.byte_limit - self.received_bytes if self.outstanding else 0


@attrs.define(eq=False)
class Link:
    """One open link to a peer. Mutated by the brain's interest, credit and offers.

    `max_object_bytes` is the largest payload that it may be offered, 0 for any; `advertised` what
    we told the peer last per key; `snapshot_due` that it heard nothing yet.
    """

    handle: Handle
    peer: str
    incarnation: int
    durable: bool
    max_object_bytes: int = 0
    neighbours: frozenset[str] = frozenset()
    advertised: dict[str, RouteUpdate] = attrs.field(factory=dict)
    give: dict[str, GiveAccount] = attrs.field(factory=dict)
    take: dict[str, TakeAccount] = attrs.field(factory=dict)
    snapshot_due: bool = True
    refusing: bool = False
    """The peer refused an offer made while draining; it is not asked again."""

    def fits(self, item: HeldObject) -> bool:
        """Whether an object is small enough to be offered."""
        return not self.max_object_bytes or len(item.payload) <= self.max_object_bytes
