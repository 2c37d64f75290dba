"""What to make of a peer's first bytes: HTTP/2, or something that should hear what speaks here."""

from __future__ import annotations

import re

import attrs

from trionode.wire.scanner import HEADER_BYTES, PREFACE, SETTINGS

SAYS = b"this is a trionode node: it speaks gRPC over HTTP/2 with prior knowledge, without TLS"
"""What a stranger is told."""
_HTTP1 = re.compile(rb"[A-Z]{3,10} ")
_TLS_HANDSHAKE = b"\x16\x03"
_SHOWN_BYTES = 60
_SETTING_BYTES = 6


@attrs.frozen
class Stranger:
    """The peer speaks something else.

    Attributes:
        what: what it seems to speak, for errors and logs.
        answer: what to send before closing.
    """

    what: str
    answer: bytes


def judge_client(head: bytes) -> Stranger | bool | None:
    """Judge the first bytes that came to a server.

    Returns:
        True for the HTTP/2 preface, None while more bytes are needed, else the stranger.
    """
    if head.startswith(PREFACE):
        return True
    if PREFACE.startswith(head):
        return None
    if _HTTP1.match(head):
        body = SAYS + b", not HTTP/1.1\n"
        answer = (
            b"HTTP/1.1 505 HTTP Version Not Supported\r\nContent-Type: text/plain\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        return Stranger("HTTP/1.1", answer)
    if head.startswith(_TLS_HANDSHAKE):
        return Stranger("TLS", SAYS + b"\n")
    if len(head) < HEADER_BYTES and (head.isupper() and head.isalpha()):
        return None
    return Stranger(show(head), SAYS + b"\n")


def judge_server(head: bytes) -> Stranger | bool | None:
    """Judge the first bytes that came to a client: a server's must be SETTINGS.

    Returns:
        True for HTTP/2, None while more bytes are needed, else the stranger.
    """
    if len(head) < HEADER_BYTES:
        # Text is told from a frame header by its first byte, the top of a length below 2^16.
        return None if head[:1] in (b"", b"\x00") else Stranger(show(head), b"")
    length = int.from_bytes(head[:3], "big")
    is_settings = head[3] == SETTINGS and not length % _SETTING_BYTES and not any(head[5:9])
    return True if is_settings and not head[0] else Stranger(show(head), b"")


def show(head: bytes) -> str:
    """The first bytes in a form fit for an error message."""
    if head.startswith(b"HTTP/1."):
        head = head.partition(b"\r\n")[0]
    return _text(head)


def _text(head: bytes) -> str:
    return ascii(head[:_SHOWN_BYTES].decode("latin-1"))
