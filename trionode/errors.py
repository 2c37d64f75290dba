"""The one error hierarchy of trionode and the gRPC status codes its errors map to.

Factored out at the bottom of the package so that every layer can raise and catch the same errors.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Status(enum.IntEnum):
    """gRPC status codes (https://grpc.io/docs/guides/status-codes/)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class Error(Exception):
    """Base of every error that trionode raises to its users; never raised itself."""

    def __new__(cls, *args: object, **_kwargs: object) -> Self:
        """Make an error of a subclass; the base has none of its own."""
        if cls is Error:
            raise TypeError("trionode.Error is abstract: raise one of its subclasses")
        return super().__new__(cls, *args)


class ConfigurationError(Error):
    """A configuration file, variable or flag holds something that cannot be used."""


class ConnectError(Error):
    """No connection could be made: nobody listens there, or something that is not trionode does."""


class ConnectionLost(Error):  # noqa: N818  # the name is the public contract
    """An established connection ended before the answer came; the outcome may be unknown."""


class Refused(Error):  # noqa: N818  # the name is the public contract
    """The node understood the request and said no.

    Attributes:
        grpc_status: why, as a gRPC status code.
        hint: what to do about it, or an empty string.
    """

    def __init__(self, grpc_status: Status, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.grpc_status = Status(grpc_status)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.grpc_status.name}: {self.message}"
        return f"{text} ({self.hint})" if self.hint else text


class LeaseLost(Error):  # noqa: N818  # the name is the public contract
    """The lease of a delivery is no longer this consumer's; settling it changes nothing."""


class EncodeError(Error, ValueError):
    """A value cannot be pushed: it lies outside of what JSON objects can carry here."""


class DecodeError(Error, ValueError):
    """A payload does not fit the class it should become; the message has the path inside it."""


class ProtocolError(Error):
    """The peer broke HTTP/2, gRPC or trionode's own protocol.

    Attributes:
        h2_code: the HTTP/2 error code (RFC 9113 section 7) to send when the connection must end.
        grpc_status: the status to answer with when only the call must end.
    """

    def __init__(
        self, message: str, *, h2_code: int = 1, grpc_status: Status = Status.INTERNAL
    ) -> None:
        super().__init__(message)
        self.h2_code = h2_code
        self.grpc_status = grpc_status
