"""A node of the simulation in its surroundings: when its brain is woken, when its disk is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.routing import effects, events
from trionode.simulation import frames
from trionode.simulation.disk import Disk
from trionode.simulation.host import Host
from trionode.simulation.network import neighbours
from trionode.simulation.questions import KINDS, Questions
from trionode.simulation.watchers import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.simulation.clocks import NodeClock
    from trionode.simulation.network import Connection, Line
    from trionode.simulation.world import World

PASS_S = 0.0002
"""How long a pass of the node's loop gathers work before the tick at its end."""
PATIENT_S = 2.0
"""How long a node without a disk that leaves waits for peers that are away."""
COMMIT_S = 0.002
"""The usual time of a commit; up to four times as long with the fault of slow disks."""


class SimulatedNode:
    """Carries the brain's effects out in simulated time."""

    def __init__(self, world: World, index: int, clock: NodeClock, *, durable: bool) -> None:
        self.world = world
        self.index = index
        self.clock = clock
        self.durable = durable
        self.host = Host(index, world.settings.options, world.observe, self._carry)
        self.lines: list[Line] = []
        self.links: dict[int, tuple[str, Connection, int]] = {}
        self.streams: dict[int, Any] = {}
        self.inbox: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self.up = False
        self.paused = False
        self.draining = False
        self.leaving = False
        """It is to be gone for good; nobody dials it any more."""
        self.life = 0
        self.at_next_commit: Callable[[int], None] | None = None
        """What happens while its next commit is under way."""
        self._pass_due = False
        self._neighbours_due = False
        self._wake = float("inf")
        self._scheduler = world.scheduler
        self._disk_generator = world.generator.fork(1000 + index)

    # --- lives ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin a life with what the disk has, or as somebody new without one."""
        assert not self.up
        self.life += 1
        self.up, self.draining, self.paused = True, False, False
        self._pass_due = self._neighbours_due = False
        self._wake = float("inf")
        disk = self.host.disk
        if not self.durable:
            node = f"n{self.index}m{self.life}"
        elif disk is None:
            disk, node = Disk(), f"n{self.index}d{self.life}"
        else:
            node = self.host.node
        now = self.now()
        self.world.note(f"n{self.index} starts as {node}")
        self.host.start(node, disk, now, self._scheduler.time)
        self.world.invariants.node_started(self.host, now)
        self.world.figures.node_started(self.index)
        self.world.by_name[node] = self
        self.questions = Questions(self)
        watching = watch(self.index)
        if watching is not None:
            self.turn(watching)
        self._after_turn()
        for line in self.lines:
            self.world.network.dial(line)

    def crash(self, *, written: bool, notice_max_s: float, reason: str = "a node crashed") -> None:
        """Die at once. `written`: the commit under way had reached the disk."""
        host = self.host
        self.world.note(f"n{self.index} crashes, written={written}")
        self.up = False
        self.paused = False
        self.life += 1
        unsure = host.unsure()
        host.crash(written=written)
        kept = host.disk.objects if host.disk is not None else {}
        self.world.invariants.ledger.node_crashed(host, kept, unsure, reason)
        self.links.clear()
        self.inbox.clear()
        self.world.network.node_died(self, notice_max_s)
        streams, self.streams = self.streams, {}
        for client in streams.values():
            client.node_died()

    def lose_disk(self) -> None:
        """A dead node's disk is gone too."""
        assert not self.up
        self.host.disk = None
        self.world.invariants.ledger.disk_lost(self.host)

    def now(self) -> float:
        """Its own clock."""
        return self.clock.now(self._scheduler.time)

    # --- turns ---------------------------------------------------------------------------------

    def turn(self, event: object) -> None:
        """Let the brain take an event."""
        if self.up:
            time = self._scheduler.time
            self.host.handle(event, self.clock.now(time), time)
            self._after_turn()

    def _after_turn(self) -> None:
        host = self.host
        brain = host.brain
        assert brain is not None
        scheduler = self._scheduler
        if not self._pass_due and (brain.work_flagged or self._neighbours_due):
            self._pass_due = True
            scheduler.after(PASS_S, self._end_pass, self.life)
        if host.batch is not None and host.writing is None:
            host.begin_write()
            self.world.invariants.ledger.writing(host)
            slowest = 7.0 if self.world.slow_disks else 1.0
            delay_s = COMMIT_S * (0.5 + slowest * self._disk_generator.unit())
            scheduler.after(delay_s, self._committed, self.life)
            if self.at_next_commit is not None:
                during_s = delay_s * self._disk_generator.unit()
                scheduler.after(during_s, self.at_next_commit, self.life)
                self.at_next_commit = None
        wake = brain.wake_at
        if wake is not None and wake < self._wake:
            self._wake = wake
            time = max(scheduler.time, self.clock.time_of(wake))
            scheduler.at(time, self._rang, self.life, wake)

    def _end_pass(self, life: int) -> None:
        if life != self.life:
            return
        if self.paused:
            self.inbox.append((self._end_pass, (life,)))
            return
        self._pass_due = False
        if self._neighbours_due:
            self._neighbours_due = False
            frame = neighbours(self)
            for _, connection, end in self.links.values():
                self.world.network.send(connection, end, frame)
        brain = self.host.brain
        if brain is not None and brain.work_flagged:
            self.turn(_TICK)

    def _rang(self, life: int, wake: float) -> None:
        if life != self.life or wake != self._wake:
            return
        if self.paused:
            self.inbox.append((self._rang, (life, wake)))
            return
        self._wake = float("inf")
        time = self._scheduler.time
        if self.clock.now(time) < wake and self.clock.time_of(wake) <= time:
            self.clock.reach(wake)
        self.turn(_TICK)

    def _committed(self, life: int) -> None:
        if life != self.life:
            return
        if self.paused:
            self.inbox.append((self._committed, (life,)))
            return
        self.host.commit(self.now(), self._scheduler.time)
        self.world.invariants.ledger.written(self.host)
        self._after_turn()

    def _fetched(self, life: int, effect: effects.Fetch) -> None:
        if life != self.life:
            return
        if self.paused:
            self.inbox.append((self._fetched, (life, effect)))
            return
        assert self.host.disk is not None
        payloads = self.host.disk.payloads([item.id for item in effect.objects])
        self.turn(events.Fetched(effect, payloads))

    def clock_jumped(self) -> None:
        """Timers are due earlier now."""
        self._wake = float("inf")
        if self.up:
            self._after_turn()

    def resume(self) -> None:
        """Wake up from a pause, and take what came meanwhile, in its order."""
        self.paused = False
        self.world.note(f"n{self.index} wakes up")
        inbox, self.inbox = self.inbox, []
        for call, args in inbox:
            call(*args)

    def drain(self) -> None:
        """R10: begin to leave."""
        self.draining = True
        self.world.note(f"n{self.index} drains")
        self.turn(events.DrainStarted())
        if not self.durable:
            self._scheduler.after(PATIENT_S, self._end_drain, self.life)
        for client in list(self.streams.values()):
            client.node_drains()

    def _end_drain(self, life: int) -> None:
        if not self.up or self.life != life:
            return
        if self.paused:
            self.inbox.append((self._end_drain, (life,)))
            return
        self.turn(events.DrainEnding())

    # --- links ---------------------------------------------------------------------------------

    def link_up(self, event: events.LinkUp, connection: Connection, end: int) -> None:
        """A connection's hellos are exchanged, as far as this end knows."""
        self.links[event.link] = (event.peer, connection, end)
        self.questions.link_up(event.peer)
        self._neighbours_due = True
        self.turn(event)

    def link_down(self, handle: int) -> None:
        """A connection is gone."""
        link = self.links.pop(handle, None)
        if link is not None:
            self._neighbours_due = True
            self.turn(events.LinkDown(handle))
            self.questions.link_down(handle, link[0])

    def frame_came(self, frame: frames.Frame, handle: int) -> None:
        """A frame of a peer was read."""
        if handle not in self.links:
            return
        if frame[0] in KINDS:
            self.questions.came(frame, handle)
            return
        if frame[0] == "neighbours":
            self.questions.learn(frame[1])
        self.turn(frames.event_of(frame, handle, self.now()))

    # --- effects -------------------------------------------------------------------------------

    def _carry(self, _host: Host, effect: Effect, now: float) -> None:
        kind = type(effect)
        if kind is effects.Fetch:
            delay_s = COMMIT_S * self._disk_generator.unit()
            self._scheduler.after(delay_s, self._fetched, self.life, effect)
            return
        if kind is effects.AnswerPerson or kind is effects.Copy:
            return
        if kind in frames.TO_PEERS:
            link = self.links.get(effect.link)  # type: ignore[attr-defined]  # all of these have one
            if link is not None:
                _, connection, end = link
                self.world.network.send(connection, end, frames.frame_of(effect, now))
            return
        client = self.streams.get(effect.stream)  # type: ignore[attr-defined]  # all others have one
        if client is not None:
            client.told(effect)


_TICK = events.Tick()
