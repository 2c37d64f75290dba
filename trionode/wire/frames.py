"""The frames of trionode's protocol: what one length-prefixed message of a stream says.

Frames are columns, not rows: a batch of objects is one frame with runs of ids and a list of
payloads. Only values live here; `trionode.wire.codec` turns them to and from bytes. The frames of
the unary calls stand in `unary_frames`, and are reached from here like all others.

Times on the wire are remaining or elapsed, never absolute: each node keeps its own clock.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

import attrs

from trionode.errors import Status
from trionode.ids import Run
from trionode.schema.definition import Definition  # noqa: TC001  # cattrs resolves annotations
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

Runs: TypeAlias = Annotated[list[Run], "ids"]
"""Object ids as runs of (first id, count)."""

Payloads: TypeAlias = Annotated[list[bytes], "payloads"]
"""One payload per object, in the order of the ids."""

Details: TypeAlias = Annotated[dict[int, dict[str, Any]], "details"]
"""Rare properties of single objects of a batch: index in the batch -> property -> value.

Known properties: `deadline_ms` and `delay_ms` (remaining), `keep_expired`, `priority`, `key`,
`ordering_key`, `path` (node ids that had custody), `hops`, `history`, `dead` (why it is a dead
letter), `parent` (id in text form), `trace`, `possibly_duplicate`, `failure` (last error text),
`version`. Unknown ones are kept and travel on.
"""

PRIORITY_MAX = 9
"""The highest priority; the lowest is 0."""
PRIORITY_USUAL = 5
"""That of objects whose producer names none."""
KEY_BYTES_MAX = 256
"""The longest key or ordering key, in UTF-8."""


# --- hellos -----------------------------------------------------------------------------------


@attrs.frozen
class ClientHello:
    """First frame of a client on a Produce or Consume stream.

    `producer` is the producer's 10-byte id (Produce only); `acknowledged` the sequence up to which
    the producer knows the outcome of its pushes and will never send them again. `confirms`: this
    consumer sends Started for what its handlers start, and Heard for each Lost; until it has done
    so of what was taken back because it was slow, it gets nothing more.
    """

    protocol_min: int = PROTOCOL_MIN
    protocol_max: int = PROTOCOL
    version: str = ""
    name: str = ""
    producer: bytes = b""
    acknowledged: int = 0
    confirms: bool = False


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
class Started:
    """How many deliveries of the subscription, in the order delivered, a handler has started."""

    subscription: int
    count: int


@attrs.frozen
class Settle:
    """Settle leases, all in one way; `attempts` None: all 1.

    `action` is `ack`, `nack`, `reject`, `return` (unsettled and uncounted) or `replace`.
    `delay_ms` is for nack (None: the node's back-off); `reason` for nack and reject; `payloads`,
    `encoding` and `fingerprint` for replace.
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


# --- Mesh/Link --------------------------------------------------------------------------------


@attrs.frozen
class LinkHello:
    """First frame of both sides of a link. `address` is where others can dial this node."""

    protocol_min: int
    protocol_max: int
    version: str
    node: str
    name: str
    incarnation: int
    address: str
    durable: bool


@attrs.frozen
class Interest:
    """What the sender can process, per key (type or pattern), by its shortest path.

    Columns: `paths[i]` are node ids from the sender to the origin, or empty when the interest is
    withdrawn. `origins[i]`, `incarnations[i]`, `versions[i]`: who minted it, and the version; in a
    withdrawal, what is known to be gone (version 0: only this path is gone). `epochs[i]`: the
    account of credit that this advertisement opened. `full`: everything said before on this link is
    replaced. `definitions`: of the types that the peer may not know.
    """

    full: bool
    keys: list[str]
    paths: list[list[str]]
    origins: list[str]
    incarnations: list[int]
    versions: list[int]
    epochs: list[int]
    definitions: list[Definition] = attrs.field(factory=list)


@attrs.frozen
class LinkCredit:
    """Per key: how many objects and bytes the peer may have offered on this link in all.

    `epochs[i]` names the advertisement of the key's interest since which is counted.
    """

    keys: list[str]
    epochs: list[int]
    limits: list[int]
    byte_limits: list[int]


@attrs.frozen
class Backlog:
    """Per key: up to which count the sender would like to have offered on this link, in all.

    `epochs[i]` names the advertisement of the key's interest since which is counted.
    """

    keys: list[str]
    epochs: list[int]
    wanted: list[int]


@attrs.frozen
class Offer:
    """A numbered proposal to move custody of these objects, spending credit of `key`.

    The number is (sender's node id, its incarnation, `sequence`). `ages_ms`: since creation.
    `draining`: the sender is leaving and asks for custody beyond credit.
    """

    sequence: int
    key: str
    epoch: int
    type: str
    ids: Runs
    payloads: Payloads
    ages_ms: list[int]
    encoding: str = "json"
    fingerprint: str = ""
    attempts: list[int] | None = None
    details: Details = attrs.field(factory=dict)
    definitions: list[Definition] = attrs.field(factory=list)
    draining: bool = False


@attrs.frozen
class OfferAnswer:
    """What became of the offer (incarnation, sequence) of the peer that reads this.

    `known` False: never seen. `refused`: indexes in the offer of the objects not taken.
    """

    incarnation: int
    sequence: int
    known: bool = True
    refused: list[int] = attrs.field(factory=list)


@attrs.frozen
class CloseOffers:
    """The giver has forgotten what these offers moved; the receiver may forget their numbers.

    Columns: offer i is (`incarnations[i]`, `sequences[i]`) of the sender.
    """

    incarnations: list[int]
    sequences: list[int]


@attrs.frozen
class AskOffers:
    """All offers of the sender that are open with this peer, as (incarnation, sequence) columns.

    Sent when a link opens, also empty: every other number below (`incarnation`, `next_sequence`)
    is closed.
    """

    incarnation: int
    next_sequence: int
    incarnations: list[int]
    sequences: list[int]


@attrs.frozen
class KeysSettled:
    """These objects of ordering keys, which the reader gave to the sender, have ended there."""

    ids: Runs


@attrs.frozen
class AskKeys:
    """Which of these objects of ordering keys, given to the reader, have ended there?"""

    ids: Runs


@attrs.frozen
class Peers:
    """Who the sender is linked to: node ids, names and the addresses where they can be dialled."""

    nodes: list[str]
    names: list[str]
    addresses: list[str]


@attrs.frozen
class Question:
    """A question to every node, passed on over at most `hops` more links.

    `search` (16 bytes, minted by who asks) names it, so that a node takes it once whatever the
    ways it comes by. `topic` says what is asked, `body` is its JSON. Nobody waits for an answer
    beyond `timeout_ms` (remaining).
    """

    search: bytes
    topic: str
    body: bytes
    hops: int
    timeout_ms: int


@attrs.frozen
class Reply:
    """One node's answer, on its way back: its JSON, or the `error` that kept it from answering.

    Columns: `known_...[i]` are all nodes that the answering one knows, whether it could ask them or
    not, so that whoever gathers the answers can say who is missing.
    """

    search: bytes
    node: str
    name: str
    address: str
    body: bytes = b""
    error: str = ""
    known_nodes: list[str] = attrs.field(factory=list)
    known_names: list[str] = attrs.field(factory=list)
    known_addresses: list[str] = attrs.field(factory=list)


@attrs.frozen
class RepliesEnd:
    """No more replies to a question come from this side of the link."""

    search: bytes
