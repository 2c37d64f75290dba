"""Objects in custody as plain JSON values, for people who look inside a node. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from trionode.ids import format_id
from trionode.routing.model import State

if TYPE_CHECKING:
    from trionode.routing.history import HistoryRow
    from trionode.routing.model import HeldObject

STATES = {
    "ready": State.READY,
    "blocked": State.BLOCKED,
    "delayed": State.DELAYED,
    "leased": State.LEASED,
    "transferring": State.TRANSFERRING,
    "dead": State.DEAD,
}
"""The states by the words that people use."""
_WORDS = {state: word for word, state in STATES.items()}

_SHOWN_ELSEWHERE = frozenset({"due", "deadline", "dead", "failure", "history", "history_dropped"})


def view_of(
    item: HeldObject, reasons: list[str], rows: list[HistoryRow], now: float
) -> dict[str, Any]:
    """An object as it is now, without its payload.

    Args:
        item: the object.
        reasons: why it waits.
        rows: its history, with the names of nodes.
        now: on the brain's clock.
    """
    details = item.details or {}
    return {
        "id": format_id(item.id),
        "type": item.table.name,
        "state": _WORDS[item.state],
        "attempt": item.attempt,
        "age_s": round(now - item.created, 3),
        "state_age_s": round(now - item.since, 3),
        "bytes": len(item.payload),
        "encoding": item.shape.encoding,
        "waits_for": reasons,
        "due_in_s": _remaining(details, "due", now),
        "deadline_in_s": _remaining(details, "deadline", now),
        "dead": details.get("dead"),
        "failure": details.get("failure"),
        "history": [_event(row, now) for row in rows],
        "properties": {
            name: _plain(value) for name, value in details.items() if name not in _SHOWN_ELSEWHERE
        },
    }


def _event(row: HistoryRow, now: float) -> dict[str, Any]:
    """One line of a history; what does not apply is left out."""
    told: dict[str, Any] = {
        "ago_s": None if row.when is None else round(now - row.when, 3),
        "what": row.what,
        "node": row.node,
        "consumer": row.consumer,
        "attempt": row.attempt,
        "why": row.why,
        "until_s": None if row.until is None else round(row.until - now, 3),
    }
    return {name: value for name, value in told.items() if value not in (None, "")}


def _remaining(details: dict[str, Any], name: str, now: float) -> float | None:
    return round(details[name] - now, 3) if name in details else None


def _plain(value: Any) -> Any:
    """A property as JSON can say it: properties may hold bytes, and names of any kind."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    return value
