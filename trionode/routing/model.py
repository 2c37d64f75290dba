"""What the brain keeps of an object, and the one table of states an object goes through."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

if TYPE_CHECKING:
    from trionode.routing.custody import TypeTable
    from trionode.routing.offers import Offer
    from trionode.routing.subscriptions import Subscription


class State(enum.IntEnum):
    """Where an object stands at one node. From SETTLED on it has left the node's custody for good.

    The numbers of the states of custody come first, so that a count of each fits a short list.
    """

    READY = 0
    DELAYED = 1
    LEASED = 2
    TRANSFERRING = 3
    DEAD = 4
    BLOCKED = 5
    """Ready, but for another object of its ordering key that comes first."""
    SETTLED = 6
    EXPIRED = 7
    GIVEN = 8
    """Custody is another node's."""
    DISCARDED = 9
    DAMAGED = 10
    """Its payload could not be read back from the store."""


HELD_STATES = (
    State.READY,
    State.DELAYED,
    State.LEASED,
    State.TRANSFERRING,
    State.DEAD,
    State.BLOCKED,
)
ENDED_STATES = (State.SETTLED, State.EXPIRED, State.GIVEN, State.DISCARDED, State.DAMAGED)
"""Terminal: nothing happens to an object any more."""


class Step(enum.IntEnum):
    """What can happen to an object in custody."""

    LEASE = 0
    """It was handed to a consumer."""
    SETTLE = 1
    """Its consumer acknowledged it."""
    RETURN = 2
    """Its lease ended and it may be leased again at once."""
    DELAY = 3
    """It waits for a time: a push with a delay, or a nack."""
    BURY = 4
    """It became a dead letter."""
    DUE = 5
    """Its delay is over."""
    OFFER = 6
    """It was proposed to another node."""
    GIVE = 7
    """The other node has accepted custody."""
    KEEP = 8
    """The offer was refused, never seen, given up or void: it stays here."""
    RETRY = 9
    """A person revived a dead letter."""
    EXPIRE = 10
    """Its producer's deadline passed."""
    DISCARD = 11
    """A person discarded it."""
    REPLACE = 12
    """Its consumer gave it new content; it goes on from the back of the queue."""
    LOSE = 13
    """Its payload was left to the store, and the store cannot give it back."""
    BLOCK = 14
    """Another object of its ordering key comes first."""
    UNBLOCK = 15
    """None does any more."""


_R, _D, _L, _T, _X, _B = HELD_STATES

_ALLOWED: dict[Step, dict[State, State]] = {
    Step.LEASE: {_R: _L},
    Step.SETTLE: {_L: State.SETTLED},
    Step.RETURN: {_L: _R},
    Step.DELAY: {_R: _D, _L: _D},
    Step.BURY: dict.fromkeys((_R, _L, _D, _B), _X),
    Step.DUE: {_D: _R},
    Step.OFFER: dict.fromkeys((_R, _D, _X, _B), _T),
    Step.GIVE: {_T: State.GIVEN},
    Step.KEEP: {_T: _R},
    Step.RETRY: {_X: _R},
    Step.EXPIRE: dict.fromkeys((_R, _D, _L, _B), State.EXPIRED),
    Step.DISCARD: {_X: State.DISCARDED},
    Step.REPLACE: {_L: _R},
    Step.LOSE: dict.fromkeys((_R, _D, _X, _B), State.DAMAGED),
    Step.BLOCK: {_R: _B},
    Step.UNBLOCK: {_B: _R},
}

Transitions: TypeAlias = tuple[tuple[State | None, ...], ...]


def _table(targets: tuple[State, ...]) -> Transitions:
    rows = ([_ALLOWED[step].get(state) for state in State] for step in Step)
    return tuple(tuple(each if each in targets else None for each in row) for row in rows)


MOVES = _table(HELD_STATES)
"""`MOVES[step][state]` is the state that follows within custody; None: the step does not lead to
one from there, and asking for it is a programmer's error."""
ENDS = _table(ENDED_STATES)
"""The same for the steps by which custody ends."""


@attrs.frozen
class Shape:
    """What the objects of a batch have in common beside their type; interned by the intake."""

    encoding: str = "json"
    fingerprint: str = ""


@attrs.define(eq=False)
class Spilled:
    """Stands for a payload that is in the store and not in memory; its `len` is the payload's."""

    size_bytes: int

    def __len__(self) -> int:
        return self.size_bytes


@attrs.define(eq=False)
class HeldObject:
    """One object in this node's custody. Mutated by `Custody` and the leases' owner only.

    `since` is when it came into its state, `created` when its producer made it, both on this node's
    monotonic clock. `holder` is the subscription that leases it or the offer that moves it, `mark`
    its delivery number in that subscription. `details` are rare properties, never mutated in place
    because the objects of a batch share the dict; times in it are absolute on this node's clock
    (`deadline`, `due`).
    """

    id: int
    table: TypeTable
    payload: bytes | Spilled
    shape: Shape
    created: float
    since: float
    state: State = State.READY
    attempt: int = 1
    holder: Subscription | Offer | None = None
    mark: int = 0
    details: dict[str, Any] | None = None

    @property
    def held(self) -> bool:
        """Whether it is in this node's custody still."""
        return self.state < State.SETTLED

    @property
    def suspect(self) -> bool:
        """Its last attempt ended in its consumer's death: it is leased alone of its kind (G5)."""
        return self.details is not None and "suspect" in self.details

    def detail(self, name: str, default: Any = None) -> Any:
        """One rare property, or `default`."""
        return default if self.details is None else self.details.get(name, default)

    def amend(self, **changes: Any) -> None:
        """Set rare properties (None removes one) on this object alone."""
        details = {**(self.details or {}), **changes}
        self.become({name: value for name, value in details.items() if value is not None} or None)

    def become(self, details: dict[str, Any] | None) -> None:
        """Give an object in custody these rare properties in place of those it has."""
        self.details = details
        self.table.weights.note(self.id, details)


def payloads_of(objects: list[HeldObject]) -> list[bytes]:
    """The payloads of objects that are in memory, as those leased or on a new offer are."""
    return [item.payload for item in objects]  # type: ignore[misc]  # `Residency` sees to it


def jitter(key: int, salt: int) -> float:
    """A number in [0, 1) that looks random but is a function of its arguments.

    Spreads retries without randomness in the brain (a step of SplitMix64).
    """
    mask = (1 << 64) - 1
    x = (key ^ (salt * 0x9E3779B97F4A7C15)) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return (x ^ (x >> 31)) / (mask + 1)
