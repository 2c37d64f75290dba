"""A node's data in another directory: exported and imported, or copied, which makes twins."""

from __future__ import annotations

import json
import shutil

import pytest
import trio

import trionode as trionode_client
from tests.support.processes import (
    linked,
    node_process,
    orders_pushed,
    orders_taken,
    status_of,
    status_when,
    trionode,
)


def test_an_import_into_a_new_directory_refuses_repeats_and_knows_what_was_settled(tmp_path):
    old, new = (["--data-dir", str(tmp_path / name)] for name in ("old", "new"))
    kept = {"TRIONODE_CONF_STORE__RETENTION_S": "3600"}
    with node_process("n1", *old, **kept) as node:
        ids = []
        for n in (1, 2):
            ids += orders_pushed(node.address, f'{{"n": {n}}}', "--key", f"key {n}")
        assert [each["id"] for each in orders_taken(node.address, 1)] == ids[:1]
        assert node.stop() == 0
    exported = trionode("store", "export", *old)
    assert exported.returncode == 0, exported.stderr
    done = trionode("store", "import", *new, stdin=exported.stdout.encode(), **kept)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "1 objects taken, 0 were there already",
        "1 settled objects and 2 keys of pushes taken",
    ]
    assert json.loads(trionode("store", "info", "--json", *new).stdout)["keys"] == 2
    with node_process("n1", *new, **kept) as node:
        again = []
        for n in (1, 2):
            again += orders_pushed(node.address, '{"n": 3}', "--key", f"key {n}")
        assert again == ids
        arguments = ["--state", "settled", "--format", "jsonl", "--node", node.address]
        found = trionode("query", "Order", *arguments)
        assert found.returncode == 0, found.stderr
        assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == ids[:1]
        assert [each["object"] for each in orders_taken(node.address, 1)] == [{"n": 2}]


QUICK = {"TRIONODE_CONF_PEERS__BACKOFF_MAX_S": "0.2"}
"""Nodes that dial again soon, so that tests needn't wait."""


@pytest.fixture
def copies(tmp_path):
    """A data directory with two objects and a copy of it, and the ids of the objects."""
    places = [str(tmp_path / name) for name in ("original", "copy")]
    with node_process("original", "--data-dir", places[0]) as node:
        ids = orders_pushed(node.address, '{"n": 1}', '{"n": 2}')
        assert node.stop() == 0
    shutil.copytree(*places)
    return places, ids


def ended(node) -> str:
    """What a node said last that ends by itself, having failed."""
    assert node.wait() == 1
    return node.log().splitlines()[-1]


def test_of_two_nodes_with_one_id_that_dial_each_other_the_second_ends(copies):
    (original, copy), ids = copies
    with node_process("original", "--data-dir", original, **QUICK) as first:
        own = status_of(first)["id"]
        arguments = ("--data-dir", copy, "--peer", first.address)
        with node_process("copy", *arguments, **QUICK) as second:
            said = ended(second)
        # Both are named, and what to do.
        for part in (own, "original", first.address, "give each node its own"):
            assert part.lower() in said.lower()
        (after,) = orders_pushed(first.address, '{"n": 3}')
        assert [each["id"] for each in orders_taken(first.address, 3)] == [*ids, after]


def test_of_two_nodes_with_one_id_at_one_peer_the_second_ends_and_the_first_stays(copies, tmp_path):
    (original, copy), ids = copies
    with node_process("third", "--data-dir", str(tmp_path / "third")) as third:
        peer = ("--peer", third.address)
        with node_process("original", "--data-dir", original, *peer, **QUICK) as first:
            wait_until_linked(third, "original")
            with node_process("copy", "--data-dir", copy, *peer, **QUICK) as second:
                said = ended(second)
            for part in (status_of(first)["id"], "original", first.address, "its own"):
                assert part in said
            assert "two nodes have one id" in third.log()
            # What the first holds goes on through the third, once each.
            (after,) = orders_pushed(first.address, '{"n": 3}')
            got = orders_taken(third.address, 3)
            assert {each["id"] for each in got} == {*ids, after}
            assert len(got) == 3


def test_what_the_second_had_taken_before_it_ended_is_in_its_directory(copies, tmp_path):
    (original, copy), ids = copies
    with node_process("original", "--data-dir", original, **QUICK) as first:
        with node_process("copy", "--data-dir", copy, **QUICK) as second:
            # Nothing connects them: both serve, and neither knows.
            (late,) = orders_pushed(second.address, '{"n": 3}')
            assert second.stop() == 0
            with node_process(
                "copy", "--data-dir", copy, "--peer", first.address, **QUICK
            ) as again:
                ended(again)
        exported = trionode("store", "export", "--data-dir", copy).stdout
        assert [json.loads(line)["id"] for line in exported.splitlines()] == [*ids, late]
        assert [each["id"] for each in orders_taken(first.address, 2)] == ids
        assert first.stop() == 0
    # What the message asks for: a directory of its own. What the original had done is not known
    # there, so it comes again; what only the copy has is not lost.
    own = str(tmp_path / "own")
    done = trionode("store", "import", "--data-dir", own, stdin=exported.encode())
    assert done.returncode == 0, done.stderr
    with (
        node_process("original", "--data-dir", original, **QUICK) as first,
        node_process("copy", "--data-dir", own, "--peer", first.address, **QUICK) as second,
    ):
        wait_until_linked(second, "original")
        assert {each["id"] for each in orders_taken(first.address, 3)} == {*ids, late}


def wait_until_linked(node, name: str) -> None:
    """Until a node is linked to another of that name."""

    async def wait() -> None:
        async with trionode_client.connect(node.address) as client:
            await status_when(client, lambda status: name in linked(status))

    trio.run(wait)
