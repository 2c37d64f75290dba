"""The books of custody: every object held, its state, and exact accounting per type (I8).

The only place where an object's state changes. It must never decide where an object goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.model import ENDS, HELD_STATES, MOVES, HeldObject, Spilled, State, Step
from trionode.routing.ordering import Ordering
from trionode.routing.patterns import Patterns
from trionode.routing.queues import ReadyQueue
from trionode.routing.watching import Watcher, Watching
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES, Weights

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = float("-inf")

FLOWS_IN = ("accepted", "recovered", "received", "replaced_in")
FLOWS_OUT = (
    "settled",
    "transferred",
    "expired",
    "discarded",
    "merged",
    "replaced_out",
    "damaged",
)


@attrs.define
class Flow:
    """Objects and payload bytes that crossed one of the doors of custody."""

    count: int = 0
    size_bytes: int = 0


@attrs.define(eq=False)
class TypeTable:
    """Everything held of one type. Mutated by `Custody` only, but for the last seven.

    `spilled` counts the objects whose payload is not in memory. `keys` are its name and the
    patterns in use that match it; `weights` are those of all objects of the custody; `watchers`
    are shown what comes; `turn` counts whose turn it is among the subscriptions of several keys.
    `local_gone` is when the last local
    subscription went; `wake` the earliest timer set for planning this type's transfers;
    `planned_for` the situation in which it was last planned; `wished` that a peer knows of a
    backlog. `fetching`: payloads are being read back; `look_in`: how many objects may leave the
    queue's front before it must be looked at which ones to read next.
    """

    name: str
    ready: ReadyQueue = attrs.field(factory=ReadyQueue)
    counts: list[int] = attrs.field(factory=lambda: [0] * len(HELD_STATES))
    held_bytes: int = 0
    spilled: int = 0
    flows: dict[str, Flow] = attrs.field(
        factory=lambda: {name: Flow() for name in (*FLOWS_IN, *FLOWS_OUT)}
    )
    keys: tuple[str, ...] = attrs.field(
        default=attrs.Factory(lambda self: (self.name,), takes_self=True)
    )
    weights: Weights = attrs.field(factory=Weights)
    watchers: tuple[Watcher, ...] = ()
    turn: int = 0
    local_gone: float = NEVER
    wake: float = float("inf")
    planned_for: tuple[object, ...] = ()
    wished: bool = False
    fetching: bool = False
    look_in: int = 0

    @property
    def unused(self) -> bool:
        """Whether no object of this type was ever here."""
        return not any(flow.count for flow in self.flows.values())

    @property
    def held(self) -> int:
        """How many objects are in custody, in any state."""
        return sum(self.counts)


class Custody:
    """All objects held, by id and by type."""

    def __init__(self) -> None:
        self.objects: dict[int, HeldObject] = {}
        self.tables: dict[str, TypeTable] = {}
        self.patterns = Patterns(self.tables)
        self.watching = Watching(self.tables)
        self.ordering = Ordering(self.move)
        self.held_bytes = 0
        self.spilled_bytes = 0
        self.weights = Weights()

    @property
    def memory_bytes(self) -> int:
        """What all objects take in memory, with their properties and what the books need."""
        overhead_bytes = OBJECT_OVERHEAD_BYTES * len(self.objects) + self.weights.total_bytes
        return self.resident_bytes + overhead_bytes

    @property
    def resident_bytes(self) -> int:
        """Payload bytes in memory; the others are in the store only."""
        return self.held_bytes - self.spilled_bytes

    def table(self, name: str) -> TypeTable:
        """The table of a type, made at its first use."""
        table = self.tables.get(name)
        if table is None:
            table = TypeTable(name, ReadyQueue(self.ordering), weights=self.weights)
            self.tables[name] = table
            self.patterns.came(table)
            self.watching.came(table)
        return table

    def forget(self, table: TypeTable) -> None:
        """Remember a type no longer of which nothing ever was here."""
        del self.tables[table.name]
        self.patterns.went(table)

    def admit(self, table: TypeTable, objects: list[HeldObject], door: str) -> None:
        """Take custody of objects in the state they are in; ready ones join the queue's back.

        `door` is one of `FLOWS_IN`. The ids must not be held.
        """
        held, counts = self.objects, table.counts
        size_bytes = 0
        ready = []
        for item in objects:
            assert item.id not in held, "an object held already must be merged"
            held[item.id] = item
            counts[item.state] += 1
            size_bytes += len(item.payload)
            if item.state == State.READY:
                ready.append(item)
            elif item.details is not None and "ordering_key" in item.details:
                table.ready.append(ready)  # those before it have their places before it
                ready = []
                self.ordering.stand(item)
        table.ready.append(ready)
        self._flow(table, door, len(objects), size_bytes, inward=True)
        if len(table.keys) > 1:
            self.patterns.hold(table)
        if table.watchers and door != "recovered":
            self.watching.copy(table, objects, door)

    def move(self, objects: Iterable[HeldObject], step: Step) -> None:
        """Change the state of objects that stay in custody; the caller queues ready ones.

        Raises:
            AssertionError: an object is in a state that the step does not leave from.
        """
        row = MOVES[step]
        for item in objects:
            target = row[item.state]
            assert target is not None, f"{step.name} from {item.state!r}"
            counts = item.table.counts
            counts[item.state] -= 1
            counts[target] += 1
            item.state = target
        if step == Step.BURY and self.ordering.lines:
            self.ordering.left(objects, step)

    def remove(self, objects: list[HeldObject], step: Step, door: str) -> list[int]:
        """End custody of objects, through one of `FLOWS_OUT`; returns their ids."""
        if self.spilled_bytes:
            self._count_back(objects)
        row = ENDS[step]
        held = self.objects
        ids = []
        for item in objects:
            target = row[item.state]
            assert target is not None, f"{step.name} from {item.state!r}"
            del held[item.id]
            ids.append(item.id)
            table = item.table
            table.counts[item.state] -= 1
            item.state = target
            size_bytes = len(item.payload)
            table.held_bytes -= size_bytes
            self.held_bytes -= size_bytes
            flow = table.flows[door]
            flow.count += 1
            flow.size_bytes += size_bytes
            item.payload = b""
            item.holder = None
        self.weights.drop(ids)
        if self.ordering.lines:
            self.ordering.left(objects, step)
        return ids

    def merge(self, table: TypeTable, size_bytes: int, door: str) -> None:
        """Count a copy of an object held already: it came through `door` and is merged at once."""
        for each in (door, "merged"):
            flow = table.flows[each]
            flow.count += 1
            flow.size_bytes += size_bytes

    def damaged(self, table: TypeTable, count: int, size_bytes: int) -> None:
        """Count objects that the store had and could not read: recovered, and gone at once."""
        for door in ("recovered", "damaged"):
            flow = table.flows[door]
            flow.count += count
            flow.size_bytes += size_bytes

    def replace(self, item: HeldObject, payload: bytes) -> None:
        """Give a held object new content (its state is moved by the caller)."""
        if self.spilled_bytes:
            self._count_back([item])
        self._flow(item.table, "replaced_out", 1, len(item.payload), inward=False)
        item.payload = payload
        self._flow(item.table, "replaced_in", 1, len(payload), inward=True)

    def spill(self, item: HeldObject) -> None:
        """Leave an object's payload to the store."""
        size_bytes = len(item.payload)
        item.payload = Spilled(size_bytes)
        item.table.spilled += 1
        self.spilled_bytes += size_bytes

    def restore(self, item: HeldObject, payload: bytes) -> None:
        """Have an object's payload in memory again."""
        self._count_back([item])
        item.payload = payload

    def _count_back(self, objects: list[HeldObject]) -> None:
        """The payloads of these are about to be in memory, or gone."""
        for item in objects:
            if isinstance(item.payload, Spilled):
                item.table.spilled -= 1
                self.spilled_bytes -= item.payload.size_bytes

    def _flow(
        self, table: TypeTable, door: str, count: int, size_bytes: int, *, inward: bool
    ) -> None:
        flow = table.flows[door]
        flow.count += count
        flow.size_bytes += size_bytes
        change = size_bytes if inward else -size_bytes
        table.held_bytes += change
        self.held_bytes += change
