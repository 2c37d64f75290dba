"""gRPC's part of HTTP/2 headers: requests, responses, trailers, statuses, timeouts.

After the specification "gRPC over HTTP2" (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md). Names and
values are checked here before they go out, because HPACK state is spoilt by a late failure.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import attrs

from trionode.errors import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Headers = list[tuple[bytes, bytes]]
"""A header list as it goes to and comes from HPACK."""

CONTENT_TYPE = "application/grpc+msgpack"
"""What trionode's own messages are."""
REQUESTS_KEPT = 128
"""Requests remembered as they were read: most calls of a client begin like the one before."""
HINT = "trionode-hint"
"""The trailer that carries a refusal's hint, percent-encoded like grpc-message."""

_CONTENT_TYPE = re.compile(r"application/grpc(\+[a-z0-9.+_-]+)?\s*(;.*)?", re.IGNORECASE)
_PATH = re.compile(r"/[^/]+/[^/]+")
_NAME = re.compile(r"[0-9a-z_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])")
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT_DIGITS_MAX = 99_999_999
_PLAIN = frozenset(range(0x20, 0x7F)) - {0x25}
_ESCAPES = [chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in range(256)]
_MESSAGE_BYTES_MAX = 2048
"""A longer grpc-message is cut: escaped it may triple, and peers cap a header list at 8 KiB."""

_STATUS_OF_HTTP = {
    400: Status.INTERNAL,
    401: Status.UNAUTHENTICATED,
    403: Status.PERMISSION_DENIED,
    404: Status.UNIMPLEMENTED,
    429: Status.UNAVAILABLE,
    502: Status.UNAVAILABLE,
    503: Status.UNAVAILABLE,
    504: Status.UNAVAILABLE,
}
_RESERVED_REQUEST = frozenset({"te", "content-type", "user-agent", "connection", "host"})
_TRAILERS_OF_STATUS = {status: str(int(status)).encode() for status in Status}


@attrs.frozen
class Request:
    """A request that can be handed to a handler; `timeout_s` None means no deadline."""

    path: str
    metadata: Mapping[str, str]
    content_type: str
    encoding: str
    timeout_s: float | None


@attrs.frozen
class Rejection:
    """A request answered at once, with a plain HTTP status or, when that is 200, a gRPC one."""

    http_status: int
    status: Status
    message: str


@attrs.frozen
class Outcome:
    """How a call ended."""

    status: Status
    message: str = ""
    hint: str = ""


def check_metadata(name: str, value: str) -> tuple[bytes, bytes]:
    """One piece of custom metadata as a header.

    Raises:
        ValueError: the name or value cannot be sent, or the name is reserved by gRPC or HTTP.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"metadata name {name!r} may hold only a-z, 0-9, '_', '.' and '-'")
    if name.startswith("grpc-") or name in _RESERVED_REQUEST:
        raise ValueError(f"metadata name {name!r} is reserved")
    if not _VALUE.fullmatch(value) or value != value.strip():
        raise ValueError(
            f"the value of metadata {name!r} must be printable ASCII without spaces around it"
        )
    return name.encode(), value.encode()


def request_headers(
    path: str,
    authority: str,
    metadata: Iterable[tuple[str, str]],
    timeout_s: float | None,
) -> Headers:
    """The headers that open a call.

    Raises:
        ValueError: the path, authority or a piece of metadata cannot be sent.
    """
    if not _PATH.fullmatch(path) or not _VALUE.fullmatch(path):
        raise ValueError(f"{path!r} is not a gRPC path (/service/method)")
    if not _VALUE.fullmatch(authority):
        raise ValueError(f"{authority!r} is not an authority")
    headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", path.encode()),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", CONTENT_TYPE.encode()),
        (b"user-agent", b"trionode"),
    ]
    if timeout_s is not None:
        headers.append((b"grpc-timeout", format_timeout(timeout_s).encode()))
    headers.extend(check_metadata(name, value) for name, value in metadata)
    return headers


def read_request(headers: Headers) -> Request | Rejection:
    """Judge the headers that opened a stream at a server; never raises."""
    return _read_request(tuple(headers))


@lru_cache(REQUESTS_KEPT)
def _read_request(headers: tuple[tuple[bytes, bytes], ...]) -> Request | Rejection:
    pseudo: dict[bytes, bytes] = {}
    metadata: dict[str, str] = {}
    for name, value in headers:
        if name.startswith(b":"):
            pseudo[name] = value
        else:
            key, text = name.decode("ascii", "replace"), value.decode("latin-1")
            metadata[key] = f"{metadata[key]},{text}" if key in metadata else text
    if pseudo.get(b":method") != b"POST":
        return Rejection(405, Status.UNKNOWN, "gRPC calls are POST requests")
    content_type = metadata.get("content-type", "")
    if not _CONTENT_TYPE.fullmatch(content_type):
        return Rejection(
            415, Status.UNKNOWN, f"content-type {content_type!r} is not application/grpc"
        )
    path = pseudo.get(b":path", b"").decode("latin-1")
    if not _PATH.fullmatch(path):
        return Rejection(200, Status.UNIMPLEMENTED, f"{path!r} is not a path of a gRPC method")
    timeout_s = None
    if "grpc-timeout" in metadata:
        try:
            timeout_s = parse_timeout(metadata["grpc-timeout"])
        except ValueError as error:
            return Rejection(200, Status.INTERNAL, str(error))
    return Request(path, metadata, content_type, metadata.get("grpc-encoding", ""), timeout_s)


def unknown_method(path: str) -> Rejection:
    """The rejection of a path that no handler serves."""
    return Rejection(200, Status.UNIMPLEMENTED, f"unknown method {path}")


def rejection_headers(rejection: Rejection) -> Headers:
    """The one header block that answers a rejected request."""
    if rejection.http_status == 200:
        return response_headers() + trailers(Outcome(rejection.status, rejection.message))
    return [
        (b":status", str(rejection.http_status).encode()),
        (b"content-type", CONTENT_TYPE.encode()),
        *trailers(Outcome(rejection.status, rejection.message)),
    ]


def response_headers(content_type: str = CONTENT_TYPE) -> Headers:
    """The headers of a response, before its first message."""
    return [(b":status", b"200"), (b"content-type", content_type.encode("latin-1"))]


def trailers(outcome: Outcome, metadata: Iterable[tuple[str, str]] = ()) -> Headers:
    """The trailers that end a call.

    Raises:
        ValueError: a piece of metadata cannot be sent.
    """
    block = [(b"grpc-status", _TRAILERS_OF_STATUS[outcome.status])]
    if outcome.message:
        block.append((b"grpc-message", encode_message(outcome.message)))
    if outcome.hint:
        block.append((HINT.encode(), encode_message(outcome.hint)))
    if outcome.status is Status.UNIMPLEMENTED:
        block.append((b"grpc-accept-encoding", b"identity"))
    block.extend(check_metadata(name, value) for name, value in metadata)
    return block


def read_outcome(headers: Headers, http_status: int) -> Outcome:
    """How a call ended, from the trailers (or the only headers) of its response; never raises."""
    fields = dict(headers)
    text = fields.get(b"grpc-status")
    if text is None:
        status = _STATUS_OF_HTTP.get(http_status, Status.UNKNOWN)
        return Outcome(status, f"the server answered HTTP status {http_status} and no grpc-status")
    message = decode_message(fields.get(b"grpc-message", b""))
    try:
        status = Status(int(text)) if text.isdigit() else Status.UNKNOWN
    except ValueError:
        status = Status.UNKNOWN
    if status is Status.UNKNOWN and text != b"2":
        message = f"grpc-status {text.decode('latin-1')!r}: {message}"
    return Outcome(status, message, decode_message(fields.get(HINT.encode(), b"")))


def read_http_status(headers: Headers) -> int:
    """The :status of response headers; 0 when it is not a number."""
    for name, value in headers:
        if name == b":status" and value.isdigit():
            return int(value)
    return 0


def metadata_of(headers: Headers) -> dict[str, str]:
    """Headers other than pseudo-headers as text; repeated ones are joined with a comma."""
    metadata: dict[str, str] = {}
    for name, value in headers:
        if not name.startswith(b":"):
            key, text = name.decode("latin-1"), value.decode("latin-1")
            metadata[key] = f"{metadata[key]},{text}" if key in metadata else text
    return metadata


def encode_message(text: str) -> bytes:
    """Percent-encode a grpc-message: UTF-8, all but printable ASCII without '%'."""
    raw = text.encode("utf-8", "replace")[:_MESSAGE_BYTES_MAX]
    encoded = "".join([_ESCAPES[byte] for byte in raw])
    if encoded[:1] == " ":
        encoded = "%20" + encoded[1:]
    if encoded[-1:] == " ":
        encoded = encoded[:-1] + "%20"
    return encoded.encode()


def decode_message(value: bytes) -> str:
    """Undo `encode_message`; wrong escapes stay as they are, wrong UTF-8 is replaced."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def format_timeout(timeout_s: float) -> str:
    """A grpc-timeout: at most eight digits and the finest unit in which it fits."""
    for unit in "num":
        count = max(0, round(timeout_s / _UNIT_S[unit]))
        if count <= _TIMEOUT_DIGITS_MAX:
            return f"{count}{unit}"
    for unit in "SMH":
        count = round(timeout_s / _UNIT_S[unit])
        if count <= _TIMEOUT_DIGITS_MAX:
            return f"{count}{unit}"
    return f"{_TIMEOUT_DIGITS_MAX}H"


def parse_timeout(text: str) -> float:
    """A grpc-timeout in seconds.

    Raises:
        ValueError: it is not one to eight digits and a unit.
    """
    match = _TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(f"grpc-timeout {text!r} is not 1-8 digits and one of H, M, S, m, u, n")
    return int(match[1]) * _UNIT_S[match[2]]
