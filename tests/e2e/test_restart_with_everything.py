"""A node that is killed comes back with one of each kind of thing that it kept."""

from __future__ import annotations

import datetime as dt

import attrs
import trio

import trionode
from tests.support.processes import DEADLINE_S, count, linked, node_process, status_when

VARIABLES = {
    "TRIONODE_CONF_STORE__RETENTION_S": "3600",
    "TRIONODE_CONF_ROUTING__MAX_ATTEMPTS": "3",
    "TRIONODE_CONF_ROUTING__TRANSFER_AFTER_S": "0.05",
    "TRIONODE_CONF_PEERS__BACKOFF_MAX_S": "0.2",
}
SCHEMA = '{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]}'
LATER = dt.timedelta(hours=1)


@attrs.frozen
class Pushed:
    """Ids of the objects, by what is special about each."""

    ready: str
    delayed: str
    deadline: str
    failed: str
    dead: str
    keyed: str
    first_in_line: str
    second_in_line: str
    settled: str
    leased: str


async def deal(client: trionode.Client, type_name: str, what: str, **more: object) -> None:
    """Take one object of a type and settle it in one of the ways."""
    async with client.subscribe(type_name, credit=1) as deliveries:
        delivery = await anext(deliveries)
        getattr(delivery, what)(**more)
        await delivery.settled()


async def push_each(client: trionode.Client) -> Pushed:
    await client.define("Order", SCHEMA)
    push = client.push
    ids = Pushed(
        ready=await push({"n": 1}, type="Order", priority=7),
        delayed=await push({"n": 2}, type="Order", delay=3600),
        deadline=await push({"n": 3}, type="Timed", deadline=LATER),
        failed=await push({"n": 4}, type="Failed"),
        dead=await push({"n": 5}, type="Bad"),
        keyed=await push({"n": 6}, type="Keyed", key="once"),
        first_in_line=await push({"n": 7}, type="Line", ordering_key="a"),
        second_in_line=await push({"n": 8}, type="Line", ordering_key="a"),
        settled=await push({"n": 9}, type="Done"),
        leased=await push(b"\x00\xff", type="Raw"),
    )
    await deal(client, "Failed", "nack", delay=3600, reason="not today")
    await deal(client, "Bad", "reject", reason="it is bad")
    await deal(client, "Done", "ack")
    return ids


async def found(client: trionode.Client) -> dict[str, trionode.Found]:
    return {each.id: each async for each in client.query("*")}


async def seen(client: trionode.Client) -> dict[str, tuple[object, ...]]:
    """What a query says of each object, but for states, which a restart may change."""
    return {
        each.id: (each.type, each.created, each.attempt, each.encoding, each.payload)
        for each in (await found(client)).values()
    }


def check_properties(objects: dict[str, trionode.Found], ids: Pushed) -> None:
    now = dt.datetime.now(dt.UTC).timestamp()
    states = {name: objects[id_].state for name, id_ in attrs.asdict(ids).items()}
    held_back = {"delayed": "delayed", "failed": "delayed", "dead": "dead", "settled": "settled"}
    assert {name: states[name] for name in held_back} == held_back
    assert states["ready"] == states["leased"] == "ready"
    properties = {name: objects[id_].properties for name, id_ in attrs.asdict(ids).items()}
    assert properties["ready"]["priority"] == 7
    assert 3500 < properties["delayed"]["due"] - now < 3600
    assert 3500 < properties["deadline"]["deadline"] - now < 3600
    assert properties["keyed"]["key"] == "once"
    assert properties["second_in_line"]["ordering_key"] == "a"
    assert objects[ids.failed].attempt == 2
    assert "not today" in str(properties["failed"])
    assert "it is bad" in str(properties["dead"])


async def test_a_killed_node_comes_back_with_one_of_each(tmp_path):
    with (
        trio.fail_after(3 * DEADLINE_S),
        node_process("n1", "--data-dir", str(tmp_path), **VARIABLES) as node,
    ):
        async with trionode.connect(node.address) as client:
            ids = await push_each(client)
            (definition,) = await client.types("Order")
            async with client.subscribe("Raw", credit=1) as deliveries:
                assert trionode.format_id((await anext(deliveries)).id) == ids.leased
                before, status = await seen(client), await client.status()
                node.kill()
        node.start()
        async with trionode.connect(node.address) as client:
            after = await client.status()
            assert after["id"] == status["id"]
            assert after["incarnation"] > status["incarnation"]
            assert await seen(client) == before
            check_properties(await found(client), ids)
            assert await client.types("Order") == [definition]
            assert await client.push({"n": 6}, type="Keyed", key="once") == ids.keyed
            (letter,) = [each async for each in client.dead_letters("Bad")]
            assert letter.id == ids.dead
            explained = await client.explain(ids.failed)
            assert "not today" in str(explained)
            lined = []
            async with client.subscribe("Line", credit=2) as deliveries:
                for _ in range(2):
                    delivery = await anext(deliveries)
                    lined.append(trionode.format_id(delivery.id))
                    delivery.ack()
                    await delivery.settled()
            assert lined == [ids.first_in_line, ids.second_in_line]


async def test_a_killed_node_knows_what_it_had_offered_and_taken(tmp_path):
    """R8: what both nodes noted of transfers survives, and no object is there twice or lost."""
    one, two = (("--data-dir", str(tmp_path / name)) for name in ("one", "two"))
    with (
        trio.fail_after(3 * DEADLINE_S),
        node_process("n1", *one, **VARIABLES) as giver,
        node_process("n2", *two, "--peer", giver.address, **VARIABLES) as taker,
    ):
        total = 400
        got: list[int] = []
        async with (
            trionode.connect(giver.address) as producer,
            trionode.connect(taker.address) as client,
            client.subscribe("Moved", credit=20) as deliveries,
        ):
            await status_when(producer, lambda status: "n2" in linked(status))
            async with producer.pusher(type="Moved") as pusher:
                for number in range(total):
                    await pusher.send(number)
            async for delivery in deliveries:
                with delivery as number:
                    got.append(number)
                if len(got) in (50, 150):  # while more is on its way
                    for node in (giver, taker) if len(got) == 150 else (giver,):
                        await trio.to_thread.run_sync(node.kill)
                        await trio.to_thread.run_sync(node.start)
                if len(set(got)) == total:
                    break
            status = await status_when(
                producer, lambda status: not count(status, "Moved", "transferring")
            )
            assert count(status, "Moved", "ready") == 0
        assert set(got) == set(range(total))
