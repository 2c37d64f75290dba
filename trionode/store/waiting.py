"""What waits for a commit, and the acknowledgements of pushes that need not wait for it.

An object that is settled before its commit is never written: that it was settled is as good an end
as its producer could wish for, and acknowledges its push. Not so where its settlement has results,
where it has an idempotency key or where settled objects are kept: then the commit has all of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trionode.routing.effects import AcknowledgePush

if TYPE_CHECKING:
    from collections.abc import Collection

    from trionode.routing.effects import Effect, Forget
    from trionode.store.batch import Batch


@attrs.define(eq=False)
class Waiting:
    """Effects that wait for the commit of one batch.

    Args:
        early: whether pushes may be acknowledged before it at all.
    """

    early: bool = True
    _effects: dict[int, Effect] = attrs.field(factory=dict)
    """By identity, in the order in which they came."""
    _watched: dict[int, AcknowledgePush] = attrs.field(factory=dict)
    """An object that is not settled -> the push that waits for it, each push once."""
    _left_otherwise: set[int] = attrs.field(factory=set)

    @property
    def watching(self) -> bool:
        """Whether there are pushes that `settled` may acknowledge."""
        return bool(self._watched)

    def add(self, effect: Effect) -> None:
        """Have an effect wait."""
        self._effects[id(effect)] = effect
        if type(effect) is AcknowledgePush and effect.new is not None and self.early:
            self._watched[effect.new[-1]] = effect

    def settled(self, effect: Forget, batch: Batch) -> Collection[AcknowledgePush]:
        """The pushes that wait no longer now that objects left, which the batch knows already."""
        if not effect.plain:
            self._left_otherwise.update(effect.ids)
        done = []
        for id_ in sorted(self._watched.keys() & effect.ids):
            push = self._watched.pop(id_)
            new = push.new
            assert new is not None, "others are not watched"
            if not self._left_otherwise.isdisjoint(new):
                continue  # it waits for the commit
            if batch.kept.keys().isdisjoint(new):
                del self._effects[id(push)]
                done.append(push)
            else:
                self._watched[next(each for each in new if each in batch.kept)] = push
        return done

    def facts(self) -> tuple[object, ...]:
        """All that what follows depends on, for comparing states."""
        return (list(self._effects.values()), list(self._watched), self._left_otherwise)

    def take(self) -> list[Effect]:
        """All that waits, to be carried out; nothing does any more."""
        effects = list(self._effects.values())
        self._effects.clear()
        self._watched.clear()
        return effects
