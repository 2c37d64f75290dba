"""The socket options of every connection, accepted or dialled.

A dead host must be noticed while the event loops at both ends may be busy, so the kernels do it:
keepalive probes while nothing is in flight, TCP_USER_TIMEOUT while something is. Both are answered
by the peer's kernel, whatever its process does.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trio

PROBE_IDLE_S = 10
"""Silence before the first keepalive probe."""
PROBE_INTERVAL_S = 5
"""Between probes."""
PROBE_COUNT = 4
"""Unanswered probes after which the connection is dead."""
USER_TIMEOUT_MS = 30_000
"""How long sent bytes may stay unacknowledged: the same time as the probes take."""

_OPTIONS = [
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", PROBE_IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPALIVE", PROBE_IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", PROBE_INTERVAL_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", PROBE_COUNT),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
]


def prepare(stream: trio.SocketStream) -> None:
    """Set the options that this platform knows; a socket that is already dead is left alone."""
    for level, name, value in _OPTIONS:
        option = getattr(socket, name, None)
        if option is None:
            continue
        try:
            stream.setsockopt(level, option, value)
        except OSError:
            return


def address_text(address: object) -> str:
    """`host:port` of a socket address, IPv6 in brackets."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address)
