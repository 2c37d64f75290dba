"""Links to peers that are wrong, hostile, doubled or gone, and the dialling that survives them."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from tests.support.kept_store import KeptStore
from tests.support.wires import FrameCall, frame_client
from trionode.config import Config, Peers
from trionode.errors import ConnectionLost, Refused, Status
from trionode.ids import object_id
from trionode.node import NodeFailed
from trionode.node import peers as dialling
from trionode.node.link import KEYS_MAX
from trionode.routing import events
from trionode.testing import mesh
from trionode.testing.nodes import linked_peers
from trionode.wire import frames

LOWEST, HIGHEST = "0" * 20, "f" * 20


def hello(node: str = HIGHEST, incarnation: int = 1, **fields) -> frames.LinkHello:
    told = {"version": "0", "name": node[:5], "address": "", "durable": True, **fields}
    return frames.LinkHello(1, 1, node=node, incarnation=incarnation, **told)


@asynccontextmanager
async def stranger(node, said: frames.LinkHello | None = None):
    """A link to a node under test, spoken by hand."""
    async with frame_client(node) as client:
        call = FrameCall(await client.connection.open(frames.LINK))
        call.say(said or hello())
        await call.hear(frames.LinkHello)
        yield call


async def why_refused(node, said: frames.LinkHello) -> str:
    """What a node says to a hello that it does not accept."""
    async with frame_client(node) as client:
        call = FrameCall(await client.connection.open(frames.LINK))
        call.say(said)
        with pytest.raises(Refused) as refused:
            await call.hear(frames.OfferAnswer)
        return str(refused.value)


def interest(*keys: str, node: str = HIGHEST, version: int = 1, path=None) -> frames.Interest:
    count = len(keys)
    return frames.Interest(
        False,
        list(keys),
        [path or [node]] * count,
        [node] * count,
        [1] * count,
        [version] * count,
        list(range(1, count + 1)),
    )


def offer(sequence: int, *payloads: bytes, **fields) -> frames.Offer:
    count = len(payloads)
    told = {"encoding": "raw", "draining": True, "ages_ms": [0] * count, **fields}
    ids = [(object_id(5, 1 + 1000 * sequence), count)] if count else []
    return frames.Offer(sequence, "A", 0, "A", ids, list(payloads), **told)


def brain_of(node):
    return node.node.context.engine.brain


# --- what peers say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address", ["garbage", "", "host:", "host:0", "host:99999", "a b:1", "[::1", "x\n:1"]
)
async def test_an_address_that_is_none_does_no_harm(address, autojump_clock):
    async with mesh(2) as nodes, stranger(nodes[0]) as link:
        link.say(frames.Peers([LOWEST], ["x"], [address]))
        await trio.sleep(5)
        status = nodes[0].status()
        assert status["counters"]["restarts"] == status["counters"]["faults"] == 0
        assert [peer["address"] for peer in status["peers"] if peer["state"] != "linked"] == []


async def test_a_peer_that_tells_of_very_many_has_few_of_them_dialled(autojump_clock):
    count = 3 * dialling.TOLD_MAX
    async with mesh(2) as nodes, stranger(nodes[0]) as link:
        addresses = [f"nowhere{number}:1" for number in range(count)]
        link.say(frames.Peers([f"{number}" for number in range(count)], [""] * count, addresses))
        await trio.sleep(5)
        assert len(nodes[0].status()["peers"]) == dialling.TOLD_MAX + 2
        assert linked_peers(nodes[0].status()) == 2


async def test_who_was_only_told_of_is_given_up_after_a_while(autojump_clock):
    async with mesh(1) as nodes, stranger(nodes[0]) as link:
        link.say(frames.Peers([LOWEST], ["x"], ["nowhere:1"]))
        await trio.sleep(5)
        assert len(nodes[0].status()["peers"]) == 2
        await trio.sleep(dialling.FORGET_AFTER_S + 60)
        assert len(nodes[0].status()["peers"]) == 1


async def test_a_peer_that_was_linked_for_long_is_not_given_up_the_moment_it_leaves(
    autojump_clock,
):
    async with mesh(2, links=lambda _: []) as nodes, stranger(nodes[0]) as link:
        id_ = nodes[1].node.context.identity.node
        link.say(frames.Peers([id_], ["x"], [nodes[1].address]))
        await nodes[0].linked(2)
        await trio.sleep(2 * dialling.FORGET_AFTER_S)
        await nodes[1].stop()
        await trio.sleep(60)
        await nodes[1].start()
        await nodes[0].linked(2)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (interest("not a name"), "cannot name a type"),
        (interest(*["A"] * (KEYS_MAX + 1)), "more than 100000 types"),
        (interest("A", path=["x" * 5000]), "too long"),
        (offer(1), "nothing"),
        (offer(1, b"x"), "cannot name a type"),
        (frames.Settle(1, "ack", []), "has no place"),
    ],
    ids=["name", "keys", "path", "empty offer", "type", "frame"],
)
async def test_a_frame_that_is_amiss_ends_its_link_and_no_other(frame, reason, autojump_clock):
    async with mesh(2) as nodes, stranger(nodes[0]) as link:
        if reason == "cannot name a type" and isinstance(frame, frames.Offer):
            frame = frames.Offer(1, "A", 0, "a b", [(1, 1)], [b""], [0], draining=True)
        link.say(frame)
        with pytest.raises(Refused, match=reason) as refused:
            await link.hear(frames.OfferAnswer)
        assert refused.value.grpc_status is Status.INVALID_ARGUMENT
        assert linked_peers(nodes[0].status()) == 1
        assert brain_of(nodes[0]).interest.routes == {}
        assert nodes[0].status()["counters"]["faults"] == 0


@pytest.mark.parametrize(
    "frame",
    [
        frames.OfferAnswer(7, 7),
        frames.OfferAnswer(2**63 - 1, 2**63 - 1, refused=[2**63 - 1]),
        frames.CloseOffers([1, 2], [3, 4]),
        frames.AskOffers(2**63 - 1, 2**63 - 1, [1, 1], [1, 1]),
        frames.LinkCredit(["A", "A"], [0, 2**63 - 1], [2**63 - 1, 0], [0, 2**63 - 1]),
        frames.Backlog(["A", "B"], [0, 1], [2**63 - 1, 2**63 - 1]),
        interest("A", path=[HIGHEST, HIGHEST]),
        interest("A", node=LOWEST),
        interest("A", version=2**63 - 1),
        interest("A", path=[HIGHEST] * 1000),
        frames.Interest(True, ["A"], [[]], [""], [2**63 - 1], [2**63 - 1], [0]),
    ],
    ids=lambda frame: type(frame).__name__,
)
async def test_a_frame_that_means_nothing_here_changes_nothing(frame, autojump_clock):
    async with mesh(2) as nodes, stranger(nodes[0]) as link:
        link.say(frame)
        link.say(offer(1, b"x"))
        assert (await link.hear(frames.OfferAnswer)).refused == []
        await nodes[0].until(lambda status: status["types"]["A"]["ready"] == 1)
        await trio.sleep(10)
        assert linked_peers(nodes[0].status()) == linked_peers(nodes[1].status()) + 1 == 2
        assert nodes[0].status()["counters"]["faults"] == 0


async def test_what_a_peer_says_of_an_object_is_taken_only_where_it_makes_sense(autojump_clock):
    claims = {"hops": 2**63 - 1, "version": "x", "path": ["p"] * 1000}
    async with (
        mesh(2) as nodes,
        stranger(nodes[0]) as link,
        frame_client(nodes[1]) as client,
    ):
        for _ in range(2):
            link.say(offer(1, b"x", details={0: claims}, ages_ms=[2**63 - 1]))
        link.say(offer(2, b"y", details={0: claims}))
        await link.hear(frames.OfferAnswer)
        consumer = await client.consumer()
        await consumer.subscribe("A")
        got: list[bytes] = []
        while len(got) < 2:
            got += (await consumer.hear(frames.Deliver)).payloads
        assert sorted(got) == [b"x", b"y"]
        assert nodes[0].status()["counters"]["faults"] == 0


async def test_a_definition_learnt_over_a_link_goes_on_with_what_is_offered(autojump_clock):
    config = Config(peers=Peers(discovery=False))
    async with (
        mesh(3, links=lambda index: [index - 1] if index else [], config=config) as nodes,
        frame_client(nodes[0]) as one,
        frame_client(nodes[2]) as three,
    ):
        asked = frames.DefineRequest("A", '{"type": "integer"}')
        fingerprint = (await one.ask(frames.DEFINE, asked, frames.DefineReply)).fingerprint
        consumer = await three.consumer()
        await consumer.subscribe("A")
        producer = await one.producer()
        producer.say(frames.Push("A", 1, [b"1"], fingerprint=fingerprint))
        assert (await consumer.hear(frames.Deliver)).fingerprint == fingerprint
        for client in (one, three):
            reply = await client.ask(frames.TYPES, frames.TypesRequest("A"), frames.TypesReply)
            assert [each.fingerprint for each in reply.definitions] == [fingerprint]


# --- which link stays -------------------------------------------------------------------------


def silence(node, peer: str = HIGHEST) -> None:
    """Have a peer's link answer no PING any more, as when its host is gone."""

    async def is_alive() -> bool:
        return False

    node.node._mesh.links[peer].is_alive = is_alive


@pytest.mark.parametrize("incarnation", [1, 2])
async def test_a_new_hello_takes_the_place_of_a_link_that_is_dead(incarnation, autojump_clock):
    async with mesh(1) as nodes, stranger(nodes[0]) as old:
        old.say(interest("A"))
        await nodes[0].node.context.engine.until(lambda: brain_of(nodes[0]).interest.routes)
        silence(nodes[0])
        async with stranger(nodes[0], hello(incarnation=incarnation)) as new:
            with pytest.raises(ConnectionLost):
                await old.hear(frames.OfferAnswer)
            assert linked_peers(nodes[0].status()) == 1
            assert brain_of(nodes[0]).interest.routes == {}
            new.say(interest("B"))
            await nodes[0].node.context.engine.until(lambda: brain_of(nodes[0]).interest.routes)
            assert list(brain_of(nodes[0]).interest.links) != []
            assert nodes[0].status()["counters"]["faults"] == 0


@pytest.mark.parametrize(("incarnation", "status"), [(1, "ALREADY_EXISTS"), (2, "ABORTED")])
async def test_whoever_says_to_be_a_node_whose_link_lives_is_refused(
    incarnation, status, caplog, autojump_clock
):
    async with mesh(1) as nodes, stranger(nodes[0]) as link:
        for _ in range(3):
            assert status in await why_refused(nodes[0], hello(incarnation=incarnation))
        link.say(interest("A"))
        await nodes[0].node.context.engine.until(lambda: brain_of(nodes[0]).interest.routes)
        assert linked_peers(nodes[0].status()) == 1
    assert caplog.text.count("two nodes have one id") == (status == "ABORTED")


async def test_a_link_that_is_not_young_is_not_replaced_from_the_other_side(autojump_clock):
    async with mesh(2) as nodes:
        for node, other in (nodes.nodes, reversed(nodes.nodes)):
            identity = other.node.context.identity
            said = hello(identity.node, identity.incarnation, name=other.name)
            await trio.sleep(60)
            assert "ALREADY_EXISTS" in await why_refused(node, said)
            await node.linked(1)


async def test_an_older_incarnation_cannot_take_the_place_of_a_newer(autojump_clock):
    async with mesh(1) as nodes, stranger(nodes[0], hello(incarnation=9)):
        silence(nodes[0])
        assert "newer incarnation" in await why_refused(nodes[0], hello(incarnation=8))


async def test_a_hello_that_is_amiss_is_refused(autojump_clock):
    async with mesh(1) as nodes:
        for said in (hello(""), hello(name="x" * 1000), hello("x" * 1000)):
            assert "INVALID_ARGUMENT" in await why_refused(nodes[0], said)
        assert nodes[0].status()["peers"] == []


def twins(name: str) -> KeptStore:
    """Stores of which the first two are copies of one; that of node1 was opened later."""
    copies = {"node0": KeptStore("same", 5), "node1": KeptStore("same", 6)}
    return copies.get(name) or KeptStore(name)


async def test_who_finds_an_older_life_of_itself_at_a_configured_address_ends(autojump_clock):
    with pytest.raises(BaseExceptionGroup) as group:
        async with mesh(2, store=twins, start=False) as nodes:
            for node in nodes.nodes:
                await node.start()
            await trio.sleep(60)
    assert group.group_contains(NodeFailed, match="in use already, by node node0 at node0:7400")


async def test_who_is_told_by_a_configured_peer_to_be_the_second_of_its_id_ends(autojump_clock):
    links = {0: [], 1: [2], 2: [0]}
    with pytest.raises(BaseExceptionGroup) as group:
        async with mesh(3, store=twins, start=False, links=links.get) as nodes:
            for index in (0, 2):
                await nodes[index].start()
            await nodes[2].linked(1)
            await nodes[1].start()
            await trio.sleep(60)
    match = "in use already: node node0 at node0:7400 has the id same, and is linked"
    assert group.group_contains(NodeFailed, match=match)


@pytest.mark.parametrize("incarnation", [4, 6])
async def test_who_only_says_to_have_a_nodes_id_ends_nobody(incarnation, caplog, autojump_clock):
    stores = {"node0": KeptStore("same", 5)}
    async with mesh(2, store=lambda name: stores.get(name) or KeptStore(name)) as nodes:
        for _ in range(3):
            said = hello("same", incarnation)
            assert "another node with the id same" in await why_refused(nodes[0], said)
        await nodes[0].linked(1)
        assert nodes[0].node._failure == ""
    assert caplog.text.count("two nodes have one id") == 1


async def test_who_is_found_at_an_address_that_a_peer_told_ends_nobody(autojump_clock):
    async with mesh(2, store=twins, links=lambda _: []) as nodes:
        nodes[1].node._peers.told("same", nodes[0].address)
        await trio.sleep(60)
        assert [node.node._failure for node in nodes.nodes] == ["", ""]


# --- dialling ---------------------------------------------------------------------------------


async def test_dialling_that_fails_by_a_defect_begins_again(monkeypatch, autojump_clock):
    async with mesh(2) as nodes:
        peers = nodes[1].node._peers
        failed = trio.Event()

        async def fail(*_args, **_kwargs):
            failed.set()
            raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(nodes[1].node.network, "dial", fail)
            await nodes.network.cut(nodes[0].address)
            await failed.wait()
            await trio.sleep(5)
        nodes.network.heal(nodes[0].address)
        await nodes[1].linked(1)
        assert nodes[1].status()["counters"]["faults"] > 0
        assert len(peers.status()) == 0


async def test_all_subsystems_work_again_after_a_restart(monkeypatch, autojump_clock):
    async with mesh(2) as nodes:
        node = nodes[1].node
        handle = node.context.engine.brain.handle

        def fail(*_args):
            raise ZeroDivisionError

        def fail_to_tick(event, now):
            return fail() if isinstance(event, events.Tick) else handle(event, now)

        with monkeypatch.context() as patch:
            patch.setattr(node._peers, "set_configured", fail)
            patch.setattr(node.context.engine.brain, "handle", fail_to_tick)
            node.context.engine._rouse.set()
            node._peers._nursery.start_soon(_raise)
            await trio.sleep(20)
            assert nodes[1].status()["counters"]["restarts"] > 2
        await trio.sleep(20)
        await nodes[1].linked(1)
        async with frame_client(nodes[0]) as one, frame_client(nodes[1]) as two:
            await one.push("A", b"x")
            consumer = await two.consumer()
            await consumer.subscribe("A")
            assert (await consumer.hear(frames.Deliver)).payloads == [b"x"]


async def _raise() -> None:
    raise ZeroDivisionError


async def test_a_reload_adds_and_takes_away_the_links_of_the_configuration(autojump_clock):
    config = Config(peers=Peers(discovery=False))
    async with mesh(3, links=lambda _: [], config=config) as nodes:
        node = nodes[0].node

        def reload(*addresses: str) -> None:
            node.reload(Config(peers=Peers(addresses=addresses, discovery=False)))
            assert nodes[0].status()["name"] == "node0", "a name is not changed by a reload"

        reload(nodes[1].address)
        await nodes[0].linked(1)
        reload(nodes[1].address, nodes[2].address)
        await nodes[0].linked(2)
        first = node._mesh.links[nodes[1].node.context.identity.node]
        reload(nodes[1].address)
        await nodes[0].until(lambda status: linked_peers(status) == 1)
        assert not first.over.is_set()
        await trio.sleep(30)
        assert len(nodes[0].status()["peers"]) == 1
