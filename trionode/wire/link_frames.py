"""The frames of a link: what nodes tell each other of interest, credit, offers and questions.

Reached as `frames.Offer` and so on, like every other frame.
"""

from __future__ import annotations

import attrs

from trionode.schema.definition import Definition  # noqa: TC001  # cattrs resolves annotations
from trionode.wire.columns import Details, Payloads, Runs, Shared  # noqa: TC001  # the same


@attrs.frozen
class LinkHello:
    """First frame of both sides of a link. `address` is where others can dial this node.

    `max_object_bytes`: a larger object would break the link; 0 from a node that does not say.
    """

    protocol_min: int
    protocol_max: int
    version: str
    node: str
    name: str
    incarnation: int
    address: str
    durable: bool
    max_object_bytes: int = 0


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
    `shared`: the properties that neighbours have in common, as those that took the same way do.
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
    shared: Shared = attrs.field(factory=list)


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
