"""Payloads are validated without network, files, backtracking or a look into the logs."""

from __future__ import annotations

import json

import pytest

from trionode.errors import Refused, Status
from trionode.schema.document import Document, parse_schema
from trionode.schema.validation import MAX_MESSAGE_CHARACTERS, PayloadValidator, json_path


def validator(schema) -> PayloadValidator:
    return PayloadValidator("Order", parse_schema(json.dumps(schema)))


def refusal(schema, payload: bytes) -> str:
    with pytest.raises(Refused) as caught:
        validator(schema).check(payload)
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT
    return caught.value.message


def bad_schema(root) -> str:
    with pytest.raises(Refused) as caught:
        PayloadValidator("Order", Document(root))
    assert caught.value.grpc_status is Status.INVALID_ARGUMENT
    return caught.value.message


def test_a_refusal_names_the_type_and_the_path_inside_the_object():
    schema = {"properties": {"lines": {"items": {"properties": {"price": {"type": "number"}}}}}}
    payload = b'{"lines":[{"price":1},{"price":"secret"}]}'
    assert refusal(schema, payload) == (
        'Order: at $.lines[1].price: the value is not of type "number"'
    )


def test_a_valid_payload_passes():
    validator({"required": ["a"]}).check(b'{"a":null}')


def test_a_missing_property_is_named():
    assert '"a" is a required property' in refusal({"required": ["a"]}, b"{}")


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["new"]},
        {"const": 1},
        {"pattern": "^x$"},
        {"format": "uuid"},
        {"maxLength": 2},
        {"anyOf": [{"type": "integer"}]},
        {"not": {"type": "string"}},
    ],
)
def test_no_value_of_a_payload_is_repeated(schema):
    assert "secret" not in refusal(schema, b'"secret"')


def test_a_refusal_is_short_whatever_the_payload_brings():
    told = refusal({"additionalProperties": False}, json.dumps({"x" * 100_000: 1}).encode())
    assert len(told) <= MAX_MESSAGE_CHARACTERS + 100
    deep = refusal(
        {"additionalProperties": {"type": "integer"}}, json.dumps({"x" * 100_000: ""}).encode()
    )
    assert len(deep) <= MAX_MESSAGE_CHARACTERS + 400


def test_payloads_are_parsed_strictly():
    assert "not JSON" in refusal({}, b"NaN")
    assert "64 bits" in refusal({}, b"99999999999999999999")


@pytest.mark.parametrize(
    "root",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "other.json"},
        {"$dynamicRef": "http://127.0.0.1:1/x#y"},
        {"$schema": "http://127.0.0.1:1/dialect"},
        {"$id": "http://127.0.0.1:1/a", "$ref": "b.json"},
    ],
)
def test_nothing_is_fetched_even_where_the_limits_did_not_look(root):
    assert "bad schema" in bad_schema(root)


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "(?<!a)b", "(?>a+)b"])
def test_patterns_that_need_backtracking_are_refused(pattern):
    assert "pattern" in bad_schema({"pattern": pattern})


@pytest.mark.parametrize("pattern", ["(((a{100}){100}){100}){100}", r"(\p{L}{1000}){50}", "["])
def test_patterns_too_large_to_compile_are_refused(pattern):
    bad_schema({"pattern": pattern})


@pytest.mark.parametrize(
    "pattern", ["^(a+)+$", "^(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_patterns_that_ruin_backtracking_engines_are_answered(pattern):
    hostile = json.dumps("a" * 200_000 + "!").encode()
    assert "does not match" in refusal({"pattern": pattern}, hostile)


def test_format_regex_does_not_compile_what_a_payload_brings():
    validator({"format": "regex"}).check(b'"("')


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2024-01-02T03:04:05Z", "2024-01-02T03:04:05"),
        ("date", "2024-01-02", "20240102"),
        ("uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
        ("decimal", "-1.50e3", "1,5"),
        ("byte", "aGk=", "aGk"),
    ],
)
def test_formats_are_held_to(name, good, bad):
    validator({"format": name}).check(json.dumps(good).encode())
    assert name in refusal({"format": name}, json.dumps(bad).encode())


def test_unknown_formats_say_nothing():
    validator({"format": "of the future"}).check(b'"x"')


@pytest.mark.parametrize(
    ("root", "place"),
    [
        ({"type": "text"}, "$.type"),
        ({"properties": {"a": {"required": "b"}}}, "$.properties.a.required"),
        ({"properties": []}, "$.properties"),
        ({"minimum": "1"}, "$.minimum"),
    ],
)
def test_what_is_no_json_schema_is_refused_with_its_place(root, place):
    assert f"at {place}" in bad_schema(root)


def test_paths_are_written_as_people_write_them():
    assert json_path(["items", 3, "price"]) == "$.items[3].price"
    assert json_path([]) == "$"
