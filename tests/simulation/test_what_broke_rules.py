"""What broke earlier wordings of our own rules and is not about custody alone.

Those that are about custody are small worlds, explored through every interleaving
(`trionode simulate --exhaustive list`).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.scenes import Ear, Scene
from trionode.routing import effects, events
from trionode.simulation.consumers import HABITS, Consumer, Leased

SILENT = next(habit for habit in HABITS if habit.silent)


class SideBySide(Consumer):
    """Starts all it is given at once; dies of a poisonous object among them, and comes back."""

    poison = b""

    def _received(self, stream: int, subscription: int, batch: list[Leased]) -> None:
        if stream != self.stream or subscription != self.subscription:
            return
        self._delivered += len(batch)
        self._say(events.Started(stream, subscription, self._delivered))
        fates = self._world.invariants.ledger.fates
        if any(fates[lease.id].contents[-1] == self.poison for lease in batch):
            self.die(0.0)
        else:
            self._world.scheduler.after(0.01, self._finish, self._life, batch)


@pytest.mark.parametrize("consumers", [1, 3])
def test_one_poisonous_object_among_64_kills_itself_alone(consumers):
    """With credit 64 and handlers side by side, one poison once made 64 dead letters."""
    scene = Scene(1, faults=("consumers",))
    producer = scene.producer(0)
    scene.push(producer, 300)
    scene.pass_(0.1)
    for number in range(consumers):
        consumer = SideBySide(
            scene, scene.generator.fork(number), scene.nodes[0], ("t.0",), 64, HABITS[0]
        )
        consumer.poison = producer.payload(50)
        consumer.credit_bytes = 1 << 20
        scene.consumers.append(consumer)
        consumer.connect()
    scene.finish()
    fates = list(scene.invariants.ledger.fates.values())
    assert [index for index, fate in enumerate(fates, 1) if fate.dead] == [50]
    assert scene.settled == 299
    assert fates[49].deliveries == 8, "every attempt that it has"
    assert max(fate.attempt for fate in fates if not fate.dead) <= 3


def updates_until_quiet(scene: Scene, knows: bool) -> tuple[int, float]:
    """News of interest that a change costs, and after how long all have heard of it."""
    before, began = scene.figures.interest_updates, scene.scheduler.time
    others = range(1, len(scene.nodes))
    scene.until(lambda: all(bool(scene.interest(node)) == knows for node in others), 10.0)
    heard_s = scene.scheduler.time - began
    scene.pass_(10.0)
    assert all(bool(scene.interest(node)) == knows for node in others)
    return scene.figures.interest_updates - before, heard_s


@pytest.mark.parametrize(("missing", "per_change"), [(0, 11), (6, 65)])
def test_an_unsubscribe_in_a_full_mesh_of_12_leaves_no_ghosts(missing, per_change):
    """With every path advertised it cost 1,391 updates and 18 ticks of ghosts.

    Where all are linked each peer is told once and relays nothing. Where six are not linked to the
    origin, the 5 that are tell each of the 6, and each of the 6 the other 5: 5 + 30 + 30.
    """
    scene = Scene(12, faults=("links",))
    for other in range(12 - missing, 12):
        scene.network.remove(scene.line(0, other))
    scene.pass_(2.0)
    ear = Ear(scene, scene.nodes[0])
    scene.nodes[0].turn(events.ConsumerCame(ear.stream))
    for number in range(3):
        scene.nodes[0].turn(events.Subscribed(ear.stream, number, ("t.0",), 1, 1000))
        updates, heard_s = updates_until_quiet(scene, knows=True)
        print(f"{updates} updates to tell, {heard_s * 1000:.1f} ms")
        assert updates <= per_change
        scene.nodes[0].turn(events.Unsubscribed(ear.stream, number))
        updates, heard_s = updates_until_quiet(scene, knows=False)
        print(f"{updates} updates to withdraw, {heard_s * 1000:.1f} ms")
        assert updates <= per_change
        assert heard_s < 0.01, "two passes of a loop and a link or two"


@pytest.mark.parametrize(("nodes", "topology"), [(3, "mesh"), (5, "ring"), (6, "ring")])
def test_hints_of_a_backlog_do_not_count_to_infinity_around_a_cycle(nodes, topology):
    """Relayed from node to node, a hint once came back as news and was added to itself."""
    told: list[tuple[float, int]] = []
    scene = Scene(nodes, topology)
    observe = scene.invariants.observe

    def listen(host: Any, event: Any, out: list[Any], now: float) -> None:
        observe(host, event, out, now)
        for effect in out:
            if type(effect) is effects.SendBacklog:
                told.extend((scene.scheduler.time, wanted) for _, _, wanted in effect.wishes)

    scene.invariants.observe = listen
    consumer = scene.consumer(nodes // 2, credit=4, habit=SILENT)
    scene.push(scene.producer(0), 100)
    scene.pass_(120.0)
    assert told
    assert max(wanted for _, wanted in told) <= 3 * 100
    # What was told without end would not become less; each object may be told of on each link.
    late = [wanted for time, wanted in told if time > scene.scheduler.time - 60.0]
    assert len(late) <= 60, len(late)
    consumer.habit = HABITS[0]
    consumer.set_credit(64)
    consumer.resubscribe()
    scene.finish()
    assert scene.settled == 100
