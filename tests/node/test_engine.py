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
from trionode.routing import effects, events
from trionode.routing.custody import TypeTable
from trionode.routing.model import HeldObject, Shape, Spilled
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
    memory_short = False

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
    def __init__(self, brain: ScriptedBrain | None = None, *, retains: bool = False) -> None:
        self.store = KeptStore()
        self.store.retains = retains
        self.counters = Counters()
        self.said: list[str] = []
        self.engine = Engine(
            brain or ScriptedBrain(),
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


# --- payloads left to the store ----------------------------------------------------------------


class RememberingBrain(ScriptedBrain):
    """Is always short of memory, and remembers what it is told of it."""

    memory_short = True

    def __init__(self) -> None:
        super().__init__()
        self.told: list[object] = []

    def handle(self, event, now):
        if isinstance(event, events.Written | events.Fetched):
            self.told.append(event)
            return []
        return super().handle(event, now)


def kept(id_: int, payload: bytes) -> effects.Keep:
    return effects.Keep([HeldObject(id_, TypeTable("T"), payload, Shape(), 0.0, 0.0)])


@pytest.fixture
async def short(nursery):
    made = EngineUnderTest(RememberingBrain())
    nursery.start_soon(made.engine.run_commits)
    nursery.start_soon(made.engine.run_reads)
    return made


async def test_the_brain_learns_what_was_written_but_not_of_what_has_changed_since(short):
    engine, store, brain = short.engine, short.store, short.engine.brain
    store.hold()
    engine.handle([kept(1, b"old"), kept(2, b"same")])
    await trio.testing.wait_all_tasks_blocked()
    engine.handle([kept(1, b"new")])
    store.release()
    await engine.committed()
    assert [event.ids for event in brain.told] == [[2], [1]]


async def test_payloads_are_read_back_also_after_a_failure(short, autojump_clock):
    engine, store, brain = short.engine, short.store, short.engine.brain
    item, lost = kept(1, b"there").objects[0], kept(9, b"").objects[0]
    engine.handle([effects.Keep([item])])
    await engine.committed()
    brain.told.clear()
    fetch = effects.Fetch("T", [item, lost], [Spilled(5), Spilled(5)])
    store.unreadable = StoreError("not now")
    engine.handle([fetch])
    await trio.sleep(3)
    assert brain.told == []
    store.unreadable = None
    await trio.sleep(3)
    assert brain.told == [events.Fetched(fetch, [b"there", None])]


# --- settled before the commit -----------------------------------------------------------------

NEW = range(11, 14)


def held_new() -> list[HeldObject]:
    return [HeldObject(id_, TypeTable("A"), b"1", Shape(), 0.0, 0.0) for id_ in NEW]


def settled(*ids: int, plain: bool = True) -> effects.Forget:
    return effects.Forget(list(ids), "settled", 0.0, plain=plain)


def staged_push(under_test, *, new: range | None = NEW) -> None:
    """Have three objects pushed while the store holds a commit back."""
    acknowledge = effects.AcknowledgePush(1, [(1, 3)], new=new, after_commit=True)
    engine = under_test.engine
    engine.connect({effects.AcknowledgePush: lambda _effect: under_test.said.append("pushed")})
    engine.handle([effects.Keep(held_new(), fresh=True), acknowledge])


@pytest.fixture
async def at_commit(under_test):
    """The same while a commit is held back: what comes is in the next one."""
    under_test.store.hold()
    under_test.engine.handle([FORGET])
    await trio.testing.wait_all_tasks_blocked()
    yield under_test
    under_test.store.release()


@pytest.mark.parametrize("order", [(11, 12, 13), (13, 12, 11), (12, 13, 11)])
async def test_a_push_is_acknowledged_once_all_of_it_is_settled_before_its_commit(order, at_commit):
    staged_push(at_commit)
    for id_ in order:
        assert at_commit.said == []
        at_commit.engine.handle([settled(id_)])
    assert at_commit.said == ["pushed"]
    at_commit.store.release()
    await at_commit.engine.committed()
    assert at_commit.said == ["pushed"]
    assert at_commit.store.kept == set()


@pytest.mark.parametrize(
    "ends",
    [
        [settled(11, 12)],
        [settled(11, 12, 13, plain=False)],
        [settled(12, plain=False), settled(11, 13)],
        [effects.Forget([12], "expired"), settled(11, 13)],
        [effects.Forget([13]), settled(11, 12)],
    ],
    ids=["one is left", "results", "results of one", "expired", "given away"],
)
async def test_a_push_waits_for_the_commit_of_what_its_objects_left_behind(ends, at_commit):
    staged_push(at_commit)
    for each in ends:
        at_commit.engine.handle([each])
    assert at_commit.said == []
    at_commit.store.release()
    await at_commit.engine.committed()
    assert at_commit.said == ["pushed"]


async def test_a_push_that_is_not_all_new_waits_for_its_commit(at_commit):
    staged_push(at_commit, new=None)
    at_commit.engine.handle([settled(*NEW)])
    assert at_commit.said == []


async def test_a_push_waits_for_its_commit_where_settled_objects_are_kept(nursery):
    made = EngineUnderTest(retains=True)
    nursery.start_soon(made.engine.run_commits)
    staged_push(made)
    made.engine.handle([settled(*NEW)])
    assert made.said == []
    await made.engine.committed()
    assert made.said == ["pushed"]
