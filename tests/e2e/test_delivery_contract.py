"""The delivery contract with real processes: scenarios 15 to 18, and poison."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

import pytest
import trio

import trionode
from tests.support.processes import (
    DEADLINE_S,
    count,
    held,
    line_clients,
    node_process,
    status_when,
)
from tests.support.workers import HOLDER, MORTAL, MORTAL_STATUS, worker
from trionode.cli.window import CREDIT


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(3 * DEADLINE_S):
        yield


async def test_delays_deadlines_and_attempts_survive_a_restart(tmp_path, kind):
    """Scenario 15."""
    other = f"{kind}.other"
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        async with trionode.connect(node.address) as client:
            await client.push("delayed", type=kind)
            await client.push("short-lived", type=other, deadline=timedelta(seconds=0.2))
            await client.push("patient", type=other, delay=3600)
            async with client.subscribe(kind) as deliveries:
                delivery = await anext(deliveries)
                began = time.monotonic()
                delivery.nack(delay=3, reason="not yet")
                await delivery.settled()
            node.kill()
            node.start()
            async with client.subscribe(kind, other) as deliveries:
                again = await anext(deliveries)
                waited_s = time.monotonic() - began
                assert (again.object, again.attempt) == ("delayed", 2)
                assert again.details["failure"] == "not yet"
                assert waited_s >= 2.9  # clocks of two lives of a node
                again.ack()
                await again.settled()
            status = await client.status()
            assert (count(status, other, "delayed"), held(status, other)) == (1, 1)
            assert count(status, other, "settled") == 0


async def test_a_late_ack_is_refused_and_the_later_attempt_stays_valid(kind):
    """Scenario 16: the first consumer is frozen beyond the time it has, and acks when it wakes."""
    bound = {"TRIONODE_CONF_ROUTING__MAX_PROCESSING_S": "0.5"}
    with node_process("n1", **bound) as node:
        async with (
            line_clients(node.address) as (frozen,),
            trionode.connect(node.address) as client,
        ):
            await frozen.say(f"SUBSCRIBE {kind}")
            id_ = (await frozen.say(f'PUSH {kind} "x"')).removeprefix("OK ")
            assert await frozen.event() == f'OBJECT {kind} {id_} 1 "x"'
            os.kill(frozen.child.pid, signal.SIGSTOP)
            async with client.subscribe(kind, max_processing_time=0) as deliveries:
                second = await anext(deliveries)
                assert second.attempt == 2
                os.kill(frozen.child.pid, signal.SIGCONT)
                reply = await frozen.say(f"ACK {id_}#1")
                assert reply.startswith("ERR FAILED_PRECONDITION "), reply
                assert count(await client.status(), kind, "leased") == 1
                second.ack()
                await second.settled()
            assert count(await client.status(), kind, "settled") == 1


async def test_a_thousand_leases_of_a_killed_consumer_are_ready_again_at_once(node, kind):
    """Scenario 17."""
    async with trionode.connect(node.address) as client:
        async with client.pusher(type=kind) as pusher:
            for number in range(1000):
                await pusher.send(number)
        with worker(HOLDER, node.address, kind) as doomed:
            assert doomed.stdout is not None
            assert await trio.to_thread.run_sync(doomed.stdout.readline) == b"taken\n"
            assert count(await client.status(), kind, "leased") == 1000
            doomed.kill()
            await status_when(client, lambda status: count(status, kind, "ready") == 1000)
        attempts = []
        # Each was started by one who died: each is suspect, and comes alone.
        async with client.subscribe(kind, credit=100) as deliveries:
            async for delivery in deliveries:
                with delivery:
                    attempts.append(delivery.attempt)
                if len(attempts) == 1000:
                    break
        assert set(attempts) == {2}
        status = await status_when(client, lambda status: not held(status, kind))
        assert count(status, kind, "settled") == 1000


async def test_a_slow_consumer_costs_the_fast_ones_its_own_window_and_nothing_else(node, kind):
    """Scenario 18, without a clock: all but what the slow one holds is handled by the fast."""
    handled: dict[int, int] = dict.fromkeys(range(3), 0)

    async def work(number: int) -> None:
        async with (
            trionode.connect(node.address) as client,
            client.subscribe(kind, credit=16) as deliveries,
        ):
            async for delivery in deliveries:
                with delivery:
                    await trio.lowlevel.checkpoint()
                handled[number] += 1

    async with line_clients(node.address) as (slow,), trionode.connect(node.address) as client:
        await slow.say(f"SUBSCRIBE {kind} {CREDIT}")
        async with trio.open_nursery() as nursery:
            for number in handled:
                nursery.start_soon(work, number)
            await status_when(client, lambda status: count(status, kind, "subscriptions") == 4)
            async with client.pusher(type=kind) as pusher:
                for number in range(3000):
                    await pusher.send(number)
            await status_when(
                client, lambda status: count(status, kind, "settled") == 3000 - CREDIT
            )
            status = await client.status()
            assert count(status, kind, "leased") == held(status, kind) == CREDIT
            assert sum(handled.values()) == 3000 - CREDIT
            assert min(handled.values()) > 300, "each of the fast has its share"
            nursery.cancel_scope.cancel()


async def test_poison_kills_its_consumers_thrice_and_no_innocent_becomes_a_dead_letter(node, kind):
    """G5: handlers run side by side with a credit of 64, so each death takes many with it."""
    deaths = 0
    async with trionode.connect(node.address) as client:
        async with client.pusher(type=kind) as pusher:
            for number in range(200):
                await pusher.send("poison" if number == 20 else number)

        def over(status: dict) -> bool:
            return count(status, kind, "settled") == 199 and count(status, kind, "dead") == 1

        while not over(await client.status()):
            with worker(MORTAL, node.address, kind) as consumer:
                # Two processes are watched, neither of which tells when it is done.
                while consumer.poll() is None and not over(await client.status()):  # noqa: ASYNC110  # see above
                    await trio.sleep(0.05)
                deaths += consumer.poll() == MORTAL_STATUS
            assert deaths <= 3, await client.status()
        assert deaths == 3
        (dead,) = [each async for each in client.dead_letters(kind)]
        assert dead.dead == "failed 3 times"
        assert [row["what"] for row in dead.history].count("consumer died") == 3
