"""The socket options of every connection, accepted or dialled.

A dead host must be noticed while the event loops at both ends may be busy, so the kernels do it:
keepalive probes while nothing is in flight, TCP_USER_TIMEOUT while something is. Both are answered
by the peer's kernel, whatever its process does.
"""

from __future__ import annotations

import os
import socket
import struct

import trio

PROBE_IDLE_S = 10
"""Silence before the first keepalive probe."""
PROBE_INTERVAL_S = 5
"""Between probes."""
PROBE_COUNT = 4
"""Unanswered probes after which the connection is dead."""
USER_TIMEOUT_MS = 30_000
"""How long sent bytes may stay unacknowledged: the same time as the probes take."""
DEAD_PROBES = 3
"""Probes of a shut window, one after the other, that only a dead host leaves unanswered."""

_OPTIONS = [
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", PROBE_IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPALIVE", PROBE_IDLE_S),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", PROBE_INTERVAL_S),
    (socket.IPPROTO_TCP, "TCP_KEEPCNT", PROBE_COUNT),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", USER_TIMEOUT_MS),
]

# struct tcp_info of Linux (include/uapi/linux/tcp.h), as far as it is read here.
_INFO_PROBES = 3
_INFO_UNACKED = 24
_INFO_LAST_ACK = 56
_INFO_NOT_SENT = 144
_INFO_BYTES = 148
_u32 = struct.Struct("=I").unpack_from


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


def write_some(stream: trio.abc.Stream, data: bytes) -> int:
    """Write what the kernel takes of some bytes without waiting; how many it took.

    0 where that cannot be done or the connection is broken: a write that waits tells which.
    """
    if os.name != "posix" or not isinstance(stream, trio.SocketStream):
        return 0
    try:
        return os.write(stream.socket.fileno(), data)
    except OSError:
        return 0


def address_text(address: object) -> str:
    """`host:port` of a socket address, IPv6 in brackets."""
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address)


class PeerWatch:
    """Tells a host that is dead from a process that does not read, where the kernel does not.

    Linux applies TCP_USER_TIMEOUT also to a peer whose receive window is shut, although its kernel
    answers every probe (tcp_probe_timer in net/ipv4/tcp_timer.c): a consumer that is busy for
    longer than that, with enough bytes waiting for it, would lose its connection. So while the
    window is shut the timeout is lifted, and unanswered probes are counted here instead.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        known = hasattr(socket, "TCP_INFO") and hasattr(socket, "TCP_USER_TIMEOUT")
        self._stream = stream if known and isinstance(stream, trio.SocketStream) else None
        self._lifted = False

    def is_dead(self) -> bool:
        """Look at the connection; to be called a few times within USER_TIMEOUT_MS."""
        if self._stream is None:
            return False
        try:
            info = self._stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
            if len(info) < _INFO_BYTES:
                return False
            probes = info[_INFO_PROBES]
            (in_flight,) = _u32(info, _INFO_UNACKED)
            (silent_ms,) = _u32(info, _INFO_LAST_ACK)
            (waiting_bytes,) = _u32(info, _INFO_NOT_SENT)
            shut = waiting_bytes > 0 and not in_flight
            if shut is not self._lifted:
                self._lifted = shut
                value = 0 if shut else USER_TIMEOUT_MS
                self._stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, value)
        except OSError:
            # Closed or broken: its reader and writer know.
            return False
        return shut and probes >= DEAD_PROBES and silent_ms >= USER_TIMEOUT_MS
