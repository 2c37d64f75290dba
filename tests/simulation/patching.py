"""How deliberate bugs are put into the brain: patches that undo themselves."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import attrs

from trionode.routing import brain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """Patch a function with what `make` makes of the old one."""
    return patch.object(owner, name, make(getattr(owner, name)))


def in_effects(change: Callable[[Any, list[Any]], list[Any]]) -> Any:
    """Change what a brain puts out: `change(event, effects)`."""

    def make(old: Any) -> Any:
        def handle(self: Any, event: Any, now: float) -> list[Any]:
            return change(event, old(self, event, now))

        return handle

    return replaced(brain.Brain, "handle", make)


def at_once(*kinds: type) -> Any:
    """Effects that don't wait for the commit any more."""

    def change(_event: Any, out: list[Any]) -> list[Any]:
        return [attrs.evolve(e, after_commit=False) if type(e) in kinds else e for e in out]

    return in_effects(change)


def without(*kinds: type) -> Any:
    """Effects that are never put out."""
    return in_effects(lambda _event, out: [e for e in out if type(e) not in kinds])


@contextlib.contextmanager
def together(*patches: Any) -> Iterator[None]:
    """Several patches at once."""
    with contextlib.ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield
