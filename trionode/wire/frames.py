"""The frames of trionode's protocol: what one length-prefixed message of a stream says.

Frames are columns, not rows: a batch of objects is one frame with runs of ids and a list of
payloads. Only values live here; `trionode.wire.codec` turns them to and from bytes. The frames of
links and of unary calls stand in `link_frames` and `unary_frames`, and are reached from here like
all others.

Times on the wire are remaining or elapsed, never absolute: each node keeps its own clock.
"""

from __future__ import annotations

import attrs

from trionode.errors import Status
from trionode.schema.definition import Definition  # noqa: TC001  # cattrs resolves annotations
from trionode.wire.columns import (
    KEY_BYTES_MAX as KEY_BYTES_MAX,
    PRIORITY_MAX as PRIORITY_MAX,
    PRIORITY_USUAL as PRIORITY_USUAL,
    Details as Details,  # noqa: TC001  # cattrs resolves annotations
    Shared as Shared,
    Payloads as Payloads,  # noqa: TC001  # cattrs resolves annotations
    Runs as Runs,  # noqa: TC001  # cattrs resolves annotations
)
from trionode.wire.link_frames import (
    AskKeys as AskKeys,
    AskOffers as AskOffers,
    Backlog as Backlog,
    CloseOffers as CloseOffers,
    Interest as Interest,
    KeysSettled as KeysSettled,
    LinkCredit as LinkCredit,
    LinkHello as LinkHello,
    Offer as Offer,
    OfferAnswer as OfferAnswer,
    Peers as Peers,
    Question as Question,
    RepliesEnd as RepliesEnd,
    Reply as Reply,
)
from trionode.wire.protocol import (
    CONSUME as CONSUME,
    DEAD_LETTERS as DEAD_LETTERS,
    DEFINE as DEFINE,
    EXPLAIN as EXPLAIN,
    FORGET as FORGET,
    LINK as LINK,
    OBJECTS as OBJECTS,
    PING as PING,
    PRODUCE as PRODUCE,
    PROTOCOL as PROTOCOL,
    PROTOCOL_MIN as PROTOCOL_MIN,
    PUSH as PUSH,
    QUERY as QUERY,
    STATUS as STATUS,
    TYPES as TYPES,
)
from trionode.wire.unary_frames import (
    DeadLettersReply as DeadLettersReply,
    DeadLettersRequest as DeadLettersRequest,
    DefineReply as DefineReply,
    DefineRequest as DefineRequest,
    ExplainReply as ExplainReply,
    ExplainRequest as ExplainRequest,
    ForgetReply as ForgetReply,
    ForgetRequest as ForgetRequest,
    ObjectsReply as ObjectsReply,
    ObjectsRequest as ObjectsRequest,
    PingRequest as PingRequest,
    PushReply as PushReply,
    PushRequest as PushRequest,
    QueryReply as QueryReply,
    QueryRequest as QueryRequest,
    StatusReply as StatusReply,
    StatusRequest as StatusRequest,
    TypesReply as TypesReply,
    TypesRequest as TypesRequest,
)


# --- hellos -----------------------------------------------------------------------------------


@attrs.frozen
class ClientHello:
    """First frame of a client on a Produce or Consume stream.

    `producer` is the producer's 10-byte id, on a Consume stream that of the results it emits;
    `acknowledged` the sequence up to which the producer knows the outcome of its pushes and will
    never send them again. `confirms`: this consumer sends Started for what its handlers start, and
    Heard for each Lost; until it has done so of what was taken back because it was slow, it gets
    nothing more. `secret`: random bytes; who comes with those of a Consume stream that broke is its
    consumer (`reconnect_grace_ms`).
    """

    protocol_min: int = PROTOCOL_MIN
    protocol_max: int = PROTOCOL
    version: str = ""
    name: str = ""
    producer: bytes = b""
    acknowledged: int = 0
    confirms: bool = False
    secret: bytes = b""


@attrs.frozen
class NodeHello:
    """First frame of a node on a Produce or Consume stream, and the answer to a Ping.

    `addresses` are this node's and its peers' addresses, for clients to fall back on.
    """

    protocol: int
    version: str
    node: str
    name: str
    incarnation: int
    max_object_bytes: int
    addresses: list[str] = attrs.field(factory=list)


# --- Produce ----------------------------------------------------------------------------------


@attrs.frozen
class Push:
    """Objects of one type with consecutive sequences `first`, `first + 1`, … of this producer."""

    type: str
    first: int
    payloads: Payloads
    encoding: str = "json"
    fingerprint: str = ""
    details: Details = attrs.field(factory=dict)
    acknowledged: int = 0


@attrs.frozen
class Pushed:
    """The node has custody of these objects: runs of (first sequence, count).

    Those in `others`, as (sequence, id), repeat the key of an object that was pushed before and has
    that id; they are not stored.
    """

    sequences: list[tuple[int, int]]
    others: list[tuple[int, bytes]] = attrs.field(factory=list)


@attrs.frozen
class PushRefused:
    """The node did not take these objects, and why; they must not be sent again unchanged."""

    first: int
    count: int
    status: Status
    message: str
    hint: str = ""


# --- Consume ----------------------------------------------------------------------------------


@attrs.frozen
class Subscribe:
    """Open subscription `subscription` (the client's number) or set its window again.

    At most `credit` unsettled deliveries and about `credit_bytes` of their payloads; 0 is a pause.
    The others are None where the node's configuration is to decide: how long a delivery may take
    (from its Started where the consumer confirms, else from its Deliver; 0: without bound),
    after how many failures of its consumers an object is a dead letter, and the back-off before it
    is tried again: first, and at most.

    `reconnect_grace_ms`: for how long leases outlive a broken stream. A consumer that comes back
    within that time names, by `resumed_ids` and `resumed_attempts` (None: all 1), the leases that
    it still has, and by `resumed_delivered` how many deliveries of this subscription have reached
    it; the counts of Started go on from there. The Answered refuses those that are over. None: it
    does not come back.
    """

    number: int
    subscription: int
    types: list[str]
    credit: int
    credit_bytes: int
    max_processing_ms: int | None = None
    max_attempts: int | None = None
    retry_base_ms: int | None = None
    retry_cap_ms: int | None = None
    reconnect_grace_ms: int = 0
    resumed_ids: Runs = attrs.field(factory=list)
    resumed_attempts: list[int] | None = None
    resumed_delivered: int | None = None


@attrs.frozen
class Unsubscribe:
    """End a subscription; its unsettled deliveries return uncounted."""

    number: int
    subscription: int


@attrs.frozen
class Deliver:
    """Objects of one type leased to a subscription, in lease order; `attempts` None: all 1."""

    subscription: int
    type: str
    ids: Runs
    payloads: Payloads
    encoding: str = "json"
    fingerprint: str = ""
    attempts: list[int] | None = None
    details: Details = attrs.field(factory=dict)


@attrs.frozen
class Watch:
    """Open subscription `subscription` to copies, or set its buffer again; see `Copies`.

    At most `credit` copies and about `credit_bytes` of their payloads that the watcher has not
    taken yet, as it says by `Started`; what comes beyond is dropped.
    """

    number: int
    subscription: int
    types: list[str]
    credit: int
    credit_bytes: int


@attrs.frozen
class Copies:
    """Copies of objects that the node took custody of; they are leased to nobody by this.

    `how`: `accepted` from a producer, `received` from a peer, `emitted` with an ack, `replaced` by
    new content. `dropped`: how many copies were dropped since the last frame and before this one;
    there may be no objects beside it.
    """

    subscription: int
    type: str
    ids: Runs
    payloads: Payloads
    encoding: str = "json"
    fingerprint: str = ""
    attempts: list[int] | None = None
    details: Details = attrs.field(factory=dict)
    how: str = "accepted"
    dropped: int = 0


@attrs.frozen
class Started:
    """How many deliveries of the subscription, in the order delivered, a handler has started."""

    subscription: int
    count: int


@attrs.frozen
class Emission:
    """Objects of one type that come with the ack of the lease at index `parent` of a `Settle`.

    Their sequences are `first`, `first + 1`, … of the consumer as a producer.
    """

    parent: int
    type: str
    first: int
    payloads: Payloads
    encoding: str = "json"
    fingerprint: str = ""
    details: Details = attrs.field(factory=dict)


@attrs.frozen
class Settle:
    """Settle leases, all in one way; `attempts` None: all 1.

    `action` is `ack`, `nack`, `reject`, `return` (unsettled and uncounted) or `replace`.
    `delay_ms` is for nack (None: the node's back-off); `reason` for nack and reject; `payloads`,
    `encoding` and `fingerprint` for replace.

    `emitted` is for ack: results, which are taken with the acks of their parents, those of an
    invalid lease with nothing; sequences ascend. `acknowledged` is what it is in a `Push`, for
    them; `definitions` are of types that the node may not know.
    """

    number: int
    action: str
    ids: Runs
    attempts: list[int] | None = None
    delay_ms: int | None = None
    reason: str = ""
    payloads: Payloads = attrs.field(factory=list)
    encoding: str = "json"
    fingerprint: str = ""
    emitted: list[Emission] = attrs.field(factory=list)
    acknowledged: int = 0
    definitions: list[Definition] = attrs.field(factory=list)


@attrs.frozen
class Answered:
    """The answer to the Subscribe, Unsubscribe or Settle of that number.

    With status OK and `refused` empty everything was done. `refused` are the (id, attempt, reason)
    of single leases that were no longer valid; the rest of a Settle was done.
    """

    number: int
    status: Status = Status.OK
    message: str = ""
    hint: str = ""
    refused: list[tuple[bytes, int, str]] = attrs.field(factory=list)


@attrs.frozen
class Lost:
    """Leases that the node took back, with the reason; settling them would be refused."""

    ids: Runs
    attempts: list[int] | None
    reason: str


@attrs.frozen
class Heard:
    """How many Lost frames the consumer has taken in on this stream.

    Everything that it sent before may be about leases that these took back; nothing after is.
    """

    count: int


@attrs.frozen
class Draining:
    """The node is going away; the client should move to one of these addresses."""

    addresses: list[str] = attrs.field(factory=list)
