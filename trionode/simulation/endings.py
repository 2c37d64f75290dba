"""How a simulated mesh must end: everything settled, nothing remembered of interest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing.model import State
from trionode.simulation.books import check_no_interest, check_nothing_in_doubt, check_sums, recount
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.simulation.world import World


def is_drained(world: World) -> bool:
    """Whether no object waits for anything but a person."""
    if any(producer.open for producer in world.producers):
        return False
    for node in world.nodes:
        brain = node.host.brain
        if brain is not None:
            for table in brain.context.custody.tables.values():
                if table.held != table.counts[State.DEAD]:
                    return False
    return True


def name_stranded(world: World) -> None:
    """Say what was not settled.

    Raises:
        InvariantBroken: always.
    """
    for node in world.nodes:
        brain = node.host.brain
        for id_, item in brain.context.custody.objects.items() if brain is not None else ():
            if item.state != State.DEAD:
                text = f"{item.table.name} is {item.state.name} at n{node.index} for ever"
                raise InvariantBroken("I5", text, id_)
    raise InvariantBroken("I5", "a producer waits for an acknowledgement for ever")


def judge(world: World) -> None:
    """What must hold when nothing moves any more and nobody is subscribed.

    Raises:
        InvariantBroken: it does not.
    """
    ledger = world.invariants.ledger
    for node in world.nodes:
        brain = node.host.brain
        if brain is not None:
            check_sums(brain, len(ledger.held[node.index]))
            recount(brain)
            check_no_interest(brain)
            check_nothing_in_doubt(brain)
    for id_, fate in ledger.fates.items():
        if fate.acknowledged and not fate.over and not fate.dead:
            raise InvariantBroken("I1", "an acknowledged object was never settled", id_)
        if not world.settings.faults and fate.settled != 1 and not (fate.expired or fate.repeats):
            raise InvariantBroken("I2", f"settled {fate.settled} times", id_)
