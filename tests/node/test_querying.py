"""A node answers queries with the state that objects have now, whatever its store; so do all."""

from __future__ import annotations

import contextlib
import itertools
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from trionode import Refused, Status
from trionode.config import Config, Limits
from trionode.store import MemoryStore, Retention, SqliteStore
from trionode.testing import mesh

if TYPE_CHECKING:
    from pathlib import Path

    from trionode.store import Store


@attrs.frozen
class Order:
    number: int
    total: Decimal
    city: str | None = None


@pytest.fixture(params=["memory", "sqlite"])
def stores(request, tmp_path: Path):
    """Makes the stores of a mesh."""
    lives = itertools.count()

    def make(name: str) -> Store:
        number = next(lives)
        if request.param == "memory":
            return MemoryStore(lambda count: bytes([number]) * count)
        retention = Retention(3600.0, 1000, 1_000_000)
        return SqliteStore(tmp_path / name, name, lambda count: bytes([number]) * count, retention)

    make.kind = request.param
    return make


CITIES = ("Riga", "Oslo", None)


async def push_orders(client, first: int, count: int) -> None:
    async with client.pusher(type="Order") as pusher:
        for number in range(first, first + count):
            order = {"number": number, "total": number * 10, "city": CITIES[number % 3]}
            await pusher.send(order)


async def numbers(query) -> list[int]:
    return [found.object["number"] async for found in query]


async def test_a_query_finds_what_is_held_by_fields_and_properties(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        await push_orders(client, 1, 20)
        where = 'total > 100 and city = "Riga"'
        assert await numbers(client.query("Order", where=where)) == [12, 15, 18]
        assert await numbers(client.query("Order", order_by="number desc", limit=3)) == [20, 19, 18]
        assert await numbers(client.query("Order", where="city is null", limit=2)) == [2, 5]
        assert await numbers(client.query("Other")) == []
        assert len(await numbers(client.query("*", where="$attempt = 1 and $priority = 5"))) == 20


async def test_a_pattern_finds_the_objects_of_all_its_types(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        for type_ in ("shop.Order", "shop.eu.Order", "shop.eu.Mail", "shops.Order", "Order"):
            await client.push(type_, type=type_)

        async def found(pattern: str) -> list[str]:
            return [each.object async for each in client.query(pattern)]

        assert await found("shop.*") == ["shop.Order"]
        assert await found("shop.>") == ["shop.Order", "shop.eu.Order", "shop.eu.Mail"]
        assert await found("*.Order") == ["shop.Order", "shops.Order"]
        assert await found("shop.*.Order") == ["shop.eu.Order"]
        assert len(await found("*")) == len(await found(">")) == 5
        with pytest.raises(Refused, match="is no pattern"):
            await found("shop.>.Order")


async def test_what_waits_behind_its_ordering_key_is_blocked(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        for number in range(3):
            await client.push(number, type="A", ordering_key="k")
        blocked = [found.object async for found in client.query("A", states=["blocked"])]
        ready = [found.object async for found in client.query("A", where='$state = "ready"')]
        assert (ready, blocked) == ([0], [1, 2])


async def test_pages_are_fetched_until_all_is_there(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        await push_orders(client, 1, 450)
        assert await numbers(client.query("Order")) == list(range(1, 451))
        assert await numbers(client.query("Order", order_by="$id desc")) == sorted(
            range(1, 451), key=str, reverse=True
        )
        first = [found async for found in client.query("Order", limit=3)]
        rest = client.query("Order", after=first[-1].cursor, limit=2)
        assert await numbers(rest) == [4, 5]


async def test_rows_are_typed_where_a_class_is_given(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        await client.push(Order(7, Decimal("1.50")), key="k", priority=7)
        (found,) = [each async for each in client.query(Order, where="$priority > 5")]
        assert found.object == Order(7, Decimal("1.50"))
        assert (found.state, found.attempt, found.node_name) == ("ready", 1, "node0")
        assert found.properties == {"priority": 7, "key": "k"}


async def test_the_state_is_that_of_now(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        await push_orders(client, 1, 4)
        async with nodes.connect() as consumer, consumer.subscribe("Order", credit=3) as deliveries:
            one, two, three = [await anext(deliveries) for _ in range(3)]
            one.ack()
            two.reject("never")
            await two.settled()
            held = client.query("Order", states=["ready", "delayed", "leased", "dead"])
            states = {found.object["number"]: found.state async for found in held}
            assert states.pop(4) in ("ready", "leased")
            assert states == {2: "dead", 3: "leased"}
            assert await numbers(client.query("Order", states=["dead"])) == [2]
            assert await numbers(client.query("Order", where="$dead = 'never'")) == [2]
            assert await numbers(client.query("Order", where="$state = 'leased'", limit=1)) == [3]
            three.ack()
            await three.settled()


async def test_settled_objects_are_found_where_they_are_kept(tmp_path):
    retention = Retention(3600.0, 1000, 1_000_000)

    def make(name: str) -> Store:
        return SqliteStore(tmp_path / name, name, bytes, retention)

    async with mesh(1, store=make) as nodes, nodes.connect() as client:
        await push_orders(client, 1, 3)
        async with client.subscribe("Order") as deliveries:
            for _ in range(3):
                delivery = await anext(deliveries)
                delivery.ack()
            await delivery.settled()
        await client.push({"number": 9}, type="Order")
        found = [each async for each in client.query("Order", states=["settled"])]
        assert [each.object["number"] for each in found] == [1, 2, 3]
        assert {each.state for each in found} == {"settled"}
        assert all(each.settled is not None and each.settled >= each.created for each in found)
        assert await numbers(client.query("Order")) == [9, 1, 2, 3]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"where": "total >"}, "a value"),
        ({"order_by": "total sideways"}, "the end"),
        ({"states": ["gone"]}, "there is no state 'gone'"),
        ({"after": "x"}, "no place to go on from"),
        ({"limit": 10**12}, None),
    ],
)
async def test_what_cannot_be_understood_is_refused(asked, told):
    async with mesh(1) as nodes, nodes.connect() as client:
        query = client.query("Order", **asked)
        if told is None:
            assert await numbers(query) == []
            return
        with pytest.raises(Refused, match=told) as caught:
            await anext(query)
        assert caught.value.grpc_status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize("order_by", ["", "number", "city desc"])
async def test_every_node_is_asked_and_the_pages_merge(stores, order_by):
    async with mesh(3, store=stores) as nodes, nodes.connect(nodes[1]) as client:
        for index in range(3):
            async with nodes.connect(nodes[index]) as producer:
                await push_orders(producer, index * 10 + 1, 5)
        expected = {1, 2, 3, 4, 5, 11, 12, 13, 14, 15, 21, 22, 23, 24, 25}
        query = client.query("Order", order_by=order_by, everywhere=True)
        whole = await numbers(query)
        assert set(whole) == expected
        assert len(whole) == 15
        assert query.silent == []
        if order_by == "number":
            assert whole == sorted(expected)
        # The same by pages of two.
        paged, after = [], ""
        while True:
            part = client.query("Order", order_by=order_by, everywhere=True, limit=2, after=after)
            found = [each async for each in part]
            paged += [each.object["number"] for each in found]
            if part.after is None:
                break
            after = part.after
        assert paged == whole


async def test_a_node_that_does_not_answer_is_named(autojump_clock):
    async with mesh(3) as nodes, nodes.connect(nodes[2]) as client:
        await push_orders(client, 1, 2)
        await nodes[0].kill()
        query = client.query("Order", everywhere=True)
        assert await numbers(query) == [1, 2]
        assert [each.name for each in query.silent] == ["node0"]


async def test_large_objects_come_in_short_pages_and_those_that_are_too_large_without_payload(
    stores,
):
    config = Config(limits=Limits(max_object_bytes=1 << 20))
    async with mesh(1, store=stores, config=config) as nodes, nodes.connect() as client:
        for size in (200_000, 200_000, 600_000, 10):
            await client.push(b"x" * size, type="Blob")
        found = [each async for each in client.query("Blob")]
        assert [each.size_bytes for each in found] == [200_000, 200_000, 600_000, 10]
        assert [each.payload is None for each in found] == [False, False, True, False]
        assert found[0].payload == b"x" * 200_000


async def test_objects_that_leave_while_a_query_looks_are_left_out(stores):
    async with mesh(1, store=stores) as nodes, nodes.connect() as client:
        await push_orders(client, 1, 600)
        seen: list[int] = []
        with contextlib.suppress(trio.EndOfChannel):
            async with client.subscribe("Order", credit=200) as deliveries:
                query = client.query("Order", states=["ready", "leased"])
                async for found in query:
                    seen.append(found.object["number"])
                    if len(seen) == 100:
                        for _ in range(500):
                            delivery = await anext(deliveries)
                            delivery.ack()
                        await delivery.settled()
        assert seen[:100] == list(range(1, 101))
        # Those of the page that was fetched already, and those that are still there.
        assert seen[200:] == list(range(501, 601))
