"""The registry takes definitions that can live together and checks pushes against them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trionode.errors import Refused, Status
from trionode.schema.definition import Definition
from trionode.schema.fingerprint import fingerprint
from trionode.schema.registry import MAX_DEFINITIONS, TypeRegistry

ORDER = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
WITH_NOTE = (
    '{"type":"object","properties":{"n":{"type":"integer"},"note":{"type":"string"}},'
    '"required":["n"]}'
)
OTHER = '{"type":"object","properties":{"n":{"type":"string"}},"required":["n"]}'


def variant(number: int) -> str:
    return json.dumps({"type": "object", "properties": {f"p{number}": {"type": "string"}}})


def refused(status: Status, call, *arguments, **options) -> str:
    with pytest.raises(Refused) as caught:
        call(*arguments, **options)
    assert caught.value.grpc_status is status
    return str(caught.value)


def test_defining_twice_gives_the_same_definition():
    registry = TypeRegistry()
    first = registry.define("Order", ORDER)
    assert registry.define("Order", ORDER.replace("{", '{"title":"x",', 1)) is first
    assert registry.definitions() == [first]
    assert registry.definition("Order", first.fingerprint) is first
    assert first.schema == ORDER


def test_a_compatible_definition_is_added():
    registry = TypeRegistry()
    both = [registry.define("Order", ORDER), registry.define("Order", WITH_NOTE)]
    assert registry.definitions("Order") == both
    assert registry.definitions("Invoice") == []


def test_an_incompatible_one_is_refused_with_the_property_and_both_fingerprints():
    registry = TypeRegistry()
    known = registry.define("Order", ORDER)
    told = refused(Status.FAILED_PRECONDITION, registry.define, "Order", OTHER)
    new = TypeRegistry().define("Order", OTHER)
    assert "Order: n: its type" in told
    assert known.fingerprint in told
    assert new.fingerprint in told
    assert registry.definitions() == [known]


def test_it_is_compared_with_every_definition_there_is():
    registry = TypeRegistry()
    registry.define("Order", ORDER)
    noted = registry.define("Order", WITH_NOTE)
    clash = WITH_NOTE.replace('"note":{"type":"string"}', '"note":{"type":"integer"}')
    told = refused(Status.FAILED_PRECONDITION, registry.define, "Order", clash)
    assert noted.fingerprint in told


def test_force_skips_the_comparison_but_not_the_limits():
    registry = TypeRegistry()
    registry.define("Order", ORDER)
    registry.define("Order", OTHER, force=True)
    assert len(registry.definitions("Order")) == 2
    refused(Status.INVALID_ARGUMENT, registry.define, "Order", '{"type":"text"}', force=True)


@pytest.mark.parametrize("schema", ["", "[]", '{"type":"text"}', '{"$ref":"file:///etc/passwd"}'])
def test_a_bad_schema_changes_nothing(schema):
    registry = TypeRegistry()
    refused(Status.INVALID_ARGUMENT, registry.define, "Order", schema)
    assert registry.definitions() == []
    assert registry.check_many("Order", [b"1"], "json") is None


def test_a_bad_name_is_refused():
    refused(Status.INVALID_ARGUMENT, TypeRegistry().define, "a b", ORDER)


def test_a_name_holds_so_many_definitions_and_force_replaces_the_oldest():
    registry = TypeRegistry()
    all_ = [registry.define("Order", variant(i)) for i in range(MAX_DEFINITIONS)]
    refused(Status.RESOURCE_EXHAUSTED, registry.define, "Order", variant(MAX_DEFINITIONS))
    assert registry.define("Order", variant(3)) is all_[3]
    newest = registry.define("Order", variant(MAX_DEFINITIONS), force=True)
    assert registry.definitions("Order") == [*all_[1:], newest]


def test_what_another_node_accepted_is_learnt_even_if_it_clashes():
    registry, other = TypeRegistry(), TypeRegistry()
    mine, theirs = registry.define("Order", ORDER), other.define("Order", OTHER)
    assert registry.learn(theirs)
    assert registry.learn(theirs)
    assert registry.definitions("Order") == [mine, theirs]


@pytest.mark.parametrize(
    "definition",
    [
        Definition("Order", "0" * 24, ORDER),
        Definition("Order", "", ORDER),
        Definition("a b", TypeRegistry().define("A", ORDER).fingerprint, ORDER),
        Definition("Order", "0" * 24, "nope"),
        Definition("Order", "e52fb51ea3ad53e4e11f2e6c", '{"type":"text"}'),
    ],
)
def test_a_damaged_definition_is_left_out_quietly(definition):
    registry = TypeRegistry()
    assert not registry.learn(definition)
    assert registry.definitions() == []


def test_a_definition_that_is_no_schema_is_left_out_though_its_fingerprint_fits():
    text = '{"type":"text"}'
    assert not TypeRegistry().learn(Definition("Order", fingerprint(text), text))


def test_no_more_is_learnt_than_a_name_may_hold():
    registry, other = TypeRegistry(), TypeRegistry()
    for i in range(MAX_DEFINITIONS):
        registry.define("Order", variant(i))
    extra = other.define("Order", variant(MAX_DEFINITIONS))
    assert not registry.learn(extra)
    assert registry.definition("Order", extra.fingerprint) is None


def test_types_nobody_defined_take_any_json_and_any_bytes():
    registry = TypeRegistry()
    assert registry.check_many("Order", [b"1", b'{"a":[]}'], "json") is None
    assert registry.check_many("Order", [b"\xff", b""], "raw", "whatever") is None
    index, error = registry.check_many("Order", [b"1", b"2", b"{"], "json")
    assert index == 2
    assert error.grpc_status is Status.INVALID_ARGUMENT


def test_a_strict_registry_takes_defined_types_only():
    registry = TypeRegistry(strict=True)
    for encoding in ("json", "raw"):
        index, error = registry.check_many("Order", [b"1"], encoding)
        assert (index, error.grpc_status) == (0, Status.FAILED_PRECONDITION)
    registry.define("Order", ORDER)
    registry.check("Order", b'{"n":1}', "json")


@pytest.mark.parametrize(
    ("name", "encoding"), [("a b", "json"), ("", "raw"), ("Order", "xml"), ("Order", "")]
)
def test_a_bad_name_or_encoding_of_a_push_is_refused(name, encoding):
    refused(Status.INVALID_ARGUMENT, TypeRegistry().check, name, b"1", encoding)


def test_the_first_payload_that_does_not_fit_is_told():
    registry = TypeRegistry()
    fingerprint = registry.define("Order", ORDER).fingerprint
    good, bad = b'{"n":1}', b'{"n":"x"}'
    assert registry.check_many("Order", [good] * 3, "json", fingerprint) is None
    index, error = registry.check_many("Order", [good, bad, bad], "json", fingerprint)
    assert index == 1
    assert "$.n" in error.message
    assert registry.check_many("Order", [], "json", fingerprint) is None


def test_a_push_is_held_to_the_definition_it_names():
    registry = TypeRegistry()
    old = registry.define("Order", ORDER).fingerprint
    new = registry.define("Order", WITH_NOTE).fingerprint
    registry.check("Order", b'{"n":1,"note":5}', "json", old)
    refused(Status.INVALID_ARGUMENT, registry.check, "Order", b'{"n":1,"note":5}', "json", new)


def test_a_push_that_names_no_definition_must_fit_any_one():
    registry = TypeRegistry()
    registry.define("Order", ORDER)
    registry.define("Order", OTHER, force=True)
    registry.check("Order", b'{"n":1}', "json")
    registry.check("Order", b'{"n":"1"}', "json")
    told = refused(Status.INVALID_ARGUMENT, registry.check, "Order", b'{"n":[]}', "json")
    assert '"string"' in told


def test_a_push_under_a_definition_nobody_knows_is_refused_with_what_to_do():
    registry = TypeRegistry()
    registry.define("Order", ORDER)
    told = refused(Status.FAILED_PRECONDITION, registry.check, "Order", b"{}", "json", "0" * 24)
    assert "define it" in told


def test_raw_bytes_do_not_walk_around_a_schema():
    registry = TypeRegistry()
    registry.define("Order", ORDER)
    told = refused(Status.INVALID_ARGUMENT, registry.check, "Order", b'{"n":1}', "raw")
    assert "raw" in told


keywords = st.sampled_from(
    [
        *("$ref", "$defs", "$id", "$schema", "properties", "items", "required", "type", "enum"),
        *("const", "pattern", "patternProperties", "allOf", "anyOf", "not", "format", "default"),
        *("additionalProperties", "title", "minimum", "dependencies", "if"),
    ]
)
schemas = st.recursive(
    st.sampled_from([1, -1.0, True, False, None, "#", "#/$defs/a", "string", "^a(b+)*$", "[", ""]),
    lambda inner: (
        st.dictionaries(keywords | st.just("a"), inner, max_size=4) | st.lists(inner, max_size=3)
    ),
    max_leaves=10,
)


@given(schemas)
def test_any_text_is_a_definition_or_refused(schema):
    registry = TypeRegistry()
    try:
        definition = registry.define("Order", json.dumps(schema))
    except Refused as error:
        assert error.grpc_status is Status.INVALID_ARGUMENT  # noqa: PT017  # both outcomes are fine
        return
    assert TypeRegistry().learn(definition)
    assert registry.define("Order", json.dumps(schema)) is definition
    registry.check_many("Order", [b"1", b"{}", b'{"a":[]}'], "json", definition.fingerprint)
