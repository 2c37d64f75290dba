"""The frames of the unary calls: one request and one reply, for questions and for people.

Reached as `frames.PushRequest` and so on, like every other frame.
"""

from __future__ import annotations

import attrs

from trionode.schema.definition import Definition  # noqa: TC001  # cattrs resolves annotations
from trionode.wire.protocol import PROTOCOL, PROTOCOL_MIN


@attrs.frozen
class PushRequest:
    """Push one object; the node makes its id.

    The rest are the properties of the object, see `Details`; empty or None: none.
    """

    type: str
    payload: bytes
    encoding: str = "json"
    fingerprint: str = ""
    delay_ms: int | None = None
    deadline_ms: int | None = None
    keep_expired: bool = False
    priority: int | None = None
    key: str = ""
    ordering_key: str = ""


@attrs.frozen
class PushReply:
    """The node has custody; `id` in text form."""

    id: str


@attrs.frozen
class DefineRequest:
    """Define a type by a JSON Schema (its text), or add a definition; `force` skips the check."""

    type: str
    schema: str
    force: bool = False


@attrs.frozen
class DefineReply:
    """The fingerprint under which the definition is known."""

    fingerprint: str


@attrs.frozen
class TypesRequest:
    """Ask for the definitions of one type, or of all."""

    name: str = ""


@attrs.frozen
class TypesReply:
    """Every definition that the node knows, in the order it learnt them."""

    definitions: list[Definition]


@attrs.frozen
class StatusRequest:
    """Ask a node for its status."""


@attrs.frozen
class StatusReply:
    """The status as the JSON text that `trionode status --json` prints."""

    status: bytes


@attrs.frozen
class QueryRequest:
    """Ask for a page of the objects of a type, `*` for all, that fulfil conditions.

    `where` and `order_by` are texts in the language of `trionode.query`; `states` empty is all of
    them; `since_ms` and `until_ms` bound the creation, Unix time. `after` goes on behind a place
    that an earlier page told. `everywhere`: at every node that can be reached.
    """

    type: str
    where: str = ""
    states: list[str] = attrs.field(factory=list)
    since_ms: int | None = None
    until_ms: int | None = None
    order_by: str = ""
    limit: int = 100
    after: str = ""
    everywhere: bool = False


@attrs.frozen
class QueryReply:
    """The page as JSON: `rows`, `after` (empty at the end) and `silent`, who did not answer."""

    page: bytes


@attrs.frozen
class PingRequest:
    """Ask whether a node answers; the reply is a NodeHello."""

    protocol_min: int = PROTOCOL_MIN
    protocol_max: int = PROTOCOL


@attrs.frozen
class ObjectsRequest:
    """Ask for a page of the objects of a type that the node holds, or for those of these `ids`.

    `states` empty: all. `after` is that of the page before. `preview_bytes` of each payload come
    with it. `reason` is a part of why it is a dead letter or failed; `older_than_ms` the least age.
    """

    type: str = ""
    states: list[str] = attrs.field(factory=list)
    ids: list[str] = attrs.field(factory=list)
    limit: int = 100
    after: str = ""
    preview_bytes: int = 0
    reason: str = ""
    older_than_ms: int = 0


@attrs.frozen
class ObjectsReply:
    """The objects as a JSON list; a page may be empty. `after` is empty at the end."""

    objects: bytes
    after: str = ""


@attrs.frozen
class DeadLettersRequest:
    """Try dead letters of a type again (`action` `retry`) or discard them (`discard`).

    Those of these `ids`, or, with `every`, all that fit `reason` and `older_than_ms`.
    """

    action: str
    type: str
    ids: list[str] = attrs.field(factory=list)
    every: bool = False
    reason: str = ""
    older_than_ms: int = 0


@attrs.frozen
class DeadLettersReply:
    """How many it was done to; `refused[i]` are ids that it was not done to, `reasons[i]` why."""

    done: int
    refused: list[str] = attrs.field(factory=list)
    reasons: list[str] = attrs.field(factory=list)


@attrs.frozen
class ExplainRequest:
    """Ask where in the mesh an object is, and why it waits; nodes have `timeout_ms` to answer."""

    id: str
    timeout_ms: int = 3000


@attrs.frozen
class ExplainReply:
    """The explanation as the JSON text that `trionode explain --json` prints."""

    explanation: bytes


@attrs.frozen
class ForgetRequest:
    """Close this node's books on another one, by its id or name, that is gone for good.

    `everywhere`: those of every node that can be reached.
    """

    node: str
    everywhere: bool = False


@attrs.frozen
class ForgetReply:
    """What was closed, as the JSON text that `trionode forget --json` prints."""

    forgotten: bytes
