"""Patterns by the commands and the line protocol, with real nodes."""

from __future__ import annotations

import json

from tests.support.processes import line_clients, node_process, push, trionode


def test_a_pattern_is_subscribed_to_over_two_nodes():
    with (
        node_process("w1", "--memory") as one,
        node_process("w2", "--memory", "--peer", one.address) as two,
    ):
        push(one, "shop.Order", 1)
        push(two, "shop.eu.Order", 2)
        push(two, "Other", 3)
        got = trionode("subscribe", "shop.>", "--count", "2", "--timeout", "20",
                       "--node", two.address)  # fmt: skip
        assert got.returncode == 0, got.stderr
        printed = [json.loads(line) for line in got.stdout.splitlines()]
        assert sorted((each["type"], each["object"]) for each in printed) == [
            ("shop.Order", 1),
            ("shop.eu.Order", 2),
        ]


def test_what_is_no_pattern_ends_the_command_with_a_hint(node):
    got = trionode("subscribe", "a.>.b", "--node", node.address)
    assert got.returncode != 0
    assert "is no pattern" in got.stderr
    assert "billing.*" in got.stderr


async def test_the_line_protocol_takes_a_pattern(node, kind):
    async with line_clients(node.address) as (client,):
        assert await client.say(f"SUBSCRIBE {kind}.* 2") == "OK"
        assert (await client.say(f"PUSH {kind}.a 1")).startswith("OK ")
        assert (await client.event()).startswith(f"OBJECT {kind}.a ")
        assert (await client.say(f"PUSH {kind}.* 1")).startswith("ERR INVALID_ARGUMENT ")
        assert (await client.say(f"SUBSCRIBE {kind}.>.b")).startswith("ERR INVALID_ARGUMENT ")
        assert await client.say(f"UNSUBSCRIBE {kind}.*") == "OK"
