"""A small world as a value, and every step that may be taken from it.

Steps that need no fault are always possible; faults, changes of mind and timers draw on budgets, so
that a world has finitely many states. What must hold in each state is checked here, and written
from the design's invariants, not from the brain's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.model import Shape
from trionode.simulation.cells import GIVING, Cells, FrameTable
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.simulation.cells import Output, Summary
    from trionode.simulation.presets import Preset

Step = tuple[str, ...] | tuple[object, ...]
Lease = tuple[int, int, int, int]
"""Node, object, attempt, stream."""

NEWS = ("interest", "credit", "backlog")
"""Kinds of frames that move no custody."""

BUDGETS = ("drops", "crashes", "burns", "rings", "changes", "nacks", "repeats", "drains")


@attrs.frozen
class State:
    """All there is of a world at a moment. `cells` are numbers of the nodes' own states.

    `known` are all leases a consumer was ever given and has not settled, valid or not; `valid`
    those it holds by right. `pushed` counts pushes of each object, and the emissions of a result,
    `settled` its settles.
    `excused`: a fault has happened after which a duplicate is possible.
    """

    cells: tuple[int, ...]
    queues: tuple[tuple[int, ...], ...]
    up: tuple[bool, ...]
    left: tuple[int, ...]
    pushed: tuple[int, ...]
    acknowledged: tuple[bool, ...]
    settled: tuple[int, ...]
    known: tuple[Lease, ...] = ()
    valid: tuple[Lease, ...] = ()
    excused: bool = False
    burnt: tuple[int, ...] = ()
    destroyed: tuple[int, ...] = ()
    """Objects of which a lost disk or memory took a copy."""
    repeated: tuple[int, ...] = ()
    """Objects whose pushes were said to repeat the key of another."""


class SmallWorld:
    """Steps and checks of one preset's world."""

    def __init__(self, preset: Preset) -> None:
        self.preset = preset
        self._table = FrameTable(Shape("json", ""))
        self._cells = [
            Cells(index, preset.options, self._table, durable=index not in preset.memory)
            for index in range(preset.nodes)
        ]
        self._pairs = [pair for low, high in preset.links for pair in ((low, high), (high, low))]
        self._queue = {pair: index for index, pair in enumerate(self._pairs)}
        self._parents = len(preset.homes)
        """Objects that are pushed; with results, object n + so many is the result of object n."""

    # --- states --------------------------------------------------------------------------------

    def first(self) -> State:
        """All nodes up and linked, the consumers subscribed, and all news of it told."""
        preset = self.preset
        objects = self._parents * (2 if "emit" in preset.settles else 1)
        state = State(
            tuple(cells.root for cells in self._cells),
            ((),) * len(self._pairs),
            (False,) * len(preset.links),
            tuple(preset.budget.get(name, 0) for name in BUDGETS),
            (0,) * objects,
            (False,) * objects,
            (0,) * objects,
        )
        for node in range(preset.nodes):
            state = self._act(state, node, ("start",))
        for number in range(len(preset.links)):
            state = self.take(state, ("link", number))
        for node, credit in preset.consumers:
            state = self._act(state, node, ("subscribe", credit))
        return self.settle_down(state)

    def settle_down(self, state: State, steps_max: int = 10_000) -> State:
        """Let everything that needs no fault, timer or client happen, in a fixed order."""
        for _ in range(steps_max):
            step = next(self._natural(state), None)
            if step is None:
                return state
            state = self.take(state, step)
        raise InvariantBroken("I5", "messages that never end")

    def summary(self, state: State, node: int) -> Summary:
        """What may be seen of a node."""
        return self._cells[node].summaries[state.cells[node]]

    # --- steps ---------------------------------------------------------------------------------

    def steps(self, state: State) -> Iterator[Step]:
        """Everything that may happen next."""
        yield from self._natural(state)
        yield from self._clients(state)
        yield from self.recoveries(state)
        yield from self._faults(state)

    def _natural(self, state: State) -> Iterator[Step]:
        for (giver, taker), queue in zip(self._pairs, state.queues, strict=True):
            if queue:
                yield ("frame", giver, taker)
        for node in range(self.preset.nodes):
            if self.summary(state, node).must_commit:
                yield ("commit", node)

    def _clients(self, state: State) -> Iterator[Step]:
        preset = self.preset
        for number, home in enumerate(preset.homes, 1):
            alive = self.summary(state, home)
            may = state.pushed[number - 1] == 0 or (
                self._has(state, "repeats") and not state.acknowledged[number - 1]
            )
            if may and alive.alive and not alive.draining:
                yield ("push", number)
        for lease in state.known:
            if self.summary(state, lease[0]).alive:
                yield from self._settles_of(state, lease)
        if self._has(state, "changes"):
            for node in preset.changing:
                summary = self.summary(state, node)
                if summary.alive:
                    yield ("leave" if summary.stream else "subscribe", node)

    def _settles_of(self, state: State, lease: Lease) -> Iterator[Step]:
        yield ("ack", *lease)
        if self._has(state, "nacks"):
            for action in self.preset.settles:
                if action != "emit" or lease[1] <= self._parents:
                    yield (action, *lease)

    def recoveries(self, state: State) -> Iterator[Step]:
        """Who is down may start, who is not linked may be."""
        for node in range(self.preset.nodes):
            if not self.summary(state, node).alive and node not in state.burnt:
                yield ("start", node)
        for number, (low, high) in enumerate(self.preset.links):
            both = self.summary(state, low).alive and self.summary(state, high).alive
            if both and not state.up[number]:
                yield ("link", number)

    def _faults(self, state: State) -> Iterator[Step]:
        preset = self.preset
        if self._has(state, "drops"):
            for number, up in enumerate(state.up):
                if up:
                    yield ("drop", number)
        for node in range(preset.nodes):
            summary = self.summary(state, node)
            if summary.alive:
                yield from self._faults_of(state, node, summary)

    def _faults_of(self, state: State, node: int, summary: Summary) -> Iterator[Step]:
        preset = self.preset
        if node in preset.crashing and self._has(state, "crashes"):
            yield ("crash", node, False)
            if summary.must_commit:
                yield ("crash", node, True)
        if node in preset.burning and self._has(state, "burns"):
            yield ("burn", node)
        if summary.rings and self._has(state, "rings"):
            yield ("ring", node)
        if node in preset.draining and self._has(state, "drains") and not summary.draining:
            yield ("drain", node)

    @staticmethod
    def _has(state: State, budget: str) -> bool:
        return state.left[BUDGETS.index(budget)] > 0

    # --- taking a step -------------------------------------------------------------------------

    def take(self, state: State, step: Step) -> State:
        """The state after a step.

        Raises:
            InvariantBroken: something happened that must not.
        """
        kind = step[0]
        assert isinstance(kind, str)
        after: State = getattr(self, f"_take_{kind.replace(' ', '_')}")(state, *step[1:])
        if self.preset.news_at_once:
            after = self._hear_news(after)
        self.check(after)
        return after

    def _hear_news(self, state: State) -> State:
        """Let news of interest and credit arrive as soon as nothing is before it."""
        for pair, at in self._queue.items():
            while state.queues[at] and self._table.frame(state.queues[at][0])[0] in NEWS:
                state = self._take_frame(state, *pair)
        return state

    def _act(self, state: State, node: int, operation: tuple[object, ...]) -> State:
        number, out = self._cells[node].step(state.cells[node], operation)
        cells = (*state.cells[:node], number, *state.cells[node + 1 :])
        state = attrs.evolve(state, cells=cells)
        return self._hear(state, node, out) if out else state

    def _hear(self, state: State, node: int, out: tuple[Output, ...]) -> State:
        """What a node put out, in its order."""
        queues = list(state.queues)
        known, valid = list(state.known), list(state.valid)
        acknowledged, settled = list(state.acknowledged), list(state.settled)
        excused, repeated = state.excused, state.repeated
        for kind, *more in out:
            if kind == "frame":
                queues[self._queue[node, more[0]]] += (more[1],)
            elif kind == "acknowledged":
                acknowledged[more[0] - 1] = True
            elif kind == "repeated":
                repeated = tuple(sorted({*repeated, more[0]}))
            elif kind == "gave up":
                excused = True
            elif kind == "leased":
                lease = (node, *more)
                self._check_lease(valid, lease, excused=excused)
                known.append(lease)
                valid.append(lease)
            elif kind == "lost lease":
                valid = [each for each in valid if each != (node, *more)]
            elif kind == "settled":
                number = more[0]
                settled[number - 1] += 1
                if settled[number - 1] > 1 and not excused:
                    raise InvariantBroken("I2", f"object {number} was settled twice")
        return attrs.evolve(
            state,
            queues=tuple(queues),
            known=tuple(known),
            valid=tuple(valid),
            acknowledged=tuple(acknowledged),
            settled=tuple(settled),
            excused=excused,
            repeated=repeated,
        )

    @staticmethod
    def _check_lease(valid: list[Lease], lease: Lease, *, excused: bool) -> None:
        for other in valid:
            if other[1] == lease[1] and (other[0] == lease[0] or not excused):
                raise InvariantBroken("I6", f"object {lease[1]} is leased to two consumers")

    def _spend(self, state: State, budget: str) -> State:
        at = BUDGETS.index(budget)
        return attrs.evolve(
            state, left=(*state.left[:at], state.left[at] - 1, *state.left[at + 1 :])
        )

    def _take_frame(self, state: State, giver: int, taker: int) -> State:
        at = self._queue[giver, taker]
        queue = state.queues[at]
        state = attrs.evolve(state, queues=(*state.queues[:at], queue[1:], *state.queues[at + 1 :]))
        return self._act(state, taker, ("frame", giver, queue[0]))

    def _take_commit(self, state: State, node: int) -> State:
        return self._act(state, node, ("commit",))

    def _take_ring(self, state: State, node: int) -> State:
        return self._act(self._spend(state, "rings"), node, ("ring",))

    def _take_drain(self, state: State, node: int) -> State:
        return self._act(self._spend(state, "drains"), node, ("drain",))

    def _take_push(self, state: State, number: int) -> State:
        at = number - 1
        if state.pushed[at]:
            state = self._spend(state, "repeats")
        pushed = (*state.pushed[:at], state.pushed[at] + 1, *state.pushed[at + 1 :])
        floor = 0
        while floor < len(state.acknowledged) and state.acknowledged[floor]:
            floor += 1
        state = attrs.evolve(state, pushed=pushed)
        operation = ("push", number, min(floor, at), self.preset.key)
        return self._act(state, self.preset.homes[at], operation)

    def _take_subscribe(self, state: State, node: int) -> State:
        return self._act(self._spend(state, "changes"), node, ("subscribe", self.preset.credit))

    def _take_leave(self, state: State, node: int) -> State:
        state = self._spend(state, "changes")
        state = attrs.evolve(
            state,
            known=tuple(lease for lease in state.known if lease[0] != node),
            valid=tuple(lease for lease in state.valid if lease[0] != node),
        )
        return self._act(state, node, ("leave", False))

    def _take_ack(self, state: State, *lease: int) -> State:
        return self._settle(state, "ack", lease)  # type: ignore[arg-type]  # a lease has four parts

    def _take_nack(self, state: State, *lease: int) -> State:
        return self._settle(self._spend(state, "nacks"), "nack", lease)  # type: ignore[arg-type]  # as above

    def _take_replace(self, state: State, *lease: int) -> State:
        return self._settle(self._spend(state, "nacks"), "replace", lease)  # type: ignore[arg-type]  # as above

    def _take_emit(self, state: State, *lease: int) -> State:
        right = lease in state.valid
        state = self._settle(self._spend(state, "nacks"), "emit", lease)  # type: ignore[arg-type]  # as above
        return self._note_result(state, lease[1], emitted=right) if right else state

    def _note_result(self, state: State, parent: int, *, emitted: bool) -> State:
        at = parent + self._parents - 1
        pushed = (*state.pushed[:at], int(emitted), *state.pushed[at + 1 :])
        return attrs.evolve(state, pushed=pushed)

    def _judge_results(self, state: State) -> State:
        """After a crash: a step from an object to its result was done, or not, but never half.

        What was not done, and of an object that nobody knows to be in custody, may be done again.
        """
        for child in range(self._parents + 1, len(state.pushed) + 1):
            parent = child - self._parents
            if not state.pushed[child - 1] or state.settled[child - 1]:
                continue
            if self._held(state, child):
                # Of several nodes, another one may have been given the result before the crash.
                if self._held(state, parent) and self.preset.nodes == 1:
                    raise InvariantBroken("G1", f"object {parent} came back beside its result")
                continue
            lost = child in state.destroyed or parent in state.destroyed
            if state.acknowledged[parent - 1] and not self._held(state, parent) and not lost:
                raise InvariantBroken("G1", f"object {parent} is gone, and so is its result")
            state = self._note_result(state, parent, emitted=False)
        return state

    def _held(self, state: State, number: int) -> bool:
        return any(
            number == held
            for node in range(self.preset.nodes)
            for held, _ in self.summary(state, node).held
        )

    def _settle(self, state: State, action: str, lease: Lease) -> State:
        right = lease in state.valid
        state = attrs.evolve(
            state,
            known=tuple(each for each in state.known if each != lease),
            valid=tuple(each for each in state.valid if each != lease),
        )
        node, number, attempt, stream = lease
        child = self._parents + number if action == "emit" else 0
        operation = ("settle", action, number, attempt, stream, child)
        _, out = self._cells[node].step(state.cells[node], operation)
        refused = next(more[0] for kind, *more in out if kind == "answered")
        if right == bool(refused):
            raise InvariantBroken("I6", f"a settle of object {number} was judged wrongly")
        return self._act(state, node, operation)

    # --- links and lives -----------------------------------------------------------------------

    def _take_link(self, state: State, number: int) -> State:
        low, high = self.preset.links[number]
        state = attrs.evolve(state, up=(*state.up[:number], True, *state.up[number + 1 :]))
        told = [self.summary(state, node) for node in (low, high)]
        for node, peer, summary in ((low, high, told[1]), (high, low, told[0])):
            durable = peer not in self.preset.memory
            state = self._act(state, node, ("up", peer, summary.node, summary.incarnation, durable))
        return state

    def _take_drop(self, state: State, number: int) -> State:
        return self._cut(self._spend(state, "drops"), number, self.preset.links[number])

    def _cut(self, state: State, number: int, ends: tuple[int, ...]) -> State:
        """Take a link down with all in flight; `ends` are the nodes that live to see it."""
        low, high = self.preset.links[number]
        queues = list(state.queues)
        queues[self._queue[low, high]] = queues[self._queue[high, low]] = ()
        up = (*state.up[:number], False, *state.up[number + 1 :])
        state = attrs.evolve(state, up=up, queues=tuple(queues))
        for node in ends:
            state = self._act(state, node, ("down", low + high - node))
        return state

    def _take_crash(self, state: State, node: int, written: bool) -> State:  # noqa: FBT001  # a step is a tuple
        return self._die(self._spend(state, "crashes"), node, ("crash", written))

    def _take_burn(self, state: State, node: int) -> State:
        state = self._die(self._spend(state, "burns"), node, ("burn",))
        return attrs.evolve(state, burnt=(*state.burnt, node))

    def _die(self, state: State, node: int, operation: tuple[object, ...]) -> State:
        for number, (low, high) in enumerate(self.preset.links):
            if state.up[number] and node in (low, high):
                state = self._cut(state, number, (low + high - node,))
        before = self.summary(state, node)
        # A disk that knows all that its node did allows no duplicate.
        sure = operation == ("crash", True) or not before.must_commit
        lost = operation[0] == "burn" or node in self.preset.memory
        gone = [number for number, _ in before.held if number not in state.destroyed and lost]
        state = attrs.evolve(
            state,
            known=tuple(lease for lease in state.known if lease[0] != node),
            valid=tuple(lease for lease in state.valid if lease[0] != node),
            destroyed=(*state.destroyed, *gone),
            excused=state.excused or not sure or bool(gone),
        )
        return self._judge_results(self._act(state, node, operation))

    def _take_start(self, state: State, node: int) -> State:
        return self._act(state, node, ("start",))

    # --- what must hold ------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """I1 and I2 of a state, and that a key means the object that was acknowledged first."""
        holders = [0] * len(state.pushed)
        staying = [0] * len(state.pushed)
        for node in range(self.preset.nodes):
            for number, standing in self.summary(state, node).held:
                holders[number - 1] += 1
                staying[number - 1] += standing != GIVING
        for at, acknowledged in enumerate(state.acknowledged):
            known = (*state.destroyed, *state.repeated)
            safe = holders[at] or state.settled[at] or (at + 1) in known
            if acknowledged and not safe:
                raise InvariantBroken("I1", f"object {at + 1} is lost")
            others = any(holders[:at]) or any(holders[at + 1 :])
            if self.preset.key and acknowledged and others and (at + 1) not in state.repeated:
                raise InvariantBroken("keys", f"object {at + 1} has the key, another was taken")
            if staying[at] > 1 and not state.excused:
                raise InvariantBroken("I2", f"object {at + 1} has two custodians")
