"""Queries of a SQLite store find what the definition of conditions says, and nothing breaks out."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any

import attrs
import orjson
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.stores import batch, contents, opened, record
from trionode.ids import format_id, object_id
from trionode.query import Field, Property, Selection, first_of, parse
from trionode.query.evaluating import holds, order_key
from trionode.query.expressions import (
    DETAILS,
    Compare,
    Every,
    IsNull,
    Like,
    Not,
    OneOf,
    Some,
    detail,
)
from trionode.store import sqlite_schema as schema
from trionode.store.sqlite_conditions import Conditions
from trionode.store.sqlite_log import CHECKPOINT_FRAMES
from trionode.store.sqlite_query import SqliteQueries
from trionode.store.sqlite_records import Shapes

NODE = "aa"
ID = object_id(7, 1)


@attrs.frozen
class Plain:
    """A record, as the definition of conditions looks at it."""

    record: Any
    state: str = "ready"

    @property
    def document(self) -> Any:
        if self.record.encoding != "json":
            return None
        try:
            return orjson.loads(self.record.payload)
        except orjson.JSONDecodeError:
            return None

    def value(self, name: str) -> Any:
        if name in DETAILS:
            return detail(self.record.details, name)
        match name:
            case "id":
                return format_id(self.record.id)
            case "size":
                return len(self.record.payload)
            case "state":
                return self.state
            case "settled":
                return None
        return getattr(self.record, name)


# --- the same by SQL and by the definition ----------------------------------------------------

# SQLite 3.40 ends a JSON text at U+0000, and reads the last digits of long fractions its own way.
_letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
_texts = st.text(_letters, max_size=4) | st.sampled_from(
    ["a", "ab", "A", "%", "_", "*", "[a]", "?"]
)
_numbers = (
    st.integers(-3, 3)
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-40, 40).map(lambda number: number / 8)
    | st.sampled_from([2**53, 2**53 + 1, float(2**53), 2**63 - 1])
)
_leaves = st.none() | st.booleans() | _numbers | _texts
_names = st.sampled_from(["a", "b", "first name", "Ä"])
_documents = st.recursive(
    _leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)
_literals = (
    st.booleans()
    | _texts
    | _numbers.map(
        lambda number: float(number) if isinstance(number, int) and number >= 2**63 else number
    )
)
_fields = st.lists(_names | st.integers(0, 2), min_size=1, max_size=3).map(
    lambda path: Field(tuple(path))
)
_ordered = st.sampled_from(["=", "<", "<=", ">", ">="])
_comparisons = st.one_of(
    st.tuples(_fields, _ordered, _literals)
    .filter(lambda each: each[1] == "=" or not isinstance(each[2], bool))
    .map(lambda each: Compare(*each)),
    st.builds(OneOf, _fields, st.lists(_literals, min_size=1, max_size=3).map(tuple)),
    st.builds(Like, _fields, st.text("ab%_*?[]A", max_size=5)),
    st.builds(IsNull, _fields),
    st.builds(
        Compare,
        st.sampled_from([Property("attempt"), Property("priority")]),
        _ordered,
        st.integers(0, 9),
    ),
    st.builds(Like, st.just(Property("key")), st.text("ab%_", max_size=3)),
    st.builds(IsNull, st.sampled_from([Property("key"), Property("due"), Property("id")])),
    st.builds(Compare, st.just(Property("id")), st.just("="), st.just(format_id(ID))),
    st.builds(Compare, st.just(Property("possibly_duplicate")), st.just("="), st.booleans()),
)
_conditions = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds(Every, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Some, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=5,
)
_details = st.none() | st.dictionaries(
    st.sampled_from(["priority", "key", "due", "possibly_duplicate", "hops"]),
    st.booleans() | st.integers(0, 9) | st.text("ab", max_size=2) | st.just(1.5),
    max_size=3,
)


def _payload(document: Any) -> bytes:
    return orjson.dumps(document)


_records = st.builds(
    lambda document, broken, raw, attempt, details: record(
        ID,
        payload=b"{" if broken else _payload(document),
        encoding="raw" if raw else "json",
        attempt=attempt,
        details=details,
    ),
    _documents,
    st.sampled_from([False] * 9 + [True]),
    st.sampled_from([False] * 9 + [True]),
    st.integers(1, 9),
    _details,
)


@contextlib.contextmanager
def table(one: Any):
    """A connection with one row, and the functions that queries use."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.text_factory = bytes
        schema.migrate(connection)
        marks = ", ".join("?" * len(schema.OBJECT_COLUMNS))
        connection.executemany(f"INSERT INTO objects VALUES ({marks})", Shapes().rows([(1, one)]))
        queries = SqliteQueries.__new__(SqliteQueries)
        queries._state_of = lambda _: "ready"  # only the functions are wanted
        queries._prepare(connection)  # the same
        yield connection


@given(_records, _conditions)
@settings(max_examples=1000)
def test_a_condition_as_sql_agrees_with_its_definition(one, condition):
    text, values = Conditions(settled=False).condition(condition)
    with table(one) as connection:
        ((found,),) = connection.execute(f"SELECT {text} FROM objects", values).fetchall()
    assert found == holds(condition, Plain(one))


@given(_records, _fields | st.sampled_from([Property("key"), Property("attempt"), Property("id")]))
@settings(max_examples=500)
def test_an_order_as_sql_agrees_with_its_definition(one, operand):
    (rank, ranks), (value, values) = Conditions(settled=False).order(operand)
    with table(one) as connection:
        query = f"SELECT {rank}, {value} FROM objects"
        ((rank, value),) = connection.execute(query, [*ranks, *values]).fetchall()
    found = value.decode() if isinstance(value, bytes) else value
    assert (rank, found) == order_key(operand, Plain(one))


@given(st.text(max_size=20), _texts | st.text(max_size=40))
def test_nothing_of_a_condition_is_part_of_the_statement(name, value):
    def text_of(name: str, value: str) -> str:
        compare, like = Compare(Field((name,)), "<", value), Like(Field((name,)), value)
        return Conditions(settled=False).condition(Every((compare, Not(like))))[0]

    assert text_of(name, value) == text_of("a", "x")


# --- a store ----------------------------------------------------------------------------------

ORDERS = [
    {"n": 1, "total": 150, "customer": {"city": "Riga"}},
    {"n": 2, "total": 50, "customer": {"city": "Riga"}},
    {"n": 3, "total": 150, "customer": {"city": "Oslo"}},
    {"n": 4, "customer": None},
    {"n": 5, "total": 99.5, "customer": {"city": "Oslo"}},
]


@pytest.fixture
def store(tmp_path):
    made = opened(tmp_path)
    contents(made)
    made.write(
        batch(
            *(
                record(object_id(7, number), payload=orjson.dumps(each), created=1000.0 + number)
                for number, each in enumerate(ORDERS, 1)
            )
        )
    )
    yield made
    made.close()


@contextlib.asynccontextmanager
async def queries(store, state_of=lambda _id: "ready"):
    made = SqliteQueries(store.path, NODE, state_of)
    try:
        yield made
    finally:
        await made.aclose()


async def found_by(made: SqliteQueries, selection: Selection):
    """Where the objects of a page lie."""
    found = [each async for window in made.windows(selection) for each in window.found]
    return first_of(found, lambda each: each.place, selection.order, selection.limit)


async def numbers(made: SqliteQueries, selection: Selection) -> list[int]:
    """The field `n` of a page."""
    rows = await made.rows(await found_by(made, selection), 1 << 20)
    return [orjson.loads(row.record.payload)["n"] for row in rows if row is not None]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [1, 2, 3, 4, 5]),
        ({"where": 'total > 100 and customer.city = "Riga"'}, [1]),
        ({"where": "total is null or n = 5"}, [4, 5]),
        ({"where": "total != 150"}, [2, 4, 5]),
        ({"order_by": "total"}, [4, 2, 5, 1, 3]),
        ({"order_by": "total desc"}, [1, 3, 5, 2, 4]),
        ({"order_by": "customer.city", "limit": 3}, [4, 3, 5]),
        ({"order_by": "$created desc", "limit": 2}, [5, 4]),
        ({"since_s": 1002.0, "until_s": 1004.0}, [2, 3]),
        ({"limit": 2}, [1, 2]),
        ({"states": ["dead"]}, []),
        ({"states": ["settled"]}, []),
    ],
)
async def test_a_store_answers(store, asked, expected):
    async with queries(store) as made:
        assert await numbers(made, Selection.read("Order", **asked)) == expected


async def test_other_types_are_not_found_and_a_star_finds_all(store):
    async with queries(store) as made:
        assert await numbers(made, Selection.read("Other")) == []
        assert len(await numbers(made, Selection.read("*"))) == 5


@pytest.mark.parametrize("order_by", ["", "total", "total desc", "customer.city desc", "$created"])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_together_are_the_whole(store, order_by, limit):
    async with queries(store) as made:
        whole = await numbers(made, Selection.read("Order", order_by=order_by))
        paged, after = [], ""
        while True:
            selection = Selection.read("Order", order_by=order_by, limit=limit, after=after)
            page = await found_by(made, selection)
            if not page:
                break
            paged += await numbers(made, selection)
            after = page[-1].place.cursor
        assert paged == whole


async def test_the_state_is_asked_of_the_nodes_memory(store):
    states = {object_id(7, 1): "leased", object_id(7, 2): "dead"}
    async with queries(store, states.get) as made:
        assert await numbers(made, Selection.read("Order", states=["leased", "dead"])) == [1, 2]
        assert await numbers(made, Selection.read("Order", where="$state = 'dead'")) == [2]


async def test_a_read_never_writes(store):
    async with queries(store) as made:
        with pytest.raises(Exception, match=r"readonly|read-only"):
            await made._reader.run(lambda c: c.execute("DELETE FROM objects"))


async def test_what_is_read_is_interrupted_when_its_task_is_cancelled(store):
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    async with queries(store) as made:
        with trio.move_on_after(0.1) as scope:
            await made._reader.run(lambda c: c.execute(endless).fetchall())  # see above
        assert scope.cancelled_caught
        with trio.fail_after(5):
            assert await numbers(made, Selection.read("Order", limit=1)) == [1]


async def test_the_log_stays_short_while_queries_never_pause(tmp_path):
    made = opened(tmp_path)
    contents(made)
    payload = b'{"n": "' + b"x" * 1000 + b'"}'
    longest = 0
    async with queries(made) as asked, trio.open_nursery() as nursery:

        async def ask_without_pause() -> None:
            while True:
                await numbers(asked, Selection.read("Order", where="$attempt > 1"))

        for _ in range(3):
            nursery.start_soon(ask_without_pause)
        for turn in range(150):
            first = turn * 100
            some = [record(first + n, turn + 1, payload) for n in range(1, 101)]
            gone = tuple(range(first - 99, first + 1)) if turn else ()
            change = batch(*some, stamp=turn + 1, gone=gone)
            await trio.to_thread.run_sync(made.write, change)
            longest = max(longest, made._log.frames())  # no other way to see it
        nursery.cancel_scope.cancel()
    made.close()
    # In all far more was written: 150 times about 30 pages, and as many for what was deleted.
    assert longest < 3 * CHECKPOINT_FRAMES


def test_a_parsed_condition_is_the_one_that_is_evaluated():
    one = record(ID, payload=orjson.dumps(ORDERS[0]))
    assert holds(parse('total > 100 and customer.city = "Riga"'), Plain(one))
    assert not holds(parse('total > 100 and customer.city = "Oslo"'), Plain(one))
