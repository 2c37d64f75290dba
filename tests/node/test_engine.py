"""The engine: what is said before and after a commit, stores that fail, defects that stay small."""

from __future__ import annotations

from types import SimpleNamespace

import attrs
import pytest
import trio
import trio.testing

from tests.support.connections import NoteLog
from tests.support.kept_store import KeptStore
from tests.support.wires import frame_client
from trionode.errors import Refused, Status
from trionode.node.context import Counters
from trionode.node.engine import Engine
from trionode.routing import effects
from trionode.store import StoreError
from trionode.testing import mesh
from trionode.wire import frames


@attrs.frozen
class Note(effects.Effect):
    """An effect that is only written down."""

    text: str


class ScriptedBrain:
    """Gives the effects that a test puts into the event; an exception among them is raised."""

    work_flagged = False
    wake_at = None

    def __init__(self) -> None:
        self.context = SimpleNamespace(out=[])

    def handle(self, event, now):
        for each in event:
            if isinstance(each, Exception):
                raise each
            self.context.out.append(each)
        out, self.context.out = self.context.out, []
        return out


def note(text: str, *, after_commit: bool = False) -> Note:
    return Note(text, after_commit=after_commit)


FORGET = effects.Forget([1])


class EngineUnderTest:
    def __init__(self) -> None:
        self.store = KeptStore()
        self.counters = Counters()
        self.said: list[str] = []
        self.engine = Engine(
            ScriptedBrain(),
            self.store,
            stamp=0,
            unix_time=lambda: 0.0,
            log=NoteLog(),
            counters=self.counters,
        )
        self.engine.connect({Note: self._say})

    def _say(self, effect: Note) -> None:
        if effect.text == "fails":
            raise ValueError(effect.text)
        self.said.append(effect.text)


@pytest.fixture
async def under_test(nursery):
    made = EngineUnderTest()
    nursery.start_soon(made.engine.run_commits)
    return made


async def test_what_must_wait_for_the_store_is_said_once_all_before_it_is_written(
    under_test, autojump_clock
):
    engine = under_test.engine
    engine.handle([FORGET, note("after", after_commit=True), note("at once")])
    assert under_test.said == ["at once"]
    await engine.committed()
    assert under_test.said == ["at once", "after"]
    assert len(under_test.store.batches) == 1


async def test_what_comes_during_a_commit_waits_for_it_and_keeps_its_order(under_test):
    engine, store = under_test.engine, under_test.store
    store.hold()
    engine.handle([FORGET, note("first", after_commit=True)])
    await trio.testing.wait_all_tasks_blocked()
    engine.handle([note("second", after_commit=True)])
    engine.handle([note("third", after_commit=True)])
    assert under_test.said == []
    store.release()
    await engine.committed()
    assert under_test.said == ["first", "second", "third"]


async def test_what_is_staged_during_a_commit_is_one_commit_after_it(under_test):
    engine, store = under_test.engine, under_test.store
    store.hold()
    engine.handle([FORGET])
    await trio.testing.wait_all_tasks_blocked()
    for text in ("a", "b", "c"):
        engine.handle([FORGET, note(text, after_commit=True)])
    store.release()
    await engine.committed()
    assert under_test.said == ["a", "b", "c"]
    assert len(store.batches) == 2


@pytest.mark.parametrize("failure", [StoreError("the disk is full"), ZeroDivisionError("a defect")])
async def test_a_failed_commit_is_tried_again_and_nothing_is_said_before(
    failure, under_test, autojump_clock
):
    engine, store = under_test.engine, under_test.store
    store.failure = failure
    engine.handle([FORGET, note("after", after_commit=True)])
    await trio.sleep(5)
    assert engine.store_failure == str(failure)
    assert under_test.said == store.batches == []
    store.failure = None
    await engine.committed()
    assert engine.store_failure == ""
    assert under_test.said == ["after"]
    assert under_test.counters.faults == isinstance(failure, ZeroDivisionError)


async def test_an_effect_that_cannot_be_carried_out_holds_up_no_other(under_test, autojump_clock):
    engine = under_test.engine
    engine.handle([note("fails"), note("at once"), FORGET])
    engine.handle([note("fails", after_commit=True), note("after", after_commit=True)])
    await engine.committed()
    assert under_test.said == ["at once", "after"]
    assert under_test.counters.faults == 2


async def test_what_the_brain_wanted_before_it_failed_is_done_and_not_by_the_next_event(
    under_test, autojump_clock
):
    engine = under_test.engine
    with pytest.raises(ZeroDivisionError):
        engine.handle([FORGET, note("before"), ZeroDivisionError(), note("never")])
    assert under_test.said == ["before"]
    engine.handle([note("next")])
    await engine.committed()
    assert under_test.said == ["before", "next"]
    assert len(under_test.store.batches) == 1
    assert under_test.counters.faults == 1


async def test_a_push_is_acknowledged_only_once_it_is_in_the_store():
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        producer, consumer = await client.producer(), await client.consumer()
        await consumer.subscribe("A")
        store.hold()
        producer.say(frames.Push("A", 1, [b"x"], encoding="raw"))
        # It may be processed before it is safe; acknowledged it may not be.
        assert (await consumer.hear(frames.Deliver)).payloads == [b"x"]
        assert await producer.is_silent()
        store.release()
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 1)]


async def test_a_node_whose_store_fails_takes_nothing_new_and_says_why(autojump_clock):
    store = KeptStore()
    async with mesh(1, store=lambda _: store) as nodes, frame_client(nodes[0]) as client:
        producer = await client.producer()
        store.failure = StoreError("the disk is full")
        producer.say(frames.Push("A", 1, [b"x"], encoding="raw"))
        await nodes[0].node.context.engine.until(lambda: nodes[0].status()["types"])
        await trio.sleep(1)
        producer.say(frames.Push("A", 2, [b"y"], encoding="raw"))
        refused = await producer.hear(frames.PushRefused)
        assert (refused.first, refused.status) == (2, Status.UNAVAILABLE)
        assert "the disk is full" in refused.message
        with pytest.raises(Refused, match="the disk is full"):
            await client.ask(frames.PUSH, frames.PushRequest("A", b"z", "raw"), frames.PushReply)
        store.failure = None
        assert (await producer.hear(frames.Pushed)).sequences == [(1, 1)]
        assert len(store.kept) == 1
