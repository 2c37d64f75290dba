"""The simulated network between nodes: connections, delays, partitions, loss.

A connection is a pair of streams that keep their order. A break loses what is in flight, and each
end notices it in its own time. What a partition holds up is delivered when it heals, unless an end
has given the connection up by then. A new connection's hello closes the old one (R9).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import events
from trionode.simulation import frames

if TYPE_CHECKING:
    from trionode.simulation.frames import Frame
    from trionode.simulation.generator import Generator
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.scheduler import Scheduler

DELAY_S = 0.0005
"""One way, between nodes, without the fault of slow links."""
DIAL_AGAIN_S = 0.3
CONNECT_MAX_S = 3.0
"""After so long without the other's hello an attempt has failed."""
KEEPALIVE_S = 10.0
"""After so long without a sign of life a connection is given up."""


@attrs.define(eq=False)
class Connection:
    """One connection between the two nodes of a line.

    Per end: is it open there, its link's handle (0 before the other's hello), when the last frame
    to it arrives, and what is held up for it.
    """

    line: Line
    broken: bool = False
    open: list[bool] = attrs.field(factory=lambda: [True, True])
    handles: list[int] = attrs.field(factory=lambda: [0, 0])
    last: list[float] = attrs.field(factory=lambda: [0.0, 0.0])
    held_up: tuple[list[Frame], list[Frame]] = attrs.field(factory=lambda: ([], []))
    lives: list[int] = attrs.field(factory=list)
    """Of the nodes at both ends when it was made: it belongs to these, and to none that follow."""


@attrs.define(eq=False)
class Line:
    """Two nodes that want to be linked. `blocked` per end: nothing arrives there."""

    nodes: tuple[SimulatedNode, SimulatedNode]
    current: list[Connection | None] = attrs.field(factory=lambda: [None, None])
    attempt: Connection | None = None
    """The last connection that was tried; its hellos may still be under way."""
    blocked: list[bool] = attrs.field(factory=lambda: [False, False])
    blocked_since: float = 0.0
    dialling: bool = False
    removed: bool = False
    slow_s: float = 0.0

    @property
    def connections(self) -> list[Connection]:
        """All that may have something in flight."""
        return list(
            dict.fromkeys(each for each in (*self.current, self.attempt) if each is not None)
        )

    @property
    def up(self) -> bool:
        """Whether both ends have a link to each other."""
        one, other = self.current
        return one is not None and one is other and not one.broken and all(one.handles)


class Network:
    """All lines between nodes, and what is on them."""

    def __init__(self, scheduler: Scheduler, generator: Generator) -> None:
        self._scheduler = scheduler
        self._generator = generator
        self.lines: list[Line] = []
        self.frames = 0
        self._handles = 0

    def handle(self) -> int:
        """A new name for a link or a stream, never used before."""
        self._handles += 1
        return self._handles

    def join(self, one: SimulatedNode, other: SimulatedNode) -> Line:
        """Let two nodes want a link."""
        line = Line((one, other))
        self.lines.append(line)
        one.lines.append(line)
        other.lines.append(line)
        self.dial(line)
        return line

    def remove(self, line: Line) -> None:
        """A line is not wanted any more."""
        line.removed = True
        self.lines.remove(line)
        for node in line.nodes:
            node.lines.remove(line)
        self.cut(line, 0.0)

    # --- connecting ----------------------------------------------------------------------------

    def dial(self, line: Line, delay_s: float = 0.0) -> None:
        """Try to connect, now or soon, and again until it succeeds."""
        if not line.dialling and not line.removed:
            line.dialling = True
            delay_s += DIAL_AGAIN_S * 0.1 * self._generator.unit()
            self._scheduler.after(delay_s, self._connect, line)

    def _connect(self, line: Line) -> None:
        line.dialling = False
        if line.removed or not all(node.up and not node.leaving for node in line.nodes):
            return
        one, other = line.current
        if one is not None and one is other and not one.broken:
            return
        if any(line.blocked) or any(node.paused for node in line.nodes):
            self.dial(line, DIAL_AGAIN_S)
            return
        connection = line.attempt = Connection(line, lives=[node.life for node in line.nodes])
        self._scheduler.after(CONNECT_MAX_S, self._check_connected, connection)
        for end in (0, 1):
            host = line.nodes[end].host
            hello = ("hello", host.node, host.incarnation, host.disk is not None)
            self._put(connection, 1 - end, hello)

    def _check_connected(self, connection: Connection) -> None:
        """Give up a connection whose hellos did not come."""
        if not all(connection.handles):
            for end in (0, 1):
                self._notice(connection, end)

    def _hello(self, connection: Connection, end: int, frame: Frame) -> None:
        line = connection.line
        old = line.current[end]
        if old is not None and old is not connection:
            self._break(old)
            self._notice(old, end)
        line.current[end] = connection
        connection.handles[end] = handle = self.handle()
        line.nodes[end].link_up(
            events.LinkUp(handle, frame[1], frame[2], frame[3]), connection, end
        )

    # --- frames --------------------------------------------------------------------------------

    def send(self, connection: Connection, end: int, frame: Frame) -> None:
        """Send a frame from an end to the other one."""
        if connection.open[end] and not connection.broken:
            self._put(connection, 1 - end, frame)

    def _put(self, connection: Connection, to: int, frame: Frame) -> None:
        line = connection.line
        now = self._scheduler.time
        arrival = now + DELAY_S
        if line.slow_s:
            arrival += line.slow_s * self._generator.unit()
        arrival = max(arrival, connection.last[to])
        connection.last[to] = arrival
        self._scheduler.at(arrival, self._arrive, connection, to, frame)

    def _arrive(self, connection: Connection, to: int, frame: Frame) -> None:
        if connection.line.blocked[to] or connection.held_up[to]:
            connection.held_up[to].append(frame)
        else:
            self._read(connection, to, frame)

    def _read(self, connection: Connection, to: int, frame: Frame) -> None:
        node = connection.line.nodes[to]
        if connection.broken or not connection.open[to] or node.life != connection.lives[to]:
            return
        if node.paused:
            node.inbox.append((self._read, (connection, to, frame)))
            return
        self.frames += 1
        if frame[0] == "hello":
            self._hello(connection, to, frame)
        else:
            node.frame_came(frame, connection.handles[to])

    # --- faults --------------------------------------------------------------------------------

    def cut(self, line: Line, notice_max_s: float) -> None:
        """Lose the connection of a line with all in flight; each end notices within a time."""
        for connection in line.connections:
            self._break(connection)
            for end in (0, 1):
                delay_s = notice_max_s * self._generator.unit()
                self._scheduler.after(delay_s, self._notice, connection, end)

    @staticmethod
    def _break(connection: Connection) -> None:
        connection.broken = True

    def _notice(self, connection: Connection, end: int) -> None:
        """An end sees that its connection is gone, or gives it up."""
        node = connection.line.nodes[end]
        if node.life != connection.lives[end]:
            return
        if node.paused:
            node.inbox.append((self._notice, (connection, end)))
            return
        if not connection.open[end]:
            return
        connection.open[end] = False
        connection.broken = True
        line = connection.line
        if connection.open[1 - end]:
            # The other end is told, or notices the silence.
            delay_s = KEEPALIVE_S if any(line.blocked) else DELAY_S
            self._scheduler.after(delay_s, self._notice, connection, 1 - end)
        if line.current[end] is connection:
            line.current[end] = None
        if connection.handles[end]:
            node.link_down(connection.handles[end])
        self.dial(line, DIAL_AGAIN_S)

    def node_died(self, node: SimulatedNode, notice_max_s: float) -> None:
        """A node is gone: its connections break, the peers notice within a time."""
        for line in node.lines:
            end = line.nodes.index(node)
            line.current[end] = None
            for connection in line.connections:
                self._break(connection)
                delay_s = notice_max_s * self._generator.unit()
                self._scheduler.after(delay_s, self._notice, connection, 1 - end)

    def block(self, line: Line, *ends: int) -> None:
        """Let nothing arrive at these ends, until `heal`; a silent peer is given up in the end."""
        for end in ends:
            line.blocked[end] = True
        line.blocked_since = self._scheduler.time
        for connection in line.connections:
            for end in (0, 1):
                patience_s = KEEPALIVE_S * self._generator.between(0.5, 1.5)
                self._scheduler.after(patience_s, self._give_up, connection, end)

    def _give_up(self, connection: Connection, end: int) -> None:
        line = connection.line
        waited_s = self._scheduler.time - line.blocked_since
        if any(line.blocked) and waited_s >= 0.4 * KEEPALIVE_S:
            self._notice(connection, end)

    def heal(self, line: Line) -> None:
        """Let what was held up arrive."""
        line.blocked[0] = line.blocked[1] = False
        for connection in line.connections:
            for end in (0, 1):
                held = connection.held_up[end][:]
                connection.held_up[end].clear()
                for frame in held:
                    self._read(connection, end, frame)
        self.dial(line)


def neighbours(node: SimulatedNode) -> Frame:
    """What a node tells of its links."""
    return frames.neighbours([peer for peer, _, _ in node.links.values()])
