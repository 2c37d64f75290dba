"""Deliberate bugs of what people are told of objects."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import attrs

from tests.simulation.patching import replaced
from trionode.inspection import looking, pages, reasons, searches
from trionode.routing import forwarded, producers
from trionode.routing.model import HELD_STATES
from trionode.simulation import operators, questions


def asking_changes_the_books() -> Any:
    """Who asks for an object has its producer remembered as heard of last."""
    return patch.object(producers.Producers, "find", lambda self, producer: self.book(producer)[0])


def other_consumers_named() -> Any:
    """Consumers of anything are named as what an object waits for."""

    def make(_old: Any) -> Any:
        def subscriptions(self: Any, _item: Any) -> list[Any]:
            demands = self._brain.context.subscriptions.demands.values()
            return list(dict.fromkeys(each for demand in demands for each in demand.subscriptions))

        return subscriptions

    return replaced(reasons.Reasons, "_subscriptions", make)


def bytes_of_windows_not_seen() -> Any:
    """A consumer whose window is full in bytes is said to be free."""

    def make(old: Any) -> Any:
        def why(self: Any, item: Any, subscription: Any) -> str:
            said = str(old(self, item, subscription))
            who = f"consumer {subscription.stream.label}"
            return said if "in bytes" not in said else f"{who} has credit: it is leased there"

        return why

    return replaced(reasons.Reasons, "_why_not_leased", make)


def doubt_not_said() -> Any:
    """What is in doubt is said to be in transfer still."""

    def make(old: Any) -> Any:
        def transferring(self: Any, item: Any, now: float) -> Any:
            item = attrs.evolve(item, holder=attrs.evolve(item.holder, doubt=None))
            return old(self, item, now)

        return transferring

    return replaced(reasons.Reasons, "_transferring", make)


def silent_not_named() -> Any:
    """Nobody is named as silent."""
    return patch.object(questions, "silent_among", lambda *_args: [])


def lost_not_told() -> Any:
    """Each node names itself only, not whom it knows."""

    def make(old: Any) -> Any:
        def answer(self: Any, search: Any, reply: Any) -> Any:
            nobody: dict[str, Any] = {"known_nodes": [], "known_names": [], "known_addresses": []}
            return old(self, search, attrs.evolve(reply, **nobody))

        return answer

    return replaced(searches.Searches, "answer", make)


def silence_ends_objects() -> Any:
    """What nobody who answered has is said to have ended, though some were silent."""

    def make(old: Any) -> Any:
        def explained(id_: str, replies: Any, silent: Any, took_s: float) -> Any:
            silent_or_not = old(id_, replies, silent, took_s)
            return {**old(id_, replies, [], took_s), "silent": silent_or_not["silent"]}

        return explained

    return replaced(questions, "explained", make)


def last_answers_not_waited_for() -> Any:
    """Who passes a question on says that nothing follows as soon as it has answered itself."""

    def make(old: Any) -> Any:
        def answer(self: Any, search: Any, reply: Any) -> Any:
            search.waiting.clear()
            return old(self, search, reply)

        return answer

    return replaced(searches.Searches, "answer", make)


def end_of_answers_not_said() -> Any:
    """Nobody says that its answer was the last."""
    return patch.object(searches.Searches, "_end", staticmethod(lambda _search: []))


def wrong_way_told() -> Any:
    """What was given away is said to have gone where the last object went."""

    def make(old: Any) -> Any:
        def find(self: Any, id_: int) -> Any:
            found = old(self, id_)
            return None if found is None else attrs.evolve(found, peer=self._entries[-1].peer)

        return find

    return replaced(forwarded.Forwarded, "find", make)


def pages_ignore_states() -> Any:
    """A listing shows objects in whatever state."""

    def make(old: Any) -> Any:
        def picks(self: Any, item: Any, now: float) -> bool:
            return bool(old(attrs.evolve(self, states=frozenset(HELD_STATES)), item, now))

        return picks

    return replaced(pages.Selection, "picks", make)


def pages_forget_departures() -> Any:
    """The next page begins as if nothing had left since the last one."""

    return patch.object(pages, "_DEPARTURES", ())


def pages_one_too_long() -> Any:
    """A page has one object more than it may have."""

    def make(old: Any) -> Any:
        return lambda custody, selection, place, limit, now: old(
            custody, selection, place, limit + 1, now
        )

    return replaced(operators, "page", make)


def held_not_found() -> Any:
    """Objects that are being given away are not found where they are."""

    def make(old: Any) -> Any:
        def knowledge(self: Any, id_: int, left: Any, now: float) -> Any:
            known = old(self, id_, left, now)
            held = known["held"]
            gone = held is not None and held["state"] == "transferring"
            return {**known, "held": None} if gone else known

        return knowledge

    return replaced(looking.Looking, "knowledge", make)
