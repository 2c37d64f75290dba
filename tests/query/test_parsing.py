"""Conditions and orders are read into values; what cannot be understood is told with its place."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.query import Field, Property, QueryError, parse, parse_order
from trionode.query.expressions import Compare, Every, IsNull, Like, Not, OneOf, Some
from trionode.query.parsing import NESTING_MAX, TERMS_MAX, TEXT_MAX

TOTAL = Field(("total",))
CITY = Field(("customer", "city"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'total > 100 and customer.city = "Riga"',
            Every((Compare(TOTAL, ">", 100), Compare(CITY, "=", "Riga"))),
        ),
        (
            "total=1 or total=2 and not total=3",
            Some(
                (
                    Compare(TOTAL, "=", 1),
                    Every((Compare(TOTAL, "=", 2), Not(Compare(TOTAL, "=", 3)))),
                )
            ),
        ),
        (
            "(total=1 or total=2) AND total<>3",
            Every(
                (
                    Some((Compare(TOTAL, "=", 1), Compare(TOTAL, "=", 2))),
                    Not(Compare(TOTAL, "=", 3)),
                )
            ),
        ),
        ("100 < total", Compare(TOTAL, ">", 100)),
        ("total in (1, -2.5, 'x', true)", OneOf(TOTAL, (1, -2.5, "x", True))),
        ("total not in (1)", Not(OneOf(TOTAL, (1,)))),
        ("customer.city like 'R%'", Like(CITY, "R%")),
        ("customer.city not like 'R%'", Not(Like(CITY, "R%"))),
        ("total is null", IsNull(TOTAL)),
        ("total is not null", Not(IsNull(TOTAL))),
        ("total = null", IsNull(TOTAL)),
        ("total != null", Not(IsNull(TOTAL))),
        ("lines[0].sku = 'a'", Compare(Field(("lines", 0, "sku")), "=", "a")),
        ('["first name"] = "Ann"', Compare(Field(("first name",)), "=", "Ann")),
        ("first-name = 'Ann'", Compare(Field(("first-name",)), "=", "Ann")),
        ("customer.in = 1", Compare(Field(("customer", "in")), "=", 1)),
        (r"""total = 'it\'s\n"so"\u0416'""", Compare(TOTAL, "=", 'it\'s\n"so"Ж')),
        (r"total = '\ud83d\ude00'", Compare(TOTAL, "=", "😀")),
        ("$attempt >= 2", Compare(Property("attempt"), ">=", 2)),
        ("$created < '1970-01-01T00:01:00Z'", Compare(Property("created"), "<", 60.0)),
        ("total = 9223372036854775808", Compare(TOTAL, "=", 2.0**63)),
        ("$possibly_duplicate = true", Compare(Property("possibly_duplicate"), "=", True)),
    ],
)
def test_a_condition_means(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "at character 1, not the end"),
        ("total >", "a value"),
        ("total > > 1", "at character 9, not '>'"),
        ("total = 1 total = 2", "'and' or 'or' is expected at character 11"),
        ("(total = 1", "')', 'and' or 'or' is expected at character 11, not the end"),
        ("total = 'x", "a text that begins at character 9 has no end"),
        ("total = 1; drop table objects", "';' at character 10 means nothing here"),
        ("total < null", "null has no order"),
        ("total in (null)", "null is no value of a list"),
        ("total < true", "true and false have no order"),
        ("total like 1", "a text in quotes"),
        ("total is 1", "'null' is expected"),
        ("total not 1", "'in' or 'like' is expected"),
        ("total = city", "a value"),
        ("$nothing = 1", "there is no property $nothing; there are $id"),
        ("$attempt = 'x'", "$attempt is a number"),
        ("$attempt = true", "$attempt is a number"),
        ("$key = 1", "$key is a text"),
        ("$created > 'yesterday'", "no time in RFC 3339"),
        ("$created > '2026-11-25T10:00:00'", "no time in RFC 3339"),
        ("$id = 'x'", "is not an object id"),
        ("$id > '00000000000000000007-1'", "ids have no order"),
        ("$attempt like '1%'", "$attempt is no text"),
        ("lines[-1] = 1", "an index from 0"),
        ('["a\\"b"] = 1', "quotes or backslashes"),
        ("total = 1e999", "too large a number"),
        ("and = 1", "a field"),
        (r"total = '\ud83d'", "not Unicode"),
        ("not " * (NESTING_MAX + 2) + "total = 1", f"nested deeper than {NESTING_MAX}"),
        ("(" * 1000, f"nested deeper than {NESTING_MAX}"),
        ("total in (" + "1," * TERMS_MAX + "1)", f"more than {TERMS_MAX}"),
        ("total = " + "1" * TEXT_MAX, f"longer than {TEXT_MAX}"),
        ("total like '" + "%a" * 30 + "'", "wildcards"),
    ],
)
def test_what_cannot_be_understood_is_told(text, told):
    with pytest.raises(QueryError) as caught:
        parse(text)
    assert told in str(caught.value)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "total",
                "$attempt",
                "=",
                "<",
                "(",
                ")",
                "and",
                "or",
                "not",
                "in",
                "like",
                "is",
                "null",
                "1",
                "'x'",
                ",",
                ".",
                "[",
                "]",
                "true",
                "-",
                "\\",
                "'",
                '"',
                "\0",
                "é",
            ]
        ),
        max_size=20,
    ).map(" ".join)
)
def test_any_text_is_a_condition_or_an_error_of_the_query(text):
    with contextlib.suppress(QueryError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("total", (TOTAL, False)),
        ("total asc", (TOTAL, False)),
        ("customer.city DESC", (CITY, True)),
        ("$created desc", (Property("created"), True)),
    ],
)
def test_an_order_means(text, expected):
    assert parse_order(text) == expected


@pytest.mark.parametrize("text", ["", "total down", "1", "total, city", "$state"])
def test_an_order_that_cannot_be_understood_is_refused(text):
    with pytest.raises(QueryError):
        parse_order(text)
