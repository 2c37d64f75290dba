"""The server's side of calls: which handler answers a path, and what becomes of its exceptions."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import attrs
import trio

from trionode.errors import ConnectionLost, ProtocolError, Refused, Status
from trionode.wire.session import CANCEL

if TYPE_CHECKING:
    from trionode.net.call import Call

Handler = Callable[["Call"], Awaitable[None]]
"""Serves one call: returning ends it with status OK, raising Refused with that status."""

_WAYS_TO_END = (ConnectionLost, ProtocolError, Refused)
"""What a handler may raise that is no bug, lightest first."""


class Log(Protocol):
    """What connections need of a logger; structlog's fit."""

    def debug(self, event: str, **fields: object) -> object:
        """Something that a developer may want to see."""

    def info(self, event: str, **fields: object) -> object:
        """Something that an operator may want to see."""

    def warning(self, event: str, **fields: object) -> object:
        """Something that an operator should see."""

    def error(self, event: str, **fields: object) -> object:
        """A bug of ours; `exc_info` is the exception."""


class NoLog:
    """A log that keeps nothing."""

    def debug(self, event: str, **fields: object) -> None:
        """Drop it."""

    info = warning = error = debug


@attrs.frozen
class Route:
    """How a path is served.

    Attributes:
        handler: serves each call in a task of its own.
        eager: received bytes are given back to the peer's window as they arrive, so that flow
            control never holds the peer back; for links, which use credit instead.
    """

    handler: Handler
    eager: bool = False


async def serve_call(call: Call, handler: Handler, timeout_s: float | None, log: Log) -> bool:
    """Run the handler of one call to its end; whether it ended as a handler may."""
    deadline = math.inf if timeout_s is None else trio.current_time() + timeout_s
    cause: Exception | None = None
    call.scope = scope = trio.CancelScope(deadline=deadline)
    try:
        with scope:
            await handler(call)
    except Exception as error:  # noqa: BLE001  # a handler's bug ends its call, not the connection
        cause = _weightiest(error)
    except BaseExceptionGroup as group:
        # A task was cancelled and another failed: the failure is ours, the rest goes on.
        faults, others = group.split(Exception)
        if faults is not None and not _is_sound(_weightiest(faults)):
            log.error(  # noqa: TRY400  # exception() would log the cancellation too
                "a handler failed when cancelled", path=call.path, exc_info=faults
            )
        call.reset(CANCEL)
        if others is not None:
            raise others from None
    except BaseException:
        call.reset(CANCEL)
        raise
    if scope.cancelled_caught:
        # By the specification a deadline that passes resets the stream.
        call.reset(CANCEL)
    sound = cause is None or _is_sound(cause)
    if not sound:
        log.error("a handler failed", path=call.path, peer=call.connection.peer, exc_info=cause)
    _finish_with(call, cause)
    return sound


def _finish_with(call: Call, cause: Exception | None) -> None:
    """Answer a call with the status that an exception, or none, stands for."""
    if cause is None:
        call.finish()
    elif isinstance(cause, Refused):
        call.finish(cause.grpc_status, cause.message, hint=cause.hint)
    elif isinstance(cause, ProtocolError):
        call.finish(cause.grpc_status, str(cause))
    elif isinstance(cause, ConnectionLost):
        call.finish(Status.UNAVAILABLE, str(cause))
    else:
        call.finish(Status.INTERNAL, "internal error")


def _weightiest(error: Exception) -> Exception:
    """What an exception, or a group of them from a handler's nursery, comes down to.

    All tasks of a handler see the loss of its call, so a group may hold that several times beside
    the one exception that matters.
    """
    causes: list[Exception] = []
    pending = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, ExceptionGroup):
            pending.extend(current.exceptions)
        else:
            causes.append(current)
    return max(causes, key=_weight)


def _is_sound(cause: Exception) -> bool:
    """Whether this is a way for a handler to end a call."""
    return isinstance(cause, _WAYS_TO_END)


def _weight(cause: Exception) -> int:
    light = [index for index, kind in enumerate(_WAYS_TO_END) if isinstance(cause, kind)]
    return light[0] if light else len(_WAYS_TO_END)
