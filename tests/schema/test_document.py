"""Schemas are held to limits before anything expensive is done with them."""

from __future__ import annotations

import json

import pytest

from trionode.errors import Refused, Status
from trionode.schema.document import (
    MAX_PATTERNS,
    MAX_SCHEMA_BYTES,
    MAX_SCHEMA_NESTING,
    parse_schema,
)


def refusal(schema) -> str:
    with pytest.raises(Refused) as caught:
        parse_schema(schema if isinstance(schema, str) else json.dumps(schema))
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT
    return caught.value.message


def test_a_schema_may_be_as_large_as_allowed_and_no_larger():
    empty = len(json.dumps({"description": ""}))
    assert parse_schema(json.dumps({"description": "x" * (MAX_SCHEMA_BYTES - empty)}))
    assert "at most 65536" in refusal({"description": "x" * (MAX_SCHEMA_BYTES - empty + 1)})


def test_bytes_count_not_characters():
    refusal(json.dumps({"description": "é" * (MAX_SCHEMA_BYTES // 2)}, ensure_ascii=False))


def nested(depth: int) -> str:
    return '{"not":' * depth + "{}" + "}" * depth


def test_a_schema_may_be_as_deep_as_allowed_and_no_deeper():
    assert parse_schema(nested(MAX_SCHEMA_NESTING - 1))
    assert "nested deeper than 64" in refusal(nested(MAX_SCHEMA_NESTING))
    refusal(nested(5000))


def test_depth_counts_where_no_schema_is_expected_too():
    refusal('{"default":' + "[" * 100 + "]" * 100 + "}")


@pytest.mark.parametrize("text", ["", "nope", "[]", "1", "null", '"x"', '{"a":NaN}', "\ud800"])
def test_what_is_no_json_object_is_no_schema(text):
    assert refusal(text).startswith("bad schema")


@pytest.mark.parametrize("text", ["true", "false", "{}"])
def test_booleans_and_the_empty_object_are_schemas(text):
    assert parse_schema(text).root == json.loads(text)


@pytest.mark.parametrize(
    "reference",
    [
        "http://127.0.0.1:1/schema.json",
        "https://example.org/x#/y",
        "file:///etc/passwd",
        "other.json",
        "//host/x",
        "#anchor",
        "",
        "urn:x",
    ],
)
@pytest.mark.parametrize(
    "place",
    [
        lambda ref: ref,
        lambda ref: {"properties": {"a": ref}},
        lambda ref: {"anyOf": [{"items": ref}]},
        lambda ref: {"$defs": {"a": ref}},
        lambda ref: {"if": {"not": ref}},
        lambda ref: {"dependencies": {"a": ref}},
        lambda ref: {"items": [ref]},
    ],
)
def test_references_to_other_documents_are_refused_wherever_they_are(reference, place):
    assert "only references inside" in refusal(place({"$ref": reference}))


@pytest.mark.parametrize(
    "reference", ["#/$defs/missing", "#/$defs/a/type", "#/required", "#/required/5", "#/x/0/0"]
)
def test_references_to_nothing_are_refused(reference):
    schema = {"$defs": {"a": {"type": "string"}}, "required": ["a"], "not": {"$ref": reference}}
    assert "lead" in refusal(schema)


@pytest.mark.parametrize("keyword", ["default", "const", "examples"])
def test_references_into_data_are_refused(keyword):
    schema = {keyword: {"type": "string"}, "not": {"$ref": f"#/{keyword}"}}
    assert "holds no schema" in refusal(schema)


def test_a_property_called_ref_is_a_property():
    assert parse_schema('{"properties": {"$ref": {"type": "string"}}}')


@pytest.mark.parametrize("pointer", ["a~1b", "a%2Fb~0", "1"])
def test_pointers_are_decoded(pointer):
    names = {"a/b": {"type": "string"}, "a/b~": {}, "1": {}}
    encoded = {"a~1b": "a~1b", "a%2Fb~0": "a~1b~0", "1": "1"}[pointer]
    assert parse_schema(json.dumps({"$defs": names, "items": {"$ref": f"#/$defs/{encoded}"}}))


def test_references_may_go_through_lists():
    assert parse_schema('{"allOf":[{"type":"object"}],"items":{"$ref":"#/allOf/0"}}')


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$id": "http://x/y"}}},
        {"$dynamicRef": "#a"},
        {"items": {"$recursiveRef": "#"}},
    ],
)
def test_keywords_that_change_where_references_lead_are_refused(schema):
    refusal(schema)


def test_a_type_may_be_part_of_itself():
    assert parse_schema('{"properties":{"next":{"anyOf":[{"$ref":"#"},{"type":"null"}]}}}')


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}},
    ],
)
def test_a_reference_that_only_means_itself_is_refused(schema):
    assert "refers to itself" in refusal(schema)


def doubling(levels: int, extra=lambda i: {}) -> dict:
    defs = {"d0": {"type": "integer"}}
    for i in range(1, levels):
        defs[f"d{i}"] = {"anyOf": [{"$ref": f"#/$defs/d{i - 1}"}] * 2, **extra(i)}
    return {"$defs": defs, "$ref": f"#/$defs/d{levels - 1}"}


def test_alternatives_that_double_at_every_step_are_refused():
    assert parse_schema(json.dumps(doubling(8)))
    assert "multiply" in refusal(doubling(40))


def test_doubling_is_seen_through_circles_that_are_fine_themselves():
    back = lambda i: {"properties": {"z": {"$ref": f"#/$defs/d{min(i + 1, 39)}"}}}  # noqa: E731  # shortest
    assert "multiply" in refusal(doubling(40, back))


def test_doubling_below_properties_is_refused_too():
    defs = {"d0": {"type": "integer"}}
    for i in range(1, 40):
        defs[f"d{i}"] = {
            "anyOf": [{"properties": {"a": {"$ref": f"#/$defs/d{i - 1}"}}} for _ in range(2)]
        }
    assert "multiply" in refusal({"$defs": defs, "$ref": "#/$defs/d39"})


def test_a_long_chain_of_references_is_followed_without_running_out_of_stack():
    defs = {"d0": {"type": "integer"}}
    for i in range(1, 1200):
        defs[f"d{i}"] = {"allOf": [{"$ref": f"#/$defs/d{i - 1}"}]}
    assert parse_schema(json.dumps({"$defs": defs, "$ref": "#/$defs/d1199"}))


def test_regular_expressions_are_counted():
    def schema(count):
        half = count // 2
        return {
            "properties": {f"p{i}": {"pattern": "^a"} for i in range(half)},
            "patternProperties": {f"^{i}": {} for i in range(count - half)},
        }

    assert parse_schema(json.dumps(schema(MAX_PATTERNS)))
    assert "regular expressions" in refusal(schema(MAX_PATTERNS + 1))
