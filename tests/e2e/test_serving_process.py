"""`trionode serve` as a process: how it starts, refuses to, and ends."""

from __future__ import annotations

import json
import signal

import pytest
import trio

import trionode
from tests.support.processes import (
    ASK_AGAIN_S,
    DEADLINE_S,
    count,
    failure,
    line_clients,
    linked,
    node_process,
    push,
    started,
    status_when,
)
from tests.support.processes import trionode as command
from trionode.cli.processes import free_address

MORE_THAN_OFFERED_TO_ONE = 5000
"""Objects, of which a leaving node has not offered all to one peer before that has answered."""


async def said_in_log(node, text: str) -> None:
    """Wait until a node's log has a text."""
    with trio.fail_after(DEADLINE_S):
        while True:
            if text in node.log():
                return
            await trio.sleep(ASK_AGAIN_S)


# --- starting ---------------------------------------------------------------------------------


def test_check_prints_the_configuration_and_says_where_each_value_comes_from(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text('[node]\nname = "of-the-file"\n[limits]\nmax_object_bytes = 65536\n')
    checked = command(
        "serve", "--config", str(file), "--name", "of-the-flag", "--memory", "--check",
        TRIONODE_CONF_PEERS__DISCOVERY="false",
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "of-the-flag" in checked.stdout
    assert "65536" in checked.stdout
    assert "discovery = false" in checked.stdout


@pytest.mark.parametrize(
    ("text", "variables", "parts"),
    [
        ("[node\n", {}, ["node.toml"]),
        ("[limits]\nmax_object_bytes = -1\n", {}, ["node.toml", "max_object_bytes", "-1"]),
        ("[node]\ncolour = 1\n", {}, ["node.toml", "colour"]),
        ("", {"TRIONODE_CONF_NODE__COLOUR": "1"}, ["TRIONODE_CONF_NODE__COLOUR"]),
    ],
)
def test_a_wrong_configuration_names_where_it_is_and_what_is_wrong(
    tmp_path, text, variables, parts
):
    file = tmp_path / "node.toml"
    file.write_text(text)
    said = failure(command("serve", "--config", str(file), "--check", **variables))
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    "flags",
    [["--name", "a b"], ["--name", "x" * 101], ["--listen", "nowhere"], ["--peer", "a:0"]],
)
def test_a_flag_with_odd_characters_is_wrong_usage(flags):
    said = failure(command("serve", *flags, "--memory", "--check"), 2)
    assert flags[0] in said
    assert "allowed" in said


def test_a_port_in_use_is_named(node):
    said = failure(command("serve", "--listen", node.address, "--memory", "--name", "late"))
    assert f"cannot listen on {node.address}: the port is in use" in said


# --- ending -----------------------------------------------------------------------------------


def test_an_idle_node_ends_at_the_first_ctrl_c_with_status_0():
    with node_process("idle") as node:
        node.signal(signal.SIGINT)
        assert node.wait() == 0
        assert "drained" in node.log()


async def test_sigterm_waits_for_leases_hands_the_rest_over_and_exits_0(kind):
    with node_process("stays") as stays, node_process("goes", "--peer", stays.address) as goes:
        async with line_clients(goes.address) as (client,), trionode.connect(
            stays.address
        ) as other:  # fmt: skip
            await status_when(client, lambda status: linked(status) == {"stays"})
            first = (await client.say(f"PUSH {kind} 1")).removeprefix("OK ")
            await client.say(f"PUSH {kind} 2")
            await client.say(f"SUBSCRIBE {kind}")
            assert (await client.event()).startswith(f"OBJECT {kind} {first} ")
            goes.signal(signal.SIGTERM)
            # What is not leased goes to the peer; the lease is waited for.
            await status_when(other, lambda status: count(status, kind, "received") == 1)
            assert goes.process.poll() is None
            assert await client.say(f"ACK {first}") == "OK"
            assert await trio.to_thread.run_sync(goes.wait) == 0
            # The client was told where else to go, and gets the other object there.
            assert (await client.event()).endswith(" 1 2")
            await client.say("QUIT")


async def test_what_a_peer_that_dies_was_offered_goes_to_another_before_the_drain_is_over(kind):
    drain_timeout = {"TRIONODE_CONF_NODE__DRAIN_TIMEOUT_S": "12"}
    with (
        node_process("stays") as stays,
        node_process("dies") as dies,
        node_process(
            "goes", "--peer", stays.address, "--peer", dies.address, **drain_timeout
        ) as goes,
    ):
        async with trionode.connect(goes.address) as client:
            await status_when(client, lambda status: linked(status) == {"stays", "dies"})
            async with client.pusher(type=kind) as pusher:
                for number in range(MORE_THAN_OFFERED_TO_ONE):
                    await pusher.send(number)
        async with trionode.connect(stays.address) as client:
            dies.signal(signal.SIGSTOP)
            goes.signal(signal.SIGTERM)
            status = await status_when(client, lambda status: count(status, kind, "received"))
            assert count(status, kind, "received") < MORE_THAN_OFFERED_TO_ONE
            dies.kill()
            assert await trio.to_thread.run_sync(goes.wait) == 0
            assert "objects were lost" not in goes.log()
            status = await client.status()
            assert count(status, kind, "received") == MORE_THAN_OFFERED_TO_ONE


async def test_a_second_signal_ends_a_drain_at_once(kind):
    with node_process("n") as node:
        async with line_clients(node.address) as (client,):
            await client.say(f"PUSH {kind} 1")
            await client.say(f"SUBSCRIBE {kind}")
            await client.event()
            node.signal(signal.SIGTERM)
            await said_in_log(node, "draining")
            assert node.process.poll() is None
            node.signal(signal.SIGTERM)
            status = await trio.to_thread.run_sync(node.wait)
        # It held an object in memory only, and says so.
        assert status == 1
        assert "objects were lost" in node.log()


def test_the_log_is_json_lines_where_stderr_is_no_terminal(node):
    lines = [json.loads(line) for line in node.log().splitlines()]
    assert {"serving", "linked"} <= {line["event"] for line in lines}


# --- reloading --------------------------------------------------------------------------------


async def test_sighup_reads_the_peers_again_and_a_wrong_file_changes_nothing(node, tmp_path):
    file = tmp_path / "node.toml"
    file.write_text("[peers]\naddresses = []\n")
    with node_process("reloads", "--config", str(file)) as reloads:
        assert "linked" not in reloads.log()
        file.write_text(f'[peers]\naddresses = ["{free_address()}", "nonsense"]\n')
        reloads.signal(signal.SIGHUP)
        await said_in_log(reloads, "the configuration was not read again")
        file.write_text(f'[peers]\naddresses = ["{node.address}"]\n')
        reloads.signal(signal.SIGHUP)
        async with trionode.connect(reloads.address) as client:
            await status_when(client, lambda status: "n1" in linked(status))


async def test_sighup_names_what_changed_and_needs_a_restart(tmp_path):
    file = tmp_path / "node.toml"
    file.write_text("")
    with node_process("reloads", "--config", str(file)) as reloads:
        file.write_text('[logging]\nlevel = "debug"\n[limits]\nmax_object_bytes = 2000\n')
        reloads.signal(signal.SIGHUP)
        await said_in_log(reloads, "with the next start only")
        lines = [json.loads(line) for line in reloads.log().splitlines()]
        assert [line["keys"] for line in lines if "keys" in line] == ["limits.max_object_bytes"]


def test_a_command_that_is_interrupted_ends_by_that_signal(node, kind):
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
        with started("subscribe", kind, "--node", node.address) as process:
            push(node, kind, 1)
            assert process.stdout.readline()
            process.send_signal(number)
            assert process.wait(DEADLINE_S) == status
