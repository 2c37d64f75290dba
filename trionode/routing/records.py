"""What of the brain's books outlives the node: plain values that stores write and read back.

Times in them (`created`; `due`, `deadline` and those in the `history` among the details) are on
whatever clock the writer chose; `shifted` moves them to another one. A stamp orders what was
written: an object belongs to an offer only if it was written before the offer was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing import history

if TYPE_CHECKING:
    from trionode.ids import Run
    from trionode.routing.model import HeldObject, Spilled

_TIMES = ("due", "deadline")
_TIMED = frozenset({*_TIMES, "history"})


@attrs.frozen
class ObjectRecord:
    """One object in custody. A payload that is `Spilled` is the one that the store has of it."""

    id: int
    type: str
    payload: bytes | Spilled
    encoding: str
    fingerprint: str
    created: float
    attempt: int
    details: dict[str, Any] | None
    stamp: int

    def shifted(self, offset_s: float) -> ObjectRecord:
        """The same with its times on a clock that is `offset_s` ahead."""
        return ObjectRecord(
            self.id,
            self.type,
            self.payload,
            self.encoding,
            self.fingerprint,
            self.created + offset_s,
            self.attempt,
            shifted(self.details, offset_s),
            self.stamp,
        )


@attrs.frozen
class ProducerRecord:
    """The accepted sequences of a producer: all up to `floor`, and these runs above it."""

    producer: int
    floor: int
    accepted: list[Run]


@attrs.frozen
class GivenRecord:
    """An open offer of ours: the ids in the order in which its answer counts them."""

    peer: str
    incarnation: int
    sequence: int
    ids: tuple[int, ...]
    stamp: int


@attrs.frozen
class TakenRecord:
    """A peer's offer that was answered and is not yet reported closed.

    `durable`: the giver has a durable store, and may ask about it after any time.
    """

    giver: str
    incarnation: int
    sequence: int
    refused: tuple[int, ...]
    durable: bool = True


@attrs.frozen
class KeysRecord:
    """Keys of pushes that were accepted at one time, as (digest, id of the object)."""

    at: float
    keys: tuple[tuple[bytes, int], ...]

    def shifted(self, offset_s: float) -> KeysRecord:
        """The same with its time on a clock that is `offset_s` ahead."""
        return KeysRecord(self.at + offset_s, self.keys)


def record_of(
    item: HeldObject, details: dict[str, Any] | None, stamp: int, offset_s: float
) -> ObjectRecord:
    """An object as it is now, its times on a clock that is `offset_s` ahead of the brain's.

    `details` are the object's, shifted already: objects of one batch often share theirs.
    """
    shape = item.shape
    return ObjectRecord(
        item.id,
        item.table.name,
        item.payload,
        shape.encoding,
        shape.fingerprint,
        item.created + offset_s,
        item.attempt,
        details,
        stamp,
    )


def shifted(details: dict[str, Any] | None, offset_s: float) -> dict[str, Any] | None:
    """Details with their times on a clock that is `offset_s` ahead."""
    if details is None or _TIMED.isdisjoint(details):
        return details
    moved = {name: details[name] + offset_s for name in _TIMES if name in details}
    return {**details, **moved, **history.moved(details, offset_s)}
