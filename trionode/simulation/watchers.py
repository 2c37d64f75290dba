"""A watcher at some nodes, and what it must see: what comes into custody, and nothing else (G7).

It looks on from the first moment of each life of its node. Every other checker takes it for not
there: who leased it something, told a peer of it or gave an object away for it breaks a rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, events
from trionode.simulation.fates import InvariantBroken

if TYPE_CHECKING:
    from trionode.routing.effects import Effect
    from trionode.simulation.host import Host
    from trionode.simulation.ledger import Ledger

EACH = 3
"""At one of so many nodes somebody watches; the others show that nobody needs to."""
STREAM = 1 << 40
"""No other stream has so high a number."""
ONLY_WATCHED = "*.watched.>"
"""A key that nobody subscribes to."""


def watch(index: int) -> events.WatchBegan | None:
    """How the watcher of a node begins, if there is one."""
    return None if index % EACH else events.WatchBegan(STREAM, 1, (">", ONLY_WATCHED))


class Watchers:
    """Compares what watchers are shown with what the nodes take."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._watched: dict[int, Host] = {}

    def node_started(self, host: Host) -> None:
        """A life begins without a watcher."""
        self._watched.pop(host.index, None)

    def observe(self, host: Host, event: object, out: list[Effect]) -> None:
        """Look at a turn before the ledger has."""
        if type(event) is events.WatchBegan:
            self._watched[host.index] = host
        if host.index not in self._watched:
            return
        held = self._ledger.held[host.index]
        came: dict[int, None] = {}
        shown: dict[int, str] = {}
        for effect in out:
            if isinstance(effect, effects.Keep):
                came.update({item.id: None for item in effect.objects if item.id not in held})
            elif isinstance(effect, effects.Copy):
                shown.update({item.id: effect.how for item in effect.objects})
            _check_apart(effect)
        for id_ in came:
            if id_ not in shown:
                raise InvariantBroken("G7", "a watcher was not shown what came", id_)
        for id_, how in shown.items():
            # A copy that takes the place of one that was here came as well.
            if id_ not in came and how not in ("replaced", "received"):
                raise InvariantBroken("G7", f"a watcher was shown as {how} what was here", id_)


def _check_apart(effect: Effect) -> None:
    """Nothing but copies is for a watcher, and no peer hears of it."""
    match effect:
        case effects.Copy(watchers=watchers) if watchers != ((STREAM, 1),):
            raise InvariantBroken("G7", f"a copy was for {watchers}")
        case effects.Deliver(stream=stream) if stream == STREAM:
            raise InvariantBroken("G7", "a watcher was leased something")
        case effects.SendInterest(updates=updates) if ONLY_WATCHED in [e.key for e in updates]:
            raise InvariantBroken("G7", "a peer was told of a watcher")
