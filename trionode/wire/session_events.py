"""What an HTTP/2 session tells its owner: plain values, one per thing that happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

import attrs

if TYPE_CHECKING:
    from trionode.wire.grpc import Headers


@attrs.frozen
class Ready:
    """The peer's first SETTINGS came: the handshake is complete."""


@attrs.frozen
class HeadersArrived:
    """A request opened a stream (server) or a response began (client)."""

    stream_id: int
    headers: Headers


@attrs.frozen
class TrailersArrived:
    """The header block that ends a stream's other direction."""

    stream_id: int
    headers: Headers


@attrs.frozen
class DataArrived:
    """Bytes of a stream; `flow_bytes`, padding included, are owed to `Session.acknowledge`."""

    stream_id: int
    data: bytes
    flow_bytes: int


@attrs.frozen
class StreamEnded:
    """The peer sends nothing more on this stream."""

    stream_id: int


@attrs.frozen
class StreamReset:
    """The stream is gone at once; `by_peer` False: it broke the protocol and was reset here."""

    stream_id: int
    code: int
    by_peer: bool


@attrs.frozen
class WindowOpened:
    """More may be sent on a stream, or on all of them (0)."""

    stream_id: int


@attrs.frozen
class LimitsChanged:
    """The peer changed its SETTINGS: windows, frame size or how many streams it takes."""


@attrs.frozen
class PingAnswered:
    """The answer to a PING of ours."""

    payload: bytes


@attrs.frozen
class PeerGoingAway:
    """The peer takes no new streams, and none above `last_stream_id` was or will be processed."""

    last_stream_id: int
    code: int
    debug: bytes


Event = Union[  # noqa: UP007  # a runtime alias that reads better than a chain of bars over ten lines
    Ready,
    HeadersArrived,
    TrailersArrived,
    DataArrived,
    StreamEnded,
    StreamReset,
    WindowOpened,
    LimitsChanged,
    PingAnswered,
    PeerGoingAway,
]
