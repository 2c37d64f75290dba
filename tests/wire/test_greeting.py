"""A peer's first bytes tell HTTP/2 from everything else, however they are cut."""

from __future__ import annotations

import pytest

from tests.support.frames import PREFACE, FrameFactory
from trionode.wire.greeting import Stranger, judge_client, judge_server


@pytest.mark.parametrize("length", range(len(PREFACE)))
def test_a_part_of_the_preface_is_waited_on(length):
    assert judge_client(PREFACE[:length]) is None


def test_the_preface_is_recognised_with_what_follows():
    assert judge_client(PREFACE + b"anything") is True


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"PUT /"])
def test_http1_is_answered_in_http1(line):
    verdict = judge_client(line)
    assert isinstance(verdict, Stranger)
    assert verdict.answer.startswith(b"HTTP/1.1 505 ")
    head, body = verdict.answer.split(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert b"trionode" in body


def test_a_cut_http1_method_is_waited_on():
    assert judge_client(b"GE") is None


@pytest.mark.parametrize(
    ("head", "what"),
    [(b"\x16\x03\x01\x02", "TLS"), (b"\x00\xff\x00", "\\x00"), (b"hello\n", "hello")],
)
def test_garbage_is_told_in_one_line_what_speaks_here(head, what):
    verdict = judge_client(head)
    assert isinstance(verdict, Stranger)
    assert what in verdict.what
    assert verdict.answer.endswith(b"\n")
    assert b"trionode" in verdict.answer


def test_a_server_that_sends_settings_speaks_http2():
    hello = FrameFactory().preface({3: 100}, client=False)
    assert judge_server(hello) is True
    assert judge_server(hello[:9]) is True
    for length in range(9):
        assert judge_server(hello[:length]) is None


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"-ERR unknown", "-ERR unknown"),
        (b"J\x00\x00\x00\n8.0.36", "8.0.36"),
    ],
)
def test_a_server_that_speaks_something_else_is_named_by_its_first_bytes(head, what):
    verdict = judge_server(head)
    assert isinstance(verdict, Stranger)
    assert what in verdict.what


@pytest.mark.parametrize(
    "frame",
    [
        FrameFactory().ping(),
        FrameFactory().settings(ack=True)[:3] + b"\x06" + FrameFactory().settings(ack=True)[4:],
        FrameFactory().raw(4, 0, 1, b""),
        FrameFactory().raw(4, 0, 0, b"1234567"),
        # As long as 8 bytes of it already told that it is no frame.
        b"\x1e\x1e\x1e\x04\x00\x00\x00\x00\x00",
    ],
)
def test_a_server_whose_first_frame_is_not_settings_does_not_speak_http2(frame):
    assert isinstance(judge_server(frame), Stranger)
