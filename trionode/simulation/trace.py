"""The trace of a simulation: one line per event, hashed as it grows, its tail kept for people."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import TYPE_CHECKING, Any

from trionode.ids import format_id
from trionode.routing import effects, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.routing.effects import Effect

HASH_BYTES = 16
LINES_AT_ONCE = 256
"""Lines gathered before they are hashed: one call for many costs less."""


def _brief(ids: list[int]) -> object:
    """How many, and between which: these are many, and follow from what was before."""
    return (len(ids), ids[0], ids[-1]) if ids else 0


_DETAILS: dict[type, Callable[[Any], object]] = {
    events.Pushed: lambda e: (e.type, e.first, len(e.payloads), e.acknowledged, e.producer),
    events.ConsumerCame: lambda e: (e.stream, e.secret),
    events.ConsumerGone: lambda e: (e.stream, e.died),
    events.Subscribed: lambda e: (
        *(e.stream, e.subscription, e.keys, e.credit),
        e.resumed and e.resumed.held,
    ),
    events.WatchBegan: lambda e: (e.stream, e.keys),
    events.Unsubscribed: lambda e: (e.stream, e.subscription),
    events.Started: lambda e: (e.stream, e.count),
    events.Settled: lambda e: (e.stream, e.action, e.attempts, e.ids, len(e.emitted)),
    events.LinkUp: lambda e: (e.link, e.peer, e.incarnation),
    events.LinkDown: lambda e: e.link,
    events.NeighboursTold: lambda e: (e.link, sorted(e.nodes)),
    events.InterestTold: lambda e: (
        e.link,
        e.full,
        [(u.key, u.path, u.version) for u in e.updates],
    ),
    events.CreditGranted: lambda e: (e.link, e.grants),
    events.BacklogTold: lambda e: (e.link, e.wishes),
    events.OfferCame: lambda e: (e.link, e.sequence, e.type, e.attempts, e.ids),
    events.OfferAnswered: lambda e: (e.link, e.incarnation, e.sequence, e.known, e.refused),
    events.OffersClosed: lambda e: (e.link, e.numbers),
    events.OffersAsked: lambda e: (e.link, e.incarnation, e.next_sequence, e.numbers),
    events.KeysSettled: lambda e: (e.link, e.ids),
    events.KeysAsked: lambda e: (e.link, e.ids),
    events.Written: lambda e: _brief(e.ids),
    events.Fetched: lambda e: (e.effect.type, _brief([item.id for item in e.effect.objects])),
    events.Tick: lambda _e: "",
    events.DrainStarted: lambda _e: "",
    events.DrainEnding: lambda _e: "",
    events.Retried: lambda e: e.ids,
    events.Discarded: lambda e: e.ids,
    events.NodeForgotten: lambda e: e.node,
    events.Recovered: lambda e: (len(e.objects), len(e.given), len(e.taken)),
}

_CODES: dict[type, str] = {
    effects.Keep: "k",
    effects.Forget: "f",
    effects.RememberProducer: "p",
    effects.ForgetProducer: "P",
    effects.RememberKeys: "y",
    effects.ForgetKeys: "Y",
    effects.MarkOffered: "m",
    effects.UnmarkOffered: "u",
    effects.RememberOffer: "r",
    effects.ForgetOffers: "R",
    effects.Fetch: "F",
    effects.AcknowledgePush: "A",
    effects.Deliver: "D",
    effects.AnswerSettle: "S",
    effects.LoseLeases: "L",
    effects.AnswerPerson: "H",
    effects.Copy: "w",
    effects.SendInterest: "i",
    effects.SendCredit: "c",
    effects.SendBacklog: "b",
    effects.SendOffer: "O",
    effects.SendAnswer: "a",
    effects.SendClose: "x",
    effects.SendAsk: "q",
    effects.SendKeysSettled: "o",
    effects.SendKeysAsked: "n",
}
"""One letter per effect; upper case where objects or clients are told of."""


class Trace:
    """Hashes every line; keeps the last `keep` of them."""

    def __init__(self, keep: int = 0) -> None:
        self._hash = hashlib.blake2b(digest_size=HASH_BYTES)
        self._lines: list[str] = []
        self._tail: deque[str] | None = deque(maxlen=keep) if keep else None

    def event(self, time: float, node: int, event: object, out: list[Effect]) -> None:
        """A brain took an event and answered with these effects."""
        kind, lines = type(event), self._lines
        codes = _CODES
        did = "".join([codes[type(effect)] for effect in out])
        lines.append(f"{time!r} {node} {kind.__name__} {_DETAILS[kind](event)} {did}")
        if len(lines) >= LINES_AT_ONCE:
            self._flush()

    def note(self, time: float, text: str) -> None:
        """Something else happened."""
        self._lines.append(f"{time!r} {text}")

    def _flush(self) -> None:
        if self._lines:
            self._lines.append("")
            self._hash.update("\n".join(self._lines).encode())
            self._lines.pop()
            if self._tail is not None:
                self._tail.extend(self._lines)
            self._lines.clear()

    def digest(self) -> str:
        """The hash of all lines so far."""
        self._flush()
        return self._hash.hexdigest()

    def tail(self, object_id: int = 0, lines: int = 60) -> list[str]:
        """The last lines kept; with an object, only those that name it or are no events of it."""
        self._flush()
        kept = list(self._tail or ())
        if object_id:
            wanted = (str(object_id), str(object_id >> 48))
            kept = [
                line for line in kept if any(each in line for each in wanted) or _is_fault(line)
            ]
            kept = [line.replace(str(object_id), format_id(object_id)) for line in kept]
        return kept[-lines:]


def _is_fault(line: str) -> bool:
    """Notes name a node as `n3`; events give its number alone."""
    return line.split(" ", 2)[1].startswith(("n", "line"))
