"""`trionode objects` and `trionode dead` with real processes."""

from __future__ import annotations

import json
import signal

import pytest
import trio

from tests.support.processes import (
    failure,
    linked,
    node_process,
    push,
    status_when,
    trionode,
)
from trionode import connect


@pytest.fixture
def node():
    with node_process("n1") as process:
        yield process


def reject_all(node, count: int, reason: str) -> None:
    async def run() -> None:
        async with connect(node.address) as client, client.subscribe("Order") as deliveries:
            for _ in range(count):
                delivery = await anext(deliveries)
                delivery.reject(reason)
                await delivery.settled()

    trio.run(run)


def lines(done) -> list[dict]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_dead_letters_from_the_list_to_their_end(node):
    push(node, "Order", {"n": 1}, {"n": 2}, {"n": 3})
    reject_all(node, 3, "no such customer")
    push(node, "Order", {"n": 4})
    at = ("--node", node.address)

    shown = trionode("dead", "list", "Order", *at)
    assert shown.returncode == 0
    assert shown.stdout.count("no such customer") == 3
    found = lines(trionode("dead", "list", "Order", "--json", "--payload", *at))
    assert [each["payload"] for each in found] == ['{"n":1}', '{"n":2}', '{"n":3}']
    ids = [each["id"] for each in found]
    assert (
        lines(trionode("dead", "list", "Order", "--json", "--limit", "1", *at))[0]["id"] == ids[0]
    )

    one = trionode("dead", "show", "Order", ids[0], *at)
    assert one.returncode == 0
    assert '{"n":1}' in one.stdout
    assert "no such customer" in one.stdout
    assert "no dead letter" in failure(trionode("dead", "show", "Other", ids[0], *at))

    failure(trionode("dead", "discard", "Order", *at), 2)
    failure(trionode("dead", "retry", "Order", *at), 2)
    failure(trionode("dead", "discard", "Order", ids[0], "--all", *at), 2)
    assert trionode("dead", "discard", "Order", ids[0], *at).stdout == "1 discarded\n"
    assert "does not have it" in failure(trionode("dead", "discard", "Order", ids[0], *at))
    assert trionode("dead", "retry", "Order", ids[1], *at).stdout == "1 to be tried again\n"
    nothing = trionode("dead", "retry", "Order", "--all", "--reason", "other", *at)
    assert nothing.stdout == "0 to be tried again\n"
    rest = trionode("dead", "retry", "Order", "--all", "--reason", "CUSTOMER", *at)
    assert rest.stdout == "1 to be tried again\n"

    found = lines(trionode("objects", "Order", "--json", "--state", "ready", *at))
    assert {each["id"] for each in found} >= set(ids[1:])
    assert len(found) == 3
    table = trionode("objects", "Order", *at).stdout.splitlines()
    assert table[0].split()[:2] == ["ID", "STATE"]
    assert len(table) == 4
    assert "no subscription for Order" in table[1]


def test_looking_at_a_type_that_nobody_knows_shows_nothing(node):
    done = trionode("objects", "Nothing", "--node", node.address)
    assert (done.returncode, done.stdout) == (0, "")
    failure(trionode("objects", "Nothing", "--state", "settled", "--node", node.address), 2)


def test_any_node_explains_an_object_and_names_who_is_silent():
    with (
        node_process("n1") as one,
        node_process("n2", "--peer", one.address) as two,
        node_process("n3", "--peer", two.address) as three,
    ):
        linked_to_all(one, "n2", "n3")
        done = trionode("push", "Order", '{"n": 1}', "--node", three.address)
        id_ = done.stdout.strip()
        explained = trionode("explain", id_, "--node", one.address)
        assert explained.returncode == 0, explained.stderr
        first, *rest = explained.stdout.splitlines()
        assert first.startswith("at node n3, ready: no subscription for Order at this node")
        assert any(line.startswith("history") and "accepted at n3" in line for line in rest)
        (found,) = lines(trionode("explain", id_, "--json", "--node", two.address))
        assert found["places"][0]["name"] == "n3"

        two.signal(signal.SIGSTOP)
        try:
            found = trionode("explain", id_, "--timeout", "0.5", "--node", one.address)
            assert "no answer from n2" in found.stdout, (found.stdout, found.stderr)
        finally:
            two.signal(signal.SIGCONT)

        stranger = f"{'0' * 19}7-1"
        assert "no node knows it" in failure(trionode("explain", stranger, "--node", one.address))
        failure(trionode("explain", "nonsense", "--node", one.address), 2)


def linked_to_all(node, *names: str) -> None:
    async def wait() -> None:
        async with connect(node.address) as client:
            await status_when(client, lambda status: linked(status) >= set(names))

    trio.run(wait)


def test_a_node_that_is_gone_is_forgotten_and_one_that_is_there_is_not():
    with (
        node_process("n1") as one,
        node_process("n2", "--peer", one.address) as two,
    ):
        linked_to_all(one, "n2")
        at = ("--node", one.address)
        assert "is linked: it is not gone" in failure(trionode("forget", "n2", *at))
        two.kill()
        done = trionode("forget", "n2", "--everywhere", *at)
        assert (done.returncode, done.stdout) == (
            0,
            "node n1: 0 objects ready again, 0 numbers forgotten\n",
        ), done.stderr
        assert "knows no node n2" in failure(trionode("forget", "n2", *at))
