"""Looking inside a node, and a person's hand on dead letters, through the client."""

from __future__ import annotations

import pytest
import trio

from tests.support.kept_store import KeptStore
from trionode.config import Config
from trionode.config.sections import Memory
from trionode.errors import Refused, Status
from trionode.ids import format_id, object_id
from trionode.store import StoreError
from trionode.testing import mesh


async def collect(listing) -> list:
    return [each async for each in listing]


async def die(client, *values, type_name: str = "A", reason: str = "no good") -> list[str]:
    """Push objects and have each rejected; returns their ids."""
    ids = [await client.push(value, type=type_name) for value in values]
    async with client.subscribe(type_name) as deliveries:
        for _ in values:
            delivery = await anext(deliveries)
            delivery.reject(reason)
            await delivery.settled()
    return ids


async def test_dead_letters_are_listed_with_why_they_died(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        ids = await die(client, {"n": 1}, {"n": 2})
        await client.push({"n": 3}, type="A")
        found = await collect(client.dead_letters("A", preview_bytes=100))
        assert [each.id for each in found] == ids
        first = found[0]
        assert (first.state, first.dead, first.payload) == ("dead", "no good", b'{"n":1}')
        assert first.waits_for == ("dead letter: no good",)
        assert await collect(client.dead_letters("A", reason="NO GOOD", limit=1)) != []
        assert await collect(client.dead_letters("A", reason="other")) == []
        assert await collect(client.dead_letters("A", older_than=1000)) == []


async def test_retrying_brings_an_object_back_and_discarding_ends_it(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        one, two, three = await die(client, {"n": 1}, {"n": 2}, {"n": 3})
        done = await client.retry("A", one, format_id(object_id(9, 9)))
        assert done.done == 1
        assert list(done.refused.values()) == ["this node does not have it"]
        assert (await client.discard("A", two)).done == 1
        async with client.subscribe("A") as deliveries:
            delivery = await anext(deliveries)
            assert (format_id(delivery.id), delivery.attempt) == (one, 1)
            delivery.ack()
        assert [each.id async for each in client.objects("A")] == [three]
        counts = nodes[0].status()["types"]["A"]
        assert (counts["discarded"], counts["settled"], counts["dead"]) == (1, 1, 1)


async def test_all_that_a_filter_chooses_are_retried_and_no_other(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        bad = await die(client, *range(5), reason="connection refused")
        worse = await die(client, *range(3), reason="no such customer")
        assert (await client.retry("A", all=True, reason="refused")).done == 5
        states = {each.id: each.state async for each in client.objects("A")}
        assert states == {**dict.fromkeys(bad, "ready"), **dict.fromkeys(worse, "dead")}
        assert (await client.discard("A", all=True)).done == 3
        assert (await client.retry("A", all=True)).done == 0


async def test_thousands_of_dead_letters_are_retried_in_one_call(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        await die(client, *range(2500))
        assert len(await collect(client.dead_letters("A"))) == 2500
        assert len(await collect(client.dead_letters("A", limit=1200))) == 1200
        assert (await client.retry("A", all=True)).done == 2500
        assert nodes[0].status()["types"]["A"]["ready"] == 2500


async def test_ids_of_another_type_are_refused(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        (id_,) = await die(client, 1)
        done = await client.discard("B", id_)
        assert (done.done, done.refused) == (0, {id_: "its type is not B"})


async def test_what_is_meant_must_be_said(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        for wrong in ({}, {"reason": "x"}):
            with pytest.raises(TypeError, match="which dead letters"):
                await client.discard("A", **wrong)
        with pytest.raises(TypeError, match="choose among all"):
            await client.discard("A", format_id(object_id(1, 1)), reason="x")
        with pytest.raises(Refused) as refused:
            await client.retry("A", "nonsense")
        assert refused.value.grpc_status is Status.INVALID_ARGUMENT
        with pytest.raises(Refused, match="is not a state"):
            await collect(client.objects("A", state="settled"))


async def test_a_discard_is_answered_once_it_is_on_disk(autojump_clock):
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, nodes.connect() as client:
        (id_,) = await die(client, 1)
        store.failure = StoreError("the disk is full")
        done = []

        async def discard():
            done.append(await client.discard("A", id_))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(discard)
            await trio.sleep(60)
            assert done == []
            store.failure = None
        assert [each.done for each in done] == [1]


async def test_objects_say_why_they_wait(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as client:
        await client.push(1, type="A")

        async def why(state: str = "ready", type_name: str = "A") -> tuple[str, ...]:
            (view,) = await collect(client.objects(type_name, state=state))
            return view.waits_for

        (reason,) = await why()
        assert "no subscription for A at this node" in reason
        async with client.subscribe("A", credit=1) as deliveries:
            delivery = await anext(deliveries)
            (reason,) = await why("leased")
            assert "leased to" in reason
            assert "has begun with it" in reason
            second = await client.push(2, type="A")
            (reason,) = await why()
            assert "used up its credit: 1 of 1 unsettled" in reason
            delivery.ack()
            assert format_id((await anext(deliveries)).id) == second
        await client.push(3, type="B", delay=60)
        (reason,) = await why("delayed", "B")
        assert "delayed for another 60.0 s" in reason


async def test_an_object_that_only_a_peer_wants_says_which_peer_has_no_credit(autojump_clock):
    async with (
        mesh(2) as nodes,
        nodes.connect(nodes[0]) as client,
        nodes.connect(nodes[1]) as far,
        far.subscribe("A", credit=0),
    ):
        await trio.sleep(1)
        id_ = await client.push(1, type="A")
        await trio.sleep(1)
        view = await client.object(id_)
        assert view is not None
        assert view.waits_for == (
            "node node1 leads to subscriptions for it, and has granted no more credit",
        )


async def test_payloads_that_only_the_store_has_are_shown_as_well(autojump_clock):
    store = KeptStore()
    config = Config(memory=Memory(payload_limit=1 << 20))
    async with mesh(1, store=lambda _: store, config=config) as nodes, nodes.connect() as client:
        text = "x" * 100_000
        ids = await die(client, *({"n": n, "text": text} for n in range(30)))
        resident = nodes[0].node.context.engine.brain.context.custody.resident_bytes
        assert resident < 1.2 * (1 << 20), "most are in the store alone"
        found = await collect(client.dead_letters("A", preview_bytes=10))
        assert [each.payload for each in found] == [
            f'{{"n":{n},"text"'[:10].encode() for n in range(30)
        ]
        assert all(each.payload_cut for each in found)
        whole = await client.object(ids[0], preview_bytes=200_000)
        assert whole is not None
        assert whole.payload == f'{{"n":0,"text":"{text}"}}'.encode()
        assert not whole.payload_cut
        store.unreadable = StoreError("an I/O error")
        with pytest.raises(Refused, match="payloads cannot be read now: an I/O error") as refused:
            await client.object(ids[0], preview_bytes=10)
        assert refused.value.grpc_status is Status.UNAVAILABLE
        assert await client.object(ids[0]) is not None
        store.unreadable = None
