"""Where an object is and why it waits, asked at nodes that do not hold it (G9)."""

from __future__ import annotations

import re
import secrets
import time
from datetime import timedelta

import attrs
import pytest
import trio

from trionode.config import Config, Limits, Peers
from trionode.errors import Refused
from trionode.ids import format_id, object_id
from trionode.inspection.views import STATES
from trionode.routing.model import HELD_STATES
from trionode.store import Retention, SqliteStore
from trionode.testing import mesh
from trionode.testing.nodes import ONE_BEFORE

APART = Config(peers=Peers(discovery=False))


def chain(count: int):
    return mesh(count, links=ONE_BEFORE, config=APART)


async def never(_value):
    await trio.sleep_forever()


async def test_any_node_says_where_an_object_is_and_that_nobody_wants_it(autojump_clock):
    async with chain(4) as nodes, nodes.connect(nodes[3]) as producer:
        id_ = await producer.push({"n": 1}, type="A")
        for node in nodes.nodes:
            async with nodes.connect(node) as client:
                found = await client.explain(id_)
            assert [holder.name for holder in found.holders] == ["node3"]
            assert found.summary == (
                "at node node3, ready: no subscription for A at this node,"
                " and no node that it is linked to knows of one"
            )
            assert found.silent == ()
            assert [event["what"] for event in found.holders[0].object.history] == [
                "accepted",
                "ready",
            ]


async def test_the_consumers_whose_credit_is_used_up_are_named(autojump_clock):
    async with (
        chain(3) as nodes,
        nodes.connect(nodes[0]) as asker,
        nodes.connect(nodes[2]) as far,
        far.subscribe("A", credit=1) as deliveries,
    ):
        first = await far.push(1, type="A")
        delivery = await anext(deliveries)
        second = await far.push(2, type="A")
        leased = await asker.explain(first)
        assert re.fullmatch(
            r"at node node2, leased: leased to consumer \S+.* for 0\.0 s, which has begun with"
            r" it \(attempt 1\)",
            leased.summary,
        )
        waiting = await asker.explain(second)
        assert "has used up its credit: 1 of 1 unsettled" in waiting.summary
        delivery.ack()


async def test_an_object_that_moved_is_found_and_its_way_is_told(autojump_clock):
    async with chain(3) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[2]) as far:
        async with far.subscribe("A", credit=1) as deliveries:
            id_ = await near.push(1, type="A")
            delivery = await anext(deliveries)
            found = await near.explain(id_)
            assert [holder.name for holder in found.holders] == ["node2"]
            assert found.trail == ("node1", "node2")
            assert "leased" in found.summary
            delivery.ack()
            await delivery.settled()
        found = await near.explain(id_)
        assert found.holders == ()
        assert found.summary == (
            "node node1 gave it to node node2 0.0 s ago, and it has left the custody of that node"
            " as well: settled, expired or discarded there"
        )


async def test_an_object_at_a_node_that_cannot_be_reached_is_said_to_be_there(autojump_clock):
    async with (
        chain(3) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[2]) as far,
        far.subscribe("A", credit=1) as deliveries,
    ):
        id_ = await near.push(1, type="A")
        await anext(deliveries)
        await nodes.network.cut(nodes[1].address)  # which the last one had dialled
        await trio.sleep(1)
        found = await near.explain(id_)
        assert found.known
        assert "to node node2" in found.summary
        assert "which cannot be reached: it is there, or went on from there" in found.summary
        assert found.silent == ("node2",)


async def test_a_node_that_does_not_answer_in_time_is_named(autojump_clock):
    async with chain(4) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[3]) as far:
        id_ = await far.push(1, type="A")
        nodes[2].node.asking.answer_with("explain", never)
        before = trio.current_time()
        found = await near.explain(id_, timeout=2)
        assert trio.current_time() == pytest.approx(before + 2)
        assert [holder.name for holder in found.holders] == ["node3"]
        assert found.silent == ("node2",)
        assert found.summary.endswith("no answer from node2")


async def test_an_offer_in_doubt_says_with_whom_and_since_when(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as client:
        brain = nodes[0].node.context.engine.brain
        (link,) = nodes[0].node._mesh.links.values()
        link.send_offer = lambda _effect: None  # what it sends is lost
        async with nodes.connect(nodes[1]) as far, far.subscribe("A"):
            await trio.sleep(1)
            id_ = await client.push(1, type="A")
            await trio.sleep(1)
            found = await client.explain(id_)
            assert "in transfer to node node1" in found.summary
            await nodes.network.cut(nodes[0].address)
            await trio.sleep(10)
            async with nodes.connect(nodes[1]):
                view = nodes[0].node.asking
            gathered = await view.ask("explain", {"id": id_})
            (held,) = [reply.value["held"] for reply in gathered.replies]
            assert "in doubt: it was offered to node node1" in held["waits_for"][0]
            assert "10.0 s ago before it answered" in held["waits_for"][0]
            assert brain.givings.open


async def test_what_was_settled_and_what_never_was_are_told_apart(autojump_clock):
    async with chain(2) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[1]) as far:
        id_ = await far.push(1, type="A")
        async with far.subscribe("A") as deliveries:
            (await anext(deliveries)).ack()
        settled = await near.explain(id_)
        assert settled.known
        assert "accepted at node node1" in settled.summary
        await far.push(2, type="B")  # tells the node that the outcome of the first is known
        settled = await near.explain(id_)
        assert settled.known
        assert "settled, expired or discarded" in settled.summary
        stranger = await near.explain(format_id(object_id(77, 5)))
        assert not stranger.known
        assert stranger.summary.startswith("no node knows it")
        with pytest.raises(Refused, match="is not an object id"):
            await near.explain("nonsense")


async def test_what_left_is_told_with_its_time_where_the_store_keeps_it(tmp_path):
    def kept(name: str) -> SqliteStore:
        retention = Retention(3600.0, 1000, 1_000_000)
        return SqliteStore(tmp_path / name, name, secrets.token_bytes, retention)

    async with (
        mesh(2, links=ONE_BEFORE, config=APART, store=kept) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[1]) as far,
    ):
        settled = await near.push(1, type="A")
        held = await near.push(2, type="B")
        expired = await far.push(3, type="B", deadline=timedelta(seconds=0.01))
        async with far.subscribe("A") as deliveries:
            delivery = await anext(deliveries)
            delivery.ack()
            await delivery.settled()
        with trio.fail_after(10):  # an ack is answered before its commit
            while len([each async for each in far.query("*", states=["settled", "expired"])]) < 2:
                await trio.lowlevel.checkpoint()
        found = await near.explain(settled)
        assert found.known
        assert re.fullmatch(
            r"settled at node node1 at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ, \d+\.\d s ago",
            found.summary,
        )
        (left,) = found.document["left"]
        assert (left["how"], left["name"]) == ("settled", "node1")
        assert 0 <= left["ago_s"] < 60
        assert time.time() - 60 < left["at"] <= time.time()
        assert found.trail == ("node1",)
        assert (await near.explain(expired)).summary.startswith("expired at node node1 at ")
        assert (await near.explain(held)).document["left"] == []


async def test_a_delayed_object_and_a_dead_letter_say_so(autojump_clock):
    async with chain(2) as nodes, nodes.connect(nodes[0]) as near, nodes.connect(nodes[1]) as far:
        delayed = await far.push(1, type="A", delay=30)
        assert "delayed for another 30.0 s" in (await near.explain(delayed)).summary
        dead = await far.push(1, type="B")
        async with far.subscribe("B") as deliveries:
            delivery = await anext(deliveries)
            delivery.reject("no such customer")
            await delivery.settled()
        found = await near.explain(dead)
        assert found.summary == "at node node1, dead: dead letter: no such customer"
        words = [event["what"] for event in found.holders[0].object.history]
        assert words == ["accepted", "rejected", "dead"]


async def test_a_draining_node_says_that_it_leases_nothing_more(autojump_clock):
    async with mesh(1) as nodes, nodes.connect(nodes[0]) as client:
        id_ = await client.push(1, type="A")
        async with client.subscribe("B", credit=1) as deliveries:
            await client.push(1, type="B")
            delivery = await anext(deliveries)
            nodes[0].node.stop()
            await trio.sleep(0.1)
            gathered = await nodes[0].node.asking.ask("explain", {"id": id_})
            (reply,) = gathered.replies
            assert "draining" in reply.value["held"]["waits_for"][0]
            delivery.ack()


async def test_an_object_behind_another_of_its_ordering_key_says_which(autojump_clock):
    async with (
        chain(2) as nodes,
        nodes.connect(nodes[0]) as near,
        nodes.connect(nodes[1]) as far,
        far.subscribe("A", credit=1) as deliveries,
    ):
        first = await far.push(1, type="A", ordering_key="customer 7")
        second = await far.push(2, type="A", ordering_key="customer 7")
        delivery = await anext(deliveries)
        found = await near.explain(second)
        assert found.summary == (
            f"at node node1, blocked: behind {first} of the same ordering key 'customer 7',"
            " leased here"
        )
        (view,) = [each async for each in far.objects("A", state="blocked")]
        assert view.id == second
        delivery.ack()


async def test_every_state_of_custody_has_a_word_and_a_reason():
    assert set(STATES.values()) == set(HELD_STATES)


async def test_an_object_too_large_for_a_peer_stays_and_says_so_and_the_link_holds(autojump_clock):
    small = attrs.evolve(APART, limits=Limits(max_object_bytes=1024))
    async with mesh(2, config=APART) as nodes:
        await nodes[1].stop()
        nodes[1]._config = attrs.evolve(nodes[1]._config, limits=small.limits)
        await nodes[1].start()
        await nodes[0].linked(1)
        async with (
            nodes.connect(nodes[0]) as client,
            nodes.connect(nodes[1]) as far,
            far.subscribe("A") as deliveries,
        ):
            large = await client.push(bytes(4_000_000), type="A")
            await client.push(b"small", type="A")
            assert (await anext(deliveries)).object == b"small"
            await trio.sleep(60)
            await nodes[0].linked(1)
            found = await client.explain(large)
            assert found.summary == (
                "at node node0, ready: node node1 takes objects of up to 1024 bytes,"
                " and this is larger"
            )
