"""When what is pushed goes out: at once where nothing is on its way, else in frames worth it."""

from __future__ import annotations

from contextlib import asynccontextmanager

from trio.testing import wait_all_tasks_blocked

from tests.support.nodes import one_client
from trionode.client.producer_core import FRAME_BYTES_MAX, FRAME_OBJECTS_MAX
from trionode.client.producing import GATHER_S
from trionode.wire import frames


@asynccontextmanager
async def one_unanswered(clock):
    """A pusher whose first object the node has and has not answered; time stands still."""
    async with one_client() as (node, client):
        node.answer_pushes = False
        pusher = client.pusher(type="A")
        async with pusher:
            await pusher.send(b"first")
            await wait_all_tasks_blocked()
            assert sizes(node) == [1]
            try:
                yield node, pusher
            finally:
                clock.autojump_threshold = 0
                node.producers[0].say(frames.Pushed([(1, sum(sizes(node)))]))


def sizes(node) -> list[int]:
    """How many objects each frame brought."""
    return [len(push.payloads) for push in node.told(frames.Push)]


async def push(pusher, count: int, payload: bytes = b"more") -> None:
    for _ in range(count):
        await pusher.send(payload)
        await wait_all_tasks_blocked()


async def test_what_is_pushed_before_an_answer_goes_together_when_it_comes(mock_clock):
    async with one_unanswered(mock_clock) as (node, pusher):
        await push(pusher, 5)
        assert sizes(node) == [1]
        node.producers[0].say(frames.Pushed([(1, 1)]))
        await wait_all_tasks_blocked()
        assert sizes(node) == [1, 5]


async def test_an_answer_that_takes_long_is_not_waited_for(mock_clock):
    async with one_unanswered(mock_clock) as (node, pusher):
        await push(pusher, 3)
        mock_clock.jump(GATHER_S)
        await wait_all_tasks_blocked()
        assert sizes(node) == [1, 3]
        mock_clock.jump(GATHER_S)
        await push(pusher, 1)
        assert sizes(node) == [1, 3, 1]


async def test_what_fills_a_frame_goes_without_waiting(mock_clock):
    async with one_unanswered(mock_clock) as (node, pusher):
        await push(pusher, FRAME_OBJECTS_MAX - 1)
        assert sizes(node) == [1]
        await push(pusher, 1)
        assert sizes(node) == [1, FRAME_OBJECTS_MAX]
        await push(pusher, 3, bytes(FRAME_BYTES_MAX // 4))
        assert sizes(node) == [1, FRAME_OBJECTS_MAX]
        await push(pusher, 1, bytes(FRAME_BYTES_MAX // 4))
        assert sizes(node) == [1, FRAME_OBJECTS_MAX, 4]


async def test_a_push_of_its_own_never_waits_for_others(mock_clock):
    async with one_client() as (node, client):
        for _ in range(3):
            await client.push(b"", type="A")
        assert sizes(node) == [1, 1, 1]
