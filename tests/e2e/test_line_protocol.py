"""The line protocol of `trionode client`, each line of its contract, against real nodes."""

from __future__ import annotations

import base64
import json
import re

import pytest

import trionode
from tests.support.processes import count, define, line_clients, node_process, status_when
from tests.support.processes import trionode as command

ID = r"[0-9a-f]{20}-[0-9]+"


def pushed(reply: str) -> str:
    """The id that an `OK` gives."""
    match = re.fullmatch(f"OK ({ID})", reply)
    assert match, reply
    return match[1]


async def test_define_says_the_fingerprint_and_the_node_holds_pushes_to_it(node, kind):
    schema = '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}'
    async with line_clients(node.address) as (client,):
        defined = await client.say(f"DEFINE {kind} {schema}")
        assert re.fullmatch(r"OK [0-9a-f]+", defined)
        assert await client.say(f"DEFINE {kind} {schema}") == defined
        pushed(await client.say(f'PUSH {kind} {{"n": 1}}'))
        assert re.match("ERR INVALID_ARGUMENT .*n", await client.say(f'PUSH {kind} {{"n": "x"}}'))
        refused = await client.say(f'DEFINE {kind} {{"type": "string"}}')
        assert refused.startswith("ERR FAILED_PRECONDITION ")
        assert (await client.say(f"DEFINE {kind}.any")).startswith("OK ")
        assert (await client.say(f"DEFINE {kind} {{")).startswith("ERR INVALID_ARGUMENT bad JSON")
        assert (await client.say(f'DEFINE {kind}.x {{"type": 5}}')).startswith("ERR INVALID_")


async def test_objects_are_printed_within_the_credit_and_settled_by_every_command(node, kind):
    async with line_clients(node.address) as (client,):
        ids = [pushed(await client.say(f"PUSH {kind} {number}")) for number in range(4)]
        assert await client.say(f"SUBSCRIBE {kind}") == "OK"
        # The default credit is 1: the next one comes once there is an answer to the last.
        assert await client.event() == f"OBJECT {kind} {ids[0]} 1 0"
        assert await client.say(f"ACK {ids[0]}") == "OK"
        assert await client.event() == f"OBJECT {kind} {ids[1]} 1 1"
        assert await client.say(f"NACK {ids[1]}#1 0") == "OK"
        again = {await client.event() for _ in range(1)}
        assert again <= {f"OBJECT {kind} {ids[1]} 2 1", f"OBJECT {kind} {ids[2]} 1 2"}
        assert await client.say(f"SUBSCRIBE {kind} 3") == "OK"
        again |= {await client.event(), await client.event()}
        assert again == {
            f"OBJECT {kind} {ids[1]} 2 1",
            f"OBJECT {kind} {ids[2]} 1 2",
            f"OBJECT {kind} {ids[3]} 1 3",
        }
        assert await client.say(f"ACK {ids[1]}") == "OK"
        assert await client.say(f"REJECT {ids[2]} not a good one, sorry") == "OK"
        assert await client.say(f"REJECT {ids[3]}#1") == "OK"
        status = await client.status()
        assert count(status, kind, "settled") == 2
        assert count(status, kind, "dead") == 2
        assert client.unread == []


async def test_bytes_go_and_come_as_base64(node, kind):
    payload = bytes(range(256))
    async with line_clients(node.address) as (client,):
        text = base64.b64encode(payload).decode()
        first = pushed(await client.say(f"PUSHB {kind} {text}"))
        second = pushed(await client.say(f"PUSHB {kind}"))
        await client.say(f"SUBSCRIBE {kind} 2")
        assert await client.event() == f"BYTES {kind} {first} 1 {text}"
        assert (await client.event()).rstrip() == f"BYTES {kind} {second} 1"
        for name in (first, second):
            assert await client.say(f"ACK {name}") == "OK"
        assert (await client.say(f"PUSHB {kind} ***")).startswith("ERR INVALID_ARGUMENT bad base64")


async def test_credit_0_pauses_and_a_higher_one_goes_on(node, kind):
    async with line_clients(node.address) as (client,):
        await client.say(f"SUBSCRIBE {kind} 0")
        name = pushed(await client.say(f"PUSH {kind} 1"))
        await client.say("PING")
        assert count(await client.status(), kind, "ready") == 1
        assert client.unread == []
        assert await client.say(f"SUBSCRIBE {kind} 5") == "OK"
        assert await client.event() == f"OBJECT {kind} {name} 1 1"
        assert (await client.say(f"SUBSCRIBE {kind} -1")).startswith("ERR INVALID_ARGUMENT credit")
        assert await client.say(f"ACK {name}") == "OK"


async def test_unsubscribe_ends_deliveries_and_returns_what_is_open(node, kind):
    async with line_clients(node.address) as (client,):
        await client.say(f"SUBSCRIBE {kind}")
        name = pushed(await client.say(f"PUSH {kind} 1"))
        assert await client.event() == f"OBJECT {kind} {name} 1 1"
        assert await client.say(f"UNSUBSCRIBE {kind}") == "OK"
        assert (await client.say(f"ACK {name}")).startswith("ERR FAILED_PRECONDITION ")
        status = await client.status()
        assert count(status, kind, "ready") == 1
        assert count(status, kind, "subscriptions") == 0
        assert (await client.say(f"UNSUBSCRIBE {kind}")).startswith("ERR NOT_FOUND ")
        # The lease came back with no fault of the handler's, so the attempt was not counted.
        await client.say(f"SUBSCRIBE {kind}")
        assert await client.event() == f"OBJECT {kind} {name} 1 1"
        assert await client.say(f"ACK {name}") == "OK"


async def test_an_ack_of_what_is_not_leased_here_is_refused_and_changes_nothing(node, kind):
    async with line_clients(node.address) as (client,):
        name = pushed(await client.say(f"PUSH {kind} 1"))
        assert (await client.say(f"ACK {name}")).startswith("ERR FAILED_PRECONDITION ")
        await client.say(f"SUBSCRIBE {kind}")
        await client.event()
        assert (await client.say(f"ACK {name}#2")).startswith("ERR FAILED_PRECONDITION ")
        assert await client.say(f"ACK {name}#1") == "OK"
        assert (await client.say(f"ACK {name}")).startswith("ERR FAILED_PRECONDITION ")
        assert (await client.say("ACK what")).startswith("ERR INVALID_ARGUMENT ")
        assert count(await client.status(), kind, "settled") == 1


async def test_a_lost_delivery_is_said_and_can_no_longer_be_acknowledged(kind):
    with node_process("dying") as node:
        async with line_clients(node.address) as (client,):
            await client.say(f"SUBSCRIBE {kind}")
            name = pushed(await client.say(f"PUSH {kind} 1"))
            assert await client.event() == f"OBJECT {kind} {name} 1 1"
            node.kill()
            assert re.fullmatch(f"LOST {name} 1 .+", await client.event())
            assert (await client.say(f"ACK {name}")).startswith("ERR FAILED_PRECONDITION ")
            # A push waits for a node; the client is back by itself, with its subscription.
            await client.child.send(f"PUSH {kind} 2")
            node.start()
            other = pushed(await client.reply())
            assert await client.event() == f"OBJECT {kind} {other} 1 2"
            assert await client.say(f"ACK {other}") == "OK"
            assert await client.say("QUIT") == "OK"


@pytest.mark.parametrize("ending", ["QUIT", "end of input"])
async def test_what_is_unsettled_at_the_end_returns_uncounted(node, kind, ending):
    async with line_clients(node.address, node.address) as (one, two):
        await one.say(f"SUBSCRIBE {kind}")
        name = pushed(await two.say(f"PUSH {kind} 1"))
        await one.event()
        if ending == "QUIT":
            assert await one.say("QUIT") == "OK"
        else:
            await one.child.close_input()
        assert await one.child.wait() == 0
        await status_when(two, lambda status: count(status, kind, "ready") == 1)
        await two.say(f"SUBSCRIBE {kind}")
        assert await two.event() == f"OBJECT {kind} {name} 1 1"
        assert await two.say(f"ACK {name}") == "OK"


def test_replies_come_in_order_and_odd_lines_are_answered_one_by_one(node, kind):
    script = (
        f'PUSH {kind} {{"a":\t1}}\r\n'  # a CR before the LF is dropped
        "\n"
        "   \n"
        "PING\n"
        "ping\n"
        "FLY away\n"
        f"PUSH {kind} {{bad\n"
        f"PUSH {kind}\n"
        "PUSH o/dd 1\n"
        f"SUBSCRIBE {kind} 1 2\n"
        "SUBSCRIBE o/dd\n"
        "STATUS\n"
        "QUIT\n"
        "PING\n"
    )
    done = command("client", "--node", node.address, stdin=script.encode() + b"\xff\n")
    assert done.returncode == 0, done.stderr
    replies = done.stdout.splitlines()
    pushed(replies[0])
    status = json.loads(replies[11].removeprefix("OK "))
    assert status["name"] == "n1"
    expected = [
        "ERR INVALID_ARGUMENT the line is empty",
        "ERR INVALID_ARGUMENT the line is empty",
        "OK",
        "ERR UNIMPLEMENTED unknown command 'ping': commands are upper case",
        "ERR UNIMPLEMENTED unknown command 'FLY': known are DEFINE, PUSH, PUSHB, SUBSCRIBE, UNSUB",
        "ERR INVALID_ARGUMENT bad JSON",
        "ERR INVALID_ARGUMENT usage: PUSH <type> <json>",
        "ERR INVALID_ARGUMENT ",
        "ERR INVALID_ARGUMENT usage: SUBSCRIBE <type> [<credit>]",
        "ERR INVALID_ARGUMENT ",
    ]
    for reply, start in zip(replies[1:11], expected, strict=True):
        assert reply.startswith(start), reply
    assert replies[12:] == ["OK"]


def test_commands_that_come_in_bulk_are_answered_in_their_order(node, kind):
    script = "".join(f"PUSH {kind} {number}\n" for number in range(1000)) + "STATUS\nQUIT\n"
    done = command("client", "--node", node.address, stdin=script.encode())
    *replies, status, quit_reply = done.stdout.splitlines()
    names = [pushed(reply) for reply in replies]
    producer, first = names[0].split("-")
    assert names == [f"{producer}-{number}" for number in range(int(first), int(first) + 1000)]
    # A question is answered after all that was said before it.
    assert count(json.loads(status.removeprefix("OK ")), kind, "accepted") == 1000
    assert quit_reply == "OK"


def test_each_of_many_refused_pushes_has_its_own_reply(node, kind):
    define(node, kind, '{"type": "integer"}')
    script = f'PUSH {kind} "x"\n' * 5000
    done = command("client", "--node", node.address, stdin=script.encode())
    replies = done.stdout.splitlines()
    assert len(replies) == 5000
    assert len(set(replies)) == 1
    assert replies[0].startswith(f"ERR INVALID_ARGUMENT {kind}: ")


def test_a_line_that_is_not_utf8_or_not_ended_is_refused(node, kind):
    script = b"PUSH x \xff\nPUSH " + kind.encode() + b" 1"
    done = command("client", "--node", node.address, stdin=script)
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("ERR INVALID_ARGUMENT the line is not UTF-8")
    assert second.startswith("ERR INVALID_ARGUMENT the last line does not end in LF")


def test_an_object_above_the_limit_is_refused_and_the_next_is_taken(node, kind):
    script = f'PUSH {kind} "{"x" * (4 * 1024 * 1024)}"\nPUSH {kind} 1\nQUIT\n'
    done = command("client", "--node", node.address, stdin=script.encode())
    first, second, third = done.stdout.splitlines()
    assert re.match("ERR INVALID_ARGUMENT an object of 4194306 bytes.* 4194304", first)
    pushed(second)
    assert third == "OK"


async def test_an_object_that_has_line_ends_is_printed_on_one_line(node, kind):
    async with (
        line_clients(node.address) as (line_client,),
        trionode.connect(node.address) as client,
    ):
        name = await client.push(b'{\n"a":\r\n1}', type=kind, encoding="json")
        await line_client.say(f"SUBSCRIBE {kind}")
        assert await line_client.event() == f'OBJECT {kind} {name} 1 {{ "a":  1}}'
        assert await line_client.say(f"ACK {name}") == "OK"
