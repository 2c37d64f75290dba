"""Payloads as the commands read and print them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.cli.payloads import check_json, object_line, on_one_line
from trionode.ids import format_id, object_id

ID = object_id(1, 1)


@pytest.mark.parametrize(
    "payload",
    [
        b"-5",
        b"null",
        b'"x"',
        b" [1, 2.5] ",
        b"18446744073709551615",
        b"-9223372036854775808",
        b"1.2345678901234567890123",
        b"12345678901234567890e3",
        b'"123456789012345678901234567890"',
        b'{"\\"123456789012345678901234567890": 1}',
    ],
)
def test_a_json_document_passes(payload):
    check_json(payload)


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"[1,]", "trailing comma.*byte 3"),
        (b"nope", "byte"),
        (b"NaN", "byte"),
        (b"1e999", "range"),
        (b'"\xff"', "utf-8"),
        (b"18446744073709551616", "beyond 64 bits"),
        (b"[-9223372036854775809]", "beyond 64 bits"),
        (b"[" * 1000 + b"]" * 1000, "nested deeper"),
    ],
)
def test_anything_else_is_refused_with_the_place(payload, message):
    with pytest.raises(ValueError, match=message):
        check_json(payload)


def test_json_that_spans_lines_is_put_on_one_without_changing_its_value():
    text = json.dumps({"a": ["x\n", 1]}, indent=2).replace("\n", "\r\n").encode()
    line = on_one_line(text)
    assert b"\n" not in line
    assert b"\r" not in line
    assert json.loads(line) == {"a": ["x\n", 1]}


def test_a_json_payload_is_embedded_byte_for_byte():
    line = object_line("billing.Order", ID, 3, "json", b'{"price": 1.10,  "u": "\\u00e9"}')
    assert line.endswith(b'"object":{"price": 1.10,  "u": "\\u00e9"}}\n')
    assert json.loads(line) == {
        "id": format_id(ID),
        "type": "billing.Order",
        "attempt": 3,
        "encoding": "json",
        "object": {"price": 1.1, "u": "é"},
    }


@given(st.binary(max_size=50), st.text(min_size=1, max_size=10))
def test_any_raw_payload_and_any_type_name_print_as_one_line_of_json(payload, name):
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    line = object_line(name, ID, 1, "raw", payload)
    assert line.count(b"\n") == 1
    assert json.loads(line)["type"] == name
