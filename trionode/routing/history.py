"""What happened to an object, as far as it is remembered: short entries, bounded in number.

An object to which nothing special happens has no history at all: when and where it was accepted,
and what it is doing now, are known from its other properties, and `history_of` puts them around the
entries. Only what is rare is written down, in the object's `details`, so that it travels with
transfers and is kept in the store.

An entry is a tuple (when, what, node, consumer, attempt, why); its time is on the clock of whoever
holds the details: the brain's in a brain, Unix time in a store, an age on a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from trionode.routing.model import HeldObject, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HISTORY_KEPT = 16
"""Entries of one object that are kept, the last ones; how many were dropped is counted."""
WHY_MAX = 200
"""Characters of an entry's reason that are kept; the last failure is kept longer, as `failure`."""
NAME_MAX = 300
"""Characters of a node's id or a consumer's label that are kept."""

Entry: TypeAlias = tuple[float, str, str, str, int, str]
"""(when, what, node, consumer, attempt, why)"""

ACCEPTED = "accepted"
"""A node took custody of it from its producer; never written down, always known."""
DROPPED = "dropped"
"""Stands for the entries that were dropped; never written down, always known."""
RECEIVED = "received"
"""Custody came from another node."""
COPIED = "copied"
"""Another copy of it came, and was merged into this one."""
IN_DOUBT = "possibly duplicate"
"""It was on its way to a node that stayed away: that node may have it as well."""
FAILED = "failed"
"""Its consumer gave it back as not done."""
DIED = "consumer died"
"""Its consumer died having started it."""
OVERDUE = "overdue"
"""Its consumer had it for longer than its subscription's `max_processing_time`."""
RETURNED = "returned"
"""Its lease ended without having counted: its consumer left, or gave it back unstarted."""
REJECTED = "rejected"
"""Its consumer said that it must not be tried again."""
REPLACED = "replaced"
"""Its consumer gave it new content."""
BURIED = "dead"
"""It became a dead letter."""
RETRIED = "retried"
"""A person had a dead letter tried again."""


@attrs.frozen
class HistoryRow:
    """One line of an object's history.

    Attributes:
        when: on the brain's clock, in seconds; None where that is not known.
        what: one of the words of this module or, in the last row, the object's state.
        node: the id of the node where it happened; empty where that is not known.
        consumer: the label of the consumer that was part of it, or empty.
        attempt: which attempt the object was at.
        why: the reason in words, or empty.
        until: in the last row of what waits for a time, when that is.
    """

    when: float | None
    what: str
    node: str
    consumer: str = ""
    attempt: int = 1
    why: str = ""
    until: float | None = None


def history_of(item: HeldObject, node: str) -> list[HistoryRow]:
    """The history of an object that the node `node` (its id) holds, oldest first, for people.

    The first row says when and where the object was accepted, the last one what it is doing now
    and since when; between them are the entries that were kept, after a row `dropped` that says how
    many earlier ones were not. Costs nothing until it is asked for.
    """
    path = item.detail("path", ())
    rows = [HistoryRow(item.created, ACCEPTED, path[0] if path else node)]
    dropped = item.detail("history_dropped", 0)
    if dropped:
        rows.append(HistoryRow(None, DROPPED, "", why=f"{dropped} earlier entries"))
    rows += [HistoryRow(*entry) for entry in item.detail("history", ())]
    consumer = why = ""
    until = None
    holder: Any = item.holder
    if item.state == State.LEASED:
        consumer = holder.stream.label
    elif item.state == State.TRANSFERRING:
        why = f"to {holder.peer}"
    elif item.state == State.DEAD:
        why = item.detail("dead", "")
    elif item.state == State.DELAYED:
        until = item.detail("due")
    state = item.state.name.lower()
    rows.append(HistoryRow(item.since, state, node, consumer, item.attempt, why, until))
    return rows


def note(  # noqa: PLR0913  # the columns of an entry
    items: Iterable[HeldObject],
    when: float,
    what: str,
    node: str,
    *,
    consumer: str = "",
    why: str = "",
) -> None:
    """Write down what has just happened to these objects, alike.

    Objects that shared their details share them afterwards, so that a thousand objects that were
    prefetched and came back cost little more than one.
    """
    made: dict[tuple[int, int], tuple[Any, Any]] = {}
    why, consumer = why[:WHY_MAX], consumer[:NAME_MAX]
    for item in items:
        key = (id(item.details), item.attempt)
        before, after = made.get(key, (None, None))
        if after is None:
            before = item.details
            entry = (when, what, node, consumer, item.attempt, why)
            after = extended(before, entry)
            made[key] = before, after  # `before` stays alive, or its id would be used again
        item.become(after)


def extended(details: dict[str, Any] | None, entry: Entry) -> dict[str, Any]:
    """Details with one more entry in their history."""
    kept: tuple[Entry, ...] = details.get("history", ()) if details else ()
    before = len(kept)
    if entry[1] == RETURNED and kept and kept[-1][1] == RETURNED:
        kept = kept[:-1]  # consumers that come and go must not push out what matters
    kept = (*kept, entry)[-HISTORY_KEPT:]
    result = {**(details or {}), "history": kept}
    dropped = before + 1 - len(kept)
    if dropped:
        result["history_dropped"] = result.get("history_dropped", 0) + dropped
    return result


def read_entries(values: Any, clock: Callable[[Any], float]) -> tuple[Entry, ...]:
    """Entries as they came from a store or a link; what is none is left out.

    Args:
        values: a list of entries, or anything.
        clock: makes the time of an entry, whatever number it is, one on the reader's clock.
    """
    if not isinstance(values, (list, tuple)):
        return ()
    found: list[Entry] = []
    for value in values[-HISTORY_KEPT:]:
        if isinstance(value, (list, tuple)) and tuple(map(type, value)) in _KINDS:
            when, what, node, consumer, attempt, why = value
            texts = what[:NAME_MAX], node[:NAME_MAX], consumer[:NAME_MAX]
            found.append((clock(when), *texts, attempt, why[:WHY_MAX]))
    return tuple(found)


_KINDS = {(kind, str, str, str, int, str) for kind in (int, float)}


def moved(details: dict[str, Any], offset_s: float) -> dict[str, Any]:
    """The part of details that is history, its times on a clock that is `offset_s` ahead."""
    if "history" not in details:
        return {}
    return {"history": read_entries(details["history"], lambda when: when + offset_s)}
