"""What a subscription asks the node for beside its window. Pure."""

from __future__ import annotations

import attrs

from trionode.wire import frames

MS_PER_S = 1000


@attrs.frozen
class Terms:
    """What a subscription asks for; None: as the node has it configured.

    Attributes:
        max_processing_time: seconds that a delivery may take; 0: without bound.
        max_attempts: failures after which an object is a dead letter.
        backoff: seconds before an object is tried again after its first failure, and at most.
        reconnect_grace: seconds for which leases outlive a lost connection.
        watches: it only looks on; then there is nothing else to ask for.

    Raises:
        ValueError: a value that cannot be.
    """

    max_processing_time: float | None = None
    max_attempts: int | None = None
    backoff: tuple[float, float] | None = None
    reconnect_grace: float = 0.0
    watches: bool = False

    def __attrs_post_init__(self) -> None:
        _check_seconds("max_processing_time", self.max_processing_time)
        _check_seconds("reconnect_grace", self.reconnect_grace)
        if self.max_attempts is not None and self.max_attempts < 1:
            raise ValueError(f"max_attempts is a number from 1 on, not {self.max_attempts}")
        if self.backoff is not None:
            base, cap = self.backoff
            _check_seconds("backoff", base)
            _check_seconds("backoff", cap)
            if cap < base:
                raise ValueError(f"backoff is (first, longest), not {self.backoff}")
        asked = (self.max_processing_time, self.max_attempts, self.backoff, self.reconnect_grace)
        if self.watches and asked != (None, None, None, 0.0):
            raise ValueError("who only watches processes nothing, so nothing bounds it")

    def frame(
        self, number: int, subscription: int, types: list[str], credit: int, credit_bytes: int
    ) -> frames.Subscribe | frames.Watch:
        """The frame that asks for a subscription with these terms."""
        if self.watches:
            return frames.Watch(number, subscription, types, credit, credit_bytes)
        base, cap = self.backoff or (None, None)
        return frames.Subscribe(
            number,
            subscription,
            types,
            credit,
            credit_bytes,
            _ms(self.max_processing_time),
            self.max_attempts,
            _ms(base),
            _ms(cap),
            round(self.reconnect_grace * MS_PER_S),
        )


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * MS_PER_S)


def _check_seconds(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value < float("inf"):
        raise ValueError(f"{name} is a number of seconds from 0 on, not {value}")
