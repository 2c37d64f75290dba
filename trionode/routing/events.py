"""What happens to the brain.

Handles name streams and links; an event of an unknown one is old news and is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing.subscriptions import NO_WISHES, Wishes

if TYPE_CHECKING:
    from trionode.routing.effects import Fetch, Handle, RouteUpdate
    from trionode.routing.model import Shape
    from trionode.routing.records import (
        GivenRecord,
        KeysRecord,
        ObjectRecord,
        ProducerRecord,
        TakenRecord,
    )


@attrs.frozen
class Recovered:
    """A part of what the store kept of this node's earlier life; before all other events.

    Times are on this brain's clock. The records of offers come before those of objects.
    """

    objects: list[ObjectRecord] = attrs.field(factory=list)
    producers: list[ProducerRecord] = attrs.field(factory=list)
    given: list[GivenRecord] = attrs.field(factory=list)
    taken: list[TakenRecord] = attrs.field(factory=list)
    keys: list[KeysRecord] = attrs.field(factory=list)
    """All of them in one part, oldest first."""
    damaged: list[tuple[str, int, int]] = attrs.field(factory=list)
    """(type, objects, payload bytes) that the store had and could not read."""


@attrs.frozen
class Pushed:
    """A producer pushed objects of one type with consecutive sequences from `first`.

    `acknowledged`: all sequences up to it are resolved for the producer and never come again.
    `details` are rare properties by index, with absolute times.
    """

    stream: Handle
    producer: int
    first: int
    type: str
    shape: Shape
    payloads: list[bytes]
    acknowledged: int = 0
    details: dict[int, dict[str, Any]] = attrs.field(factory=dict)


@attrs.frozen
class ConsumerCame:
    """A consumer stream opened.

    `label` names its consumer for people. `confirms`: it tells of what it starts (`Started`), and
    when it has taken in that leases were taken back (`Heard`). `secret`: who comes with the one of
    a stream that broke goes on with what that one left (`reconnect_grace`).
    """

    stream: Handle
    label: str = ""
    confirms: bool = False
    secret: bytes = b""


@attrs.frozen
class ConsumerGone:
    """A consumer stream ended. `died`: without saying so, so what it had started counts."""

    stream: Handle
    died: bool


@attrs.frozen
class Resumed:
    """What a consumer still has of a subscription on its stream before this one.

    `held` are leases as (id, attempt); `delivered` how many deliveries reached it there. `number`
    is answered by which of them are no longer its own.
    """

    number: int
    held: list[tuple[int, int]]
    delivered: int


@attrs.frozen
class Subscribed:
    """A subscription was opened, or its window set again, or it goes on from a broken stream."""

    stream: Handle
    subscription: int
    keys: tuple[str, ...]
    credit: int
    credit_bytes: int
    wishes: Wishes = NO_WISHES
    resumed: Resumed | None = None


@attrs.frozen
class WatchBegan:
    """A consumer stream wants copies of what comes into custody of these types (once)."""

    stream: Handle
    subscription: int
    keys: tuple[str, ...]


@attrs.frozen
class WatchEnded:
    """A consumer stream wants no more of these copies."""

    stream: Handle
    subscription: int


@attrs.frozen
class Unsubscribed:
    """A subscription ended; its leases return uncounted."""

    stream: Handle
    subscription: int


@attrs.frozen
class Started:
    """The consumer's handlers have started the first `count` deliveries of the subscription."""

    stream: Handle
    subscription: int
    count: int


@attrs.frozen
class Heard:
    """The consumer has taken in that leases were taken back, `count` times on this stream."""

    stream: Handle
    count: int


@attrs.frozen
class Settled:
    """A consumer settles leases. `action`: ack, nack, reject, return, replace.

    `attempts` None: all 1. `delay_s` None: the node's back-off. `payloads` and `shape`: replace.
    `emitted`: results of an ack, as (index of the parent in `ids`, the push of its children); those
    of one parent are taken with its ack or not at all.
    """

    stream: Handle
    number: int
    action: str
    ids: list[int]
    attempts: list[int] | None = None
    delay_s: float | None = None
    reason: str = ""
    payloads: list[bytes] = attrs.field(factory=list)
    shape: Shape | None = None
    emitted: list[tuple[int, Pushed]] = attrs.field(factory=list)


@attrs.frozen
class LinkUp:
    """A link to a peer is open; both hellos are exchanged.

    `max_object_bytes`: larger payloads it would refuse, with the whole link; 0 if it did not say.
    """

    link: Handle
    peer: str
    incarnation: int
    durable: bool
    max_object_bytes: int = 0


@attrs.frozen
class LinkDown:
    """A link is gone with whatever was in flight on it."""

    link: Handle


@attrs.frozen
class NeighboursTold:
    """A peer told whom it is linked to (node ids)."""

    link: Handle
    nodes: frozenset[str]


@attrs.frozen
class InterestTold:
    """A peer told what it can process; `full` replaces what it said before."""

    link: Handle
    full: bool
    updates: list[RouteUpdate]


@attrs.frozen
class CreditGranted:
    """A peer granted (key, epoch, count limit, byte limit)."""

    link: Handle
    grants: list[tuple[str, int, int, int]]


@attrs.frozen
class BacklogTold:
    """A peer would like to offer, as (key, epoch, up to which count)."""

    link: Handle
    wishes: list[tuple[str, int, int]]


@attrs.frozen
class OfferCame:
    """A peer proposes custody of objects of one type and shape, in columns.

    `ages_s` since their creation; `attempts` None: all 1; `details` are rare properties by index,
    with absolute times.
    """

    link: Handle
    sequence: int
    key: str
    epoch: int
    type: str
    shape: Shape
    ids: list[int]
    payloads: list[bytes]
    ages_s: list[float]
    attempts: list[int] | None = None
    details: dict[int, dict[str, Any]] = attrs.field(factory=dict)
    draining: bool = False


@attrs.frozen
class OfferAnswered:
    """The peer answered our offer (incarnation, sequence)."""

    link: Handle
    incarnation: int
    sequence: int
    known: bool
    refused: tuple[int, ...] = ()


@attrs.frozen
class OffersClosed:
    """The peer forgot what these offers of its moved, as (incarnation, sequence)."""

    link: Handle
    numbers: list[tuple[int, int]]


@attrs.frozen
class OffersAsked:
    """The peer asks about its open offers; every other number below its next one is closed."""

    link: Handle
    incarnation: int
    next_sequence: int
    numbers: list[tuple[int, int]]


@attrs.frozen
class Written:
    """The store has these objects as they are now; told when `Brain.memory_short`."""

    ids: list[int]


@attrs.frozen
class Fetched:
    """The answer to `effects.Fetch`: a payload for each of its objects, None where it is lost."""

    effect: Fetch
    payloads: list[bytes | None]


@attrs.frozen
class KeysSettled:
    """A peer reports that these objects of ordering keys, given to it, have ended there."""

    link: Handle
    ids: list[int]


@attrs.frozen
class KeysAsked:
    """A peer asks which of these objects of ordering keys, which it gave, have ended here."""

    link: Handle
    ids: list[int]


@attrs.frozen
class Tick:
    """Time has passed or work was flagged: timers fire, transfers are planned, news is sent."""


@attrs.frozen
class DrainStarted:
    """The node is leaving: no new leases or objects; what can go to peers goes (R10)."""


@attrs.frozen
class DrainEnding:
    """The node, which has no durable store and is leaving, will soon be gone with what it holds.

    It waits no more for peers that are away: what is in doubt with them goes to others (R10).
    """


@attrs.frozen
class Retried:
    """A person wants these dead letters tried again; answered under `number`."""

    number: int
    ids: list[int]


@attrs.frozen
class Discarded:
    """A person discards these dead letters for good; answered under `number`."""

    number: int
    ids: list[int]


@attrs.frozen
class NodeForgotten:
    """A person says that a node, which is not linked, is gone for good."""

    node: str
