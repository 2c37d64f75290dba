"""Making connections to addresses: parsing them, dialling, and how long to wait between tries."""

from __future__ import annotations

import errno
import re
from typing import TYPE_CHECKING

import trio

from trionode.errors import ConnectError
from trionode.net import sockets

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESS = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\s:/\[\]@]+)):(?P<port>[0-9]{1,5})"
)
_PORT_MAX = 65_535


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `host:port` or `[IPv6]:port`.

    Raises:
        ValueError: the text is neither or has control characters, or the port is above 65535.
    """
    match = _ADDRESS.fullmatch(text.strip())
    if match is None or int(match["port"]) > _PORT_MAX or not text.isprintable():
        raise ValueError(
            f"{text!r} is not an address: host:port or [IPv6]:port, with a port up to {_PORT_MAX}"
        )
    return match["six"] or match["host"], int(match["port"])


async def dial(host: str, port: int, *, timeout_s: float) -> trio.SocketStream:
    """Open a TCP connection with the options that every connection has.

    Raises:
        ConnectError: nobody answers there; the message says what to look at.
    """
    address = sockets.address_text((host, port))
    try:
        with trio.fail_after(timeout_s):
            stream = await trio.open_tcp_stream(host, port)
    except trio.TooSlowError:
        raise ConnectError(
            f"{address} did not answer within {timeout_s:g} s: is the host up and not firewalled?"
        ) from None
    except OSError as error:
        raise ConnectError(f"{address}: {_explain(error)}") from error
    sockets.prepare(stream)
    return stream


def _explain(error: OSError) -> str:
    """What a person can do about an error of connecting."""
    # trio raises "all attempts to connect failed" from the errors of the single attempts.
    cause: BaseException = error
    while isinstance(cause.__cause__, BaseException) and not getattr(cause, "errno", None):
        cause = cause.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    code = getattr(cause, "errno", None)
    if code == errno.ECONNREFUSED:
        return "nobody listens there; is the node running, and the port right?"
    if code in (errno.EHOSTUNREACH, errno.ENETUNREACH):
        return "no way to that host"
    if isinstance(cause, OSError) and type(cause).__name__ == "gaierror":
        return "the host name is not known"
    return str(cause)


class Backoff:
    """How long to wait before the next try: exponential, with full jitter.

    Full jitter spreads those who lost one node at the same moment (AWS Architecture Blog,
    "Exponential Backoff And Jitter").

    Args:
        random: gives a number from 0 to 1.
        first_s: the bound of the first wait.
        max_s: the bound that later waits grow to.
    """

    def __init__(
        self, random: Callable[[], float], first_s: float = 0.1, max_s: float = 10.0
    ) -> None:
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._bound_s = first_s

    def next_s(self) -> float:
        """The next wait in seconds; the bound doubles."""
        bound_s = self._bound_s
        self._bound_s = min(self._max_s, bound_s * 2)
        return self._random() * bound_s

    def reset(self) -> None:
        """Begin again: the last try succeeded."""
        self._bound_s = self._first_s
