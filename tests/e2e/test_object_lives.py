"""What a push may ask for and what becomes of it, with real processes: order, time, content, looks.

Keys and results over kills: `test_steps.py`. Leases and poison: `test_delivery_contract.py`.
"""

from __future__ import annotations

import itertools
import json

import pytest
import trio

import trionode
from tests.support.processes import (
    DEADLINE_S,
    count,
    held,
    linked,
    node_process,
    status_when,
)
from tests.support.processes import trionode as command


@pytest.fixture(autouse=True)
async def _bounded():
    """No test of these hangs."""
    with trio.fail_after(3 * DEADLINE_S):
        yield


async def run(*arguments: str) -> str:
    """A command that does what it should; what it printed."""
    done = await trio.to_thread.run_sync(lambda: command(*arguments))
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_priorities_pushed_by_command_are_printed_high_ones_first(node, kind):
    at = ("--node", node.address)
    for priority in (2, 9, 5):
        await run("push", kind, str(priority), "--priority", str(priority), *at)
    # One at a time: each is chosen of those that wait.
    printed = [
        json.loads(await run("subscribe", kind, "--count", "1", "--timeout", "20", *at))["object"]
        for _ in range(3)
    ]
    assert printed == [9, 5, 2]


async def test_an_ordering_key_holds_over_a_link_and_a_kill_of_the_receiver(tmp_path, kind):
    with (
        node_process("n1", "--data-dir", str(tmp_path / "n1")) as a,
        node_process("n2", "--data-dir", str(tmp_path / "n2"), "--peer", a.address) as b,
    ):
        async with trionode.connect(a.address) as one, trionode.connect(b.address) as two:
            await status_when(one, linked)
            for number in range(20):
                await one.push(number, type=kind, ordering_key="k")
            status = await one.status()
            assert (count(status, kind, "ready"), count(status, kind, "blocked")) == (20, 19)
            seen: list[int] = []
            async with two.subscribe(kind, credit=8) as deliveries:
                async for delivery in deliveries:
                    seen.append(delivery.object)
                    if len(seen) == 5:
                        b.kill()
                        b.start()
                        continue  # its lease is gone; it comes again, before all others
                    delivery.ack()
                    await delivery.settled()
                    if delivery.object == 19:
                        break
            # What was acked just before the kill may come again; nothing overtakes.
            firsts = list(dict.fromkeys(seen))
            assert firsts == list(range(20))
            assert all(later >= earlier - 1 for earlier, later in itertools.pairwise(seen))
            for client in (one, two):
                await status_when(client, lambda status: not held(status, kind))


async def test_new_content_of_an_object_survives_a_kill_with_its_version_and_history(
    tmp_path, kind
):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        async with trionode.connect(node.address) as client:
            id_ = await client.push({"state": "ordered"}, type=kind)
            async with client.subscribe(kind) as deliveries:
                delivery = await anext(deliveries)
                delivery.replace({"state": "paid"})
                await delivery.settled()  # on disk
                node.kill()
                node.start()
            async with client.subscribe(kind) as deliveries:
                again = await anext(deliveries)
                assert (again.object, again.version) == ({"state": "paid"}, 2)
                assert again.id == delivery.id
                found = await client.explain(id_)
                history = [row["what"] for row in found.holders[0].object.history]
                assert "replaced" in " ".join(history), history
                again.ack()
                await again.settled()


async def test_what_is_kept_at_its_deadline_is_a_dead_letter_that_a_person_finds(node, kind):
    at = ("--node", node.address)
    await run("push", kind, "1", "--deadline", "0.1", *at)
    id_ = (await run("push", kind, "2", "--deadline", "0.1", "--keep-expired", *at)).strip()
    async with trionode.connect(node.address) as client:
        status = await status_when(
            client, lambda status: held(status, kind) == count(status, kind, "dead") == 1
        )
        assert count(status, kind, "expired") == 1
    (letter,) = [
        json.loads(line) for line in (await run("dead", "list", kind, "--json", *at)).splitlines()
    ]
    assert (letter["id"], letter["dead"]) == (id_, "expired")
    await run("dead", "retry", kind, id_, *at)
    printed = await run("subscribe", kind, "--count", "1", "--timeout", "20", *at)
    assert json.loads(printed)["object"] == 2


async def test_copies_that_a_slow_watcher_has_no_room_for_are_dropped_counted_and_said(node, kind):
    async with (
        trionode.connect(node.address) as client,
        client.subscribe(kind, credit=3, mode="watch") as copies,
        client.subscribe(kind, credit=1) as deliveries,
    ):
        before = (await client.status())["counters"]["copies_dropped"]
        for number in range(10):
            await client.push(number, type=kind)
        for _ in range(10):  # nobody is slowed
            delivery = await anext(deliveries)
            delivery.ack()
        await delivery.settled()
        seen = [(await anext(copies)).object for _ in range(3)]
        assert seen == [0, 1, 2]
        while not copies.dropped:
            await client.ping()
        await client.push(10, type=kind)
        copy = await anext(copies)
        assert (copy.object, copy.watched.dropped) == (10, 7)
        assert (await client.status())["counters"]["copies_dropped"] == before + 7
