"""The commands that talk to a node: what they print, and with which status they end."""

from __future__ import annotations

import json
import re

import pytest

from tests.support.processes import (
    DEADLINE_S,
    count,
    define,
    failure,
    held,
    line_clients,
    node_process,
    push,
    started,
    status_of,
    trionode,
)
from trionode.cli.processes import free_address

ID = r"[0-9a-f]{20}-[0-9]+"


def ids(text: str) -> list[str]:
    found = text.split()
    assert all(re.fullmatch(ID, each) for each in found), text
    return found


def test_arguments_and_numbers_below_zero_go_in_and_come_out(node, kind):
    pushed = trionode("push", kind, "-5", '{"n": 1}', '"ü"', "--node", node.address)
    assert pushed.returncode == 0, pushed.stderr
    names = ids(pushed.stdout)
    got = trionode("subscribe", kind, "--count", "3", "--timeout", "20", "--node", node.address)
    assert got.returncode == 0, got.stderr
    assert [json.loads(line) for line in got.stdout.splitlines()] == [
        {"id": name, "type": kind, "attempt": 1, "encoding": "json", "object": value}
        for name, value in zip(names, [-5, {"n": 1}, "ü"], strict=True)
    ]
    assert count(status_of(node), kind, "settled") == 3


def test_lines_of_stdin_go_in_and_at_most_count_are_taken(node, kind):
    lines = b"1\n\n  \n[2]\r\n3"
    pushed = trionode("push", kind, stdin=lines, TRIONODE_NODE=node.address)
    assert pushed.returncode == 0, pushed.stderr
    assert len(ids(pushed.stdout)) == 3
    got = trionode("subscribe", kind, "--count", "2", TRIONODE_NODE=node.address)
    assert got.returncode == 0, got.stderr
    assert [json.loads(line)["object"] for line in got.stdout.splitlines()] == [1, [2]]
    status = status_of(node)
    assert (count(status, kind, "settled"), count(status, kind, "ready")) == (2, 1)


def test_no_ack_leaves_the_objects_and_counts_no_attempt(node, kind):
    push(node, kind, 1, 2)
    for _ in range(2):
        looked = trionode("subscribe", kind, "--no-ack", "--count", "2", "--node", node.address)
        assert looked.returncode == 0, looked.stderr
        shown = [json.loads(line) for line in looked.stdout.splitlines()]
        assert sorted((each["object"], each["attempt"]) for each in shown) == [(1, 1), (2, 1)]
    assert count(status_of(node), kind, "ready") == 2


def test_a_timeout_with_fewer_than_count_is_a_failure_and_without_count_is_none(node, kind):
    push(node, kind, 1)
    few = trionode("subscribe", kind, "--count", "2", "--timeout", "0.5", "--node", node.address)
    printed = few.stdout.splitlines()
    # How many came in that time is the machine's matter; whether they were counted is ours.
    assert f"{len(printed)} of 2 objects came within 0.5 s" in failure(few)
    assert count(status_of(node), kind, "settled") == len(printed)
    none = trionode("subscribe", kind, "--timeout", "0.2", "--node", node.address)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "")


def test_ids_are_printed_while_stdin_is_open(node, kind):
    with started("push", kind, "--node", node.address) as process:
        for line in (b"1\n", b"2\n"):
            process.stdin.write(line)
            process.stdin.flush()
            ids(process.stdout.readline().decode())
        process.stdin.close()
        assert process.wait(DEADLINE_S) == 0


def test_an_object_that_nobody_was_there_to_read_is_not_acknowledged(node, kind):
    with started("subscribe", kind, "--node", node.address) as process:
        push(node, kind, 1)
        assert json.loads(process.stdout.readline())["object"] == 1
        process.stdout.close()
        push(node, kind, 2)
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr.read() == b""
    status = status_of(node)
    assert (count(status, kind, "settled"), held(status, kind)) == (1, 1)


def test_status_types_and_ping_tell_of_the_node(pair, kind):
    node, other = pair
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    define(node, kind, json.dumps(schema))
    asked = trionode("status", "--json", "--node", node.address)
    assert asked.returncode == 0, asked.stderr
    status = json.loads(asked.stdout)
    assert (status["format"], status["protocol"], status["name"]) == (1, 1, "n1")
    assert (status["state"], status["store"]["kind"]) == ("running", "memory")
    peers = {peer["name"]: peer for peer in status["peers"]}
    assert (peers["n2"]["address"], peers["n2"]["state"]) == (other.address, "linked")
    shown = trionode("status", "--node", node.address)
    assert shown.returncode == 0
    assert "node n1  running" in shown.stdout
    assert "n2" in shown.stdout
    types = trionode("types", kind, "--node", node.address)
    name, fingerprint, document = types.stdout.rstrip("\n").split(" ", 2)
    assert (name, json.loads(document)) == (kind, schema)
    assert f"{kind} {fingerprint}" in trionode("types", "--node", node.address).stdout
    assert "no definition" in failure(trionode("types", f"{kind}x", "--node", node.address))
    pinged = trionode("ping", "--node", f" {free_address()} , {node.address}")
    assert pinged.returncode == 0, pinged.stderr
    assert re.fullmatch(rf"node n1 at {node.address} answered in .* protocol 1\)\n", pinged.stdout)


def test_ping_waits_for_a_node_that_starts_late():
    address = free_address()
    with started("ping", "--wait", "30", "--node", address) as waiting:
        # A variable of Kubernetes for a service of our name is none of ours.
        with node_process("late", listen=address, TRIONODE_PORT="tcp://10.0.0.1:7400"):
            assert waiting.wait(DEADLINE_S) == 0
        assert waiting.stdout.read().startswith(f"node late at {address} answered".encode())


def test_bench_reports_as_json_through_a_node_that_runs(node):
    measured = trionode(
        "bench", "--json", "--count", "200", "--rate", "1000", "--node", node.address
    )
    assert measured.returncode == 0, measured.stderr
    report = json.loads(measured.stdout)
    assert report["objects"] == 200
    assert report["objects_per_s"] > 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert report["latency_ms"]["p99"] <= report["latency_ms"]["p99_9"]


@pytest.mark.parametrize(
    "flags",
    [
        ("--typed", "--types", "3", "--clients", "2"),
        ("--nodes", "2", "--durable"),
        ("--nodes", "3"),
        ("--backlog", "300", "--idle", "0.1"),
        ("--payload-bytes", "65536", "--credit", "4"),
    ],
    ids=" ".join,
)
def test_bench_settles_everything_exactly_once_on_nodes_of_its_own(flags):
    measured = trionode("bench", "--json", "--count", "300", "--rate", "0", *flags)
    assert measured.returncode == 0, measured.stderr
    report = json.loads(measured.stdout)
    assert report["objects"] == 300
    assert report["settled_exactly_once"] is True
    assert report["latency_ms"] is None
    assert all(0 < each < 60 for each in report["start_s"])
    if "--backlog" in flags:
        assert report["pushed_into_backlog_per_s"] > 0
        assert report["bytes_per_held_object"] is not None
        assert report["idle"]["clients"] == 1


def test_bench_takes_no_flags_that_contradict_each_other(node):
    assert "for nodes of its own" in failure(
        trionode("bench", "--nodes", "2", "--node", node.address), 2
    )
    assert "--take-at goes with --node" in failure(trionode("bench", "--take-at", node.address), 2)
    assert "take at least" in failure(trionode("bench", "--typed", "--payload-bytes", "16"), 2)


# --- bad input --------------------------------------------------------------------------------


def test_json_on_the_command_line_is_checked_before_anything_is_pushed(node, kind):
    bad = trionode("push", kind, "1", "{bad", "--node", node.address)
    assert "'{bad' is not JSON" in failure(bad, 2)
    assert held(status_of(node), kind) == 0
    assert "--bad" in failure(trionode("push", kind, "--bad", "--node", node.address), 2)


def test_a_bad_line_is_named_after_all_before_it_were_acknowledged(node, kind):
    bad = trionode("push", kind, "--node", node.address, stdin=b'1\n2\n\n{"a": }\n5\n')
    assert "line 4: not JSON" in failure(bad)
    assert "2 acknowledged before" in bad.stderr
    assert len(ids(bad.stdout)) == 2
    assert count(status_of(node), kind, "accepted") == 2


def test_a_line_that_the_node_refuses_is_named_and_what_was_taken_behind_it_counted(node, kind):
    define(node, kind, '{"type": "integer"}')
    bad = trionode("push", kind, "--node", node.address, stdin=b'1\n2\n"x"\n4\n"y"\n6\n')
    said = failure(bad)
    assert "line 3: INVALID_ARGUMENT" in said
    assert "2 acknowledged before, 2 of what follows it too" in said
    assert len(ids(bad.stdout)) == 2
    assert count(status_of(node), kind, "accepted") == 4


def test_an_object_above_the_limit_is_named_and_those_before_it_are_kept(node, kind):
    large = b'"' + b"x" * (4 * 1024 * 1024) + b'"'
    bad = trionode("push", kind, "--node", node.address, stdin=b"1\n" + large + b"\n2\n")
    said = failure(bad)
    assert "line 2: INVALID_ARGUMENT: an object of 4194306 bytes" in said
    assert "at most 4194304" in said
    assert "1 acknowledged before" in bad.stderr


def test_a_bad_type_name_is_refused_with_what_is_allowed(node):
    for arguments in (["push", "a b", "1"], ["subscribe", "a/b"]):
        said = failure(trionode(*arguments, "--node", node.address))
        assert "letters" in said
        assert "200" in said


async def test_no_command_of_the_line_protocol_takes_a_bad_type_name(node):
    async with line_clients(node.address) as (client,):
        for name in ("a/b", "ü", "x" * 201, "a,b", "a*"):
            for command in ("DEFINE {}", "PUSH {} 1", "PUSHB {} AA==", "SUBSCRIBE {}"):
                reply = await client.say(command.format(name))
                assert reply.startswith("ERR INVALID_ARGUMENT "), (command, name, reply)


def test_a_longest_type_name_of_every_allowed_character_is_taken(node):
    name = "aZ09_.-" + "x" * 193
    push(node, name, 1)
    got = trionode("subscribe", name, "--count", "1", "--timeout", "20", "--node", node.address)
    assert json.loads(got.stdout)["type"] == name


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:99999", "", "h:1,x y:2"])
def test_an_address_that_is_none_is_wrong_usage(address):
    assert "address" in failure(trionode("ping", "--node", address), 2)


def test_an_address_where_nobody_listens_is_named_with_what_to_look_at():
    one, two = free_address(), free_address()
    said = failure(trionode("push", "A", "1", "--node", f"{one},{two}"))
    for address in (one, two):
        assert f"{address}: nobody listens there; is the node running, and the port right?" in said
    waited = trionode("ping", "--wait", "0.3", "--node", one)
    assert f"{one}: nobody listens there" in failure(waited)


def test_a_push_says_its_delay_deadline_priority_and_keys(node, kind):
    asked = ("--delay", "3600", "--deadline", "7200", "--priority", "9", "--ordering-key", "o")
    pushed = trionode("push", kind, "1", "-2", *asked, "--node", node.address)
    assert pushed.returncode == 0, pushed.stderr
    assert len(ids(pushed.stdout)) == 2
    assert count(status_of(node), kind, "delayed") == 2
    one = trionode("push", kind, "--key", "k", "--node", node.address, stdin=b"1\n\n")
    assert len(ids(one.stdout)) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--priority", "10"), "10 is not in the range 0<=x<=9"),
        (("--delay", "-1"), "-1.0 is not in the range"),
        (("--delay", "5", "--deadline", "2"), "deadline lies before"),
        (("--keep-expired",), "give one"),
        (("--key", ""), "key has 1 to 256 bytes"),
        (("--key", "k"), "--key names one object"),
    ],
)
def test_options_of_a_push_that_cannot_be_are_wrong_usage(options, words):
    assert words in failure(trionode("push", "A", "1", "2", *options), 2)


def test_a_second_line_with_the_same_key_ends_the_push(node, kind):
    pushed = trionode("push", kind, "--key", "k", "--node", node.address, stdin=b"1\n2\n")
    assert "line 2: --key names one object" in failure(pushed)
    assert len(ids(pushed.stdout)) == 1


def test_terms_of_a_subscription_that_cannot_be_are_wrong_usage(node, kind):
    for wrong in (
        ("--max-attempts", "0"),
        ("--max-processing-time", "-1"),
        ("--reconnect-grace", "-1"),
        ("--watch", "--max-attempts", "3"),
    ):
        failure(trionode("subscribe", kind, *wrong, "--node", node.address), 2)
