"""The server's side of calls: which handler answers a path, and what becomes of its exceptions."""

from __future__ import annotations

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


class Log(Protocol):
    """What connections need of a logger; structlog's fit."""

    def debug(self, event: str, **fields: object) -> object:
        """Something that a developer may want to see."""

    def info(self, event: str, **fields: object) -> object:
        """Something that an operator may want to see."""

    def warning(self, event: str, **fields: object) -> object:
        """Something that an operator should see."""

    def exception(self, event: str, **fields: object) -> object:
        """A bug of ours, with the exception being handled."""


class NoLog:
    """A log that keeps nothing."""

    def debug(self, event: str, **fields: object) -> None:
        """Drop it."""

    info = warning = exception = debug


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
    sound = True
    with trio.CancelScope() as call.scope:
        if timeout_s is not None:
            call.scope.deadline = trio.current_time() + timeout_s
        try:
            await handler(call)
            call.finish()
        except Exception as error:
            cause = _single(error)
            sound = isinstance(cause, (Refused, ProtocolError, ConnectionLost))
            if not sound:
                log.exception("a handler failed", path=call.path, peer=call.connection.peer)
            _finish_with(call, cause)
        except BaseException:
            call.reset(CANCEL)
            raise
    if call.scope.cancelled_caught:
        # By the specification a deadline that passes resets the stream on both sides.
        call.reset(CANCEL)
    return sound


def _finish_with(call: Call, cause: Exception) -> None:
    """Answer a call with the status that an exception stands for."""
    if isinstance(cause, Refused):
        call.finish(cause.grpc_status, cause.message, hint=cause.hint)
    elif isinstance(cause, ProtocolError):
        call.finish(cause.grpc_status, str(cause))
    elif isinstance(cause, ConnectionLost):
        call.finish(Status.UNAVAILABLE, str(cause))
    else:
        call.finish(Status.INTERNAL, "internal error")


def _single(error: Exception) -> Exception:
    """What a group of exceptions from a handler's nursery comes down to.

    A handler's tasks all see the loss of the call, so a group may hold it several times beside one
    exception that matters more.
    """
    causes: list[Exception] = []
    pending = [error]
    while pending:
        current = pending.pop()
        if isinstance(current, ExceptionGroup):
            pending.extend(current.exceptions)
        else:
            causes.append(current)
    rank = (ConnectionLost, ProtocolError, Refused)
    return max(
        causes, key=lambda cause: rank.index(type(cause)) if type(cause) in rank else len(rank)
    )
