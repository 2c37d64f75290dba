"""Deliberate bugs of ordering keys and of priorities."""

from __future__ import annotations

from typing import Any

from tests.simulation.patching import replaced, without
from trionode.routing import effects, lines, ordering, queues


def keys_ignored() -> Any:
    """Objects of a key are leased as all others."""
    return replaced(queues.ReadyQueue, "_may_stand", lambda _old: lambda *_args, **_more: True)


def key_goes_on_while_its_head_is_away() -> Any:
    """What a peer was given is forgotten at once."""
    return replaced(ordering.Ordering, "given", lambda _old: lambda *_args: [])


def ends_of_keys_not_reported() -> Any:
    """The giver of an object never hears of its end."""
    return without(effects.SendKeysSettled)


def low_priorities_starve() -> Any:
    """The highest that waits is always served."""
    return replaced(lines.Turns, "choose", lambda _old: lambda _self, waiting: waiting[0])
