"""What a push may ask for beside its object: delay, deadline, priority, keys.

Here options become the properties of an object, with absolute times on the client's own clock; the
producer core makes them the remaining times that travel.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

from trionode.wire.frames import KEY_BYTES_MAX, PRIORITY_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Details = dict[str, Any]

MS_PER_S = 1000
_TO_WIRE = {"due": "delay_ms", "deadline": "deadline_ms"}


class PushOptions(TypedDict, total=False):
    """The options of a push; all may be left out.

    Attributes:
        delay: how long it must not be delivered, in seconds or as a timedelta.
        not_before: the same as a moment (an aware datetime), or as a timedelta from now.
        deadline: when it is of no use any more, as an aware datetime or a timedelta from now; it
            is then dropped and counted, whatever it waits for.
        keep_expired: keep it at its deadline as a dead letter with the reason `expired`.
        priority: 0 to 9, 5 when not given; within a type the higher ones go first.
        key: names what is pushed: a node that took an object of this type with the same key within
            its window (10 minutes by default) stores nothing and answers with that object's id.
        ordering_key: objects of one type and ordering key are processed one after another.
    """

    delay: float | timedelta | None
    not_before: datetime | timedelta | None
    deadline: datetime | timedelta | None
    keep_expired: bool
    priority: int | None
    key: str | None
    ordering_key: str | None


def properties_of(now: float, options: PushOptions) -> Details | None:
    """The properties that options stand for, None without any.

    Args:
        now: on the clock of the client, in seconds; so are `due` and `deadline` in the result.
        options: see `PushOptions`.

    Raises:
        ValueError: an option has a value that it cannot have; the message says which.
        TypeError: there is no such option, or it is of another type.
    """
    details: Details = {}
    for option, value in options.items():
        known = _OPTIONS.get(option)
        if known is None:
            raise TypeError(f"a push has no option {option!r}; it has {', '.join(_OPTIONS)}")
        if value is not None:
            name, read = known
            found = read(option, value)
            details[name] = now + found if name in _TO_WIRE else found
    if not details.get("keep_expired", True):
        del details["keep_expired"]
    _check_together(now, options, details)
    return details or None


def _check_together(now: float, options: PushOptions, details: Details) -> None:
    if options.get("delay") is not None and options.get("not_before") is not None:
        raise ValueError("delay and not_before say the same: give one of them")
    if details.get("deadline", math.inf) < details.get("due", now):
        raise ValueError("the deadline lies before the moment of the first delivery")
    if "keep_expired" in details and "deadline" not in details:
        raise ValueError("keep_expired says what happens at the deadline: give one")


def told_at(details: Mapping[str, Any], now: float) -> Details:
    """Properties as they travel: with the times that remain."""
    return {
        _TO_WIRE.get(name, name): max(0, round((value - now) * MS_PER_S))
        if name in _TO_WIRE
        else value
        for name, value in details.items()
    }


def _duration_s(name: str, value: float | timedelta) -> float:
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        kind = type(value).__name__
        raise TypeError(f"{name} is a number of seconds or a timedelta, not {kind}")
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} is a duration from 0 on, not {value}")
    return seconds


def _remaining_s(name: str, value: datetime | timedelta) -> float:
    if isinstance(value, timedelta):
        return _duration_s(name, value)
    if not isinstance(value, datetime):
        kind = type(value).__name__
        raise TypeError(f"{name} is a datetime or a timedelta, not {kind}")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(
            f"{name} has no time zone, so it is no moment: use datetime.now(UTC) + ..., "
            "astimezone(), or a timedelta"
        )
    return max(0.0, (value - datetime.now(UTC)).total_seconds())


def _key(name: str, text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name} is a text, not {type(text).__name__}")
    try:
        size_bytes = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name} is no text in Unicode: {text!r}") from None
    if not 1 <= size_bytes <= KEY_BYTES_MAX:
        raise ValueError(f"{name} has 1 to {KEY_BYTES_MAX} bytes in UTF-8, not {size_bytes}")
    return text


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is True or False, not {value!r}")
    return value


def _priority(name: str, value: object) -> int:
    if type(value) is not int or not 0 <= value <= PRIORITY_MAX:
        raise ValueError(f"{name} is a number from 0 to {PRIORITY_MAX}, not {value!r}")
    return value


_OPTIONS: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "delay": ("due", _duration_s),
    "not_before": ("due", _remaining_s),
    "deadline": ("deadline", _remaining_s),
    "keep_expired": ("keep_expired", _flag),
    "priority": ("priority", _priority),
    "key": ("key", _key),
    "ordering_key": ("ordering_key", _key),
}
"""Option -> the property that it becomes, and how its value is read."""
