"""What a client may say of an object beside its payload, held to its bounds. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trionode.errors import Refused, Status
from trionode.wire.frames import KEY_BYTES_MAX, PRIORITY_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trionode.wire import frames

DETAILS_BYTES_MAX = 16_384
"""Properties of one object beside its payload: a frame has to hold those of a whole batch."""


def size_of(details: Mapping[str, Any]) -> int:
    """About how many bytes properties take in a frame, rather more than less."""
    return 4 * len(repr(details))


def first_bad(
    column: Mapping[int, Mapping[str, Any]], start: int, count: int
) -> tuple[int, Refused] | None:
    """The first object of [start, start + count) whose properties cannot be taken, and why.

    Returns its index from `start` on.
    """
    for index in sorted(column):
        if start <= index < start + count:
            refusal = why_bad(column[index])
            if refusal is not None:
                return index - start, refusal
    return None


def why_bad(details: Mapping[str, Any]) -> Refused | None:
    """Why an object with these properties is not taken, if it is not."""
    if size_of(details) > DETAILS_BYTES_MAX:
        return _refused(
            f"the properties of an object take more than {DETAILS_BYTES_MAX} bytes",
            "put what is large into the object",
        )
    priority = details.get("priority")
    if priority is not None and not 0 <= priority <= PRIORITY_MAX:
        text = f"priority {priority} is none: the highest is {PRIORITY_MAX}, the lowest 0"
        return _refused(text, "leave it out for 5, the usual one")
    for name in ("key", "ordering_key"):
        key = details.get(name)
        if key is not None and not 1 <= len(key.encode()) <= KEY_BYTES_MAX:
            text = f"{name} has {len(key.encode())} bytes; it may have 1 to {KEY_BYTES_MAX}"
            return _refused(text, "use a short name of what is pushed, or a hash of it")
    return None


def asked_for(request: frames.PushRequest) -> dict[int, dict[str, Any]]:
    """The properties of the one object of a unary push, as a column of a Push frame."""
    told = {
        "delay_ms": request.delay_ms,
        "deadline_ms": request.deadline_ms,
        "keep_expired": request.keep_expired or None,
        "priority": request.priority,
        "key": request.key or None,
        "ordering_key": request.ordering_key or None,
    }
    details = {name: value for name, value in told.items() if value is not None}
    return {0: details} if details else {}


def _refused(message: str, hint: str) -> Refused:
    return Refused(Status.INVALID_ARGUMENT, message, hint)
