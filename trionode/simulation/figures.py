"""Figures of a run for its report, gathered from events and effects as they pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing import effects, events

if TYPE_CHECKING:
    from trionode.routing.effects import Effect


@attrs.define(eq=False)
class Figures:
    """Counts only; what they mean is written where the report is made."""

    interest_updates: int = 0
    interest_changes: int = 0
    """How often a node began or ceased to have a local subscription for a type."""
    fault_free_from: float = 0.0
    drained_at: float = 0.0
    _kinds: dict[type, int] = attrs.field(factory=dict)
    _subscriptions: dict[tuple[int, int, int], tuple[str, ...]] = attrs.field(factory=dict)
    _wanted: dict[tuple[int, str], int] = attrs.field(factory=dict)

    def observe(self, node: int, event: object, out: list[Effect]) -> None:
        """A brain took an event and answered with these effects."""
        kind = type(event)
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if kind is events.Subscribed:
            self._began(node, event)  # type: ignore[arg-type]  # checked in the line before
        elif kind is events.Unsubscribed or kind is events.ConsumerGone:
            self._ended(node, event)
        for effect in out:
            if type(effect) is effects.SendInterest:
                self.interest_updates += len(effect.updates)

    def happened(self) -> dict[str, int]:
        """How many events of each kind the nodes took."""
        return {kind.__name__: count for kind, count in self._kinds.items()}

    def _began(self, node: int, event: events.Subscribed) -> None:
        name = (node, event.stream, event.subscription)
        if name in self._subscriptions:
            return
        self._subscriptions[name] = event.keys
        for key in event.keys:
            count = self._wanted.get((node, key), 0)
            self._wanted[node, key] = count + 1
            self.interest_changes += count == 0

    def _ended(self, node: int, event: object) -> None:
        stream = event.stream  # type: ignore[attr-defined]  # both kinds have one
        only = getattr(event, "subscription", None)
        for name in [name for name in self._subscriptions if name[:2] == (node, stream)]:
            if only is not None and name[2] != only:
                continue
            for key in self._subscriptions.pop(name):
                self._wanted[node, key] -= 1
                self.interest_changes += self._wanted[node, key] == 0

    def node_started(self, node: int) -> None:
        """A node begins anew, without the subscriptions of its life before."""
        for name in [name for name in self._subscriptions if name[0] == node]:
            del self._subscriptions[name]
        for place in [place for place in self._wanted if place[0] == node]:
            self.interest_changes += self._wanted.pop(place) > 0
