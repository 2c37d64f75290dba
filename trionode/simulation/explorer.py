"""Breadth-first exploration of a small world: every interleaving, shortest trace of a break.

Beside the invariants of every state, each state in which nothing is under way is carried on to an
end without further faults: links and nodes come back, a consumer comes, and everything must be
settled (I5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.simulation.cells import ON_DISK
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.small_world import SmallWorld

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.simulation.presets import Preset
    from trionode.simulation.small_world import State, Step

ROUNDS_MAX = 40
"""Of carrying on to the end: timers, deliveries and settles."""


@attrs.frozen
class Explored:
    """What exploring a preset showed. `broken` is empty if all held; `trace` leads to the break.

    `complete`: every state was met.
    """

    preset: str
    states: int
    steps: int
    ends: int
    depth: int
    complete: bool
    broken: str = ""
    trace: tuple[str, ...] = ()


def explore(
    preset: Preset,
    states_max: int = 1_000_000,
    progress: Callable[[int], None] = lambda _states: None,
) -> Explored:
    """Explore a preset, until it is done or something breaks."""
    world = SmallWorld(preset)
    came_by: dict[State, tuple[State, Step] | None] = {}
    steps = ends = depth = 0
    state: State | None = None
    step: Step = ()
    try:
        first = world.first()
        came_by[first] = None
        level = [first]
        while level and len(came_by) < states_max:
            following: list[State] = []
            for state in level:
                if _is_quiet(world, state):
                    ends += 1
                    step = ("carry on to the end",)
                    carry_on(world, state)
                for step in world.steps(state):
                    steps += 1
                    after = world.take(state, step)
                    if after not in came_by:
                        came_by[after] = (state, step)
                        following.append(after)
            level = following
            depth += 1
            progress(len(came_by))
    except (InvariantBroken, AssertionError, KeyError, IndexError, TypeError) as error:
        trace = [*_trace(came_by, state), _words(step)]
        broken = str(error) if isinstance(error, InvariantBroken) else repr(error)
        return Explored(
            preset.name, len(came_by), steps, ends, len(trace), False, broken, tuple(trace)
        )
    return Explored(preset.name, len(came_by), steps, ends, depth, not level)


def _is_quiet(world: SmallWorld, state: State) -> bool:
    return not any(state.queues) and not any(
        world.summary(state, node).must_commit for node in range(world.preset.nodes)
    )


def carry_on(world: SmallWorld, state: State) -> None:
    """I5: without further faults everything that is held is settled in a bounded time.

    Raises:
        InvariantBroken: something is stranded.
    """
    preset = world.preset
    state = attrs.evolve(state, left=tuple(ROUNDS_MAX for _ in state.left))
    state = _all_back(world, state)
    last = preset.last if preset.last not in state.burnt else 0
    for _ in range(ROUNDS_MAX):
        state = world.settle_down(state)
        if not world.summary(state, last).stream:
            state = world.settle_down(world.take(state, ("subscribe", last)))
        while state.known:
            state = world.settle_down(world.take(state, ("ack", *state.known[0])))
        if not any(world.summary(state, node).held for node in range(preset.nodes)):
            return
        for node in range(preset.nodes):
            if world.summary(state, node).alive and world.summary(state, node).rings:
                state = world.settle_down(world.take(state, ("ring", node)))
    held = [world.summary(state, node).held for node in range(preset.nodes)]
    names = {ON_DISK: "on disk"}
    raise InvariantBroken("I5", f"stranded: {[[(o, names.get(s, s)) for o, s in h] for h in held]}")


def _all_back(world: SmallWorld, state: State) -> State:
    """Start and link what can be; who was leaving comes back as after a restart."""
    for step in list(world.recoveries(state)):
        if step[0] == "start":
            state = world.take(state, step)
    for node in range(world.preset.nodes):
        if world.summary(state, node).draining:
            state = world.take(state, ("crash", node, True))
            state = world.take(state, ("start", node))
    for step in list(world.recoveries(state)):
        state = world.take(state, step)
    return state


def _trace(came_by: dict[State, tuple[State, Step] | None], state: State | None) -> list[str]:
    lines: list[str] = []
    while state is not None and (before := came_by.get(state)) is not None:
        state, step = before
        lines.append(_words(step))
    return lines[::-1]


def _words(step: Step) -> str:
    return " ".join(str(part) for part in step)
