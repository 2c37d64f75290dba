"""`trionode query` by the installed command, at a durable node and across a mesh."""

from __future__ import annotations

import csv
import io
import json

from tests.support.processes import failure, node_process, push, trionode


def query(address: str, *arguments: str, status: int = 0) -> list[str]:
    done = trionode("query", *arguments, "--node", address)
    assert done.returncode == status, done.stderr
    return done.stdout.splitlines()


def test_objects_are_found_at_a_durable_node_in_every_format(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        push(node, "Order", *({"n": n, "city": "Riga" if n % 2 else "Oslo"} for n in range(10)))
        where = ("Order", "--where", 'n >= 3 and city = "Riga"', "--order-by", "n desc")
        lines = query(node.address, *where, "--format", "jsonl")
        assert [json.loads(line)["object"]["n"] for line in lines] == [9, 7, 5, 3]
        rows = csv.DictReader(
            io.StringIO("\n".join(query(node.address, *where, "--format", "csv")))
        )
        assert [row["object.n"] for row in rows] == ["9", "7", "5", "3"]
        assert len(query(node.address, *where, "--limit", "2")) == 3
        assert query(node.address, "Order", "--state", "dead") == ["no objects"]
        assert query(node.address, "Order", "--since", "1h", "--until", "30m") == ["no objects"]
        done = trionode(
            "query", "Order", "--limit", "4", "--format", "jsonl", "--node", node.address
        )
        cursor = done.stderr.split("--after ")[1].strip()
        lines = query(node.address, "Order", "--after", cursor, "--format", "jsonl")
        assert [json.loads(line)["object"]["n"] for line in lines] == [4, 5, 6, 7, 8, 9]
        assert "at character 5" in failure(
            trionode("query", "Order", "--where", "n = ", "--node", node.address)
        )


def test_a_pattern_finds_all_its_types_and_a_wrong_one_is_told(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        for name in ("shop.Order", "shop.eu.Order", "Order"):
            push(node, name, {"name": name})
        lines = query(node.address, "shop.>", "--format", "jsonl")
        assert [json.loads(line)["type"] for line in lines] == ["shop.Order", "shop.eu.Order"]
        assert "is no pattern" in failure(trionode("query", "a.>.b", "--node", node.address))


def test_settled_objects_are_found_after_a_restart_where_they_are_kept(tmp_path):
    variables = {"TRIONODE_CONF_STORE__RETENTION_S": "3600"}
    with node_process("n1", "--data-dir", str(tmp_path), **variables) as node:
        push(node, "Order", {"n": 1}, {"n": 2})
        taken = trionode("subscribe", "Order", "--count", "1", "--node", node.address)
        assert taken.returncode == 0
        push(node, "Order", {"n": 3})
        node.kill()
        node.start()
        lines = query(node.address, "Order", "--format", "jsonl")
        states = {(row["object"]["n"], row["state"]) for row in map(json.loads, lines)}
        assert states == {(1, "settled"), (2, "ready"), (3, "ready")}
        (settled,) = [row["id"] for row in map(json.loads, lines) if row["state"] == "settled"]
        explained = trionode("explain", settled, "--node", node.address)
        assert explained.returncode == 0, explained.stderr
        assert explained.stdout.startswith("settled at node n1 at 20")


def test_everywhere_asks_all_nodes_and_names_who_is_silent(tmp_path):
    with (
        node_process("n1", "--data-dir", str(tmp_path)) as one,
        node_process("n2", "--peer", one.address, "--memory") as two,
    ):
        assert trionode("ping", "--wait", "20", "--node", two.address).returncode == 0
        push(one, "Order", {"n": 1})
        push(two, "Order", {"n": 2})
        everywhere = ("Order", "--everywhere", "--order-by", "n", "--format", "jsonl")
        lines = query(two.address, *everywhere)
        assert [(row["object"]["n"], row["node"]) for row in map(json.loads, lines)] == [
            (1, "n1"),
            (2, "n2"),
        ]
        one.kill()
        done = trionode("query", *everywhere, "--node", two.address)
        assert done.returncode == 1
        assert [json.loads(line)["object"]["n"] for line in done.stdout.splitlines()] == [2]
        assert "did not answer: n1" in done.stderr
