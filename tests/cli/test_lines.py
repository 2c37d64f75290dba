"""The line protocol: every command, every kind of bad input, every reply."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.cli import lines
from trionode.cli.lines import BadLine, LineSplitter, parse
from trionode.errors import Status
from trionode.ids import object_id

ID = object_id(0xABC, 7)
ID_TEXT = "00000000000000000abc-7"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"DEFINE Order", lines.Define("Order", None)),
        (b'DEFINE Order {"type": "object"}', lines.Define("Order", '{"type": "object"}')),
        (b'PUSH Order {"n": 1}', lines.Push("Order", b'{"n": 1}', "json")),
        (b"PUSH Order -5", lines.Push("Order", b"-5", "json")),
        (b'PUSH Order "a  b"', lines.Push("Order", b'"a  b"', "json")),
        (b"PUSH \t Order \t 1 ", lines.Push("Order", b"1", "json")),
        ("PUSH Grüße 1".encode(), lines.Push("Grüße", b"1", "json")),
        (b"PUSHB Order AAEC", lines.Push("Order", b"\x00\x01\x02", "raw")),
        (b"PUSHB Order", lines.Push("Order", b"", "raw")),
        (b"SUBSCRIBE Order", lines.Subscribe("Order", 1)),
        (b"SUBSCRIBE Order 64", lines.Subscribe("Order", 64)),
        (b"SUBSCRIBE Order 0", lines.Subscribe("Order", 0)),
        (b"UNSUBSCRIBE Order", lines.Unsubscribe("Order")),
        (f"ACK {ID_TEXT}".encode(), lines.Ack(ID, None)),
        (f"ACK {ID_TEXT}#3".encode(), lines.Ack(ID, 3)),
        (f"NACK {ID_TEXT}".encode(), lines.Nack(ID, None, None)),
        (f"NACK {ID_TEXT}#2 1.5".encode(), lines.Nack(ID, 2, 1.5)),
        (f"NACK {ID_TEXT} 0".encode(), lines.Nack(ID, None, 0.0)),
        (f"REJECT {ID_TEXT}".encode(), lines.Reject(ID, None, "")),
        (
            f"REJECT {ID_TEXT}#1 no such  customer".encode(),
            lines.Reject(ID, 1, "no such  customer"),
        ),
        (b"STATUS", lines.AskStatus()),
        (b"PING", lines.Ping()),
        (b" PING ", lines.Ping()),
        (b"QUIT", lines.Quit()),
    ],
)
def test_a_well_formed_line_is_its_command(line, command):
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"", "empty"),
        (b" \t ", "empty"),
        (b"PING \xff", r"not UTF-8 \(byte 6\)"),
        (b"\xc3", "not UTF-8"),
        (b"DEFINE", "usage: DEFINE"),
        (b"DEFINE Order {", "bad JSON"),
        (b"PUSH", "usage: PUSH"),
        (b"PUSH Order", "usage: PUSH"),
        (b"PUSH Order {", "bad JSON"),
        (b"PUSH Order NaN", "bad JSON"),
        (b"PUSH Order 1 2", "bad JSON"),
        (b"PUSH Order 18446744073709551616", "beyond 64 bits"),
        (b"PUSHB", "usage: PUSHB"),
        (b"PUSHB Order ?", "bad base64"),
        (b"PUSHB Order AAE", "bad base64"),
        ("PUSHB Order é".encode(), "bad base64"),
        (b"PUSHB Order AA EC", "usage: PUSHB"),
        (b"SUBSCRIBE", "usage: SUBSCRIBE"),
        (b"SUBSCRIBE Order x", "credit must be"),
        (b"SUBSCRIBE Order -1", "credit must be"),
        (b"SUBSCRIBE Order 1_0", "credit must be"),
        ("SUBSCRIBE Order ٣".encode(), "credit must be"),
        (b"SUBSCRIBE Order 9999999999", "credit must be"),
        (b"SUBSCRIBE Order " + b"9" * 5000, "credit must be"),
        (b"SUBSCRIBE Order 1 1", "usage: SUBSCRIBE"),
        (b"UNSUBSCRIBE", "usage: UNSUBSCRIBE"),
        (b"ACK", "usage: ACK"),
        (b"ACK 7", "not an object id"),
        (f"ACK {ID_TEXT}#".encode(), "attempt must be"),
        (f"ACK {ID_TEXT}#0".encode(), "attempt must be"),
        (f"ACK {ID_TEXT}#one".encode(), "attempt must be"),
        (f"ACK {ID_TEXT} {ID_TEXT}".encode(), "usage: ACK"),
        (f"NACK {ID_TEXT} soon".encode(), "delay must be"),
        (f"NACK {ID_TEXT} -1".encode(), "delay must be"),
        (f"NACK {ID_TEXT} nan".encode(), "delay must be"),
        (f"NACK {ID_TEXT} inf".encode(), "delay must be"),
        (f"NACK {ID_TEXT} 1e300".encode(), "delay must be"),
        (b"NACK", "usage: NACK"),
        (b"REJECT", "usage: REJECT"),
        (b"REJECT x because", "not an object id"),
        (b"STATUS now", "usage: STATUS"),
        (b"PING 1", "usage: PING"),
        (b"QUIT 0", "usage: QUIT"),
    ],
)
def test_a_line_that_cannot_be_used_is_refused_with_the_reason(line, message):
    with pytest.raises(BadLine, match=message) as caught:
        parse(line)
    assert caught.value.status is Status.INVALID_ARGUMENT


def test_an_unknown_command_is_unimplemented_and_the_known_ones_are_named():
    with pytest.raises(BadLine, match="unknown command 'HELLO': known are DEFINE, PUSH") as caught:
        parse(b"HELLO world")
    assert caught.value.status is Status.UNIMPLEMENTED


def test_a_command_in_lower_case_is_told_about_upper_case():
    with pytest.raises(BadLine, match="commands are upper case"):
        parse(b"push Order 1")


def test_a_long_word_is_not_repeated_in_full():
    with pytest.raises(BadLine) as caught:
        parse(b"X" * 100_000)
    assert len(str(caught.value)) < 200


@given(st.binary(max_size=200))
def test_any_bytes_are_a_command_or_a_bad_line(line):
    try:
        parse(line)
    except BadLine as error:
        reply = lines.err(error.status, str(error))
        assert reply.startswith(b"ERR ")
        assert reply.count(b"\n") == 1


def test_ok_carries_what_the_command_returns_on_one_line():
    assert lines.ok() == b"OK\n"
    assert lines.ok("abc") == b"OK abc\n"
    assert lines.ok(b'{\n"a":1}') == b'OK { "a":1}\n'


def test_err_names_the_status_and_keeps_the_message_on_one_line():
    assert lines.err(Status.UNAVAILABLE, "no\nnode\r\nhere") == b"ERR UNAVAILABLE no node here\n"
    assert lines.err(Status.ABORTED, "") == b"ERR ABORTED\n"


def test_json_is_delivered_as_it_is_on_one_line():
    assert (
        lines.delivery("Order", ID, 2, "json", b'{"n": 1,\n "s": "a\\nb"}')
        == f'OBJECT Order {ID_TEXT} 2 {{"n": 1,  "s": "a\\nb"}}\n'.encode()
    )


def test_other_encodings_are_delivered_as_base64():
    payload = bytes(range(256))
    line = lines.delivery("Order", ID, 1, "raw", payload)
    assert line == f"BYTES Order {ID_TEXT} 1 ".encode() + base64.b64encode(payload) + b"\n"


def test_lost_names_object_attempt_and_reason():
    assert lines.lost(ID, 3, "the node is\ngone") == f"LOST {ID_TEXT} 3 the node is gone\n".encode()


def test_lines_come_out_whole_however_the_bytes_are_cut():
    text = b"PING\r\nPUSH A 1\n\nQUIT\n"
    expected = [b"PING", b"PUSH A 1", b"", b"QUIT"]
    for size in range(1, len(text) + 1):
        splitter = LineSplitter(100)
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        assert [line for chunk in chunks for line in splitter.feed(chunk)] == expected
        assert splitter.finish() is None


def test_only_one_carriage_return_before_the_line_feed_is_dropped():
    assert LineSplitter(10).feed(b"a\rb\r\r\n") == [b"a\rb\r"]


def test_a_line_at_the_limit_passes_and_a_longer_one_is_dropped_once():
    splitter = LineSplitter(4)
    assert splitter.feed(b"1234\n") == [b"1234"]
    assert splitter.feed(b"12345") == [None]
    assert splitter.feed(b"67" * 100) == []
    assert splitter.feed(b"8\nPING\n") == [b"PING"]
    assert splitter.feed(b"123456\nPING\n") == [None, b"PING"]


def test_a_long_line_is_not_kept_in_memory():
    splitter = LineSplitter(1000)
    for _ in range(1000):
        splitter.feed(b"x" * 1000)
    assert sum(len(part) for part in splitter._parts) <= 1000


def test_what_is_behind_the_last_line_end_is_left_over():
    splitter = LineSplitter(10)
    assert splitter.feed(b"PING\nQUI") == [b"PING"]
    assert splitter.finish() == b"QUI"
    assert splitter.finish() is None


def test_the_cr_of_a_last_line_without_a_line_end_is_dropped_as_well():
    splitter = LineSplitter(10)
    splitter.feed(b"PING\r")
    assert splitter.finish() == b"PING"


@pytest.mark.parametrize("text", [b"E\n\t\r", b"E\n\r", b"E\n\t\r\r", b"E\r\n\t"])
def test_a_last_line_without_a_line_end_is_the_same_however_the_bytes_are_cut(text):
    found = []
    for size in range(1, len(text) + 1):
        splitter = LineSplitter(10)
        chunks = [text[i : i + size] for i in range(0, len(text), size)]
        lines_found = [line for chunk in chunks for line in splitter.feed(chunk)]
        found.append((lines_found, splitter.finish()))
    ended = LineSplitter(10).feed(text + b"\n")
    assert found == [(ended[:1], ended[1] or None)] * len(text)


def test_nothing_is_left_over_of_a_line_that_was_too_long():
    splitter = LineSplitter(4)
    splitter.feed(b"123456")
    assert splitter.finish() is None
