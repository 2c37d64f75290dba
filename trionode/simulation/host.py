"""One node of a simulation without its surroundings: a brain, its disk, and the rule of commits.

What the node's engine does, and nothing else: effects are carried out in order, store effects are
folded into batches, and effects marked `after_commit` wait for the commit of all before them.
When things happen is decided outside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import Brain, events
from trionode.routing.effects import Forget
from trionode.store import Batch, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing import RoutingOptions
    from trionode.routing.effects import Effect
    from trionode.simulation.disk import Disk

    Observer = Callable[["Host", object, list[Effect], float], None]
    Carrier = Callable[["Host", Effect, float], None]


class Host:
    """A brain that can crash and come back.

    Args:
        index: the place of the node in the simulation; stays through all of its lives.
        options: for its brains.
        observer: sees every event with the effects it caused, before they are carried out.
        carry: carries out an effect that is for clients or peers.
    """

    __slots__ = (
        "batch",
        "brain",
        "carry",
        "disk",
        "incarnation",
        "index",
        "node",
        "observer",
        "options",
        "turns",
        "waiting",
        "writing",
        "writing_waiting",
    )

    def __init__(
        self, index: int, options: RoutingOptions, observer: Observer, carry: Carrier
    ) -> None:
        self.index = index
        self.options = options
        self.observer = observer
        self.carry = carry
        self.node = ""
        self.incarnation = 0
        self.disk: Disk | None = None
        self.brain: Brain | None = None
        self.batch: Batch | None = None
        self.waiting = Waiting()
        self.writing: Batch | None = None
        self.writing_waiting = Waiting()
        self.turns = 0

    def start(self, node: str, disk: Disk | None, now: float, wall: float) -> None:
        """Begin a life: as `node`, with what a disk has kept (None: a node in memory).

        Args:
            node: its id, the same as before only if the disk is the same.
            disk: its store.
            now: its own clock.
            wall: the clock that its store's records are on.
        """
        self.node = node
        self.disk = disk
        self.incarnation += 1
        self.batch = self.writing = None
        self.waiting, self.writing_waiting = Waiting(), Waiting()
        self.brain = Brain(node, self.incarnation, durable=disk is not None, options=self.options)
        if disk is not None:
            for part in disk.read(wall - now):
                self.handle(part, now, wall)

    def handle(self, event: object, now: float, wall: float) -> None:
        """Let the brain take an event, and carry its effects out as far as they may be now."""
        assert self.brain is not None
        effects = self.brain.handle(event, now)
        self.turns += 1
        self.observer(self, event, effects, now)
        durable = self.disk is not None
        for effect in effects:
            if effect.stored:
                if durable:
                    if self.batch is None:
                        stamp = self._stamp()
                        self.batch = Batch(stamp, wall - now)
                    self.batch.add(effect)  # type: ignore[arg-type]  # `stored` says that it is one
                    if self.waiting.watching and type(effect) is Forget:
                        for push in self.waiting.settled(effect, self.batch):
                            self.carry(self, push, now)
            elif effect.after_commit and (self.batch is not None or self.writing is not None):
                self._wait(effect)
            else:
                self.carry(self, effect, now)

    def _stamp(self) -> int:
        assert self.disk is not None
        return self.disk.stamp if self.writing is None else self.writing.stamp

    def _wait(self, effect: Effect) -> None:
        if self.batch is not None:
            self.waiting.add(effect)
        else:
            self.writing_waiting.add(effect)

    # --- the disk ------------------------------------------------------------------------------

    @property
    def must_write(self) -> bool:
        """Whether a commit can begin: there is something to write and the disk is free."""
        return self.writing is None and self.batch is not None

    def begin_write(self) -> None:
        """Begin to write what has gathered."""
        assert self.must_write
        self.writing, self.batch = self.batch, None
        self.writing_waiting, self.waiting = self.waiting, Waiting()

    def commit(self, now: float, wall: float) -> None:
        """The write is done and confirmed: what waited for it happens."""
        assert self.disk is not None
        assert self.writing is not None
        self.disk.write(self.writing)
        kept, self.writing = self.writing.kept, None
        for effect in self.writing_waiting.take():
            self.carry(self, effect, now)
        brain = self.brain
        if brain is not None and brain.memory_short:
            newer = () if self.batch is None else self.batch.kept
            self.handle(events.Written([id_ for id_ in kept if id_ not in newer]), now, wall)

    def unsure(self) -> list[int]:
        """Objects that the disk knows nothing of, or not the last."""
        ids: list[int] = []
        for batch in (self.batch, self.writing):
            if batch is not None:
                ids += [*batch.kept, *batch.gone]
                for given in batch.given.values():
                    ids += given.ids if given is not None else ()
        return ids

    def crash(self, *, written: bool) -> None:
        """Lose all that is not on disk. `written`: the write under way came to its end."""
        if written and self.writing is not None:
            assert self.disk is not None
            self.disk.write(self.writing)
        self.brain = None
        self.batch = self.writing = None
        self.waiting, self.writing_waiting = Waiting(), Waiting()
