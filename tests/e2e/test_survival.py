"""What clients keep when connections are cut, nodes leave and come back, and consumers fail."""

from __future__ import annotations

import contextlib
import signal
import time
from functools import partial

import pytest
import trio

import trionode
from tests.support.processes import (
    DEADLINE_S,
    count,
    held,
    linked,
    node_process,
    started,
    status_when,
)
from tests.support.proxies import proxy_to
from trionode.cli.window import CREDIT

QUICK = {"TRIONODE_CONF_PEERS__BACKOFF_MAX_S": "0.2"}
"""Nodes that dial again soon, so that tests needn't wait."""


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(2 * DEADLINE_S):
        yield


def holder(node, kind: str):
    """A process that takes objects of a type and settles none."""
    return started("subscribe", kind, "--no-ack", "--node", node.address)


async def collect(deliveries, number: int, into: list) -> None:
    """Take and acknowledge objects until there are so many."""
    async for delivery in deliveries:
        with delivery as value:
            into.append(value)
        if len(into) >= number:
            return


async def test_a_late_subscriber_at_another_node_gets_the_backlog_in_order(each_pair, kind):
    got: list[int] = []
    async with (
        trionode.connect(each_pair[0].address) as one,
        trionode.connect(each_pair[1].address) as two,
    ):
        async with one.pusher(type=kind) as pusher:
            for number in range(1000):
                await pusher.send(number)
        async with two.subscribe(kind) as deliveries:
            await collect(deliveries, 1000, got)
        assert got == list(range(1000))
        for client in (one, two):
            await status_when(client, lambda status: not held(status, kind))


# --- connections ------------------------------------------------------------------------------


async def test_cut_connections_lose_no_push_and_double_none(node, kind):
    got: list[int] = []
    async with proxy_to(node.address) as proxy, trionode.connect(node.address) as near:
        async with (
            near.subscribe(kind) as deliveries,
            trionode.connect(proxy.address) as far,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(collect, deliveries, 2000, got)
            async with far.pusher(type=kind, window=200) as pusher:
                for number in range(2000):
                    await pusher.send(number)
                    if number % 500 == 499:
                        await proxy.cut()
        # At the last cut nothing may have been left to reconnect for.
        assert proxy.cuts == 4
        assert far.statistics().reconnects >= 3
        assert sorted(got) == list(range(2000))
        status = await status_when(near, lambda status: not held(status, kind))
        assert count(status, kind, "accepted") == count(status, kind, "settled") == 2000


async def test_a_consumer_that_reconnects_gets_all_and_settles_each_once(node, kind):
    got: set[int] = set()
    cut_at = [100, 500]
    async with proxy_to(node.address) as proxy, trionode.connect(node.address) as near:
        async with near.pusher(type=kind) as pusher:
            for number in range(1000):
                await pusher.send(number)
        async with (
            trionode.connect(proxy.address) as far,
            far.subscribe(kind, credit=16) as deliveries,
        ):
            async for delivery in deliveries:
                # Its lease may be lost with the connection: then it comes again.
                with contextlib.suppress(trionode.LeaseLost), delivery as value:
                    got.add(value)
                if cut_at and len(got) >= cut_at[0]:
                    del cut_at[0]
                    await proxy.cut()
                if len(got) == 1000:
                    break
        assert far.statistics().reconnects == proxy.cuts == 2
        status = await status_when(near, lambda status: not held(status, kind))
        assert count(status, kind, "settled") == 1000


# --- nodes ------------------------------------------------------------------------------------


async def test_the_link_heals_whichever_node_restarts(kind):
    with node_process("a", **QUICK) as a, node_process("b", "--peer", a.address, **QUICK) as b:
        async with trionode.connect(a.address) as one, trionode.connect(b.address) as two:
            for dead, client in ((a, two), (b, one)):
                await status_when(client, linked)
                dead.kill()
                await status_when(client, lambda status: not linked(status))
                dead.start()
                await status_when(client, linked)
            # Both clients are back too, and objects go over the new link.
            async with two.subscribe(kind) as deliveries:
                await one.push("over", type=kind)
                got: list[str] = []
                await collect(deliveries, 1, got)
            assert got == ["over"]


async def test_a_rolling_restart_loses_and_doubles_nothing(kind):
    with (
        node_process("stays", **QUICK) as stays,
        node_process("rolls", "--peer", stays.address, **QUICK) as rolls,
    ):
        got: list[int] = []
        async with (
            trionode.connect(rolls.address) as far,
            trionode.connect(stays.address) as near,
        ):
            await status_when(far, linked)
            async with near.subscribe(kind) as deliveries, trio.open_nursery() as nursery:
                nursery.start_soon(collect, deliveries, 1500, got)
                async with far.pusher(type=kind, window=100) as pusher:
                    for number in range(1500):
                        await pusher.send(number)
                        if number == 500:
                            assert await trio.to_thread.run_sync(rolls.stop) == 0
                        if number == 1000:
                            await trio.to_thread.run_sync(rolls.start)
            assert sorted(got) == list(range(1500))
            await status_when(near, lambda status: not held(status, kind))


async def test_an_object_goes_along_a_chain_of_nodes(kind):
    alone = {"TRIONODE_CONF_PEERS__DISCOVERY": "false"}
    with (
        node_process("a", **alone) as a,
        node_process("b", "--peer", a.address, **alone) as b,
        node_process("c", "--peer", b.address, **alone) as c,
    ):
        async with (
            trionode.connect(a.address) as first,
            trionode.connect(b.address) as middle,
            trionode.connect(c.address) as last,
        ):
            await status_when(middle, lambda status: linked(status) == {"a", "c"})
            async with last.subscribe(kind) as deliveries:
                await first.push({"far": True}, type=kind)
                got: list = []
                await collect(deliveries, 1, got)
            assert got == [{"far": True}]
            for client in (first, middle, last):
                await status_when(client, lambda status: not held(status, kind))
            assert count(await middle.status(), kind, "received") == 1
            assert linked(await last.status()) == {"b"}


async def test_nodes_discover_each_other_from_one_address(pair):
    with node_process("n3", "--peer", pair[1].address) as third:
        async with trionode.connect(third.address) as client:
            await status_when(client, lambda status: linked(status) == {"n1", "n2"})
        assert third.stop() == 0


# --- sizes ------------------------------------------------------------------------------------


async def test_two_thousand_subscriptions_fit_on_one_connection():
    types = [f"type{number}" for number in range(2000)]
    with node_process("wide") as node:
        async with trionode.connect(node.address) as client, trio.open_nursery() as nursery:
            got: list[str] = []

            async def consume(name: str, task_status: trio.TaskStatus[None]) -> None:
                async with client.subscribe(name, credit=1) as deliveries:
                    task_status.started()
                    await collect(deliveries, 1, found := [])
                got.extend(found)

            async with trio.open_nursery() as starting:
                for name in types:
                    starting.start_soon(nursery.start, consume, name)
            status = await client.status()
            assert sum(each["subscriptions"] for each in status["types"].values()) == 2000
            for name in types:
                nursery.start_soon(partial(client.push, name, type=name))
        assert sorted(got) == sorted(types)


async def test_objects_of_4_mib_go_through_two_nodes(each_pair, kind):
    payloads = [bytes([number]) * (4 * 1024 * 1024) for number in range(5)]
    async with (
        trionode.connect(each_pair[0].address) as one,
        trionode.connect(each_pair[1].address) as two,
    ):
        got: list[bytes] = []
        async with two.subscribe(kind) as deliveries, trio.open_nursery() as nursery:
            nursery.start_soon(collect, deliveries, 5, got)
            async with one.pusher(type=kind) as pusher:
                for payload in payloads:
                    await pusher.send(payload)
        assert got == payloads
        with pytest.raises(trionode.Refused, match="4194305 bytes"):
            await one.push(payloads[0] + b"x", type=kind)


# --- consumers --------------------------------------------------------------------------------


async def test_a_consumer_that_stands_still_holds_nobody_up(node, kind):
    payload = b"x" * 32_768
    got: list[bytes] = []
    async with trionode.connect(node.address) as client:
        with holder(node, kind) as stalled:
            await status_when(client, lambda status: count(status, kind, "subscriptions") == 1)
            stalled.send_signal(signal.SIGSTOP)
            async with client.subscribe(kind) as deliveries:
                async with client.pusher(type=kind) as pusher:
                    for _ in range(400):
                        await pusher.send(payload)
                status = await client.status()
                assert count(status, kind, "accepted") == 400
                await collect(deliveries, 400 - CREDIT, got)
                # Only what the other one was given is left; with its end that comes too.
                await status_when(client, lambda status: held(status, kind) == CREDIT)
                stalled.kill()
                await collect(deliveries, 400, got)
        status = await status_when(client, lambda status: not held(status, kind))
        assert count(status, kind, "settled") == 400


async def test_a_handler_that_blocks_for_longer_than_every_timeout_keeps_its_lease(kind):
    short = {
        "TRIONODE_CONF_HTTP2__KEEPALIVE_IDLE_S": "0.1",
        "TRIONODE_CONF_HTTP2__HANDSHAKE_TIMEOUT_S": "0.5",
        "TRIONODE_CONF_HTTP2__CLOSE_TIMEOUT_S": "0.3",
    }
    with node_process("short", **short) as node:
        async with (
            trionode.connect(node.address) as other,
            trionode.connect(node.address) as client,
            client.subscribe(kind) as deliveries,
        ):
            # More than its window lets through: the node has something to send all the time.
            async with other.pusher(type=kind) as pusher:
                for _ in range(20):
                    await pusher.send(b"x" * 1_000_000)
            async for delivery in deliveries:
                with delivery:
                    time.sleep(1.5)  # noqa: ASYNC251  # that is what is tested
                await delivery.settled()
                assert delivery.attempt == 1
                break
            assert client.statistics().reconnects == 0
            assert count(await client.status(), kind, "settled") == 1


async def test_a_killed_consumer_loses_its_lease_at_once_and_another_gets_the_object(node, kind):
    async with trionode.connect(node.address) as client:
        with holder(node, kind) as doomed:
            await client.push("precious", type=kind)
            assert doomed.stdout is not None
            assert b"precious" in await trio.to_thread.run_sync(doomed.stdout.readline)
            async with client.subscribe(kind) as deliveries:
                assert count(await client.status(), kind, "leased") == 1
                doomed.kill()
                async for delivery in deliveries:
                    with delivery as value:
                        assert (value, delivery.attempt) == ("precious", 2)
                    break


# --- exceptions -------------------------------------------------------------------------------


class UsersError(Exception):
    """What nobody but a test raises."""


@pytest.mark.parametrize(
    "error", [UsersError("mine"), KeyError("mine"), ExceptionGroup("mine", [UsersError()])]
)
@pytest.mark.parametrize("where", ["connect", "subscribe", "pusher", "delivery"])
async def test_a_users_exception_arrives_as_itself(node, kind, where, error):
    with pytest.raises(type(error)) as caught:
        async with trionode.connect(node.address) as client:
            if where == "connect":
                raise error
            async with client.pusher(type=kind) as pusher:
                await pusher.send(1)
                if where == "pusher":
                    raise error
            async with client.subscribe(kind) as deliveries:
                async for delivery in deliveries:
                    if where == "subscribe":
                        raise error
                    with delivery:
                        raise error
    assert caught.value is error
