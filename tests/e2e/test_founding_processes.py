"""The founding scenario with real processes: the demo, line-protocol clients, the Python client."""

from __future__ import annotations

import attrs
import pytest
import trio

import trionode
from tests.support.processes import (
    DEADLINE_S,
    count,
    held,
    line_clients,
    linked,
    node_process,
    status_when,
)
from tests.support.processes import trionode as command
from trionode.cli.processes import free_address

STEPS = [
    "client 1 subscribes to type B at n1",
    "client 2 subscribes to type A at n2",
    "client 1 pushes an A at n1, acknowledged as",
    "client 2 pushes a B at n2, acknowledged as",
    'client 2 is given the A: {"from": "client 1"}',
    "client 2 acknowledges it",
    'client 1 is given the B: {"from": "client 2"}',
    "client 1 acknowledges it",
    "n1 has settled one B, n2 one A, and both nodes are empty",
]


def test_the_demo_shows_every_step_in_every_order():
    shown = command("demo")
    assert shown.returncode == 0, shown.stderr
    for step in STEPS:
        assert shown.stdout.count(step) == 3, step
    assert shown.stdout.index("n1 listens") < shown.stdout.index("n2 listens")
    assert "told of n1, which is not there yet" in shown.stdout
    assert shown.stdout.endswith("Every step was seen: each object reached the client that"
                                 " wanted it, once.\n")  # fmt: skip


@pytest.mark.parametrize("pushes_first", [True, False])
async def test_with_line_protocol_clients(each_pair, kind, pushes_first):
    a, b = f"{kind}.A", f"{kind}.B"
    async with line_clients(*(node.address for node in each_pair)) as (one, two):
        await status_when(one, lambda status: "n2" in linked(status))
        if not pushes_first:
            assert await one.say(f"SUBSCRIBE {b}") == await two.say(f"SUBSCRIBE {a}") == "OK"
        object_a = (await one.say(f'PUSH {a} {{"from": 1}}')).removeprefix("OK ")
        object_b = (await two.say(f'PUSH {b} {{"from": 2}}')).removeprefix("OK ")
        if pushes_first:
            assert await one.say(f"SUBSCRIBE {b}") == await two.say(f"SUBSCRIBE {a}") == "OK"
        assert await two.event() == f'OBJECT {a} {object_a} 1 {{"from": 1}}'
        assert await one.event() == f'OBJECT {b} {object_b} 1 {{"from": 2}}'
        assert await two.say(f"ACK {object_a}") == await one.say(f"ACK {object_b}") == "OK"
        for client, settled in ((one, b), (two, a)):
            await status_when(client, lambda status: not held(status, a) and not held(status, b))
            assert count(await client.status(), settled, "settled") == 1
        assert await one.say("QUIT") == await two.say("QUIT") == "OK"
        assert await one.child.wait() == await two.child.wait() == 0


@attrs.frozen
class Wanted:
    """What the second client of the next test waits for."""

    number: int


@attrs.frozen
class Returned:
    """What the first one waits for."""

    number: int


@pytest.mark.parametrize("later_first", [True, False])
@pytest.mark.parametrize("store", ["memory", "sqlite"])
async def test_with_the_python_client_and_the_nodes_started_in_either_order(
    later_first, store, tmp_path
):
    def arguments(name: str, *more: str) -> tuple[str, ...]:
        kept = ("--data-dir", str(tmp_path / name)) if store == "sqlite" else ()
        return (name, *kept, *more)

    first = free_address()
    peers, anywhere = ("--peer", first), "127.0.0.1:0"
    name = "p2" if later_first else "p1"
    with node_process(
        *arguments(name, *(peers if later_first else ())),
        listen=anywhere if later_first else first,
    ) as early:
        name = "p1" if later_first else "p2"
        with node_process(
            *arguments(name, *(() if later_first else peers)),
            listen=first if later_first else anywhere,
        ) as late:
            nodes = (late, early) if later_first else (early, late)
            with trio.fail_after(DEADLINE_S):
                await _exchange(*(node.address for node in nodes))


async def _exchange(first: str, second: str) -> None:
    async with trionode.connect(first) as one, trionode.connect(second) as two:
        await status_when(one, lambda status: linked(status) == {"p2"})
        async with one.subscribe(Returned) as returned, two.subscribe(Wanted) as wanted:
            await one.push(Wanted(1))
            await two.push(Returned(2))
            async for delivery in wanted:
                with delivery as found:
                    assert found == Wanted(1)
                break
            async for delivery in returned:
                with delivery as found:
                    assert found == Returned(2)
                break
        for client, settled in ((one, "Returned"), (two, "Wanted")):
            status = await status_when(client, lambda status: not held(status))
            assert status["types"][settled]["settled"] == 1
