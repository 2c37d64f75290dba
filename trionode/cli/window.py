"""How much credit `trionode subscribe` gives. Pure, no I/O."""

from __future__ import annotations

CREDIT = 64
"""Keeps a link busy over a network; more would only take objects away from other consumers."""
GROWTH = 32
"""Without acks the window grows with what is printed, in steps, not with every object."""


class Window:
    """The credit of a subscription that prints at most `count` objects, or any number (None).

    Credit counts unsettled deliveries. With acks, a lower credit must be set before the ack that
    would free a place; so no more than `count` objects are ever handed over, in all.
    """

    __slots__ = ("_count", "credit", "printed", "settles")

    def __init__(self, count: int | None, *, settles: bool) -> None:
        self._count = count
        self.settles = settles
        self.printed = 0
        self.credit = CREDIT if count is None else min(CREDIT, count)

    @property
    def complete(self) -> bool:
        """Whether all have been printed."""
        return self._count is not None and self.printed >= self._count

    def after_printing(self) -> int | None:
        """Note that one was printed; returns the credit to set now, or None to leave it."""
        self.printed += 1
        wanted = CREDIT if self.settles else self.printed + CREDIT
        if self._count is not None:
            wanted = min(wanted, self._count - self.printed if self.settles else self._count)
        elif not self.settles and wanted < self.credit + GROWTH:
            return None
        if wanted == self.credit:
            return None
        self.credit = wanted
        return wanted
