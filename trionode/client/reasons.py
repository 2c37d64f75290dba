"""What is said of a failed delivery to its node, and what counts as a failure."""

from __future__ import annotations

from trionode.errors import LeaseLost

REASON_MAX_CHARACTERS = 500
"""Longest reason of a nack or rejection that is sent."""


def failure_text(error: BaseException | None) -> str:
    """The text to nack with after an exception; empty after what is no failure of a handler.

    Cancellation and `KeyboardInterrupt` are no failures; neither is a lost lease, which says
    nothing about other deliveries.
    """
    if isinstance(error, BaseExceptionGroup):
        failures, _ = error.split(Exception)
        if failures is None:
            return ""
        texts = [failure_text(each) for each in failures.exceptions]
        return shortened("; ".join([text for text in texts if text]))
    if not isinstance(error, Exception) or isinstance(error, LeaseLost):
        return ""
    return shortened(f"{type(error).__name__}: {error}".removesuffix(": "))


def shortened(text: str) -> str:
    """A reason, cut where it is too long to be sent."""
    if len(text) <= REASON_MAX_CHARACTERS:
        return text
    return text[: REASON_MAX_CHARACTERS - 1] + "…"
