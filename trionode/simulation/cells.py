"""One node of a small world that is explored exhaustively: a state, what may be done, what follows.

A brain is a deterministic function of what it is told, and knows nothing of the rest of the world.
So a node's state is interned under a small number, what an operation does to it is worked out once
and remembered, and the exploration of a world becomes a walk over numbers. A state's brain is built
again, when it is needed, from the operations that led to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.ids import object_id
from trionode.routing import effects, events
from trionode.routing.model import State
from trionode.simulation import frames
from trionode.simulation.books import check_sums, recount
from trionode.simulation.canonical import canonical
from trionode.simulation.disk import Disk
from trionode.simulation.grants import Grants
from trionode.simulation.host import Host
from trionode.simulation.moves import Moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect
    from trionode.routing.options import RoutingOptions
    from trionode.simulation.frames import Frame

Operation = tuple[Any, ...]
Output = tuple[Any, ...]

TYPE = "t"
PRODUCER = 7
ON_DISK = -1
"""In a summary, the state of an object that only a dead node's disk has."""
TICKS_MAX = 10
_TICK = events.Tick()


@attrs.frozen
class Summary:
    """What the world may see of a node's state."""

    alive: bool
    held: tuple[tuple[int, int], ...]
    """Of each object: its number and state, or `ON_DISK`."""
    must_commit: bool
    rings: bool
    """A timer is set."""
    stream: int
    """Of the consumer, or 0."""
    node: str
    incarnation: int
    draining: bool


class Cell:
    """A node brought to life: a host with its links and its consumer."""

    def __init__(
        self, index: int, options: RoutingOptions, frames_seen: FrameTable, *, durable: bool
    ) -> None:
        self.host = Host(index, options, self._observe, self._carry)
        self.moves = Moves()
        self.grants = Grants(self.moves)
        self.durable = durable
        self.now = 0.0
        self.out: list[Output] = []
        self._frames = frames_seen
        self._handles = 0
        self._links: dict[int, int] = {}
        self._peers: dict[int, int] = {}
        self._stream = 0
        self._lives = 0
        self._operations: dict[str, Callable[..., None]] = {
            "start": self._start,
            "crash": self._crash,
            "burn": self._burn,
            "commit": self._commit,
            "ring": self._ring,
            "up": self._up,
            "down": self._down,
            "frame": self._frame,
            "push": self._push,
            "subscribe": self._subscribe,
            "leave": self._leave,
            "settle": self._settle,
            "drain": lambda: self._tell(events.DrainStarted()),
        }

    def do(self, operation: Operation) -> None:
        """Carry one operation out, with the ticks that follow."""
        self._operations[operation[0]](*operation[1:])
        brain = self.host.brain
        ticks = 0
        while brain is not None and brain.work_flagged:
            ticks += 1
            assert ticks < TICKS_MAX, "ticks that never end their work"
            self._tell(_TICK)

    def _tell(self, event: object) -> None:
        self.host.handle(event, self.now, self.now)

    # --- operations ----------------------------------------------------------------------------

    def _start(self) -> None:
        self._lives += 1
        disk = self.host.disk
        node = f"n{self.host.index}"
        if not self.durable:
            node += f"m{self._lives}"
        elif disk is None:
            disk = Disk()
        self.host.node = node
        self.moves.node_started(self.host, self.now)
        self.grants.node_started(self.host)
        self.host.start(node, disk, self.now, self.now)

    def _crash(self, written: bool) -> None:  # noqa: FBT001  # an operation is a tuple
        if written and self.host.must_write:
            self.host.begin_write()
        self.host.crash(written=written)
        self._links.clear()
        self._peers.clear()
        self._stream = 0

    def _burn(self) -> None:
        self._crash(written=False)
        self.host.disk = None

    def _commit(self) -> None:
        self.host.begin_write()
        self.host.commit(self.now, self.now)

    def _ring(self) -> None:
        brain = self.host.brain
        assert brain is not None
        assert brain.wake_at is not None
        self.now = max(self.now, brain.wake_at)
        self._tell(_TICK)

    def _up(self, peer: int, node: str, incarnation: int, durable: bool) -> None:  # noqa: FBT001  # as above
        self._handles += 1
        self._links[peer] = self._handles
        self._peers[self._handles] = peer
        self._tell(events.LinkUp(self._handles, node, incarnation, durable))

    def _down(self, peer: int) -> None:
        handle = self._links.pop(peer)
        del self._peers[handle]
        self._tell(events.LinkDown(handle))

    def _frame(self, peer: int, number: int) -> None:
        frame = self._frames.frame(number)
        self._tell(frames.event_of(frame, self._links[peer], self.now))

    def _push(self, number: int, floor: int, key: str = "") -> None:
        shape, payloads = self._frames.shape, [b"x%d" % number]
        details = {0: {"key": key}} if key else {}
        self._tell(events.Pushed(1, PRODUCER, number, TYPE, shape, payloads, floor, details))

    def _subscribe(self, credit: int) -> None:
        if not self._stream:
            self._handles += 1
            self._stream = self._handles
            self._tell(events.ConsumerCame(self._stream))
        self._tell(events.Subscribed(self._stream, 1, (TYPE,), credit, 1 << 20))

    def _leave(self, died: bool) -> None:  # noqa: FBT001  # as above
        stream, self._stream = self._stream, 0
        self._tell(events.ConsumerGone(stream, died))

    def _settle(  # an operation is a tuple
        self, action: str, number: int, attempt: int, stream: int, child: int
    ) -> None:
        shape = self._frames.shape
        result = events.Pushed(0, PRODUCER, child, TYPE, shape, [b"x%d" % child])
        event = events.Settled(
            stream,
            # An answer names its settle: by that it is known whose results are in custody.
            child,
            "ack" if child else action,
            [object_id(PRODUCER, number)],
            [attempt],
            0.0,
            payloads=[b"y%d" % number] if action == "replace" else [],
            emitted=[(0, result)] if child else [],
        )
        self._tell(event)

    # --- what comes of it ----------------------------------------------------------------------

    def _observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        self.moves.observe(host, event, out, now)
        self.grants.observe(host, event, out, now)
        if type(event) is events.Tick:
            self.grants.check_withdrawn(host, now)
        for effect in out:
            if type(effect) is effects.Deliver:
                for item in effect.objects:
                    self.out.append(("leased", _number(item.id), item.attempt, effect.stream))
            elif type(effect) is effects.LoseLeases:
                for id_, attempt in effect.leases:
                    self.out.append(("lost lease", _number(id_), attempt, effect.stream))
            elif type(effect) is effects.AnswerSettle:
                self.out.append(("answered", len(effect.refused)))
            elif type(effect) is effects.Forget and type(event) is events.Settled:
                self.out.extend(("settled", _number(id_)) for id_ in effect.ids)
            elif type(effect) is effects.Keep and type(event) is events.Tick:
                self.out.extend(
                    ("gave up", _number(item.id))
                    for item in effect.objects
                    if item.detail("possibly_duplicate")
                )

    def _carry(self, _host: Host, effect: Effect, now: float) -> None:
        kind = type(effect)
        if kind in frames.TO_PEERS:
            peer = self._peers.get(effect.link)  # type: ignore[attr-defined]  # all of these have one
            if peer is not None:
                number = self._frames.number(frames.frame_of(effect, now))
                self.out.append(("frame", peer, number))
        elif kind is effects.AnswerSettle:
            if effect.number and not effect.refused:  # type: ignore[attr-defined]  # its fields
                self.out.append(("acknowledged", effect.number))  # type: ignore[attr-defined]  # as above
        elif kind is effects.AcknowledgePush:
            for first, count in effect.sequences:  # type: ignore[attr-defined]  # its field
                self.out.extend(("acknowledged", first + index) for index in range(count))
            self.out.extend(("repeated", sequence) for sequence, _ in effect.others)  # type: ignore[attr-defined]  # as above

    # --- looking -------------------------------------------------------------------------------

    def check(self) -> None:
        """I8 in full."""
        brain = self.host.brain
        if brain is not None:
            check_sums(brain, len(brain.context.custody.objects))
            recount(brain)

    def key(self) -> bytes:
        """Equal for states that can't be told apart by anything that may follow."""
        return canonical(
            self.host.brain,
            self.host.disk,
            self.host.batch,
            self.host.waiting,
            self.host.incarnation,
            self._links,
            self._handles,
            self._stream,
            self.moves,
            self.grants,
            now=self.now,
        )

    def summary(self) -> Summary:
        """See `Summary`."""
        host, brain = self.host, self.host.brain
        held: list[tuple[int, int]]
        if brain is not None:
            objects = brain.context.custody.objects
            held = [(_number(id_), int(item.state)) for id_, item in objects.items()]
        else:
            held = _held_by(host.disk) if host.disk is not None else []
        return Summary(
            brain is not None,
            tuple(sorted(held)),
            host.must_write,
            brain is not None and brain.wake_at is not None,
            self._stream,
            host.node,
            host.incarnation,
            brain is not None and brain.context.draining,
        )


def _held_by(disk: Disk) -> list[tuple[int, int]]:
    """What a disk has, and whether it is on offer: marked by an offer that was written after it."""
    marks: dict[int, int] = {}
    for given in disk.given.values():
        for id_ in given.ids:
            marks[id_] = max(marks.get(id_, 0), given.stamp)
    return [
        (_number(id_), GIVING if record.stamp < marks.get(id_, 0) else ON_DISK)
        for id_, record in disk.objects.items()
    ]


def _number(id_: int) -> int:
    return id_ - object_id(PRODUCER, 0)


GIVING = int(State.TRANSFERRING)


class FrameTable:
    """Every frame ever sent in an exploration, under a number."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape
        self._numbers: dict[str, int] = {}
        self._frames: list[Frame] = []

    def number(self, frame: Frame) -> int:
        """The number of a frame; equal ones share it."""
        text = repr(frame)
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._frames)
            self._frames.append(frame)
        return number

    def frame(self, number: int) -> Frame:
        """The frame of a number."""
        return self._frames[number]


class Cells:
    """All states of one node that were met, and what each operation does to them."""

    def __init__(
        self, index: int, options: RoutingOptions, table: FrameTable, *, durable: bool
    ) -> None:
        self._index = index
        self._options = options
        self._table = table
        self._durable = durable
        self._numbers: dict[bytes, int] = {}
        self._came_by: list[tuple[int, Operation] | None] = []
        self._steps: dict[tuple[int, Operation], tuple[int, tuple[Output, ...]]] = {}
        self.summaries: list[Summary] = []
        self.root = self._intern(self._revive(-1), None)

    def step(self, number: int, operation: Operation) -> tuple[int, tuple[Output, ...]]:
        """The state that follows, and what came out on the way."""
        known = self._steps.get((number, operation))
        if known is not None:
            return known
        cell = self._revive(number)
        cell.do(operation)
        cell.check()
        result = self._intern(cell, (number, operation)), tuple(cell.out)
        self._steps[number, operation] = result
        return result

    def _intern(self, cell: Cell, came_by: tuple[int, Operation] | None) -> int:
        key = cell.key()
        number = self._numbers.get(key)
        if number is None:
            number = self._numbers[key] = len(self._came_by)
            self._came_by.append(came_by)
            self.summaries.append(cell.summary())
        return number

    def _revive(self, number: int) -> Cell:
        operations: list[Operation] = []
        while number >= 0 and (came_by := self._came_by[number]) is not None:
            number, operation = came_by
            operations.append(operation)
        cell = Cell(self._index, self._options, self._table, durable=self._durable)
        for operation in reversed(operations):
            cell.do(operation)
        cell.out.clear()
        return cell
