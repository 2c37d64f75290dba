"""An operator who asks random nodes where objects are and what is held, while all else goes on.

What is asked and what was answered is part of the trace; nothing else may come of it.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import attrs

from trionode.ids import object_id
from trionode.inspection.pages import Place, Selection, page
from trionode.inspection.views import STATES

if TYPE_CHECKING:
    from trionode.simulation.generator import Generator
    from trionode.simulation.node import SimulatedNode
    from trionode.simulation.questions import Told
    from trionode.simulation.world import World

MEAN_S = 2.0
"""Between two questions, in meshes of up to `NODES` nodes; in larger ones each costs more."""
NODES = 8
TIMEOUT_S = 3.0
NEXT_PAGE_S = 0.2
FIRST_MAX = 64
"""Of what a node holds, one of so many that it has had for longest is meant."""
PAGES_MAX = 20
"""Of a listing, unless much comes meanwhile: where more is held, pages are longer."""
EXPLAINED_MAX = 20
"""With sampling, so many objects of a listing are shown with reasons, then one of each page."""


@attrs.define(eq=False)
class _Walk:
    """Pages of one listing: `at_once`, with nothing between them, or with pauses."""

    node: SimulatedNode
    life: int
    selection: Selection
    limit: int
    at_once: bool
    shown: list[int] = attrs.field(factory=list)
    stayed: dict[int, None] | None = None


class Operator:
    """Asks until it is stopped."""

    def __init__(self, world: World, generator: Generator) -> None:
        self._world = world
        self._generator = generator
        self._on = False

    def start(self) -> None:
        """Begin to ask."""
        self._on = True
        self._later()

    def stop(self) -> None:
        """Ask nothing more."""
        self._on = False

    def _later(self) -> None:
        mean_s = MEAN_S * max(1.0, len(self._world.nodes) / NODES) ** 2
        self._world.scheduler.after(self._generator.wait(mean_s), self._ask)

    def _ask(self) -> None:
        if not self._on:
            return
        nodes = [node for node in self._world.nodes if node.up and not node.paused]
        held = self._world.invariants.ledger.held
        holding = [node for node in nodes if held[node.index]]
        if self._generator.chance(0.5):
            if nodes:
                self._explain(self._generator.pick(nodes))
        elif holding:
            self._objects(self._generator.pick(holding))
        self._later()

    # --- one object ----------------------------------------------------------------------------

    def _explain(self, node: SimulatedNode) -> None:
        generator, world = self._generator, self._world
        id_ = self._any_id()
        name = generator.bits().to_bytes(8, "big") + generator.bits().to_bytes(8, "big")
        world.note(f"n{node.index} is asked for {id_}")
        world.answers.asked(name, node, id_)
        node.questions.ask(name, id_, TIMEOUT_S, lambda told: self._told(name, node, told))

    def _any_id(self) -> int:
        """Of an object that is held somewhere, or that was pushed, or that nobody has heard of."""
        generator, world = self._generator, self._world
        if generator.chance(0.6):
            held = world.invariants.ledger.held[generator.pick(world.nodes).index]
            if held:
                return self._one_of(held)
        producer = generator.pick(world.producers)
        return object_id(producer.id, 1 + generator.below(producer.pushed + 2))

    def _one_of(self, held: dict[int, None]) -> int:
        return next(islice(held, self._generator.below(min(FIRST_MAX, len(held))), None))

    def _told(self, name: bytes, node: SimulatedNode, told: Told) -> None:
        said, replies = told
        self._world.note(f"n{node.index} says {len(replies)} answered: {said['summary']}")
        self._world.answers.gathered(name, node, said, replies)

    # --- many ----------------------------------------------------------------------------------

    def _objects(self, node: SimulatedNode) -> None:
        generator = self._generator
        assert node.host.brain is not None
        held = self._world.invariants.ledger.held[node.index]
        item = node.host.brain.context.custody.objects[self._one_of(held)]
        at_once = generator.chance(0.5)
        states = [item.state] if at_once and generator.chance(0.7) else STATES.values()
        selection = Selection(item.table.name, frozenset(states))
        limit = max(generator.pick((1, 5, 50)), len(held) // PAGES_MAX)
        self._page(_Walk(node, node.life, selection, limit, at_once), Place())

    def _page(self, walk: _Walk, place: Place | None) -> None:
        node, answers = walk.node, self._world.answers
        if node.life != walk.life:
            return
        if node.paused:
            node.inbox.append((self._page, (walk, place)))
            return
        with answers.untouched(node):
            while place is not None:
                place = self._one_page(walk, place)
                if place is not None and not walk.at_once:
                    self._world.scheduler.after(NEXT_PAGE_S, self._page, walk, place)
                    return
        assert walk.stayed is not None
        self._world.note(f"n{node.index} shows {len(walk.shown)} of {walk.selection.type}")
        answers.all_shown(walk.shown, walk.stayed, exactly=walk.at_once)

    def _one_page(self, walk: _Walk, place: Place) -> Place | None:
        node, answers = walk.node, self._world.answers
        if walk.stayed is None or not walk.at_once:
            walk.stayed = answers.still_held(node, walk.selection, walk.stayed)
        assert node.host.brain is not None
        now = node.now()
        found, following = page(
            node.host.brain.context.custody, walk.selection, place, walk.limit, now
        )
        shown = found
        if not self._world.settings.every:
            shown = found[: max(1, EXPLAINED_MAX - len(walk.shown))]
        views = [node.questions.looking.at(item, now) for item in shown]
        answers.shown(node, walk.selection, walk.limit - len(found) + len(shown), views)
        walk.shown += [item.id for item in found]
        return following
