"""Subscriptions to patterns with real nodes and the Python client."""

from __future__ import annotations

import attrs
import pytest

import trionode
from trionode.errors import Refused, Status
from trionode.testing.nodes import mesh


@trionode.object_type("wild.Invoice")
@attrs.frozen
class Invoice:
    number: int


async def test_objects_of_every_type_of_a_pattern_come_from_all_over_the_mesh(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[1]) as far:
        await far.push({"n": 1}, type="wild.Note")
        await far.push({"n": 2}, type="wild.eu.Note")
        await near.push({"n": 3}, type="other")
        async with near.subscribe("wild.>", credit=1) as deliveries:
            await near.push(b"4", type="wild.Raw")
            got = []
            for _ in range(3):
                with await anext(deliveries) as value:
                    got.append(value)
            await far.push({"n": 5}, type="wild.first.met.now")
            delivery = await anext(deliveries)
            assert (delivery.type, delivery.object) == ("wild.first.met.now", {"n": 5})
            delivery.ack()
            await delivery.settled()
        assert sorted(got, key=str) == sorted([{"n": 1}, {"n": 2}, b"4"], key=str)
        status = await near.status()
        assert {name: each["ready"] for name, each in status["types"].items() if each["ready"]} == {
            "other": 1
        }


async def test_a_class_beside_a_pattern_gives_its_objects(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        async with client.subscribe(Invoice, "wild.*", credit=2) as deliveries:
            await client.push(Invoice(7))
            await client.push({"n": 1}, type="wild.Note")
            found = [(await anext(deliveries)).object for _ in range(2)]
        assert found == [Invoice(7), {"n": 1}]


@pytest.mark.parametrize("pattern", ["a.>.b", "a*", "a..*", ">.a"])
async def test_what_is_no_pattern_is_refused_with_a_hint(pattern, autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        with pytest.raises(Refused) as caught:
            async with client.subscribe(pattern):
                pass
        assert caught.value.grpc_status is Status.INVALID_ARGUMENT
        assert "billing.*" in caught.value.hint


async def test_nothing_is_pushed_to_a_pattern_nor_defined_by_one(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        with pytest.raises(Refused) as caught:
            await client.push(1, type="billing.*")
        assert caught.value.grpc_status is Status.INVALID_ARGUMENT
        with pytest.raises(Refused, match="cannot name a type"):
            await client.define("billing.>", "{}")


async def test_the_status_tells_a_patterns_pool_and_where_it_is_drawn_on(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as near:
        async with near.subscribe("wild.*", credit=5), near.subscribe("wild.Note", credit=2):
            await near.push(1, type="wild.Note")
            await nodes[1].until(lambda status: "wild.*" in status["patterns"])
            here, there = nodes[0].status(), nodes[1].status()
            assert here["patterns"]["wild.*"]["subscriptions"] == 1
            assert list(there["patterns"]) == ["wild.*"]
            assert list(here["types"]) == ["wild.Note"]
            note = here["types"]["wild.Note"]
            assert (note["subscriptions"], note["credit"], note["leased"]) == (2, 6, 1)
        await nodes[1].until(lambda status: not status["patterns"])
