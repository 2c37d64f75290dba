"""The value model: what Python values become in JSON, what is refused, and the path in errors."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import uuid
from collections.abc import Mapping, Sequence  # noqa: TC003  # resolved at run time
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypedDict, TypeVar

import attrs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import plain_json
from trionode.client.values import decode, encode, payload_of, schema_of, value_of
from trionode.errors import DecodeError, EncodeError
from trionode.schema.registry import TypeRegistry

T = TypeVar("T")
Number = NewType("Number", int)


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: int
    y: int = 0


class Extra(TypedDict, total=False):
    note: str


@attrs.frozen
class Line:
    item: str
    price: Decimal


@dataclasses.dataclass
class Address:
    street: str
    zip_code: str | None = None


class Tagged(msgspec.Struct, tag="tagged"):
    value: int


class Other(msgspec.Struct, tag="other"):
    text: str


@attrs.frozen
class Everything:
    text: str
    flag: bool
    number: int
    real: float
    nothing: None
    data: bytes
    money: Decimal
    key: uuid.UUID
    day: dt.date
    moment: dt.datetime
    clock: dt.time
    colour: Colour
    level: Level
    choice: Literal["a", 1]
    lines: list[Line]
    pair: tuple[int, str]
    many: tuple[int, ...]
    tags: set[str]
    fixed: frozenset[int]
    table: dict[str, Line]
    by_colour: dict[Colour, int]
    point: Point
    extra: Extra
    maybe: int | None
    either: str | list[int]
    struct: Tagged | Other
    address: Address
    anything: Any
    noted: Annotated[Number, "a note"]
    sequence: Sequence[int]
    mapping: Mapping[str, int]


@attrs.frozen
class Node:
    name: str
    children: list[Node] = attrs.field(factory=list)


@attrs.frozen
class Box(Generic[T]):
    content: T


@attrs.frozen
class Positive:
    number: int = attrs.field(validator=attrs.validators.gt(0))


def everything(**changes) -> Everything:
    values = {
        "text": "é",
        "flag": True,
        "number": -5,
        "real": 1.5,
        "nothing": None,
        "data": b"\x00\xff",
        "money": Decimal("99.50"),
        "key": uuid.UUID(int=5),
        "day": dt.date(2026, 1, 2),
        "moment": dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC),
        "clock": dt.time(3, 4, 5, tzinfo=dt.UTC),
        "colour": Colour.RED,
        "level": Level.HIGH,
        "choice": 1,
        "lines": [Line("a", Decimal(1))],
        "pair": (1, "x"),
        "many": (1, 2, 3),
        "tags": {"x"},
        "fixed": frozenset({7}),
        "table": {"k": Line("b", Decimal("0.1"))},
        "by_colour": {Colour.BLUE: 2},
        "point": Point(1, 2),
        "extra": {"note": "n"},
        "maybe": None,
        "either": [1],
        "struct": Other("o"),
        "address": Address("s"),
        "anything": {"a": [1, None]},
        "noted": Number(3),
        "sequence": [1, 2],
        "mapping": {"a": 1},
    }
    return Everything(**{**values, **changes})


def test_every_kind_of_value_comes_back_as_it_was():
    value = everything()
    assert decode(Everything, encode(value)) == value


def test_the_forms_are_those_that_the_documentation_says():
    found = decode(object, encode(everything()))
    assert found["data"] == "AP8="
    assert found["money"] == "99.50"
    assert found["moment"] == "2026-01-02T03:04:05.000006+00:00"
    assert found["day"] == "2026-01-02"
    assert found["key"] == "00000000-0000-0000-0000-000000000005"
    assert found["colour"] == "red"
    assert found["level"] == 2
    assert found["pair"] == [1, "x"]
    assert found["point"] == [1, 2]
    assert found["struct"] == {"type": "other", "text": "o"}
    assert found["by_colour"] == {"blue": 2}


def test_the_derived_schema_takes_what_is_written():
    registry = TypeRegistry()
    registry.define("Everything", schema_of(Everything))
    registry.check("Everything", encode(everything()), "json")


MOMENTS = st.datetimes(timezones=st.sampled_from([dt.UTC, dt.timezone(dt.timedelta(hours=-5))]))
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(st.characters(exclude_categories=["Cs"])),
        "number": st.integers(-(2**63), 2**64 - 1),
        "real": st.floats(allow_nan=False, allow_infinity=False),
        "data": st.binary(),
        "money": st.decimals(allow_nan=False, allow_infinity=False),
        "key": st.uuids(),
        "day": st.dates(),
        "moment": MOMENTS,
        "colour": st.sampled_from(Colour),
        "either": st.text(st.characters(exclude_categories=["Cs"])) | st.lists(st.integers(0, 9)),
        "maybe": st.none() | st.integers(0, 5),
        "tags": st.sets(st.text(st.characters(exclude_categories=["Cs"]))),
        "anything": plain_json,
        "struct": st.builds(Tagged, st.integers(0, 9)) | st.just(Other("x")),
    },
)


@given(CHANGES)
def test_any_value_comes_back_as_it_was_and_fits_the_derived_schema(changes):
    value = everything(**changes)
    payload = encode(value)
    assert decode(Everything, payload) == value
    registry = TypeRegistry()
    registry.define("Everything", schema_of(Everything))
    registry.check("Everything", payload, "json")


@given(plain_json)
def test_plain_json_comes_back_as_it_was(value):
    assert decode(object, encode(value)) == value
    assert value_of(None, *payload_of(value)) == value


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("text", 5, "$.text"),
        ("flag", 1, "$.flag"),
        ("number", True, "$.number"),
        ("number", 2**64, "$.number"),
        ("real", float("nan"), "$.real"),
        ("real", "1", "$.real"),
        ("data", "x", "$.data"),
        ("money", Decimal("NaN"), "$.money"),
        ("money", 5, "$.money"),
        ("moment", dt.datetime(2026, 1, 1), "$.moment"),  # noqa: DTZ001  # naive is the case
        ("clock", dt.time(1), "$.clock"),
        ("day", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "$.day"),
        ("colour", "red", "$.colour"),
        ("level", 1, "$.level"),
        ("choice", True, "$.choice"),
        ("lines", [Line("a", Decimal(1)), Line("b", 2)], "$.lines[1].price"),
        ("lines", (), "$.lines"),
        ("pair", (1,), "$.pair"),
        ("many", (1, "x"), "$.many[1]"),
        ("tags", ["x"], "$.tags"),
        ("table", {"k": Line(1, Decimal(1))}, "$.table.k.item"),
        ("point", Point("x", 1), "$.point[0]"),
        ("extra", {"note": 1}, "$.extra.note"),
        ("extra", {"other": 1}, "$.extra"),
        ("maybe", "x", "$.maybe"),
        ("either", [1, "x"], "$.either[1]"),
        ("struct", Other(5), "$.struct.text"),
        ("address", Address(5), "$.address.street"),
        ("anything", {"a": [1, {2}]}, "$.anything.a[1]"),
        ("anything", {"a": {1: 2}}, "$.anything.a"),
    ],
)
def test_what_has_no_form_is_refused_with_its_path(field, value, place):
    with pytest.raises(EncodeError) as caught:
        encode(everything(**{field: value}))
    assert str(caught.value).endswith(f"@ {place}")
    assert str(caught.value).startswith("Everything: ")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("text", 5, "expected a text, got int @ $.text"),
        ("flag", "true", "expected true or false"),
        ("number", "5", "expected an integer, got str"),
        ("number", 1.5, "expected an integer"),
        ("real", True, "expected a number"),
        ("data", "?", "base64"),
        ("money", 99.5, "expected a text"),
        ("money", "a lot", "decimal number"),
        ("money", "1E+9999999999999999999999", "decimal number"),
        ("key", "5", "UUID"),
        ("day", "2026-13-01", "month must be in 1..12"),
        ("day", "20260101", "YYYY-MM-DD"),
        ("moment", "2026-01-02T03:04:05", "with a time zone"),
        ("clock", "03:04", "with a time zone"),
        ("colour", "green", "one Colour of 'red', 'blue'"),
        ("level", True, "one Level of 1, 2"),
        ("choice", "b", "one value of 'a', 1"),
        ("lines", [{"item": "a"}], "missing property 'price' @ $.lines[0]"),
        ("lines", [{"item": "a", "price": 1}], "@ $.lines[0].price"),
        ("lines", {}, "expected an array"),
        ("pair", [1], "an array of 2 items, got 1"),
        ("tags", ["x", "x"], "without repetitions"),
        ("table", [], "expected an object"),
        ("table", {"k": 5}, "@ $.table['k']"),
        ("by_colour", {"green": 1}, "one Colour"),
        ("point", ["x", 1], "expected an integer"),
        ("extra", {"note": 5}, "@ $.extra.note"),
        ("maybe", "x", "null"),
        ("either", 5, "a text or an array"),
        ("struct", {"type": "third"}, "'tagged', 'other'"),
        ("address", {}, "missing property 'street'"),
        ("noted", None, "expected an integer"),
    ],
)
def test_what_does_not_fit_the_class_is_refused_with_its_path(field, value, words):
    found = decode(object, encode(everything()))
    found[field] = value
    with pytest.raises(DecodeError) as caught:
        decode(Everything, encode(found))
    assert words in str(caught.value)
    assert f"$.{field}" in str(caught.value)


def test_every_fault_is_named_not_only_the_first():
    with pytest.raises(DecodeError) as caught:
        decode(Line, b'{"item": 5, "price": 6}')
    assert "$.item" in str(caught.value)
    assert "$.price" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"{", b"[NaN]", b"\xff", b'{"item": "a"} x', b"5" * 30])
def test_what_is_not_json_is_refused(data):
    with pytest.raises(DecodeError):
        decode(Line, data)


def test_a_number_that_is_whole_is_an_integer_however_it_is_written():
    assert decode(Point, b"[3.0, 1e2]") == Point(3, 100)
    with pytest.raises(DecodeError):
        decode(Point, b"[1e300]")


def test_properties_that_are_not_known_are_left_alone():
    assert decode(Line, b'{"item":"a","price":"1","new":true}') == Line("a", Decimal(1))


def test_defaults_fill_what_is_missing():
    assert decode(Address, b'{"street":"s"}') == Address("s")
    assert decode(Node, b'{"name":"n"}') == Node("n")


def test_a_class_may_be_part_of_itself_and_generic():
    tree = Node("a", [Node("b", [Node("c")])])
    assert decode(Node, encode(tree)) == tree
    assert decode(Box[int], b'{"content":5}') == Box(5)
    with pytest.raises(DecodeError, match="content"):
        decode(Box[int], b'{"content":"x"}')


def test_a_validator_of_the_class_is_heard():
    with pytest.raises(DecodeError, match="must be > 0"):
        decode(Positive, b'{"number":-1}')


def test_an_account_of_many_faults_is_cut():
    payload = encode({"children": [], "name": [5] * 1000} | {"x" * 3000: 1})
    with pytest.raises(DecodeError) as caught:
        decode(dict[str, int], payload)
    assert len(str(caught.value)) <= 500


def test_classes_without_a_form_are_refused():
    @attrs.frozen
    class Unclear:
        what: complex

    @attrs.frozen
    class Keyed:
        table: dict[int, str]

    for cls in (Unclear, Keyed):
        with pytest.raises(TypeError):
            schema_of(cls)
    with pytest.raises(TypeError, match="no attrs class"):
        schema_of(int)


def test_bytes_travel_raw_and_everything_else_as_json():
    assert payload_of(b"x") == (b"x", "raw")
    assert payload_of(memoryview(b"x")) == (b"x", "raw")
    assert payload_of(Line("a", Decimal(1))) == (b'{"item":"a","price":"1"}', "json")


def test_raw_bytes_are_no_object_of_a_class():
    assert value_of(None, b"x", "raw") == b"x"
    assert value_of(bytes, b"x", "raw") == b"x"
    assert value_of(Line, b'{"item":"a","price":"1"}', "json") == Line("a", Decimal(1))
    with pytest.raises(DecodeError, match="raw bytes where Line was expected"):
        value_of(Line, b"x", "raw")
    with pytest.raises(DecodeError, match="'xml' is not known"):
        value_of(None, b"x", "xml")
