"""Schemas that accept the same share a fingerprint; those that don't, don't."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.schema.fingerprint import FINGERPRINT_CHARACTERS, canonical_text, fingerprint

ORDER = {
    "title": "Order",
    "description": "What somebody wants",
    "type": "object",
    "properties": {
        "number": {"type": "string", "examples": ["o-1"], "default": ""},
        "title": {"type": "string", "title": "Title", "description": "of the order"},
        "state": {"enum": ["new", "paid"], "deprecated": True},
    },
    "required": ["number", "title"],
}


def of(schema) -> str:
    return fingerprint(json.dumps(schema))


def test_a_fingerprint_never_changes():
    assert of(ORDER) == "11bfc6ffc4aacbdebcbce841"
    assert len(of(ORDER)) == FINGERPRINT_CHARACTERS


def test_annotations_and_order_say_nothing():
    plain = {
        "required": ["title", "number"],
        "properties": {
            "state": {"enum": ["paid", "new"]},
            "title": {"type": ["string"]},
            "number": {"type": "string"},
        },
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
    }
    assert of(plain) == of(ORDER)


def test_a_property_is_a_name_even_if_it_looks_like_an_annotation():
    for name in ("title", "description", "default", "examples"):
        with_it = {"properties": {name: {"type": "string", name: name}}}
        assert of(with_it) != of({"properties": {}})
        assert canonical_text(with_it) == f'{{"properties":{{"{name}":{{"type":"string"}}}}}}'


@pytest.mark.parametrize("keyword", ["enum", "const", "default", "required"])
def test_data_inside_keywords_is_not_taken_for_a_schema(keyword):
    one, other = ({keyword: [{"title": text}]} for text in ("a", "b"))
    assert (of(one) == of(other)) == (keyword == "default")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"required": []}, {}),
        ({"minimum": 1.0}, {"minimum": 1}),
        ({"items": True}, {"items": {}}),
        ({"items": False}, {"items": {"not": {}}}),
        ({"type": ["string", "null"]}, {"type": ["null", "string"]}),
        ({"anyOf": [{"title": "a"}]}, {"anyOf": [{}]}),
        ({"$defs": {"A": {"title": "a"}}}, {"$defs": {"A": {}}}),
        ({"const": {"a": 1, "b": 2}}, {"const": {"b": 2, "a": 1}}),
    ],
)
def test_schemas_that_mean_the_same_share_a_fingerprint(one, other):
    assert of(one) == of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "string"}, {"type": "integer"}),
        ({"required": ["a"]}, {"required": ["b"]}),
        ({"enum": [1]}, {"enum": [True]}),
        ({"enum": [1]}, {"enum": ["1"]}),
        ({"const": "é"}, {"const": "e"}),
        ({"prefixItems": [{"type": "string"}, {}]}, {"prefixItems": [{}, {"type": "string"}]}),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, {}),
        (True, False),
    ],
)
def test_schemas_that_mean_something_else_do_not(one, other):
    assert of(one) != of(other)


def shuffled(value, source):
    if isinstance(value, dict):
        items = [(key, shuffled(item, source)) for key, item in value.items()]
        source.shuffle(items)
        return dict(items)
    return [shuffled(item, source) for item in value] if isinstance(value, list) else value


@given(st.integers(0, 1000))
def test_the_order_of_keys_never_matters(seed):
    assert of(shuffled(ORDER, random.Random(seed))) == of(ORDER)
