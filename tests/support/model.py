"""What one brain must do, kept outside of it: a plain model that is told events and sees effects.

The model never looks into the brain while it judges effects; `compare` holds both books together.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import attrs

from tests.support.books import check_books
from trionode.routing import Brain, RoutingOptions, effects, events
from trionode.routing.model import State
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

OPTIONS = RoutingOptions(
    transfer_after_s=1.0,
    overflow_after_s=0.5,
    relay_window=3,
    in_doubt_timeout_s=5.0,
    max_attempts=3,
    retry_base_s=1.0,
    max_held_bytes=8000,
)


def wants(keys: Iterable[str], type_: str) -> bool:
    """Whether interest in these keys is interest in a type; all names here have one segment."""
    return any(key in (type_, "*", ">") for key in keys)


@attrs.define(eq=False)
class Window:
    """A subscription as its consumer knows it."""

    stream: int
    number: int
    keys: tuple[str, ...]
    credit: int = 0
    credit_bytes: int = 0
    delivered: int = 0
    started: int = 0


@attrs.define(eq=False)
class Known:
    """An object in custody. `window`: who leases it; `offer`: the number it is on offer under."""

    id: int
    type: str
    payload: bytes
    attempt: int = 1
    version: int = 1
    deadline: float = math.inf
    not_before: float = 0.0
    dead: bool = False
    suspect: bool = False
    window: Window | None = None
    mark: int = 0
    offer: int | None = None

    def free(self) -> None:
        """Its lease or offer is over."""
        self.window = self.offer = None


@attrs.define(eq=False)
class Account:
    """What a peer accepts of a key on one link, as it has told."""

    epoch: int
    limit: int = 0
    byte_limit: int = 0
    offered: int = 0
    offered_bytes: int = 0

    @property
    def credit(self) -> bool:
        """Whether one more may be offered."""
        return self.offered < self.limit and self.offered_bytes < self.byte_limit


@attrs.define(eq=False)
class Peer:
    """A peer of the brain, played by the test. `link` is None while there is none."""

    name: str
    link: int | None = None
    down_since: float = 0.0
    told: dict[str, Account] = attrs.field(factory=dict)
    """Keys that the peer is interested in."""
    advertised: dict[str, int] = attrs.field(factory=dict)
    """Keys that the brain told the peer, with the epoch."""
    granted: dict[str, Account] = attrs.field(factory=dict)
    """What the brain accepts of these keys."""
    answers: dict[int, tuple[int, ...]] = attrs.field(factory=dict)
    """The peer's offers that the brain has answered, with what it refused."""
    sequence: int = 0
    epochs: int = 0


class Model:
    """One brain and the books beside it."""

    def __init__(self, *, durable: bool) -> None:
        self.brain = Brain("me", 1, durable=durable, options=OPTIONS)
        self.durable = durable
        self.doubt_s = OPTIONS.in_doubt_timeout_s
        self.now = 0.0
        self.draining = False
        self.known: dict[int, Known] = {}
        self.windows: list[Window] = []
        self.streams: set[int] = set()
        self.peers = {name: Peer(name) for name in ("p", "q")}
        self.offers: dict[int, tuple[str, list[int]]] = {}
        """Open offers of the brain: sequence -> (peer, ids)."""
        self.refusals: list[tuple[int, int, str]] | None = None
        self.lost: list[tuple[int, int]] = []
        self.closed: list[int] = []
        self.asked: list[int] | None = None
        self.answered: list[effects.SendAnswer] = []
        self._judges: dict[type, Callable[[Any], None]] = {
            effects.Deliver: self._delivered,
            effects.SendOffer: self._offered,
            effects.SendInterest: self._told,
            effects.AnswerSettle: self._settled,
            effects.LoseLeases: lambda effect: self.lost.extend(effect.leases),
            effects.SendClose: lambda effect: self.closed.extend(n for _, n in effect.numbers),
            effects.SendAsk: self._asks,
            effects.SendAnswer: self._answers,
            effects.SendCredit: self._granted,
            effects.SendBacklog: self._wished,
        }

    def handle(self, event: object) -> None:
        """Give the brain an event and judge all it wants done."""
        self.refusals = self.asked = None
        self.lost, self.closed, self.answered = [], [], []
        for effect in self.brain.handle(event, self.now):
            judge = self._judges.get(type(effect))
            if judge is not None:
                judge(effect)

    # --- judging effects -----------------------------------------------------------------------

    def leases(self, window: Window) -> list[Known]:
        return [one for one in self.known.values() if one.window is window]

    def has_room(self, window: Window) -> bool:
        """Whether one more object may be leased to it."""
        leased = self.leases(window)
        size_bytes = sum(len(one.payload) for one in leased)
        return len(leased) < window.credit and size_bytes < window.credit_bytes

    def has_space(self) -> bool:
        """Whether what is here takes less memory than it may; all but payloads is alike."""
        size_bytes = sum(len(one.payload) for one in self.known.values())
        overhead_bytes = OBJECT_OVERHEAD_BYTES * len(self.known)
        overhead_bytes += self.brain.context.custody.weights.total_bytes
        return size_bytes + overhead_bytes < OPTIONS.max_held_bytes

    def peer_of(self, link: int) -> Peer:
        (peer,) = (peer for peer in self.peers.values() if peer.link == link)
        return peer

    def _delivered(self, effect: effects.Deliver) -> None:
        assert not self.draining, "a lease given while draining"
        (window,) = (
            each
            for each in self.windows
            if (each.stream, each.number) == (effect.stream, effect.subscription)
        )
        assert wants(window.keys, effect.type)
        for item in effect.objects:
            one = self.known[item.id]
            assert one.window is None, "I6: leased twice"
            assert one.offer is None, "I2: leased while on offer"
            assert not one.dead
            assert self.now >= one.not_before, "leased before its time"
            assert self.has_room(window), "beyond the window"
            if one.suspect:
                others = (each for each in self.windows if each.stream == window.stream)
                assert not any(each.suspect for other in others for each in self.leases(other))
            one.window, one.mark = window, window.delivered
            window.delivered += 1

    def _offered(self, effect: effects.SendOffer) -> None:
        peer = self.peer_of(effect.link)
        ids = [item.id for item in effect.objects]
        for item in effect.objects:
            one = self.known[item.id]
            assert (one.window, one.offer) == (None, None), "I2: two ways at once"
            assert one.type == effect.type
            one.offer = effect.sequence
        if effect.draining:
            assert self.draining
            assert not self.durable
        else:
            self._judge_credit(peer, effect)
        assert effect.sequence not in self.offers
        self.offers[effect.sequence] = (peer.name, ids)

    def _judge_credit(self, peer: Peer, effect: effects.SendOffer) -> None:
        """I3, by what the brain was told."""
        account = peer.told[effect.key]
        assert wants([effect.key], effect.type)
        assert account.epoch == effect.epoch
        for item in effect.objects:
            assert account.offered < account.limit, "I3: beyond the credit"
            assert account.offered_bytes < account.byte_limit, "I3: beyond the bytes"
            account.offered += 1
            account.offered_bytes += len(item.payload)
            one = self.known[item.id]
            assert not one.dead
            assert self.now >= one.not_before
        if not self.draining:
            wanting = [each for each in self.windows if wants(each.keys, effect.type)]
            assert not any(map(self.has_room, wanting)), "I3: there is local credit"

    def _told(self, effect: effects.SendInterest) -> None:
        peer = self.peer_of(effect.link)
        if effect.full:
            peer.advertised.clear()
        for update in effect.updates:
            if update.path:
                assert not self.draining, "interest told while draining"
                assert update.path[0] == "me"
                assert peer.name not in update.path
                peer.advertised[update.key] = update.epoch
                peer.granted[update.key] = Account(update.epoch)
            else:
                del peer.advertised[update.key]

    def _settled(self, effect: effects.AnswerSettle) -> None:
        self.refusals = effect.refused

    def _asks(self, effect: effects.SendAsk) -> None:
        self.asked = [sequence for _, sequence in effect.numbers]

    def _answers(self, effect: effects.SendAnswer) -> None:
        self.answered.append(effect)

    def _granted(self, effect: effects.SendCredit) -> None:
        peer = self.peer_of(effect.link)
        for key, epoch, limit, byte_limit in effect.grants:
            assert peer.advertised.get(key) == epoch
            assert limit >= 0
            assert byte_limit >= 0
            account = peer.granted[key]
            account.limit, account.byte_limit = limit, byte_limit

    def _wished(self, effect: effects.SendBacklog) -> None:
        peer = self.peer_of(effect.link)
        for key, epoch, wanted in effect.wishes:
            assert peer.told[key].epoch == epoch
            assert wanted >= 0

    # --- what time does ------------------------------------------------------------------------

    def tick(self) -> None:
        """Whatever is over by now is over; the brain ticks until it has nothing more to do."""
        for sequence, (name, ids) in list(self.offers.items()):
            peer = self.peers[name]
            if peer.link is None and peer.down_since + self.doubt_s <= self.now:
                del self.offers[sequence]
                for one in self.on_offer(sequence, ids):
                    self.keep(one)
        expired = [one for one in self.known.values() if self._is_over(one)]
        for one in expired:
            del self.known[one.id]
        for _ in range(20):
            self.handle(events.Tick())
            for id_, attempt in self.lost:
                (one,) = (each for each in expired if each.id == id_)
                assert one.window is not None
                assert one.attempt == attempt
                one.free()
            wake_at = self.brain.wake_at
            if not self.brain.work_flagged and (wake_at is None or wake_at > self.now):
                break
        else:
            raise AssertionError("never quiet")
        assert not any(one.window for one in expired), "a lease lost without a word"

    def _is_over(self, one: Known) -> bool:
        return one.deadline <= self.now and not one.dead and one.offer is None

    def keep(self, one: Known) -> None:
        """It is on offer no more and stays, unless its time ran out meanwhile."""
        one.offer = None
        if self._is_over(one):
            del self.known[one.id]

    def on_offer(self, sequence: int, ids: list[int]) -> list[Known]:
        """What of an offer is still on it."""
        known = (self.known.get(id_) for id_ in ids)
        return [one for one in known if one is not None and one.offer == sequence]

    # --- both books ----------------------------------------------------------------------------

    def compare(self) -> None:
        """The brain has what the model has, as the model has it."""
        check_books(self.brain)
        objects = self.brain.context.custody.objects
        assert set(objects) == set(self.known)
        for item in objects.values():
            one = self.known[item.id]
            assert (item.state == State.LEASED) == (one.window is not None)
            assert (item.state == State.TRANSFERRING) == (one.offer is not None)
            assert (item.detail("dead") is not None) == one.dead
            assert (item.state == State.DEAD) == (one.dead and one.offer is None)
            assert (item.attempt, item.payload) == (one.attempt, one.payload)
            assert (item.suspect, item.detail("version", 1)) == (one.suspect, one.version)
        open_offers = [
            sequence for offers in self.brain.givings.open.values() for _, sequence in offers
        ]
        assert sorted(open_offers) == sorted(self.offers)
        self._compare_local_first()

    def _compare_local_first(self) -> None:
        """R1: nothing waits that a local window has room for."""
        if self.draining:
            return
        for item in self.brain.context.custody.objects.values():
            if item.state == State.READY and not item.suspect:
                wanting = [each for each in self.windows if wants(each.keys, item.table.name)]
                assert not any(map(self.has_room, wanting)), "R1: it waits beside credit"
