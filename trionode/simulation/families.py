"""Steps from objects to their results, and keys of pushes, as the ledger's side books.

A step is done wholly or not at all: a parent that was settled with results has left its node with
them in custody there, also after a crash. A key means one object at one node within its window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.ids import object_id
from trionode.routing import effects
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing import events
    from trionode.routing.effects import Effect
    from trionode.routing.model import HeldObject
    from trionode.routing.records import KeysRecord
    from trionode.simulation.fates import Fate


@attrs.frozen
class Step:
    """A parent that was settled, and the results that were taken with that."""

    parent: int
    children: tuple[int, ...]


def children_of(pushed: events.Pushed) -> tuple[int, ...]:
    """The ids of the results of one parent."""
    return tuple(
        object_id(pushed.producer, pushed.first + index) for index in range(len(pushed.payloads))
    )


class Families:
    """The steps that each node's next crash may take back."""

    def __init__(self) -> None:
        self._unsaved: dict[int, list[Step]] = {}
        self._saving: dict[int, list[Step]] = {}

    def settled(
        self, node: int, event: events.Settled, valid: set[int], out: list[Effect]
    ) -> list[tuple[events.Pushed, tuple[int, ...]]]:
        """Check a settle with results at the moment it is handled; returns what was taken by it.

        Args:
            node: its index.
            event: the settle.
            valid: indexes of the leases that were valid.
            out: what the brain put out.
        """
        taken = {
            item.id
            for effect in out
            if type(effect) is effects.Keep and effect.fresh
            for item in effect.objects
        }
        done = []
        for index, pushed in event.emitted:
            children = children_of(pushed)
            if index in valid:
                if not taken.issuperset(children):
                    text = "settled with results that were not taken"
                    raise InvariantBroken("G1", text, event.ids[index])
                done.append((pushed, children))
                step = Step(event.ids[index], children)
                self._unsaved.setdefault(node, []).append(step)
            elif taken.intersection(children):
                text = "results were taken under a lease that is not valid"
                raise InvariantBroken("I6", text, event.ids[index])
        return done

    def writing(self, node: int) -> None:
        """A commit begins with all that the node has put out so far."""
        self._saving[node] = self._unsaved.pop(node, [])

    def written(self, node: int) -> None:
        """It is done."""
        self._saving.pop(node, None)

    def crashed(self, node: int, kept: dict[int, None], fates: dict[int, Fate]) -> None:
        """A node with a disk is down and `kept` is on it; the fates say so already.

        Raises:
            InvariantBroken: a step was half done.
        """
        steps = [*self._saving.pop(node, []), *self._unsaved.pop(node, [])]
        for step in steps:
            family = [fates[child] for child in step.children]
            if step.parent in kept and any(child in kept for child in step.children):
                text = "came back from a crash beside its own results"
                raise InvariantBroken("G1", text, step.parent)
            parent = fates[step.parent]
            gone = step.parent not in kept and not parent.holders and parent.acknowledged
            if gone and any(not (child.holders or child.over) for child in family):
                text = "gone in a crash together with its results"
                raise InvariantBroken("G1", text, step.parent)

    def forget(self, node: int) -> None:
        """A node in memory is gone, with everything."""
        self._saving.pop(node, None)
        self._unsaved.pop(node, None)


class KeyBook:
    """What each key of a push must mean, by node.

    Args:
        window_s: how long a key means its object.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._known: dict[int, dict[tuple[str, str], tuple[int, float]]] = {}

    def stored(self, node: int, item: HeldObject, time: float, jumps_s: float) -> None:
        """A pushed object with a key was taken by a node.

        Raises:
            InvariantBroken: its key means another object there.
        """
        book = self._known.setdefault(node, {})
        name = (item.table.name, item.detail("key"))
        before = book.get(name)
        if before is not None and self._is_meant(before[1], time, jumps_s):
            text = f"stored although its key {name[1]!r} means another object"
            raise InvariantBroken("keys", text, item.id)
        book[name] = (item.id, time)

    def crashed(
        self, node: int, kept: list[KeysRecord], fates: dict[int, Fate], time: float, jumps_s: float
    ) -> None:
        """A node with a disk is down, and these keys are on it.

        Raises:
            InvariantBroken: a push was acknowledged whose key is not.
        """
        there = {id_ for record in kept for _, id_ in record.keys}
        for id_, when in self._known.get(node, {}).values():
            fate = fates[id_]
            if id_ in there or fate.excuses or not fate.acknowledged:
                continue
            if self._is_meant(when, time, jumps_s):
                raise InvariantBroken("keys", "acknowledged before its key was kept", id_)

    def _is_meant(self, when: float, time: float, jumps_s: float) -> bool:
        """Whether a key that was used at that time must mean its object still."""
        # Clocks may run half as fast again, or jump.
        return 2 * (time - when) + jumps_s < self._window_s

    def lost(self, node: int, ids: Iterable[int] | None) -> None:
        """A node does not know the keys of these objects any more; None: of any."""
        if ids is None:
            self._known.pop(node, None)
            return
        gone = set(ids)
        book = self._known.get(node, {})
        for name in [name for name, (id_, _) in book.items() if id_ in gone]:
            del book[name]
