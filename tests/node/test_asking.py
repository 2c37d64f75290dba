"""Questions to every node: who answers, who is named as silent, and what a flood is bounded by."""

from __future__ import annotations

import pytest
import trio

from trionode.config import Config, Peers
from trionode.errors import Refused, Status
from trionode.inspection.searches import REPLY_BYTES_MAX
from trionode.testing import mesh
from trionode.testing.nodes import ONE_BEFORE
from trionode.wire import frames

APART = Config(peers=Peers(discovery=False))


def teach(node, found=None, *, topic: str = "name") -> list:
    """Have a node answer with its name, or what is given; returns what it is asked."""
    asked: list = []

    async def answer(value):
        asked.append(value)
        return found if found is not None else node.name

    node.node.asking.answer_with(topic, answer)
    return asked


async def never(_value):
    await trio.sleep_forever()


def values(gathered) -> list:
    return sorted(reply.value for reply in gathered.replies)


def silent(gathered) -> list[str]:
    return sorted(each.name for each in gathered.silent)


async def test_every_node_of_a_mesh_answers_once_without_waiting(autojump_clock):
    async with mesh(6) as nodes:
        heard = [teach(node) for node in nodes.nodes]
        before = trio.current_time()
        gathered = await nodes[2].node.asking.ask("name", {"a": 1})
        assert trio.current_time() == before
        assert values(gathered) == [f"node{index}" for index in range(6)]
        assert gathered.replies[0].value == "node2"
        assert gathered.silent == []
        assert heard == [[{"a": 1}]] * 6


async def test_a_chain_is_crossed_as_far_as_the_hops_reach(autojump_clock):
    async with mesh(5, links=ONE_BEFORE, config=APART) as nodes:
        for node in nodes.nodes:
            teach(node)
        whole = await nodes[0].node.asking.ask("name", None)
        assert values(whole) == ["node0", "node1", "node2", "node3", "node4"]
        near = await nodes[0].node.asking.ask("name", None, hops=2)
        assert values(near) == ["node0", "node1", "node2"]
        assert silent(near) == ["node3"]
        alone = await nodes[0].node.asking.ask("name", None, hops=0)
        assert values(alone) == ["node0"]


async def test_a_node_that_does_not_answer_in_time_is_named(autojump_clock):
    async with mesh(4, links=ONE_BEFORE, config=APART) as nodes:
        for node in nodes.nodes:
            teach(node)
        nodes[2].node.asking.answer_with("name", never)
        before = trio.current_time()
        gathered = await nodes[0].node.asking.ask("name", None, timeout_s=2)
        assert trio.current_time() == pytest.approx(before + 2)
        assert values(gathered) == ["node0", "node1", "node3"]
        assert silent(gathered) == ["node2"]


async def test_a_node_whose_link_is_lost_is_named_at_once(autojump_clock):
    async with mesh(3) as nodes:
        for node in nodes.nodes:
            teach(node)
        await nodes.network.cut(nodes[0].address)
        await nodes[2].until(lambda status: any(p["state"] == "lost" for p in status["peers"]))
        gathered = await nodes[2].node.asking.ask("name", None)
        assert values(gathered) == ["node1", "node2"]
        assert silent(gathered) == ["node0"]


async def test_a_link_that_ends_while_its_answer_is_awaited_ends_the_wait(autojump_clock):
    async with mesh(2) as nodes:
        teach(nodes[1])
        nodes[0].node.asking.answer_with("name", never)
        before = trio.current_time()
        async with trio.open_nursery() as nursery:
            asked: list = []

            async def ask():
                asked.append(await nodes[1].node.asking.ask("name", None, timeout_s=30))

            nursery.start_soon(ask)
            await trio.sleep(1)
            await nodes.network.cut(nodes[0].address)
        assert trio.current_time() < before + 2
        assert values(asked[0]) == ["node1"]
        assert silent(asked[0]) == ["node0"]


async def test_a_refusal_a_defect_and_an_unknown_topic_are_errors_of_one_reply(autojump_clock):
    async with mesh(4) as nodes:
        teach(nodes[0])

        async def refuse(_value):
            raise Refused(Status.NOT_FOUND, "no such thing")

        async def fail(_value):
            raise ZeroDivisionError

        nodes[1].node.asking.answer_with("name", refuse)
        nodes[2].node.asking.answer_with("name", fail)
        gathered = await nodes[0].node.asking.ask("name", None)
        errors = {reply.name: reply.error for reply in gathered.replies}
        assert errors["node0"] == ""
        assert errors["node1"] == "NOT_FOUND: no such thing"
        assert errors["node2"] == "internal error"
        assert "does not know this question" in errors["node3"]
        assert nodes[2].status()["counters"]["faults"] == 1


async def test_an_answer_that_is_too_large_becomes_an_error_and_the_link_stays(autojump_clock):
    async with mesh(2) as nodes:
        teach(nodes[0])
        teach(nodes[1], "x" * REPLY_BYTES_MAX)
        gathered = await nodes[0].node.asking.ask("name", None)
        assert "larger than" in gathered.replies[1].error
        await nodes[0].linked(1)


async def test_a_question_that_comes_again_is_not_answered_again(autojump_clock):
    async with mesh(2) as nodes:
        heard = teach(nodes[0])
        question = frames.Question(b"s" * 16, "name", b"1", 4, 1000)
        (link,) = nodes[1].node._mesh.links.values()
        link.send(question)
        link.send(question)
        await trio.sleep(1)
        assert heard == [1]
        await trio.sleep(60)  # long after its end it is a new one
        link.send(question)
        await trio.sleep(1)
        assert heard == [1, 1]
