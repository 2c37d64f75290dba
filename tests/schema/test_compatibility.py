"""Which definitions can live side by side during a rolling deploy."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.schema.compatibility import WHOLE, Difference, difference
from trionode.schema.document import parse_schema

ORDER = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "state": {"enum": ["new", "paid"]},
        "customer": {"$ref": "#/$defs/Customer"},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
    },
    "required": ["number"],
    "$defs": {
        "Customer": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["name"],
        },
        "Line": {
            "type": "object",
            "properties": {"price": {"type": ["number", "null"]}, "sub": {"$ref": "#/$defs/Line"}},
            "additionalProperties": {"type": "string"},
        },
    },
}


def compare(old, new) -> Difference | None:
    return difference(parse_schema(json.dumps(old)), parse_schema(json.dumps(new)))


def changed(change) -> Difference | None:
    """What `change` makes of ORDER, compared in both orders, which must agree on the place."""
    new = copy.deepcopy(ORDER)
    change(new)
    found, backwards = compare(ORDER, new), compare(new, ORDER)
    assert (found and found.path) == (backwards and backwards.path)
    return found


def edit(*path, **values):
    def change(schema):
        for key in path:
            schema = schema[key]
        for key, value in values.items():
            if value is None:
                del schema[key]
            else:
                schema[key] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        edit(),
        edit(title="Order", description="edited"),
        edit("properties", "number", description="edited", default="x"),
        edit("properties", note={"type": "string"}),
        edit("properties", state=None),
        edit("properties", "state", enum=["paid", "new"]),
        edit("$defs", "Customer", "properties", phone={"type": "string"}),
        edit("$defs", "Line", "properties", note={"type": "string", "title": "Note"}),
        edit("$defs", Unused={"type": "string"}),
        edit("properties", "customer", title="Who", description="pays"),
        edit("$defs", "Line", "properties", "price", type=["null", "number"]),
    ],
)
def test_what_a_rolling_deploy_may_change(change):
    assert changed(change) is None


def test_a_definition_may_be_renamed_or_written_in_place():
    new = json.loads(json.dumps(ORDER).replace("Customer", "Client"))
    assert compare(ORDER, new) is None
    new["properties"]["customer"] = new["$defs"]["Client"]
    assert compare(ORDER, new) is None


@pytest.mark.parametrize(
    ("change", "path", "reason"),
    [
        (edit(required=["number", "note"]), "note", "new required property"),
        (edit(required=["number", "state"]), "state", "is now required"),
        (edit(required=[]), "number", "no longer required"),
        (edit("properties", number={"type": "integer"}), "number", "type is string in the old"),
        (edit("properties", number={"type": ["string", "null"]}), "number", "null or string"),
        (edit("properties", number={}), "number", "type is string in the old definition, any"),
        (edit("properties", "state", enum=["new"]), "state", "enum loses 'paid'"),
        (edit("properties", "state", enum=["new", "paid", "x"]), "state", "enum gains 'x'"),
        (edit("properties", "number", minLength=1), "number", "minLength is new"),
        (edit("$defs", "Customer", required=["name", "zip"]), "customer.zip", "now required"),
        (edit("$defs", "Customer", "properties", "zip", type="integer"), "customer.zip", "type"),
        (edit("$defs", "Line", "properties", "price", type="number"), "lines[].price", "type"),
        (edit("$defs", "Line", "properties", n={"type": "integer"}), "lines[].n", "type"),
        (edit(additionalProperties=False), WHOLE, "accepts more"),
        (edit("properties", "lines", items={"type": "string"}), "lines[]", "type is object"),
        (edit("properties", "lines", items=None), "lines[]", "accepts more"),
        (edit(type="array"), WHOLE, "type is object"),
        (edit(anyOf=[{"required": ["state"]}]), WHOLE, "anyOf is new"),
        (edit(**{"$schema": "http://json-schema.org/draft-07/schema#"}), WHOLE, "dialects"),
    ],
)
def test_what_it_may_not_change_is_named_with_its_property(change, path, reason):
    found = changed(change)
    assert found is not None
    assert found.path == path
    assert reason in found.reason


def test_a_removed_required_property_is_named():
    new = copy.deepcopy(ORDER)
    del new["properties"]["number"]
    assert compare(ORDER, new) == Difference(
        "number", "is required by both but described by one only"
    )
    new["required"] = []
    assert compare(ORDER, new) == Difference("number", "was required and is gone")


def test_an_optional_property_does_not_fit_where_unknown_ones_are_forbidden():
    closed = {"type": "object", "properties": {"a": {}}, "additionalProperties": False}
    more = {**closed, "properties": {"a": {}, "b": {}}}
    found = compare(closed, more)
    assert found is not None
    assert found.path == "b"
    assert "forbids unknown" in found.reason
    assert compare(more, closed).path == "b"


def test_an_optional_property_is_not_judged_by_patterns():
    patterned = {"type": "object", "patternProperties": {"^x": {"type": "string"}}}
    more = {**patterned, "properties": {"b": {}}}
    assert compare(patterned, more).path == "b"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"anyOf": [{"type": "string"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"anyOf": [{"type": "string"}]}, {"anyOf": [{"type": "integer"}]}),
        ({"prefixItems": [{"type": "string"}]}, {"prefixItems": [{"type": "integer"}]}),
        ({"const": 1}, {"const": True}),
        ({"minimum": 1}, {"minimum": 2}),
        ({"minimum": 1}, {}),
        ({"not": {"type": "string"}}, {"not": {"type": "integer"}}),
        (True, False),
        ({}, False),
        ({"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": {"type": "integer"}}}, {"minimum": 1}),
        ({"items": [{"type": "string"}]}, {"items": {"type": "string"}}),
        ({"enum": [1]}, {"enum": [True]}),
        ({"items": {"unevaluatedProperties": False}}, {"items": {}}),
    ],
)
def test_every_other_change_of_meaning_is_a_difference(old, new):
    assert compare(old, new) is not None
    assert compare(new, old) is not None


def test_recursive_types_are_compared_to_their_end():
    def tree(kind):
        return {
            "$defs": {
                "T": {
                    "type": "object",
                    "properties": {
                        "left": {"$ref": "#/$defs/T"},
                        "right": {"$ref": "#/$defs/T"},
                        "value": {"type": kind},
                    },
                }
            },
            "$ref": "#/$defs/T",
        }

    assert compare(tree("string"), tree("string")) is None
    assert compare(tree("string"), tree("integer")).path == "value"


def test_references_beside_other_keywords_are_followed():
    def schema(kind):
        return {"$ref": "#/$defs/a", "minLength": 1, "$defs": {"a": {"type": kind}}}

    assert compare(schema("string"), schema("string")) is None
    assert compare(schema("string"), schema("integer")) is not None


def test_chains_too_long_to_compare_are_a_difference_not_a_crash():
    defs = {"d0": {"type": "integer"}}
    for i in range(1, 1200):
        defs[f"d{i}"] = {"allOf": [{"$ref": f"#/$defs/d{i - 1}"}]}
    long = {"$defs": defs, "$ref": "#/$defs/d1199"}
    assert "too many references" in compare(long, copy.deepcopy(long)).reason


kinds = st.sampled_from(["string", "integer", "boolean"])
properties = st.dictionaries(st.sampled_from("abcdef"), st.fixed_dictionaries({"type": kinds}))


@given(properties, properties, st.data())
def test_optional_properties_of_one_meaning_come_and_go(one, other, data):
    shared = {**one, **other}
    old = {"type": "object", "properties": {name: shared[name] for name in one}}
    new = {"type": "object", "properties": {name: shared[name] for name in other}}
    assert compare(old, new) is None
    both = sorted(one.keys() & other.keys())
    required = data.draw(st.lists(st.sampled_from(both), unique=True)) if both else []
    assert compare({**old, "required": required}, {**new, "required": required}) is None


@given(properties, properties, st.lists(st.sampled_from("abcdef"), unique=True, max_size=2))
def test_both_directions_agree_on_whether_there_is_a_difference(one, other, required):
    old = {"type": "object", "properties": one}
    new = {"type": "object", "properties": other, "required": required}
    assert (compare(old, new) is None) == (compare(new, old) is None)
