"""The options of a subscription, as the user gives them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict

from trionode.client.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.ids import ObjectId

CREDIT = 64
"""Deliveries on their way or in work: enough to keep a handler busy over a network."""
CREDIT_BYTES = 16 * 1024 * 1024
"""Bytes of their payloads."""


class SubscribeOptions(TypedDict, total=False):
    """The options of a subscription; all may be left out.

    Attributes:
        credit: how many unsettled deliveries there may be at a time, 64 by default; 0 is a pause.
        credit_bytes: about how many bytes of payload they may have, 16 MiB by default.
        max_processing_time: seconds that a delivery may take, from when its processing starts; what
            takes longer is taken back, counts as failed, and its block is cancelled. 0: without
            bound; by default as the node is configured, which is without as well.
        max_attempts: when an object fails here and has failed so often in all, it becomes a dead
            letter. By default as the node is configured, 8.
        backoff: seconds before an object that failed here is tried again, doubled with each
            failure, and the longest that grows; a nack with a delay has its own. By default as the
            node is configured.
        reconnect_grace: seconds for which leases outlive a lost connection: who is connected to the
            same node again by then goes on where it was, also with what it acked meanwhile. Longer
            ones make objects of a client that died wait so long. By default they are returned at
            once.
        on_undecodable: what becomes of an object that does not fit its class: it is nacked, to be
            tried again here or elsewhere, or made a dead letter.
        on_lost: called with id, attempt and reason when the lease of an unsettled delivery is lost.
        mode: `work`, or `watch` to only look on: deliveries are then copies of what the node takes
            custody of from now on, and there is nothing to settle. What comes while `credit` or
            `credit_bytes` are used up is dropped, and `Delivery.watched` says how much; nobody is
            slowed. Other nodes' objects are not seen, nor, after a reconnect, what came meanwhile.
    """

    credit: int
    credit_bytes: int
    max_processing_time: float | None
    max_attempts: int | None
    backoff: tuple[float, float] | None
    reconnect_grace: float
    on_undecodable: Literal["nack", "reject"]
    on_lost: Callable[[ObjectId, int, str], object] | None
    mode: Literal["work", "watch"]


_USUAL: SubscribeOptions = {
    "credit": CREDIT,
    "credit_bytes": CREDIT_BYTES,
    "max_processing_time": None,
    "max_attempts": None,
    "backoff": None,
    "reconnect_grace": 0.0,
    "on_undecodable": "nack",
    "on_lost": None,
    "mode": "work",
}


def asked_of(options: SubscribeOptions) -> SubscribeOptions:
    """All options: those given, and what the others are when they are left out.

    Raises:
        ValueError: an option has a value that it cannot have; the message says which.
        TypeError: there is no such option.
    """
    for option in options:
        if option not in _USUAL:
            known = ", ".join(_USUAL)
            raise TypeError(f"a subscription has no option {option!r}; it has {known}")
    asked: SubscribeOptions = {**_USUAL, **options}
    on_undecodable, mode = asked["on_undecodable"], asked["mode"]
    if on_undecodable not in ("nack", "reject"):
        raise ValueError(f"on_undecodable is 'nack' or 'reject', not {on_undecodable!r}")
    if mode not in ("work", "watch"):
        raise ValueError(f"mode is 'work' or 'watch', not {mode!r}")
    return asked


def terms_of(asked: SubscribeOptions) -> Terms:
    """What the node is asked for beside the window, of all options.

    Raises:
        ValueError: an option has a value that it cannot have.
    """
    return Terms(
        asked["max_processing_time"],
        asked["max_attempts"],
        asked["backoff"],
        asked["reconnect_grace"],
        asked["mode"] == "watch",
    )
