"""Which names a type may have."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.strategies import names
from trionode.errors import Refused, Status
from trionode.schema.definition import MAX_TYPE_NAME_BYTES, check_key, check_type_name


@given(names)
def test_segments_of_letters_digits_and_dashes_are_a_name(name):
    assert check_type_name(name) == name


def test_a_name_may_be_as_long_as_allowed_and_no_longer():
    assert check_type_name("x" * MAX_TYPE_NAME_BYTES)
    with pytest.raises(Refused):
        check_type_name("x" * (MAX_TYPE_NAME_BYTES + 1))


@pytest.mark.parametrize(
    "name",
    ["", ".", "a.", ".a", "a..b", "a b", "é", "a\n", "a/b", "a*", "a>", "\ud800", "\u0661", "a\0"],
)
def test_anything_else_is_refused_with_what_is_allowed(name):
    with pytest.raises(Refused) as caught:
        check_type_name(name)
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT
    assert "letters, digits, '_' and '-'" in str(caught.value)
    assert str(caught.value).isascii()


def test_a_hostile_name_is_not_repeated_at_length():
    with pytest.raises(Refused) as caught:
        check_type_name("x" * 1_000_000)
    assert len(str(caught.value)) < 400


@given(names)
def test_what_names_a_type_can_be_subscribed_to(name):
    assert check_key(name) == name


@pytest.mark.parametrize(
    "pattern", ["*", ">", "billing.*", "billing.>", "*.Order", "a.*.b", "*.*", "*.>", "a.*.>"]
)
def test_a_pattern_can_be_subscribed_to_and_names_no_type(pattern):
    assert check_key(pattern) == pattern
    with pytest.raises(Refused, match="cannot name a type"):
        check_type_name(pattern)


@pytest.mark.parametrize(
    "pattern",
    ["a.>.b", ">.a", ">>", "**", "a*", "*a", "a.b*", "a>", ".*", "*.", "a..*", "a.* ", "é.*",
     "x" * MAX_TYPE_NAME_BYTES + ".*"],
)  # fmt: skip
def test_a_pattern_that_is_none_is_refused_with_what_is_allowed(pattern):
    with pytest.raises(Refused) as caught:
        check_key(pattern)
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT
    assert "billing.*" in caught.value.hint
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "é"])
def test_a_name_that_is_none_cannot_be_subscribed_to(name):
    with pytest.raises(Refused, match="cannot name a type"):
        check_key(name)
