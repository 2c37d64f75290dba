"""Pushes with a key, from the client through real nodes to the store and back."""

from __future__ import annotations

import attrs
import trio

from tests.support.kept_store import KeptStore
from tests.support.wires import frame_client
from trionode.config import Config, Limits
from trionode.store import SqliteStore
from trionode.testing import mesh
from trionode.wire import frames


@attrs.frozen
class Order:
    number: int


async def test_a_push_that_repeats_a_key_returns_the_first_id_and_delivers_nothing(autojump_clock):
    async with mesh(1) as nodes, nodes.connect() as client:
        first = await client.push(Order(1), key="k")
        assert await client.push(Order(2), key="k") == first
        async with client.pusher(Order) as pusher:
            receipts = [await pusher.send(Order(3), key=key) for key in ("k", "other", "other")]
        ids = [await receipt.wait() for receipt in receipts]
        assert ids[1] == ids[2] != ids[0]
        async with client.subscribe(Order) as deliveries:
            got = [await anext(deliveries) for _ in range(2)]
            assert {each.id: each.object for each in got} == {ids[0]: Order(1), ids[1]: Order(3)}
            assert nodes[0].status()["types"]["Order"]["ready"] == 0


async def test_a_unary_push_that_repeats_a_key_is_answered_with_the_first_id(autojump_clock):
    async with mesh(1) as nodes, frame_client(nodes[0]) as client:
        asked = frames.PushRequest("A", b"x", "raw", key="k")
        ids = {(await client.ask(frames.PUSH, asked, frames.PushReply)).id for _ in range(3)}
        assert len(ids) == 1


async def test_keys_are_the_matter_of_one_node(autojump_clock):
    async with mesh(2) as nodes:
        ids = []
        for node in nodes:
            async with nodes.connect(node) as client:
                ids.append(await client.push(Order(1), key="k"))
        assert ids[0] != ids[1]


async def test_a_key_means_a_new_object_when_its_window_is_over(autojump_clock):
    config = Config(limits=Limits(key_window_s=60))
    async with mesh(1, config=config) as nodes, nodes.connect() as client:
        first = await client.push(Order(1), key="k")
        await trio.sleep(59)
        assert await client.push(Order(1), key="k") == first
        await trio.sleep(2)
        assert await client.push(Order(1), key="k") != first


async def test_a_repeat_is_answered_no_sooner_than_the_first_is_in_the_store():
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, nodes.connect() as client:
        await client.define(Order)
        store.hold()
        ids = []

        async def push() -> None:
            ids.append(await client.push(Order(1), key="k", type="Order"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(push)
            nursery.start_soon(push)
            await nodes[0].node.context.engine.until(
                lambda: len(nodes[0].node.context.engine.brain.intake.keys) == 1
            )
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert ids == []
            store.release()
        assert ids[0] == ids[1]
        assert len(store.kept) == 1


async def test_a_key_outlives_the_restart_of_its_node(tmp_path, autojump_clock):
    def store(_: str) -> SqliteStore:
        return SqliteStore(tmp_path, "n1", lambda count: bytes(range(count)))

    async with mesh(1, store=store) as nodes:
        async with nodes.connect() as client:
            first = await client.push(Order(1), key="k")
        await nodes[0].kill()
        await nodes[0].start()
        async with nodes.connect() as client:
            assert await client.push(Order(2), key="k") == first
            assert nodes[0].status()["types"]["Order"]["ready"] == 1
