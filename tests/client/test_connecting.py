"""Entering and leaving a client: who answers, what a failure says, whose exception arrives."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import memory_stream_pair

import trionode
from tests.support.connections import ECHO
from tests.support.nodes import ScriptedNode, mesh, one_client
from trionode.client.connecting import ClientBlock
from trionode.client.connector import ClientOptions, dial_tcp
from trionode.errors import ConnectError, ConnectionLost, Refused, Status
from trionode.net.connection import Connection
from trionode.net.serving import Route
from trionode.wire import frames
from trionode.wire.codec import MESSAGEPACK


async def test_a_client_knows_which_node_it_is_connected_to():
    async with one_client(name="billing") as (node, client):
        assert client.address == "n1:1"
        assert (await client.ping()).name == "n1"
        await client.push({}, type="A")
        assert node.hellos[0].name == "billing"
        assert "n1:1" in repr(client)


async def test_the_next_address_is_tried_when_one_does_not_answer():
    async with mesh(n2=ScriptedNode("n2")) as world, world.client("n1:1", "n2:1") as client:
        assert client.address == "n2:1"
        assert world.dialled == ["n1:1", "n2:1"]


async def test_when_none_answers_the_error_names_every_address_and_why():
    node = ScriptedNode("n2")
    node.down = True
    async with mesh(n2=node) as world:
        with pytest.raises(ConnectError) as caught:
            async with world.client("n1:1", "n2:1"):
                raise AssertionError("never entered")
    assert "n1:1: nobody listens there" in str(caught.value)
    assert "n2 is down" in str(caught.value)


async def test_something_that_speaks_another_protocol_is_named():
    async def talk(address: str) -> trio.abc.Stream:
        one, other = memory_stream_pair()
        await one.send_all(b"SSH-2.0-OpenSSH_9.6\r\n")
        return other

    with pytest.raises(ConnectError, match=r"n1:1: .*SSH-2\.0"):
        async with ClientBlock(["n1:1"], ClientOptions(), talk):
            raise AssertionError("never entered")


async def test_another_grpc_service_is_told_from_a_node():
    async with trio.open_nursery() as nursery:

        async def dial(address: str) -> trio.abc.Stream:
            one, other = memory_stream_pair()
            nursery.start_soon(Connection(one, routes=ECHO).run)
            return other

        with pytest.raises(ConnectError, match=r"n1:1: .*not a trionode node"):
            async with ClientBlock(["n1:1"], ClientOptions(), dial):
                raise AssertionError("never entered")
        nursery.cancel_scope.cancel()


async def test_a_node_of_another_protocol_version_is_named_with_both_versions():
    node = ScriptedNode("old")
    node.hello = attrs.evolve(node.hello, protocol=99, version="9.9")
    async with mesh(n1=node) as world:
        with pytest.raises(ConnectError, match=r"old \(trionode 9.9\) speaks protocol 99, this cl"):
            async with world.client():
                raise AssertionError("never entered")


async def test_what_a_node_says_about_our_version_reaches_the_user():
    node = ScriptedNode()
    node.refuse_hello = Refused(Status.FAILED_PRECONDITION, "this node speaks protocol 2 to 3")
    async with mesh(n1=node) as world:
        with pytest.raises(ConnectError, match=r"n1:1: .*protocol 2 to 3"):
            async with world.client():
                raise AssertionError("never entered")


async def test_a_host_that_does_not_answer_is_given_up(autojump_clock):
    async def dial(address: str) -> trio.abc.Stream:
        await trio.sleep_forever()

    with pytest.raises(ConnectError, match="n1:1 did not answer within 3 s"):
        async with ClientBlock(["n1:1"], ClientOptions(connect_timeout_s=3), dial):
            raise AssertionError("never entered")
    assert trio.current_time() >= 3


async def test_a_node_that_takes_connections_and_says_nothing_is_given_up(autojump_clock):
    async def dial(address: str) -> trio.abc.Stream:
        return memory_stream_pair()[1]

    with pytest.raises(ConnectError, match="did not answer within 3 s"):
        async with ClientBlock(["n1:1"], ClientOptions(connect_timeout_s=3), dial):
            raise AssertionError("never entered")


async def test_connecting_can_be_cancelled(autojump_clock):
    async def dial(address: str) -> trio.abc.Stream:
        await trio.sleep_forever()

    with trio.move_on_after(1) as scope:
        async with ClientBlock(["n1:1"], ClientOptions(), dial):
            raise AssertionError("never entered")
    assert scope.cancelled_caught
    assert trio.current_time() == 1


async def test_over_a_real_socket_a_port_where_nobody_listens_is_explained():
    listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = listener.socket.getsockname()[1]
    await listener.aclose()
    with pytest.raises(ConnectError, match=f"127.0.0.1:{port}: nobody listens there"):
        async with trionode.connect(f"127.0.0.1:{port}"):
            raise AssertionError("never entered")


async def test_an_address_that_is_none_is_refused_before_anything_is_dialled():
    with pytest.raises(ValueError, match="is not an address"):
        trionode.connect("nowhere")


async def test_a_client_is_entered_once():
    async with mesh(n1=ScriptedNode()) as world:
        block = world.client()
        async with block:
            with pytest.raises(RuntimeError, match="once"):
                await block.__aenter__()


@pytest.mark.parametrize(
    "error", [ValueError("mine"), KeyboardInterrupt(), ExceptionGroup("mine", [OSError()])]
)
async def test_the_users_exception_arrives_as_itself(error):
    async with mesh(n1=ScriptedNode()) as world:
        with pytest.raises(type(error)) as caught:
            async with world.client():
                raise error
    assert caught.value is error


async def test_the_users_exception_arrives_as_itself_from_every_block():
    error = ValueError("mine")
    async with mesh(n1=ScriptedNode()) as world:
        with pytest.raises(ValueError, match="mine") as caught:
            async with (
                world.client() as client,
                client.subscribe("A"),
                client.pusher(type="B") as pusher,
            ):
                await pusher.send(b"1")
                raise error
    assert caught.value is error


async def test_the_users_exception_survives_a_cancellation_of_everything(autojump_clock):
    error = ValueError("mine")
    with trio.CancelScope() as scope:
        async with mesh(n1=ScriptedNode()) as world:
            with pytest.raises(ValueError, match="mine") as caught:
                async with world.client():
                    scope.cancel()
                    raise error
            assert caught.value is error


async def test_a_cancelled_client_still_tells_its_node_the_end(autojump_clock):
    node = ScriptedNode()
    async with mesh(n1=node) as world:
        with trio.move_on_after(5) as scope:
            async with world.client() as client, client.subscribe("A") as deliveries:
                node.put("A", b"1")
                async for _ in deliveries:
                    await trio.sleep_forever()
        assert scope.cancelled_caught
        assert node.told(frames.Unsubscribe)
        assert [action for action, *_ in node.settled] == ["return"]


async def test_leaving_a_client_ends_its_streams_in_order(autojump_clock):
    ends = []
    node = ScriptedNode()
    async with mesh(n1=node) as world:
        async with world.client() as client:
            await client.push({}, type="A")
            async with client.subscribe("A"):
                ends = [*node.producers, *node.consumers]
        assert [stream.clean for stream in ends] == [True, True]
        assert trio.current_time() < 1


async def test_a_node_that_does_not_answer_the_end_delays_it_by_close_timeout_only(autojump_clock):
    node = ScriptedNode()
    node.answer_pushes = False
    async with mesh(n1=node) as world, trio.open_nursery() as nursery:
        errors = []
        async with world.client(close_timeout_s=2) as client:

            async def push() -> None:
                with pytest.raises(ConnectionLost, match="left") as caught:
                    await client.push({}, type="A")
                errors.append(caught.value)

            nursery.start_soon(push)
            await node.until(lambda: node.pushed)
            started = trio.current_time()
        assert trio.current_time() - started == pytest.approx(2, abs=0.1)
        await trio.testing.wait_all_tasks_blocked()
        assert len(errors) == 1


async def test_after_the_end_everything_says_so():
    async with mesh(n1=ScriptedNode()) as world:
        async with world.client() as client, client.subscribe("A") as deliveries:
            pass
        with pytest.raises(ConnectionLost, match="left"):
            await client.push({}, type="A")
        with pytest.raises(ConnectionLost, match="left"):
            await client.ping()
        with pytest.raises(ConnectionLost, match="left"):
            async with client.subscribe("A"):
                raise AssertionError("never entered")
        assert [each async for each in deliveries] == []


async def test_unary_questions_are_answered():
    async with one_client() as (_, client):
        assert (
            await client.define("A", '{"type": "object"}')
            == (await client.types("A"))[0].fingerprint
        )
        assert await client.types("B") == []
        assert (await client.status())["name"] == "n1"
        assert await client.status_json() == b'{"format":1,"name":"n1"}'


async def test_a_definition_that_does_not_fit_the_old_one_is_refused_unless_forced():
    async with one_client() as (_, client):
        one = '{"type": "object", "properties": {"a": {"type": "string"}}}'
        two = '{"type": "object", "properties": {"a": {"type": "integer"}}}'
        await client.define("A", one)
        with pytest.raises(Refused) as caught:
            await client.define("A", two)
        assert caught.value.grpc_status is Status.FAILED_PRECONDITION
        await client.define("A", two, force=True)
        assert len(await client.types("A")) == 2
        with pytest.raises(TypeError, match="needs a schema"):
            await client.define("A")


async def test_a_bug_in_the_background_comes_out_as_itself(monkeypatch):
    async with mesh(n1=ScriptedNode()) as world:
        block = world.client()
        with pytest.raises(ZeroDivisionError):
            async with block as client:
                monkeypatch.setattr(block._connector.book, "avoid", lambda _: 1 / 0)
                async with client.subscribe("A"):
                    world.nodes["n1:1"].drain()
                    await trio.sleep_forever()


async def test_an_address_that_a_node_told_and_that_is_none_is_passed_over():
    with pytest.raises(ConnectError, match="is not an address"):
        await dial_tcp("nonsense")


async def test_a_node_that_answers_with_the_wrong_thing_is_not_taken_for_one():
    node = ScriptedNode()

    async def answer(call) -> None:
        call.send(MESSAGEPACK.encode(frames.PushReply("1")))

    async def say_nothing(call) -> None:
        await call.receive()

    for handler in (answer, say_nothing):
        node.routes[frames.PING] = Route(handler)
        async with mesh(n1=node) as world:
            with pytest.raises(ConnectError, match="n1:1: not a trionode node"):
                async with world.client():
                    raise AssertionError("never entered")
