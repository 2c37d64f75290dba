"""`forget`: the books of real nodes closed on one that is gone for good."""

from __future__ import annotations

import pytest
import trio

from trionode.config import Config, Peers
from trionode.errors import Refused, Status
from trionode.testing import mesh
from trionode.testing.nodes import ONE_BEFORE

APART = Config(peers=Peers(discovery=False))


async def lose_in_transfer(nodes, giver: int, taker: int) -> str:
    """Have an object be on offer to a node that dies before it hears of it; returns its id."""
    (link,) = [
        each
        for each in nodes[giver].node._mesh.links.values()
        if each.peer.name == nodes[taker].name
    ]
    link.send_offer = lambda _effect: None  # what it sends is lost
    async with nodes.connect(nodes[taker]) as far, far.subscribe("A"):
        await trio.sleep(1)
        async with nodes.connect(nodes[giver]) as client:
            id_ = await client.push(1, type="A")
        await nodes[giver].until(lambda status: status["types"]["A"]["transferring"] == 1)
    await nodes[taker].kill()
    await trio.sleep(0.5)
    return id_


async def test_what_was_in_doubt_becomes_ready_and_the_address_is_dialled_no_more(autojump_clock):
    async with mesh(3) as nodes:
        id_ = await lose_in_transfer(nodes, 0, 2)
        async with nodes.connect(nodes[0]) as client:
            done = await client.forget("node2")
            (here,) = done["nodes"]
            assert (here["ready_again"], here["error"]) == (1, "")
            view = await client.object(id_)
            assert view is not None
            assert view.state == "ready"
            assert view.properties["possibly_duplicate"] is True
            assert all(peer["name"] != "node2" for peer in nodes[0].status()["peers"])
            found = await client.explain(id_)
            assert found.silent == ("node2",)  # node1 still misses it
            await client.forget(done["id"], everywhere=True)
            assert (await client.explain(id_)).silent == ()


async def test_a_node_that_is_linked_is_not_forgotten(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[0]) as client:
        peer = nodes[1].status()
        for text in (peer["name"], peer["id"], nodes[0].status()["id"]):
            with pytest.raises(Refused) as refused:
                await client.forget(text)
            assert refused.value.grpc_status is Status.FAILED_PRECONDITION
        with pytest.raises(Refused) as refused:
            await client.forget("nobody")
        assert refused.value.grpc_status is Status.NOT_FOUND


async def test_a_node_linked_to_another_is_kept_there_and_said(autojump_clock):
    async with mesh(3, links=ONE_BEFORE, config=APART) as nodes:
        await trio.sleep(1)  # the news of node2 is told
        async with nodes.connect(nodes[0]) as client:
            done = await client.forget("node2", everywhere=True)
            errors = {each["at"]: each["error"] for each in done["nodes"]}
            assert errors["node0"] == ""
            assert "is linked: it is not gone" in errors["node1"]
        await nodes[1].linked(2)


async def test_a_name_that_two_nodes_have_is_refused_with_their_ids(autojump_clock):
    async with mesh(3, start=False) as nodes:
        for node in nodes.nodes[1:]:
            node.rename("same")
        for node in nodes.nodes:
            await node.start()
        await nodes[0].linked(2)
        async with nodes.connect(nodes[0]) as client:
            with pytest.raises(Refused, match="2 nodes are called same") as refused:
                await client.forget("same")
            for node in nodes.nodes[1:]:
                assert node.status()["id"] in refused.value.hint


async def test_an_address_that_is_configured_is_said_to_be_dialled_still(autojump_clock):
    async with mesh(2) as nodes, nodes.connect(nodes[1]) as client:
        await nodes[0].kill()
        await trio.sleep(5)
        (here,) = (await client.forget("node0"))["nodes"]
        assert here["configured"] == [nodes[0].address]
        await nodes[0].start()
        await nodes[1].linked(1)
