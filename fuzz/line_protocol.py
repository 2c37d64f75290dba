"""However its bytes are cut, a client's input is the same lines, each a command or a BadLine.

Every reply to them is one line. Input: a byte that chooses the longest line, then what the client
writes.
"""

from __future__ import annotations

import json

from fuzz import invariant
from trionode.cli import lines
from trionode.cli.lines import BadLine, LineSplitter
from trionode.ids import format_id, parse_id

MAX_BYTES = 1024
LIMITS = (0, 1, 16, 256)


def split_plainly(data: bytes, limit: int) -> tuple[list[bytes | None], bytes | None]:
    """The lines, None for one too long, and what comes after the last line end: None for nothing.

    All without a CR at their end.
    """
    *complete, rest = data.split(b"\n")
    found = [None if len(line) > limit else line.removesuffix(b"\r") for line in complete]
    if len(rest) > limit:
        return [*found, None], None
    return found, rest.removesuffix(b"\r") or None


def split_in_pieces(
    data: bytes, piece_bytes: int, limit: int
) -> tuple[list[bytes | None], bytes | None]:
    """What the splitter makes of it."""
    splitter = LineSplitter(limit)
    found: list[bytes | None] = []
    for start in range(0, len(data), piece_bytes):
        found += splitter.feed(data[start : start + piece_bytes])
    return found, splitter.finish()


def reply_to(line: bytes) -> bytes:
    """A line that the command would print for it."""
    try:
        command = lines.parse(line)
    except BadLine as error:
        return lines.err(error.status, str(error))
    match command:
        case lines.Push(type, payload, encoding):
            if encoding == "json":
                json.loads(payload)
            return lines.delivery(type, 1, 1, encoding, payload)
        case lines.Ack(id, attempt) | lines.Nack(id, attempt):
            assert parse_id(format_id(id)) == id
            return lines.ok(f"{format_id(id)}#{attempt}")
        case lines.Reject(id, attempt, reason):
            return lines.lost(id, attempt or 1, reason)
        case lines.Subscribe(_, credit):
            assert 0 <= credit <= lines.CREDIT_MAX
    return lines.ok()


@invariant
def check(data: bytes) -> None:
    limit, written = LIMITS[data[0] % len(LIMITS)] if data else 0, data[1:]
    expected = split_plainly(written, limit)
    for piece_bytes in (1, 3, max(1, len(written))):
        assert split_in_pieces(written, piece_bytes, limit) == expected
    found, rest = expected
    for line in (*found, rest):
        if line is not None:
            reply = reply_to(line)
            assert reply.endswith(b"\n")
            assert reply.count(b"\n") == 1
