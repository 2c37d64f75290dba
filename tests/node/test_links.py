"""Links between real nodes in memory: who dials whom, which link stays, who is heard of."""

from __future__ import annotations

import trio
import trio.testing

from trionode.config import Config, Node, Peers
from trionode.testing import mesh
from trionode.testing.nodes import FIRST_ONLY, linked_peers


def ids(status) -> set[str]:
    return {peer["id"] for peer in status["peers"]}


async def test_ten_nodes_discover_each_other_from_one_address(autojump_clock):
    async with mesh(10, links=FIRST_ONLY) as nodes:
        for node in nodes.nodes:
            await node.linked(9)
        for node in nodes.nodes:
            status = node.status()
            assert len(ids(status)) == len(status["peers"]) == 9


async def test_discovery_can_be_turned_off(autojump_clock):
    async with mesh(3, links=FIRST_ONLY, config=Config(peers=Peers(discovery=False))) as nodes:
        await trio.sleep(60)
        assert [linked_peers(node.status()) for node in nodes.nodes] == [2, 1, 1]


async def test_two_nodes_that_dial_each_other_keep_one_link(autojump_clock):
    async with mesh(2, links=lambda index: [1 - index], start=False) as nodes:
        async with trio.open_nursery() as nursery:
            for node in nodes.nodes:
                nursery.start_soon(node.start)
        for node in nodes.nodes:
            await node.linked(1)
        await trio.sleep(60)
        for node in nodes.nodes:
            assert [peer["state"] for peer in node.status()["peers"]] == ["linked"]


async def test_the_round_trip_time_of_a_fresh_link_is_known_before_it_falls_silent(autojump_clock):
    async with mesh(2) as nodes:
        for node in nodes.nodes:
            await node.linked(1)
            await trio.testing.wait_all_tasks_blocked()
            (peer,) = node.status()["peers"]
            assert peer["rtt_ms"] is not None


async def test_nodes_find_each_other_in_any_start_order(autojump_clock):
    async with mesh(3, start=False) as nodes:
        for node in reversed(nodes.nodes):
            await node.start()
        for node in nodes.nodes:
            await node.linked(2)


async def test_a_link_heals_when_the_network_does(autojump_clock):
    async with mesh(2) as nodes:
        await nodes.network.cut(nodes[0].address)
        status = await nodes[1].until(lambda status: not linked_peers(status))
        assert status["peers"][0]["state"] == "lost"
        await trio.sleep(30)
        assert "nobody listens there" in nodes[1].status()["peers"][0]["last_error"]
        nodes.network.heal(nodes[0].address)
        await nodes[1].linked(1)


async def test_another_node_at_the_same_address_is_another_peer(autojump_clock):
    async with mesh(2) as nodes:
        before = ids(nodes[1].status())
        await nodes[0].kill()
        await nodes[0].start()
        await nodes[1].until(lambda status: linked_peers(status) and ids(status) != before)
        assert ids(nodes[1].status()).isdisjoint(before)


async def test_a_node_that_dials_itself_notices_and_says_so(caplog, autojump_clock):
    config = Config(node=Node(advertise="here:1"))
    async with mesh(1, links=lambda _: [0], config=config, start=False) as nodes:
        await nodes[0].start()
        await trio.sleep(5)
        assert nodes[0].status()["peers"] == []
    assert "an address of a peer is this node's own" in caplog.text


async def test_two_nodes_of_one_name_are_linked_and_it_is_said(caplog, autojump_clock):
    async with mesh(2, start=False) as nodes:
        for node in nodes.nodes:
            node.rename("same")
            await node.start()
        await nodes[1].linked(1)
    assert "two nodes have one name" in caplog.text


async def test_the_address_that_a_node_advertises_is_the_one_that_others_are_told(autojump_clock):
    async with mesh(2, config=Config(node=Node(advertise="outside.example:7400"))) as nodes:
        for node in nodes.nodes:
            assert [peer["address"] for peer in node.status()["peers"]] == ["outside.example:7400"]
        async with nodes.connect(nodes[0]) as client:
            assert (await client.ping()).addresses == ["outside.example:7400"] * 2
