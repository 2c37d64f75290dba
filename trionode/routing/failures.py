"""Attempts that count, back-off, and dead letters (G5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import history
from trionode.routing.model import HeldObject, Step, jitter
from trionode.routing.subscriptions import Subscription

if TYPE_CHECKING:
    from trionode.routing.context import Context
    from trionode.routing.subscriptions import Terms

TEXT_MAX = 1000
"""Characters of a failure's text that are kept."""


class Failures:
    """What becomes of objects whose leases ended badly; the caller has released them.

    An object still names the subscription that leased it, whose terms decide.
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def note(self, items: list[HeldObject], what: str, why: str = "") -> None:
        """Write down what became of leases of one consumer."""
        if items:
            consumer = lessee(items[0]).stream.label
            self._context.note(items, what, consumer=consumer, why=why)

    def count(self, items: list[HeldObject], what: str, text: str) -> None:
        """Count an attempt of each; those that used up theirs become dead letters."""
        exhausted: dict[int, list[HeldObject]] = {}
        self.note(items, what, text)
        for item in items:
            if text:
                item.amend(failure=text[:TEXT_MAX])
            if item.attempt >= lessee(item).terms.max_attempts:
                exhausted.setdefault(item.attempt, []).append(item)
            else:
                item.attempt += 1
        for attempts, dead in exhausted.items():
            self.bury(dead, f"failed {attempts} times")

    def bury(self, items: list[HeldObject], reason: str) -> None:
        """Make dead letters of objects that are ready, delayed or were leased."""
        context = self._context
        context.custody.move(items, Step.BURY)
        for item in items:
            item.holder = None
            item.since = context.now
            item.amend(dead=reason[:TEXT_MAX], due=None)

    def put_off(
        self, items: list[HeldObject], now: float, delay_s: float | None
    ) -> list[HeldObject]:
        """Delay objects that were leased, by `delay_s` or, if None, by the back-off.

        Returns those that need not wait.
        """
        at_once: list[HeldObject] = []
        for item in items:
            wait_s = retry_delay_s(item, lessee(item).terms) if delay_s is None else delay_s
            if wait_s > 0:
                self._context.delay([item], now + wait_s)
            else:
                at_once.append(item)
        return at_once


def lessee(item: HeldObject) -> Subscription:
    """The subscription that leases an object, or did until a moment ago."""
    assert isinstance(item.holder, Subscription)
    return item.holder


def retry_delay_s(item: HeldObject, terms: Terms) -> float:
    """Exponential back-off with up to 20 % of jitter taken off, so that retries spread."""
    doublings = min(max(0, item.attempt - 2), 32)
    delay_s = min(terms.retry_base_s * float(2**doublings), terms.retry_cap_s)
    return delay_s * (1 - 0.2 * jitter(item.id, item.attempt))


def acquit(items: list[HeldObject]) -> None:
    """The consumer has survived these: they are suspects no more."""
    for item in items:
        if item.suspect:
            item.amend(suspect=None)


DIED_TEXT = "its consumer died while processing it"


def died(failures: Failures, items: list[HeldObject]) -> None:
    """The consumer died having started these: an attempt counts, and each is a suspect now."""
    failures.count(items, history.DIED, DIED_TEXT)
    for item in items:
        item.amend(suspect=True)
