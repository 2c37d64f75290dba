"""What is acknowledged survives the death of its node, by the installed command and kill -9."""

from __future__ import annotations

from tests.support.processes import (
    failure,
    node_process,
    orders_pushed,
    orders_taken,
    status_of,
    trionode,
)


def test_an_acknowledged_push_survives_the_kill_of_its_node(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        ids = orders_pushed(node.address, '{"n": 1}', '{"n": 2}')
        node.kill()
        node.start()
        objects = orders_taken(node.address, 2)
    assert [each["id"] for each in objects] == ids
    assert [each["object"] for each in objects] == [{"n": 1}, {"n": 2}]
    # A node's own death counts nothing (G5).
    assert {each["attempt"] for each in objects} == {1}


def test_what_a_killed_node_had_acknowledged_reaches_a_consumer_at_another_node(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path / "one")) as first:
        ids = orders_pushed(first.address, '{"n": 1}')
        first.kill()
        arguments = ("--data-dir", str(tmp_path / "two"), "--peer", first.address)
        with node_process("n2", *arguments) as second:
            first.start()
            assert [each["id"] for each in orders_taken(second.address, 1)] == ids


def test_a_settled_object_does_not_come_back_after_a_kill(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        orders_pushed(node.address, '{"n": 1}', '{"n": 2}')
        orders_taken(node.address, 1)
        # Acknowledged with a commit after that of the settle.
        orders_pushed(node.address, '{"n": 3}')
        node.kill()
        node.start()
        assert [each["object"]["n"] for each in orders_taken(node.address, 2)] == [2, 3]


def test_a_node_keeps_its_id_and_counts_its_lives(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        before = status_of(node)
        assert node.stop() == 0
        node.start()
        after = status_of(node)
    assert after["id"] == before["id"]
    assert after["incarnation"] > before["incarnation"]
    assert after["store"]["kind"] == "sqlite"


def test_a_second_node_on_one_directory_is_told_who_has_it(tmp_path):
    with node_process("n1", "--data-dir", str(tmp_path)) as node:
        arguments = ["--listen", "127.0.0.1:0", "--data-dir", str(tmp_path)]
        said = failure(trionode("serve", "--name", "n2", *arguments))
        assert "n1" in said
        assert str(node.process.pid) in said
