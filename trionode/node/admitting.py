"""Which subscriptions a consumer's stream may have: their names, number and windows.

What a client asks for beyond a limit of the node is refused with the limit's name, and whatever
it had before stays as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.errors import Refused, Status
from trionode.schema.definition import check_key

if TYPE_CHECKING:
    from trionode.config.sections import Limits
    from trionode.wire import frames

CREDIT_MAX = 1_000_000
"""A window beyond this is a mistake, and its deliveries would not fit a stream."""


@attrs.frozen
class Admitted:
    """One subscription of a stream: the types and patterns that it names, and its window."""

    keys: tuple[str, ...]
    credit: int
    watches: bool


class Subscribed:
    """The subscriptions of one consumer's stream, by number, and what they make in all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._admitted: dict[int, Admitted] = {}
        self._keys = 0
        self._credit = 0

    def admit(self, frame: frames.Subscribe | frames.Watch, *, watches: bool) -> Admitted:
        """Let a subscription begin, or have its window set anew.

        Raises:
            Refused: it names nothing, what is no name, or others than before, would begin or cease
                to watch (INVALID_ARGUMENT); or is more than a limit (RESOURCE_EXHAUSTED).
        """
        keys = tuple(dict.fromkeys(check_key(name) for name in frame.types))
        if not keys:
            raise Refused(Status.INVALID_ARGUMENT, "a subscription names at least one type")
        admitted = Admitted(keys, min(frame.credit, CREDIT_MAX), watches)
        known = self._admitted.get(frame.subscription)
        if known is None:
            self._check_new(keys)
        else:
            _check_same(frame.subscription, known, admitted)
        credit = self._credit + admitted.credit - (0 if known is None else known.credit)
        limit = self._limits.max_stream_credit
        if credit > limit and (known is None or admitted.credit > known.credit):
            raise Refused(
                Status.RESOURCE_EXHAUSTED,
                f"the subscriptions of one stream have credit for at most {limit} deliveries in"
                f" all; this one would make it {credit}",
                "give them less credit, or raise limits.max_stream_credit",
            )
        self._admitted[frame.subscription] = admitted
        self._credit = credit
        if known is None:
            self._keys += len(keys)
        return admitted

    def end(self, number: int) -> None:
        """A subscription ends, if there is one of that number."""
        known = self._admitted.pop(number, None)
        if known is not None:
            self._keys -= len(known.keys)
            self._credit -= known.credit

    def _check_new(self, keys: tuple[str, ...]) -> None:
        """Let one more subscription be.

        Raises:
            Refused: there are too many, or they name too much.
        """
        limit = self._limits.max_stream_subscriptions
        if len(self._admitted) >= limit:
            raise Refused(
                Status.RESOURCE_EXHAUSTED,
                f"one stream has at most {limit} subscriptions",
                "subscribe to several types or a pattern at once, or raise"
                " limits.max_stream_subscriptions",
            )
        limit = self._limits.max_stream_types
        if self._keys + len(keys) > limit:
            raise Refused(
                Status.RESOURCE_EXHAUSTED,
                f"the subscriptions of one stream name at most {limit} types and patterns in all",
                "name a pattern in the place of many types, or raise limits.max_stream_types",
            )


def _check_same(number: int, known: Admitted, asked: Admitted) -> None:
    """Let a subscription stay what it is.

    Raises:
        Refused: it would be one of other types, or begin or cease to watch.
    """
    if set(asked.keys) != set(known.keys):
        text = f"subscription {number} is one of other types; its window was not set"
    elif asked.watches != known.watches:
        text = f"subscription {number} is one of the other mode"
    else:
        return
    raise Refused(Status.INVALID_ARGUMENT, text, "open another, or end this one first")
