"""JSON is read strictly, and numbers are those that every language can hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import plain_json
from trionode.errors import Refused, Status
from trionode.schema.strict_json import MAX_NESTING, parse_json


@given(plain_json)
def test_what_plain_json_says_is_read_as_it_is(value):
    assert parse_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"-Infinity",
        b"1e400",
        b"01",
        b"1.",
        b"[1,]",
        b"1 2",
        b"'a'",
        b'"\xff"',
        b'"\\ud800"',
        b'"\x01"',
        b"\xef\xbb\xbf1",
        b"\x00",
        b"nul",
    ],
)
def test_what_is_not_one_json_text_is_refused(text):
    with pytest.raises(Refused, match="not JSON") as caught:
        parse_json(text)
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("number", [-(2**63), 2**64 - 1, 0])
def test_integers_of_64_bits_pass(number):
    assert parse_json(b"[%d]" % number) == [number]


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64, 10**30])
def test_integers_beyond_64_bits_are_refused(number):
    with pytest.raises(Refused, match="64 bits"):
        parse_json(b"[%d]" % number)


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_nesting_is_allowed_up_to_a_limit(opening):
    closing = b"]" if opening == b"[" else b"}"
    assert parse_json(opening * MAX_NESTING + b"1" + closing * MAX_NESTING)
    for depth in (MAX_NESTING + 10, 100_000):
        with pytest.raises(Refused, match="nested deeper"):
            parse_json(opening * depth + b"1" + closing * depth)


def test_many_arrays_side_by_side_are_not_deep():
    assert parse_json(b"[" + b",".join([b"[]"] * 1000) + b"]") == [[]] * 1000


@given(st.binary(max_size=30))
def test_any_bytes_are_json_or_refused(data):
    try:
        value = parse_json(data)
    except Refused:
        return
    assert json.loads(data) == value
