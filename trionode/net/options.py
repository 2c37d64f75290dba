"""The limits and timeouts of connections, and the counters they keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
from attrs import validators

from trionode.wire.h2_setup import SessionLimits

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = 1024
MIB = 1024 * KIB

_positive: Callable[[Any, Any, Any], None] = validators.gt(0)
_optional_positive: Callable[[Any, Any, Any], None] = validators.optional(validators.gt(0))


@attrs.frozen(kw_only=True)
class ConnectionOptions:
    """What a connection allows its peer, and how long it waits for it."""

    max_message_bytes: int = attrs.field(default=6 * MIB, validator=_positive)
    """The longest gRPC message taken: an object of the largest size and what goes with it."""
    stream_window_bytes: int = attrs.field(
        default=1 * MIB, validator=[validators.ge(65_535), validators.lt(2**31)]
    )
    """What a peer may send on one call before it is read. Never below HTTP/2's own 65,535: peers
    may send that much before they have seen this setting."""
    connection_window_bytes: int = attrs.field(
        default=16 * MIB, validator=[validators.ge(65_535), validators.lt(2**31)]
    )
    """What it may send on all calls together before it has come in. Calls that are not read take
    no part of it for long: what lies unread is bounded by the window of each."""
    max_frame_bytes: int = attrs.field(
        default=64 * KIB, validator=[validators.ge(16 * KIB), validators.lt(2**24)]
    )
    """The longest frame taken and sent: larger ones are slower and hold up other calls."""
    max_concurrent_streams: int = attrs.field(default=256, validator=_positive)
    """Calls that a peer may have running; opening one costs time in proportion."""
    max_header_list_bytes: int = attrs.field(default=16 * KIB, validator=validators.ge(4 * KIB))
    """The most that the headers of one request or response may decode to."""
    max_unsent_bytes: int = attrs.field(default=64 * MIB, validator=_positive)
    """The most that may wait on one call for a peer that does not read; above, it is reset."""
    max_unread_bytes: int = attrs.field(default=64 * MIB, validator=_positive)
    """The most that may lie unread on an eager call, which no window bounds; above, it is reset."""
    max_control_bytes: int = attrs.field(default=256 * KIB, validator=_positive)
    """Answers that may wait to be written before nothing more is read."""
    keepalive_idle_s: float | None = attrs.field(default=15.0, validator=_optional_positive)
    """A PING is sent when nothing came for so long; None: never. It is there for what lies between
    and forgets silent connections: dead hosts are TCP's matter. A server waits a look longer, so
    that a client which asks by itself is not asked as well."""
    keepalive_timeout_s: float | None = attrs.field(default=None, validator=_optional_positive)
    """The connection is lost when nothing at all comes for so long after a PING. None: TCP alone
    judges, so that a peer whose event loop is blocked, but whose host lives, stays connected."""
    handshake_timeout_s: float = attrs.field(default=10.0, validator=_positive)
    """How long the peer may take for the preface, its first SETTINGS and any header block."""
    write_timeout_s: float = attrs.field(default=600.0, validator=_positive)
    """How long one write to the socket may take. Long, because the peer may be an honest consumer
    that is busy; a dead host is noticed by TCP long before."""
    close_timeout_s: float = attrs.field(default=2.0, validator=_positive)
    """How long a connection that ends may take to write what is queued and see the peer's end."""
    lost_call_grace_s: float = attrs.field(default=5.0, validator=_positive)
    """A handler whose call is lost is told by `receive`, and cancelled after so long."""

    def session_limits(self) -> SessionLimits:
        """The part of the limits that HTTP/2 advertises and enforces."""
        return SessionLimits(
            stream_window_bytes=self.stream_window_bytes,
            connection_window_bytes=self.connection_window_bytes,
            max_frame_bytes=self.max_frame_bytes,
            max_concurrent_streams=self.max_concurrent_streams,
            max_header_list_bytes=self.max_header_list_bytes,
            answer_timeout_s=self.handshake_timeout_s,
        )


@attrs.define
class Counts:
    """The counters that a connection keeps; only the connection changes them."""

    bytes_received: int = 0
    bytes_sent: int = 0
    calls_opened: int = 0
    calls_rejected: int = 0
    calls_reset: int = 0
    handler_faults: int = 0


@attrs.frozen
class ConnectionStatistics:
    """A snapshot of a connection's counters."""

    bytes_received: int
    bytes_sent: int
    calls_opened: int
    """By us (client) or accepted from the peer (server)."""
    calls_rejected: int
    """Requests answered without a handler: unknown method, wrong content type and so on."""
    calls_reset: int
    """Calls that ended by a reset, of either side."""
    calls_running: int
    handler_faults: int
    """Handlers that raised what they should not."""
    unsent_bytes: int
    """Queued on calls and not in a frame yet."""
