"""What a client does when its connection is lost, or its node asks it to leave."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.support.nodes import ScriptedNode, mesh, one_client
from trionode.errors import ConnectError, ConnectionLost, LeaseLost, Refused, Status
from trionode.wire import frames


@attrs.frozen
class Order:
    number: int


# --- pushes ---------------------------------------------------------------------------------------


async def test_what_was_not_acknowledged_is_pushed_again_and_recognised(autojump_clock):
    async with one_client() as (node, client):
        await client.push(b"0", type="A")
        node.answer_pushes = False
        async with client.pusher(type="A") as pusher:
            receipts = [await pusher.send(b"%d" % number) for number in range(1, 4)]
            await node.until(lambda: len(node.pushed) == 4)
            node.answer_pushes = True
            node.cut()
            receipts.append(await pusher.send(b"4"))
        assert node.payloads() == [b"0", b"1", b"2", b"3", b"4"]
        assert [await receipt.wait() for receipt in receipts] == [
            held.id for held in node.pushed[1:]
        ]
        first, second = node.hellos
        assert first.producer == second.producer
        assert second.acknowledged == 1
        assert client.statistics().reconnects == 1


async def test_a_client_keeps_trying_until_its_node_is_back(autojump_clock):
    async with one_client() as (node, client), trio.open_nursery() as nursery:
        node.die()
        nursery.start_soon(lambda: client.push(b"1", type="A"))
        await trio.sleep(100)
        assert node.pushed == []
        node.down = False
        await node.until(lambda: node.pushed)


async def test_tries_become_rare_while_nobody_answers(autojump_clock):
    async with mesh(n1=ScriptedNode()) as world, world.client():
        world.nodes["n1:1"].die()
        await trio.sleep(1000)
        assert 50 < len(world.dialled) < 1000


async def test_a_node_that_hangs_up_at_once_is_not_dialled_in_a_loop(autojump_clock):
    node = ScriptedNode()
    async with mesh(n1=node) as world, world.client() as client:

        async def cut_always() -> None:
            while True:
                await node.until(lambda: node.consumers)
                node.cut()
                await node.until(lambda: not node.consumers)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(cut_always)
            with trio.move_on_after(200):
                async with client.subscribe("A"):
                    await trio.sleep_forever()
            nursery.cancel_scope.cancel()
        assert 10 < len(world.dialled) < 200


async def test_reconnecting_can_be_given_up(autojump_clock):
    async with one_client(reconnect_timeout_s=20) as (node, client):
        async with trio.open_nursery() as nursery:

            async def push() -> None:
                with pytest.raises(ConnectError, match="down"):
                    await client.push(b"1", type="A")

            async def consume() -> None:
                with pytest.raises(ConnectError, match="down"):
                    async with client.subscribe("B") as deliveries:
                        await anext(deliveries)

            nursery.start_soon(consume)
            await node.until(lambda: node.consumers)
            node.die()
            nursery.start_soon(push)
        assert 5 < trio.current_time() <= 20
        with pytest.raises(ConnectError, match="down"):
            await client.ping()


async def test_definitions_are_made_again_before_objects_go_to_another_node(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        async with world.client() as client:
            await client.push(Order(1))
            one.die()
            await client.push(Order(2))
            assert client.address == "n2:1"
            assert two.payloads() == [b'{"number":2}']
            kinds = [type(frame) for frame in two.heard]
            assert kinds.index(frames.DefineRequest) < kinds.index(frames.Push)


async def test_a_definition_that_the_next_node_refuses_fails_the_pushes_that_need_it(
    autojump_clock,
):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        two.types.define(
            "Order", '{"type": "object", "properties": {"number": {"type": "string"}}}'
        )
        async with world.client() as client:
            await client.push(Order(1))
            one.die()
            with pytest.raises(Refused) as caught:
                await client.push(Order(2))
            assert caught.value.grpc_status is Status.FAILED_PRECONDITION
            await client.push(b"1", type="A")


async def test_a_refused_producer_stream_fails_what_was_sent_on_it_only(autojump_clock):
    async with one_client() as (node, client):
        node.refuse_hello = Refused(Status.PERMISSION_DENIED, "not you")
        with pytest.raises(Refused, match="not you"):
            await client.push(b"1", type="A")
        node.refuse_hello = None
        await client.push(b"2", type="A")
        assert node.payloads() == [b"2"]


async def test_an_unavailable_node_is_left_for_the_next(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        async with world.client() as client:
            one.refuse_hello = Refused(Status.UNAVAILABLE, "draining")
            await client.push(b"1", type="A")
            assert client.address == "n2:1"
            assert two.payloads() == [b"1"]


# --- addresses ------------------------------------------------------------------------------------


async def test_a_client_falls_back_on_addresses_that_its_node_told(autojump_clock):
    one, two = ScriptedNode("n1", addresses=["n2:1"]), ScriptedNode("n2")
    async with mesh(n1=one, n2=two) as world, world.client("n1:1") as client:
        one.die()
        await client.push(b"1", type="A")
        assert client.address == "n2:1"


async def test_a_question_is_asked_again_when_its_connection_is_lost(autojump_clock):
    node = ScriptedNode()
    asked = []

    async def status(call) -> None:
        asked.append(call)
        if len(asked) == 1:
            node.cut()
            await trio.sleep_forever()
        await ScriptedNode._status(node, call)

    node.routes[frames.STATUS] = type(node.routes[frames.STATUS])(status)
    async with one_client(node) as (_, client):
        assert (await client.status())["format"] == 1
        assert len(asked) == 2


async def test_a_question_whose_connections_are_lost_twice_fails(autojump_clock):
    node = ScriptedNode()

    async def status(call) -> None:
        node.cut()
        await trio.sleep_forever()

    node.routes[frames.STATUS] = type(node.routes[frames.STATUS])(status)
    async with one_client(node) as (_, client):
        with pytest.raises(ConnectionLost):
            await client.status()


# --- subscriptions --------------------------------------------------------------------------------


async def test_subscriptions_go_on_and_what_was_held_is_lost(autojump_clock):
    async with one_client() as (node, client):
        one, two, three = node.put("A", b"1", b"2", b"3")
        lost = []
        async with client.subscribe("A", on_lost=lambda *told: lost.append(told)) as deliveries:
            held = await anext(deliveries)
            settling = await anext(deliveries)
            node.answer_settles = False
            settling.ack()
            await node.until(lambda: node.settled)
            node.answer_settles = True
            node.cut()
            with pytest.raises(ConnectionLost, match="not known"):
                await settling.settled()
            with pytest.raises(LeaseLost):
                held.ack()
            assert [entry[:2] for entry in lost] == [(one.id, 1)]
            again = [await anext(deliveries) for _ in range(2)]
            assert [each.id for each in again] == [one.id, three.id]
            for each in again:
                each.ack()
                await each.settled()
        assert ("ack", two.id, 1, "") in node.settled


async def test_a_block_is_cancelled_when_its_connection_is_lost(autojump_clock):
    async with one_client() as (node, client):
        node.put("A", b"1")
        async with client.subscribe("A") as deliveries:
            with pytest.raises(LeaseLost), await anext(deliveries):
                node.cut()
                await trio.sleep_forever()
            with await anext(deliveries):
                pass
        assert node.settled[-1][0] == "ack"


async def test_leaving_a_subscription_without_a_connection_waits_for_nobody(autojump_clock):
    async with one_client() as (node, client):
        async with client.subscribe("A"):
            node.die()
            await trio.sleep(1)
            started = trio.current_time()
        assert trio.current_time() == started


async def test_a_subscription_can_be_entered_while_there_is_no_connection(autojump_clock):
    async with one_client() as (node, client), trio.open_nursery() as nursery:
        node.die()
        await trio.sleep(1)
        got = []

        async def consume() -> None:
            async with client.subscribe("A") as deliveries:
                with await anext(deliveries) as value:
                    got.append(value)

        nursery.start_soon(consume)
        await trio.sleep(10)
        node.down = False
        node.put("A", b"5")
        await node.until(lambda: node.settled)
        assert got == [5]


async def test_a_next_node_that_does_not_take_the_subscription_ends_the_loop(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        two.refuse_subscriptions = Refused(Status.PERMISSION_DENIED, "not here")
        async with world.client() as client:
            with pytest.raises(Refused, match="not here"):
                async with client.subscribe("A") as deliveries:
                    one.die()
                    await anext(deliveries)


async def test_a_refused_consumer_stream_fails_its_subscriptions(autojump_clock):
    async with one_client() as (node, client):
        node.refuse_hello = Refused(Status.UNAUTHENTICATED, "who are you?")
        with pytest.raises(Refused, match="who are you"):
            async with client.subscribe("A"):
                raise AssertionError("never entered")
        node.refuse_hello = None
        async with client.subscribe("A"):
            pass


# --- draining -------------------------------------------------------------------------------------


async def test_a_draining_node_is_left_and_what_it_gave_is_settled_there(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        async with world.client("n1:1") as client, client.subscribe("A", credit=3) as deliveries:
            await client.push(b"0", type="B")
            old = one.put("A", b"1", b"2")
            new = two.put("A", b"3", b"4", b"5")
            first = await anext(deliveries)
            one.drain("n2:1")
            await two.until(lambda: two.consumers and two.consumers[0].windows)
            await wait_all_tasks_blocked()
            assert client.address == "n2:1"
            assert two.consumers[0].windows[1].credit == 1
            await client.push(b"6", type="B")
            assert two.payloads() == [b"6"]
            second = await anext(deliveries)
            assert [first.id, second.id] == [held.id for held in old]
            first.ack()
            second.ack()
            await second.settled()
            await one.until(lambda: not one.consumers)
            assert [action for action, *_ in one.settled] == ["ack", "ack"]
            await two.until(lambda: two.consumers[0].windows[1].credit == 3)
            assert {(await anext(deliveries)).id for _ in range(3)} == {held.id for held in new}


async def test_a_draining_node_answers_what_it_was_sent_before_it_is_left(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        async with world.client() as client, trio.open_nursery() as nursery:
            one.answer_pushes = False
            nursery.start_soon(lambda: client.push(b"1", type="A"))
            await one.until(lambda: one.pushed)
            one.drain()
            await wait_all_tasks_blocked()
            nursery.start_soon(lambda: client.push(b"2", type="A"))
            await wait_all_tasks_blocked()
            assert two.pushed == []
            one.producers[0].say(frames.Pushed([(1, 1)]))
            await two.until(lambda: two.pushed)
        assert one.payloads() == [b"1"]
        assert two.payloads() == [b"2"]


async def test_a_draining_node_that_never_answers_is_given_up(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, two = world.nodes.values()
        async with world.client() as client, trio.open_nursery() as nursery:
            one.answer_pushes = False
            nursery.start_soon(lambda: client.push(b"1", type="A"))
            await one.until(lambda: one.pushed)
            one.drain()
            await two.until(lambda: two.pushed)
        assert two.payloads() == [b"1"]


async def test_a_node_that_goes_away_without_a_word_on_streams_is_left(autojump_clock):
    async with mesh(n1=ScriptedNode("n1"), n2=ScriptedNode("n2")) as world:
        one, _ = world.nodes.values()
        async with world.client() as client:
            for connection in one.connections:
                connection.drain()
            one.down = True
            await trio.sleep(5)
            assert (await client.ping()).name == "n2"


async def test_a_node_that_talks_garbage_is_left(autojump_clock):
    async with one_client() as (node, client), client.subscribe("A") as deliveries:
        node.consumers[0].call.send(b"\xc1")
        await node.until(lambda: len(node.hellos) == 2)
        await client.push(b"1", type="A", encoding="json")
        assert (await anext(deliveries)).object == 1
        node.producers[0].call.send(b"\xc1")
        await client.push(b"2", type="A")
