"""The brain at work: events in, effects carried out, commits waited for, time told.

Theory of operation. `handle` runs one turn of the brain synchronously, from any task, and carries
its effects out in order. Store effects gather in a batch; effects that must wait for the store
gather beside it, and the committer carries them out once the batch, and so everything emitted
before them, is written (but for pushes whose objects were settled meanwhile, see `Waiting`). One
commit runs at a time; what comes meanwhile is the next one, so that commits grow with the load by
themselves.

A store that fails stops custody, not the node: the batch is tried again until it is written, and
nothing that waits for it is said. Without a durable store nothing waits for anything.

A defect must not make books and store differ. What the brain wanted done before it failed is done,
since its books have changed as far as that, and only then its caller hears of the failure; an
effect that cannot be carried out is counted and holds up no other; a committer that failed begins
again with the commit that it had.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs
import trio

from trionode.node.store_thread import StoreThread
from trionode.routing import events
from trionode.routing.effects import Fetch, Forget
from trionode.store import Batch, StoreError, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.logs import Logger
    from trionode.node.context import Counters
    from trionode.routing import Brain
    from trionode.routing.effects import Effect, StoreEffect
    from trionode.schema.definition import Definition
    from trionode.store import Store

TIDY_S = 5.0
"""How often it is looked whether settled objects were kept long enough."""
RETRY_S = 1.0
"""How long a store that failed rests before the commit is tried again."""


@attrs.define(eq=False)
class _Commit:
    """Store effects for one commit, and what may be said once it is done."""

    batch: Batch
    after: Waiting
    done: trio.Event = attrs.field(factory=trio.Event)


class Engine:
    """Runs one brain with one store.

    Args:
        brain: nobody else may give it events.
        store: opened.
        stamp: the last stamp that the store knows.
        unix_time: the wall clock in seconds, for times that outlive the process.
        log: for commits and effects that fail.
        counters: where faults are counted.
    """

    def __init__(  # noqa: PLR0913  # built in one place, Node._recover
        self,
        brain: Brain,
        store: Store,
        *,
        stamp: int,
        unix_time: Callable[[], float],
        log: Logger,
        counters: Counters,
    ) -> None:
        self.brain = brain
        self.store_failure = ""
        """Why the last commit failed; empty while all is well."""
        self.commits = 0
        self._store = store
        self.durable = store.durable
        """Whether what is in custody survives a crash."""
        self._unix_time = unix_time
        self._log = log
        self._counters = counters
        self._sinks: dict[type, Callable[[Any], None]] = {}
        self._commit = self._next_commit(stamp)
        self._running: _Commit | None = None
        self._work = trio.Event()
        self._rouse = trio.Event()
        self._wake_planned = math.inf
        self._progress: trio.Event | None = None

        self._reads: list[Fetch] = []
        self._read = trio.Event()
        self._sinks[Fetch] = self._ask

    def connect(self, sinks: dict[type, Callable[[Any], None]]) -> None:
        """Say who carries out which effects."""
        self._sinks.update(sinks)

    def handle(self, event: object) -> None:
        """Give the brain an event and carry out, or stage, what it wants done.

        Raises:
            Exception: a defect of the brain; the event is to count as not understood.
        """
        brain = self.brain
        try:
            self._stage(brain.handle(event, trio.current_time()))
        except Exception:
            self._counters.faults += 1
            context = brain.context
            done, context.out = context.out, []
            self._stage(done)
            raise
        finally:
            wake_at = brain.wake_at
            if brain.work_flagged or (wake_at is not None and wake_at < self._wake_planned):
                self._rouse.set()
            if self._progress is not None:
                self._progress.set()
                self._progress = None

    def _stage(self, effects: list[Effect]) -> None:
        for effect in effects:
            if effect.stored:
                if self.durable:
                    self._store_effect(effect)  # type: ignore[arg-type]  # `stored` says it
            elif effect.after_commit and self._must_wait:
                self._commit.after.add(effect)
            else:
                self._carry_out(effect)

    def _store_effect(self, effect: StoreEffect) -> None:
        commit = self._commit
        commit.batch.add(effect)
        self._work.set()
        if commit.after.watching and type(effect) is Forget:
            for push in commit.after.settled(effect, commit.batch):
                self._carry_out(push)

    def _carry_out(self, effect: Effect) -> None:
        """Have an effect carried out; one that cannot be is a defect, and the others go on."""
        try:
            self._sinks[type(effect)](effect)
        except Exception as error:  # noqa: BLE001  # the other effects belong to others
            self._counters.faults += 1
            text = "an effect was not carried out"
            self._log.error(text, effect=type(effect).__name__, exc_info=error)

    def keep_definition(self, definition: Definition) -> None:
        """Have a type's definition outlive the process."""
        if self.durable:
            self._commit.batch.definitions.append(definition)
            self._work.set()

    async def committed(self) -> None:
        """Wait until everything that was staged so far is in the store."""
        if self._must_wait:
            commit = self._commit if self._commit.batch else self._running
            assert commit is not None, "something is staged or being written"
            await commit.done.wait()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Wait until something about the brain is true; looked at after each of its turns."""
        while not predicate():
            if self._progress is None:
                self._progress = trio.Event()
            await self._progress.wait()

    async def run_ticks(self) -> None:
        """Task, the rebalancer: tell the brain the time when it has work or a timer is due.

        Work that was flagged by all tasks of one pass of the event loop is done in one tick.
        """
        brain = self.brain
        while True:
            wake_at = brain.wake_at
            self._wake_planned = math.inf if wake_at is None else wake_at
            if not brain.work_flagged:
                with trio.CancelScope(deadline=self._wake_planned):
                    await self._rouse.wait()
            self._rouse = trio.Event()
            await trio.lowlevel.checkpoint()
            self.handle(events.Tick())

    async def run_commits(self) -> None:
        """Task, the committer: write what has gathered, then say what waited for it."""
        with StoreThread("store writer") as thread:
            await self._run_commits(thread)

    async def _run_commits(self, thread: StoreThread) -> None:
        while True:
            commit = self._running
            if commit is None:
                await self._work.wait()
                self._work = trio.Event()
                commit = self._running = self._commit
                self._commit = self._next_commit(commit.batch.stamp)
            await self._write(commit.batch, thread)
            self._running = None
            self.commits += 1
            self._say(commit)
            if self.brain.memory_short:
                newer = self._commit.batch.kept
                ids = [id_ for id_ in commit.batch.kept if id_ not in newer]
                self.handle(events.Written(ids))
            commit.done.set()
            if not self._commit.batch:
                # What came meanwhile waited for nothing but the commit that is done.
                self._say(self._commit)

    def _ask(self, effect: Fetch) -> None:
        self._reads.append(effect)
        self._read.set()

    async def run_reads(self) -> None:
        """Task, the payload reader: read back what the brain left to the store."""
        while True:
            await self._read.wait()
            self._read = trio.Event()
            while self._reads:
                effect = self._reads[0]
                payloads = await self._payloads([item.id for item in effect.objects])
                del self._reads[0]  # only now: one that fails is asked for again
                self.handle(events.Fetched(effect, payloads))

    async def read(self, ids: list[int]) -> list[bytes | None]:
        """Payloads that the store has; None for one that is not there or damaged.

        Raises:
            StoreError: the store cannot be read now.
        """
        if self._store.blocks:
            with trio.CancelScope(shield=True):  # the store must stay open for as long
                return await trio.to_thread.run_sync(self._store.payloads, ids)
        return self._store.payloads(ids)

    async def _payloads(self, ids: list[int]) -> list[bytes | None]:
        while True:
            try:
                return await self.read(ids)
            except StoreError as error:
                self._log.error(
                    "payloads cannot be read; tried again", error=str(error)
                )  # the store's own words
                await trio.sleep(RETRY_S)

    def _say(self, commit: _Commit) -> None:
        """Carry out what waited for a commit."""
        for effect in commit.after.take():
            self._carry_out(effect)

    @property
    def _must_wait(self) -> bool:
        return self.durable and (self._running is not None or bool(self._commit.batch))

    def offset_s(self) -> float:
        """Unix time less the brain's clock."""
        return self._unix_time() - trio.current_time()

    def _next_commit(self, stamp: int) -> _Commit:
        retains = self._store.retains
        return _Commit(Batch(stamp, self.offset_s(), retains=retains), Waiting(early=not retains))

    async def run_tidying(self) -> None:
        """Task: have the store delete, some at a time, what it has kept long enough."""
        while True:
            await trio.sleep(TIDY_S)
            while self._store.tidying_due(self._unix_time()):
                self._commit.batch.tidy_at = self._unix_time()
                self._work.set()
                await self.committed()

    async def _write(self, batch: Batch, thread: StoreThread) -> None:
        if not batch:
            return
        while True:
            try:
                if self._store.blocks:
                    await thread.run(self._store.write, batch)
                else:
                    self._store.write(batch)
            except Exception as error:  # noqa: BLE001  # custody stops, whatever it is
                self._note_failure(error)
                await trio.sleep(RETRY_S)
            else:
                if self.store_failure:
                    self._log.info("the store works again")
                self.store_failure = ""
                return

    def _note_failure(self, error: Exception) -> None:
        """A write failed; said once, with its traceback where it is no failure of the store's."""
        if not self.store_failure:
            defect = None if isinstance(error, StoreError) else error
            text = "the store failed; nothing new is accepted"
            self._log.error(text, error=str(error), exc_info=defect)
            self._counters.faults += defect is not None
        self.store_failure = str(error) or type(error).__name__
