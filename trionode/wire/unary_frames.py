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
class PingRequest:
    """Ask whether a node answers; the reply is a NodeHello."""

    protocol_min: int = PROTOCOL_MIN
    protocol_max: int = PROTOCOL
