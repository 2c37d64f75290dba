"""What the brain wants done.

Three kinds, told apart by class attributes:

- store operations (`stored = True`): applied in order, in one commit per turn of the brain or for
  several turns together;
- effects with `after_commit`: carried out only once the store has confirmed everything that was
  emitted before them (an acknowledgement means custody, R8, G1);
- all others: carried out at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

if TYPE_CHECKING:
    from trionode.ids import Run
    from trionode.routing.model import HeldObject, Spilled

Handle = int
"""Names a stream or a link; minted by whoever runs the brain, never used twice."""


@attrs.frozen
class Effect:
    """Base of all effects."""

    stored: ClassVar[bool] = False
    after_commit: bool = attrs.field(default=False, kw_only=True)


@attrs.frozen
class StoreEffect(Effect):
    """Base of the store operations."""

    stored: ClassVar[bool] = True


# --- the store --------------------------------------------------------------------------------


@attrs.frozen
class Keep(StoreEffect):
    """Write these objects as they are now: new in custody, or changed in a way that must last.

    To be read at once, since objects change. What is kept is on no offer any more (`MarkOffered`).
    `fresh`: no earlier state of them is in the store, unless a `Forget` of this commit came before.
    """

    objects: list[HeldObject]
    fresh: bool = False


@attrs.frozen
class Forget(StoreEffect):
    """These objects have left custody.

    `outcome` says how, for stores that keep what was settled: `settled`, `expired` or
    `transferred`; `at` is when, on the brain's clock. `plain`: by acks that had no results.
    """

    ids: list[int]
    outcome: str = "transferred"
    at: float = 0.0
    plain: bool = False


@attrs.frozen
class RememberProducer(StoreEffect):
    """Sequences of this producer were accepted; all up to `floor` need no remembering any more."""

    producer: int
    accepted: list[Run]
    floor: int


@attrs.frozen
class ForgetProducer(StoreEffect):
    """Nothing of this producer needs remembering."""

    producer: int


@attrs.frozen
class RememberKeys(StoreEffect):
    """These keys of pushes, as (digest, id), were taken at a time and mean these objects."""

    at: float
    keys: tuple[tuple[bytes, int], ...]


@attrs.frozen
class ForgetKeys(StoreEffect):
    """No key that was taken up to a time needs remembering."""

    until: float


@attrs.frozen
class MarkOffered(StoreEffect):
    """These objects are on offer to `peer` under (own incarnation, sequence)."""

    peer: str
    incarnation: int
    sequence: int
    ids: list[int]


@attrs.frozen
class UnmarkOffered(StoreEffect):
    """This offer is closed; its objects that are still here are no longer on offer."""

    peer: str
    incarnation: int
    sequence: int


@attrs.frozen
class RememberOffer(StoreEffect):
    """Offer (giver, incarnation, sequence) was taken but for the indexes in `refused`."""

    giver: str
    incarnation: int
    sequence: int
    refused: tuple[int, ...]
    durable: bool = True


@attrs.frozen
class ForgetOffers(StoreEffect):
    """The giver reported these offers closed, as (incarnation, sequence)."""

    giver: str
    numbers: list[tuple[int, int]]


@attrs.frozen
class Fetch(Effect):
    """Read the payloads of these objects of one type back; the answer is `events.Fetched`.

    `marks` stand for the payloads that are meant: an object may have another one by then.
    """

    type: str
    objects: list[HeldObject]
    marks: list[Spilled]


# --- to clients -------------------------------------------------------------------------------


@attrs.frozen
class AcknowledgePush(Effect):
    """Tell a producer stream that custody of these sequences is taken.

    Those in `others`, as (sequence, id), repeat the key of an object with another id and are not
    stored. `new`: the ids of all, where each came into custody in this turn and none has a key;
    once the last of them left by a plain ack nothing needs to be stored first.
    """

    stream: Handle
    sequences: list[tuple[int, int]]
    others: list[tuple[int, int]] = attrs.field(factory=list)
    new: range | None = None


@attrs.frozen
class Deliver(Effect):
    """Send these leased objects, all of one type, to a subscription of a consumer stream."""

    stream: Handle
    subscription: int
    type: str
    objects: list[HeldObject]


@attrs.frozen
class Copy(Effect):
    """Show objects, all of one type, to the watchers (stream, subscription) of that type.

    `how` they came: accepted, received, emitted, replaced. `objects` are copies, and nobody's.
    """

    watchers: tuple[tuple[Handle, int], ...]
    type: str
    how: str
    objects: list[HeldObject]


@attrs.frozen
class AnswerSettle(Effect):
    """Answer the settle of that number; `refused` are (id, attempt, reason)."""

    stream: Handle
    number: int
    refused: list[tuple[int, int, str]]


@attrs.frozen
class LoseLeases(Effect):
    """Tell a consumer stream that leases (id, attempt) were taken back."""

    stream: Handle
    leases: list[tuple[int, int]]
    reason: str


# --- to people --------------------------------------------------------------------------------


@attrs.frozen
class AnswerPerson(Effect):
    """What was done of what a person asked for: to these objects; `refused` are (id, reason)."""

    number: int
    done: list[int]
    refused: list[tuple[int, str]]


# --- to peers ---------------------------------------------------------------------------------


@attrs.frozen
class RouteUpdate:
    """What a node says of one key: its path to the origin, or none when it is withdrawn.

    `epoch` names the account of credit that goes with this advertisement on this link.
    """

    key: str
    path: tuple[str, ...]
    origin: str
    incarnation: int
    version: int
    epoch: int


@attrs.frozen
class SendInterest(Effect):
    """Tell a peer what can be processed here or through here; `full` replaces what was said."""

    link: Handle
    full: bool
    updates: list[RouteUpdate]


@attrs.frozen
class SendCredit(Effect):
    """Grant (key, epoch, highest count acceptable, highest bytes acceptable) to a peer."""

    link: Handle
    grants: list[tuple[str, int, int, int]]


@attrs.frozen
class SendBacklog(Effect):
    """Tell a peer (key, epoch, count up to which we would like to offer)."""

    link: Handle
    wishes: list[tuple[str, int, int]]


@attrs.frozen
class SendOffer(Effect):
    """Propose custody of these objects, all of one type and shape, to the peer."""

    link: Handle
    sequence: int
    key: str
    epoch: int
    type: str
    objects: list[HeldObject]
    draining: bool


@attrs.frozen
class SendAnswer(Effect):
    """Answer a peer's offer (its incarnation, sequence)."""

    link: Handle
    incarnation: int
    sequence: int
    known: bool
    refused: tuple[int, ...]


@attrs.frozen
class SendClose(Effect):
    """Tell the receiver that these offers of ours, (incarnation, sequence), are closed."""

    link: Handle
    numbers: list[tuple[int, int]]


@attrs.frozen
class SendKeysSettled(Effect):
    """Tell a peer that these objects, which it gave, have ended here: their keys may go on."""

    link: Handle
    ids: list[int]


@attrs.frozen
class SendKeysAsked(Effect):
    """Ask a peer which of these objects, given to it, have ended there."""

    link: Handle
    ids: list[int]


@attrs.frozen
class SendAsk(Effect):
    """Ask the peer about every offer of ours that is open with it; all others are closed."""

    link: Handle
    incarnation: int
    next_sequence: int
    numbers: list[tuple[int, int]]
