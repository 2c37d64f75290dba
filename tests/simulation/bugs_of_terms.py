"""Deliberate bugs of what subscriptions ask for: attempts, back-off, and a grace to come back."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced
from trionode.routing import consumers, resuming, subscriptions


def _terms(**changes: Any) -> Any:
    """Every subscription is taken as if it had asked for these."""
    right = subscriptions.Terms.of

    def of(wishes: Any, options: Any) -> Any:
        return right(attrs.evolve(wishes, **changes), options)

    return patch.object(subscriptions.Terms, "of", of)


def attempts_ignored() -> Any:
    """The node's bound on attempts holds for all."""
    return _terms(max_attempts=None)


def backoff_ignored() -> Any:
    """The node's back-off holds for all."""
    return _terms(retry_base_s=None)


def grace_ignored() -> Any:
    """A broken stream's leases return at once."""
    return _terms(reconnect_grace_s=0.0)


def away_for_ever() -> Any:
    """Nobody looks whether a consumer has come back."""
    return patch.object(consumers.Consumers, "away_too_long", lambda *_args: None)


def gone_leases_not_told() -> Any:
    """A consumer that comes back is not told which leases ended meanwhile."""

    def make(old: Any) -> Any:
        return lambda subscription, resumed: (old(subscription, resumed)[0], [])

    return replaced(resuming, "resume", make)
