"""The line protocol of `trionode client`: bytes to commands, replies to bytes. Pure, no I/O.

A line is a command word and its arguments, separated by blanks; a JSON document or a reason is the
rest of the line. Everything that is wrong with a line is a `BadLine`, which becomes an `ERR` reply.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import TYPE_CHECKING

import attrs

from trionode.cli.payloads import check_json, on_one_line
from trionode.errors import Status
from trionode.ids import ObjectId, format_id, parse_id

if TYPE_CHECKING:
    from collections.abc import Callable

CREDIT_DEFAULT = 1
CREDIT_MAX = 1_000_000
"""Far above any useful window; keeps a slip of the finger from asking for the whole backlog."""
DELAY_MAX_S = 366 * 86_400
"""A delay beyond a year is a mistake, and must fit the wire's milliseconds."""
QUOTE_MAX = 40
"""How much of a bad word an error message repeats."""


class BadLine(ValueError):  # noqa: N818  # what the protocol calls it
    """A line that is no command; `status` is the gRPC status that the reply names."""

    def __init__(self, message: str, status: Status = Status.INVALID_ARGUMENT) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Define:
    """Define a type, with the text of a JSON Schema or without any."""

    type: str
    schema: str | None


@attrs.frozen
class Push:
    """Push one object; `encoding` is `json` or `raw`."""

    type: str
    payload: bytes
    encoding: str


@attrs.frozen
class Subscribe:
    """Subscribe to a type, or set the credit of that subscription."""

    type: str
    credit: int


@attrs.frozen
class Unsubscribe:
    """End the subscription to a type."""

    type: str


@attrs.frozen
class Ack:
    """Settle a delivery as done; `attempt` None means the last one printed of that object."""

    id: ObjectId
    attempt: int | None


@attrs.frozen
class Nack:
    """Give a delivery back, after a delay in seconds or after the node's own back-off (None)."""

    id: ObjectId
    attempt: int | None
    delay_s: float | None


@attrs.frozen
class Reject:
    """Make a delivery a dead letter, and say why."""

    id: ObjectId
    attempt: int | None
    reason: str


@attrs.frozen
class AskStatus:
    """Ask for the node's status."""


@attrs.frozen
class Ping:
    """Ask whether the node answers."""


@attrs.frozen
class Quit:
    """Reply and end."""


Command = Define | Push | Subscribe | Unsubscribe | Ack | Nack | Reject | AskStatus | Ping | Quit


def parse(line: bytes) -> Command:
    """Read one line, without its line end.

    Raises:
        BadLine: it is empty, not UTF-8, no known command, or its arguments cannot be used.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise BadLine(f"the line is not UTF-8 (byte {error.start + 1})") from error
    word, rest = _split(text)
    if not word:
        raise BadLine("the line is empty")
    parser = _PARSERS.get(word)
    if parser is None:
        raise BadLine(_unknown(word), Status.UNIMPLEMENTED)
    return parser(rest)


def _unknown(word: str) -> str:
    if word.upper() in _PARSERS:
        return f"unknown command {_quote(word)}: commands are upper case"
    return f"unknown command {_quote(word)}: known are {', '.join(_PARSERS)}"


def _quote(text: str) -> str:
    return repr(text if len(text) <= QUOTE_MAX else text[:QUOTE_MAX] + "…")


def _split(text: str) -> tuple[str, str]:
    """The first word, and what comes after the blanks behind it."""
    text = text.lstrip(" \t")
    end = next((i for i, letter in enumerate(text) if letter in " \t"), len(text))
    return text[:end], text[end:].strip(" \t")


def _words(rest: str, usage: str, least: int, most: int) -> list[str]:
    words = rest.split()
    if not least <= len(words) <= most:
        raise BadLine(f"usage: {usage}")
    return words


def _define(rest: str) -> Define:
    name, schema = _split(rest)
    if not name:
        raise BadLine("usage: DEFINE <type> [<json schema>]")
    if schema:
        _checked_json(schema.encode())
    return Define(name, schema or None)


def _checked_json(payload: bytes) -> bytes:
    try:
        check_json(payload)
    except ValueError as error:
        raise BadLine(f"bad JSON: {error}") from error
    return payload


def _push(rest: str) -> Push:
    name, document = _split(rest)
    if not document:
        raise BadLine("usage: PUSH <type> <json>")
    return Push(name, _checked_json(document.encode()), "json")


def _push_bytes(rest: str) -> Push:
    # Without a second word the payload is empty: that is what base64 makes of no bytes.
    words = _words(rest, "PUSHB <type> <base64>", 1, 2)
    try:
        payload = base64.b64decode("".join(words[1:]), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadLine(f"bad base64: {error}") from error
    return Push(words[0], payload, "raw")


def _number(text: str, what: str, least: int, most: int) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", text) or not least <= int(text) <= most:
        raise BadLine(f"{what} must be a whole number from {least} to {most}, not {_quote(text)}")
    return int(text)


def _subscribe(rest: str) -> Subscribe:
    words = _words(rest, "SUBSCRIBE <type> [<credit>]", 1, 2)
    if len(words) == 1:
        return Subscribe(words[0], CREDIT_DEFAULT)
    return Subscribe(words[0], _number(words[1], "credit", 0, CREDIT_MAX))


def _unsubscribe(rest: str) -> Unsubscribe:
    return Unsubscribe(_words(rest, "UNSUBSCRIBE <type>", 1, 1)[0])


def _lease(text: str) -> tuple[ObjectId, int | None]:
    name, mark, attempt = text.partition("#")
    try:
        value = parse_id(name)
    except ValueError as error:
        raise BadLine(
            f"{_quote(name)} is not an object id (20 hexadecimal digits, a dash, a number)"
        ) from error
    return value, _number(attempt, "the attempt", 1, 2**31) if mark else None


def _ack(rest: str) -> Ack:
    return Ack(*_lease(_words(rest, "ACK <id>[#<attempt>]", 1, 1)[0]))


def _nack(rest: str) -> Nack:
    words = _words(rest, "NACK <id>[#<attempt>] [<delay in seconds>]", 1, 2)
    lease = _lease(words[0])
    return Nack(*lease, delay_s=_delay(words[1]) if len(words) == 2 else None)


def _delay(text: str) -> float:
    try:
        delay_s = float(text)
    except ValueError:
        delay_s = math.nan
    if not 0 <= delay_s <= DELAY_MAX_S:
        raise BadLine(f"the delay must be seconds from 0 to {DELAY_MAX_S}, not {_quote(text)}")
    return delay_s


def _reject(rest: str) -> Reject:
    name, reason = _split(rest)
    if not name:
        raise BadLine("usage: REJECT <id>[#<attempt>] [<reason>]")
    return Reject(*_lease(name), reason=reason)


def _bare(command: Callable[[], Command], word: str) -> Callable[[str], Command]:
    def parser(rest: str) -> Command:
        _words(rest, f"{word} (no arguments)", 0, 0)
        return command()

    return parser


_PARSERS: dict[str, Callable[[str], Command]] = {
    "DEFINE": _define,
    "PUSH": _push,
    "PUSHB": _push_bytes,
    "SUBSCRIBE": _subscribe,
    "UNSUBSCRIBE": _unsubscribe,
    "ACK": _ack,
    "NACK": _nack,
    "REJECT": _reject,
    "STATUS": _bare(AskStatus, "STATUS"),
    "PING": _bare(Ping, "PING"),
    "QUIT": _bare(Quit, "QUIT"),
}


# --- replies ----------------------------------------------------------------------------------


def ok(text: str | bytes = b"") -> bytes:
    """The reply to a command that was done, with what it returns."""
    returned = on_one_line(text.encode() if isinstance(text, str) else text)
    return b"OK " + returned + b"\n" if returned else b"OK\n"


def err(status: Status, message: str) -> bytes:
    """The reply to a command that was not done."""
    return f"ERR {status.name} {_flat(message)}".rstrip().encode("utf-8", "replace") + b"\n"


def delivery(type_name: str, value: int, attempt: int, encoding: str, payload: bytes) -> bytes:
    """The line of an object that was delivered: `OBJECT` for JSON, `BYTES` for anything else."""
    head = f"{type_name} {format_id(value)} {attempt} ".encode()
    if encoding == "json":
        return b"OBJECT " + head + on_one_line(payload) + b"\n"
    return b"BYTES " + head + base64.b64encode(payload) + b"\n"


def lost(value: int, attempt: int, reason: str) -> bytes:
    """The line of a delivery that is no longer this client's."""
    return f"LOST {format_id(value)} {attempt} {_flat(reason)}".rstrip().encode() + b"\n"


def _flat(text: str) -> str:
    return " ".join(text.split())


# --- bytes to lines ---------------------------------------------------------------------------


class LineSplitter:
    """Cuts a stream of bytes into lines, in bounded memory.

    A line longer than the limit comes out as None, once, and its bytes are dropped as they come.
    """

    __slots__ = ("_limit_bytes", "_parts", "_skipping", "_waiting_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._parts: list[bytes] = []
        self._waiting_bytes = 0
        self._skipping = False

    def feed(self, chunk: bytes) -> list[bytes | None]:
        """The lines that these bytes complete, without LF and a CR before it."""
        *complete, rest = chunk.split(b"\n")
        lines = [line for piece in complete for line in self._complete(piece)]
        lines.extend(self._keep(rest))
        return lines

    def finish(self) -> bytes | None:
        """What is left behind the last LF, without a CR at its end; None when nothing usable is."""
        rest = b"".join(self._parts).removesuffix(b"\r")
        self._parts.clear()
        return rest or None

    def _keep(self, piece: bytes) -> list[bytes | None]:
        if self._skipping or not piece:
            return []
        self._parts.append(piece)
        self._waiting_bytes += len(piece)
        if self._waiting_bytes <= self._limit_bytes:
            return []
        self._parts.clear()
        self._skipping = True
        return [None]

    def _complete(self, piece: bytes) -> list[bytes | None]:
        found = self._keep(piece)
        if not self._skipping:
            found.append(b"".join(self._parts).removesuffix(b"\r"))
        self._parts.clear()
        self._waiting_bytes = 0
        self._skipping = False
        return found
