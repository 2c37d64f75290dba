"""Store effects of several turns of the brain, folded into what one commit has to write.

An effect is read when it is added, since the objects in it change afterwards. An object that comes
and goes within one batch leaves nothing to write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.query.selection import RETAINED
from trionode.routing import effects
from trionode.routing.model import Spilled
from trionode.routing.records import (
    GivenRecord,
    KeysRecord,
    ObjectRecord,
    TakenRecord,
    record_of,
    shifted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from trionode.ids import Run
    from trionode.schema.definition import Definition

OfferKey = tuple[str, int, int]
"""(node id of the other side, giver's incarnation, sequence)."""


@attrs.define
class ProducerChange:
    """Sequences of one producer to add to what was accepted, and its new floor.

    `anew`: what was kept of it before does not count.
    """

    accepted: list[Run] = attrs.field(factory=list)
    floor: int = 0
    anew: bool = False


@attrs.frozen
class Retired:
    """An object that left and is kept for queries.

    `settled` is Unix time; `record` is there where the store may not have the object as it was,
    but perhaps its payload.
    """

    settled: float
    outcome: str
    record: ObjectRecord | None


@attrs.define(eq=False)
class Batch:
    """What one commit writes. To be applied in this order: `gone`, `kept`; the rest is apart.

    `gone` are ids of objects to delete, whether the store has them or not; `kept` objects to write,
    over what the store has of them. Of offers, None means that the store may forget them. Of keys,
    the store may forget all that were taken up to `keys_until`, which none of `keys` was.
    `partial`: some of `kept` or `retired` may be `Spilled`: the store has their payloads.
    `retired` are those of `gone`, and some never written, that are kept for queries; there are none
    unless `retains`. `tidy_at`: the Unix time at which to look for some that were kept long enough.

    Args:
        stamp: the stamp of the last effect of the batch before this one.
        offset_s: Unix time less the brain's clock.
    """

    stamp: int
    offset_s: float
    gone: dict[int, None] = attrs.field(factory=dict)
    kept: dict[int, ObjectRecord] = attrs.field(factory=dict)
    producers: dict[int, ProducerChange | None] = attrs.field(factory=dict)
    given: dict[OfferKey, GivenRecord | None] = attrs.field(factory=dict)
    taken: dict[OfferKey, TakenRecord | None] = attrs.field(factory=dict)
    definitions: list[Definition] = attrs.field(factory=list)
    partial: bool = False
    retains: bool = attrs.field(default=False, kw_only=True)
    retired: dict[int, Retired] = attrs.field(factory=dict)
    tidy_at: float | None = None
    keys: list[KeysRecord] = attrs.field(factory=list)
    keys_until: float | None = None
    _fresh: set[int] = attrs.field(factory=set)

    def __bool__(self) -> bool:
        return bool(
            self.kept
            or self.gone
            or self.producers
            or self.given
            or self.taken
            or self.definitions
            or self.retired
            or self.tidy_at
            or self.keys
            or self.keys_until is not None
        )

    def add(self, effect: effects.StoreEffect) -> None:
        """Fold an effect in; effects are added in the order in which the brain gave them."""
        self.stamp += 1
        _ADDERS[type(effect)](self, effect)

    def _keep(self, effect: effects.Keep) -> None:
        stamp, offset_s, kept = self.stamp, self.offset_s, self.kept
        before = details = None
        for item in effect.objects:
            if item.details is not before:
                before = item.details
                details = shifted(before, offset_s)
            kept[item.id] = record_of(item, details, stamp, offset_s)
        if effect.fresh:
            # One that left in this batch and came back may be in the store all the same.
            gone = self.gone
            self._fresh.update(item.id for item in effect.objects if item.id not in gone)
        elif any(isinstance(item.payload, Spilled) for item in effect.objects):
            self.partial = True

    def _forget(self, effect: effects.Forget) -> None:
        if self.retains and effect.outcome in RETAINED:
            self._retire(effect)
        kept, gone, fresh = self.kept, self.gone, self._fresh
        for id_ in effect.ids:
            kept.pop(id_, None)
            if id_ in fresh:
                fresh.discard(id_)
            else:
                gone[id_] = None

    def _retire(self, effect: effects.Forget) -> None:
        settled = effect.at + self.offset_s
        for id_ in effect.ids:
            self.retired[id_] = Retired(settled, effect.outcome, self.kept.get(id_))

    def _remember_producer(self, effect: effects.RememberProducer) -> None:
        change = self.producers.get(effect.producer)
        if change is None:
            anew = effect.producer in self.producers
            change = self.producers[effect.producer] = ProducerChange(anew=anew)
        change.accepted.extend(effect.accepted)
        change.floor = max(change.floor, effect.floor)

    def _forget_producer(self, effect: effects.ForgetProducer) -> None:
        self.producers[effect.producer] = None

    def _remember_keys(self, effect: effects.RememberKeys) -> None:
        self.keys.append(KeysRecord(effect.at + self.offset_s, effect.keys))

    def _forget_keys(self, effect: effects.ForgetKeys) -> None:
        self.keys_until = until = effect.until + self.offset_s
        self.keys = [each for each in self.keys if each.at > until]

    def _mark(self, effect: effects.MarkOffered) -> None:
        key = (effect.peer, effect.incarnation, effect.sequence)
        self.given[key] = GivenRecord(*key, tuple(effect.ids), self.stamp)

    def _unmark(self, effect: effects.UnmarkOffered) -> None:
        self.given[effect.peer, effect.incarnation, effect.sequence] = None

    def _remember_offer(self, effect: effects.RememberOffer) -> None:
        key = (effect.giver, effect.incarnation, effect.sequence)
        self.taken[key] = TakenRecord(*key, effect.refused, effect.durable)

    def _forget_offers(self, effect: effects.ForgetOffers) -> None:
        for number in effect.numbers:
            self.taken[effect.giver, *number] = None


_ADDERS: dict[type, Callable[[Batch, Any], None]] = {
    effects.Keep: Batch._keep,  # noqa: SLF001  # the table belongs to the class
    effects.Forget: Batch._forget,  # noqa: SLF001  # the same
    effects.RememberProducer: Batch._remember_producer,  # noqa: SLF001  # the same
    effects.ForgetProducer: Batch._forget_producer,  # noqa: SLF001  # the same
    effects.RememberKeys: Batch._remember_keys,  # noqa: SLF001  # the same
    effects.ForgetKeys: Batch._forget_keys,  # noqa: SLF001  # the same
    effects.MarkOffered: Batch._mark,  # noqa: SLF001  # the same
    effects.UnmarkOffered: Batch._unmark,  # noqa: SLF001  # the same
    effects.RememberOffer: Batch._remember_offer,  # noqa: SLF001  # the same
    effects.ForgetOffers: Batch._forget_offers,  # noqa: SLF001  # the same
}
