"""The end-to-end ledger: what became of every object, kept outside the nodes.

It believes nothing that a brain says of itself. It sees what was sent to the nodes and what they
put out, and derives from that who has custody, who has a lease, and what must not happen (I1, I6,
G3). It must never change anything in the simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects, events
from trionode.routing.context import EXPIRED
from trionode.routing.leases import DEADLINE_PASSED
from trionode.simulation import streams
from trionode.simulation.copies import check_arrival, check_recovered
from trionode.simulation.families import Families, KeyBook
from trionode.simulation.fates import Fate, InvariantBroken
from trionode.simulation.leases import Lease, LeaseBook
from trionode.simulation.times import Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from trionode.routing.effects import Effect
    from trionode.routing.options import RoutingOptions
    from trionode.simulation.host import Host


class Ledger:
    """All fates, and what follows for each node.

    Args:
        options: of the brains.
        even_clocks: no clock jumps or runs fast or slow.
    """

    def __init__(self, options: RoutingOptions, *, even_clocks: bool = True) -> None:
        self.fates: dict[int, Fate] = {}
        self.leases: dict[int, LeaseBook] = {}
        self.held: dict[int, dict[int, None]] = {}
        self._unsaved: dict[int, dict[int, None]] = {}
        """By node: what left its custody and may come back if it crashes now."""
        self._saving: dict[int, dict[int, None]] = {}
        """The same, of what the write under way would settle."""
        self.times = Times(options, even=even_clocks)
        self.counts: dict[str, int] = {}
        self.duplicates: dict[str, int] = {}
        self._families = Families()
        self._keys = KeyBook(options.key_window_s)
        self._max_attempts = options.max_attempts
        self._doomed: list[int] = []
        """What has failed for the last time at this turn."""
        self._seen: dict[type, Callable[[Host, object, Any], None]] = {
            effects.Keep: self._kept,
            effects.Forget: self._forgot,
            effects.Deliver: self._delivered,
            effects.LoseLeases: self._lost_leases,
            effects.SendOffer: self._offered,
        }
        self._doors: dict[type, Callable[[Host, Fate, int], None]] = {
            events.Settled: self._left_settled,
            events.OfferAnswered: self._left_with_offer,
            events.OfferCame: self._left_expired,
            events.Tick: self._left_expired,
            events.NodeForgotten: self._left_expired,
            events.DrainEnding: self._left_expired,
            events.Discarded: self._left_discarded,
        }

    def count(self, what: str, more: int = 1) -> None:
        """Add to a figure of the report."""
        self.counts[what] = self.counts.get(what, 0) + more

    # --- lives of nodes ------------------------------------------------------------------------

    def node_started(self, host: Host) -> None:
        """A life begins: its custody must be what its disk has kept."""
        assert host.brain is not None
        held = self.held.setdefault(host.index, {})
        self.leases[host.index] = LeaseBook()
        self._unsaved[host.index] = {}
        self._saving[host.index] = {}
        found = host.brain.context.custody.objects
        if len(found) != len(held) or any(id_ not in found for id_ in held):
            missing = next((id_ for id_ in held if id_ not in found), 0)
            raise InvariantBroken(
                "I1", f"node {host.index} did not recover what its disk has", missing
            )
        if host.disk is not None:
            for id_, record in host.disk.objects.items():
                check_recovered(record, found[id_])
                if record.details is not None and "dead" in record.details:
                    self.fates[id_].dead = True  # if it was retried, then that was not written

    def writing(self, host: Host) -> None:
        """A commit begins with all that the node has put out so far."""
        self._saving[host.index], self._unsaved[host.index] = self._unsaved[host.index], {}
        self._families.writing(host.index)

    def written(self, host: Host) -> None:
        """It is done."""
        self._saving[host.index] = {}
        self._families.written(host.index)

    def node_crashed(
        self, host: Host, kept: Iterable[int], unsure: Iterable[int], reason: str
    ) -> None:
        """A node is down and `kept` is on its disk; what it held in memory only is gone.

        Of what its disk did not know yet (`unsure`, and what left its custody) duplicates may come.
        """
        index = host.index
        held = self.held.get(index, {})
        if host.disk is not None:
            times = self.times
            self._keys.crashed(index, host.disk.keys, self.fates, times.time, times.jumps_s)
        in_doubt = [*unsure, *self._unsaved.get(index, {}), *self._saving.get(index, {})]
        for id_ in in_doubt:
            self.fates[id_].excuse(reason)
        self._keys.lost(index, None if host.disk is None else in_doubt)
        now_held = dict.fromkeys(kept)
        for id_ in held:
            if id_ not in now_held:
                self.fates[id_].holders.remove(index)
        for id_ in now_held:
            if id_ not in held:
                self.fates[id_].excuse(reason)
                self.fates[id_].holders.append(index)
        self.held[index] = now_held
        self.leases[index] = LeaseBook()
        for id_ in held:
            if id_ not in now_held:
                fate = self.fates[id_]
                fate.excuse(reason)
                fate.destroyed = fate.destroyed if host.disk is not None else "memory"
                self._check_kept(id_, fate)
        if host.disk is None:
            self._families.forget(index)
        else:
            self._families.crashed(index, now_held, self.fates)

    def disk_lost(self, host: Host) -> None:
        """A dead node's disk is gone as well: what only it had is lost, and that is nobody's bug.

        Others may still have copies on offer to it.
        """
        held, self.held[host.index] = self.held.get(host.index, {}), {}
        self._keys.lost(host.index, None)
        for id_ in held:
            fate = self.fates[id_]
            fate.holders.remove(host.index)
            fate.excuse("a disk was lost")
            fate.destroyed = "a disk"
            self._check_kept(id_, fate)

    def _check_kept(self, id_: int, fate: Fate) -> None:
        """I1: an acknowledged object has a holder or came to its end."""
        if fate.holders or fate.over or not fate.acknowledged:
            return
        if not fate.destroyed:
            raise InvariantBroken("I1", "an acknowledged object is in nobody's custody", id_)
        fate.lost = fate.destroyed
        self.count(f"lost with {fate.lost}")

    def clock_jumped(self, host: Host, forward_s: float) -> None:
        """A node's clock jumps: what it holds is due earlier."""
        held = self.held.get(host.index, ())
        self.times.jumps_s += forward_s
        self.times.jumped((self.fates[id_] for id_ in held), forward_s)

    # --- producers -----------------------------------------------------------------------------

    def attempted(self, id_: int, type_: str, payload: bytes, rare: dict[str, Any]) -> None:
        """A producer sends an object for the first time, with rare properties; times simulated."""
        fate = self.fates[id_] = Fate(type_, [payload], self.times.time)
        if rare:
            for name in rare:
                self.count(f"pushed with {name}")
            fate.not_before = rare.get("due", 0.0)
            fate.deadline = rare.get("deadline")
            fate.keeps = "keep_expired" in rare
            fate.keyed = "key" in rare
            fate.timed = "due" in rare or "deadline" in rare

    def acknowledged(self, ids: Iterable[int]) -> None:
        """A node has told the producer that custody of these is taken."""
        for id_ in ids:
            fate = self.fates[id_]
            fate.acknowledged = True
            self._check_kept(id_, fate)

    def repeated(self, id_: int, other: int) -> None:
        """A node has told the producer that this push repeats the key of another object."""
        self.fates[id_].repeats = other
        self.count("pushes that repeat a key")
        self.acknowledged([other])

    # --- what a brain does ---------------------------------------------------------------------

    def observe(self, host: Host, event: object, out: list[Effect], now: float) -> None:
        """A brain took an event and answered with these effects."""
        self.times.now = now
        kind = type(event)
        if kind is events.Settled:
            self._settling(host, event, out)  # type: ignore[arg-type]  # checked in the line before
        elif kind is events.Retried:
            self._retried(event, out)  # type: ignore[arg-type]  # as above
        else:
            for lease in streams.took(self.leases[host.index], event, out, now, self.count):
                self._failed(lease)
        seen = self._seen
        for effect in out:
            handler = seen.get(type(effect))
            if handler is not None:
                handler(host, event, effect)
        if self._doomed:
            self._check_dead()

    def _kept(self, host: Host, event: object, effect: effects.Keep) -> None:
        index, held = host.index, self.held[host.index]
        for item in effect.objects:
            if item.id not in held:
                if not effect.fresh:
                    raise InvariantBroken("I1", f"node {index} keeps what it has not", item.id)
                held[item.id] = None
                fate = self.fates[item.id]
                fate.holders.append(index)
                fate.been |= 1 << index
                if type(event) is events.Pushed and item.detail("key") is not None:
                    self._keys.stored(index, item, self.times.time, self.times.jumps_s)
                if type(event) is events.OfferCame:
                    self.count("transfers")
                    check_arrival(event, item)
                    if fate.timed:
                        self.times.arrived(fate)
            details = item.details
            if details is not None and not effect.fresh:
                fate = self.fates[item.id]
                if "possibly_duplicate" in details:
                    fate.excuse("an offer in doubt was given up")
                if details.get("dead") == EXPIRED and not fate.dead:
                    self._expired(fate, item.id)
                fate.dead = fate.dead or "dead" in details

    def _forgot(self, host: Host, event: object, effect: effects.Forget) -> None:
        index, held = host.index, self.held[host.index]
        door = self._doors.get(type(event))
        unsaved = self._unsaved[index]
        for id_ in effect.ids:
            if id_ not in held:
                raise InvariantBroken("I1", f"node {index} forgets what it has not", id_)
            del held[id_]
            fate = self.fates[id_]
            fate.holders.remove(index)
            unsaved[id_] = None
            if door is None:
                raise InvariantBroken("I1", f"forgotten in {type(event).__name__}", id_)
            door(host, fate, id_)
            self._check_kept(id_, fate)

    def _left_settled(self, _host: Host, fate: Fate, id_: int) -> None:
        fate.settled += 1
        self.count("settled")
        if fate.settled > 1:
            self._duplicate(fate, id_, "settled twice")

    def _left_discarded(self, _host: Host, fate: Fate, id_: int) -> None:
        """G2: a person may discard dead letters, and nothing else."""
        if not fate.dead and not fate.excuses:
            raise InvariantBroken("G2", "discarded, and was no dead letter", id_)
        fate.discarded = True
        self.count("discarded")

    def _retried(self, event: events.Retried, out: list[Effect]) -> None:
        """G5: a dead letter that a person has revived begins anew, and must come to its end."""
        for effect in out:
            if type(effect) is effects.Keep:
                for item in effect.objects:
                    fate = self.fates[item.id]
                    if item.id not in event.ids or not (fate.dead or fate.excuses):
                        raise InvariantBroken("G5", "revived, and was no dead letter", item.id)
                    fate.dead, fate.attempt, fate.due = False, 1, 0.0
                    fate.lifted = fate.deadline is not None and item.detail("deadline") is None
                    self.count("retried")

    def _left_with_offer(self, host: Host, fate: Fate, id_: int) -> None:
        """It was accepted; or refused, and its deadline had passed meanwhile.

        One that has come to its end already did so at who accepted it; and one that its deadline
        would not end was accepted where it was destroyed since.
        """
        ended_there = fate.holders or fate.over or (fate.keeps and fate.destroyed)
        if not ended_there and self.times.is_past(fate):
            self._left_expired(host, fate, id_)
        else:
            self.count("handed over")

    def _left_expired(self, _host: Host, fate: Fate, id_: int) -> None:
        if fate.keeps:
            raise InvariantBroken("G2", "gone at its deadline though it was to be kept", id_)
        self._expired(fate, id_)

    def _expired(self, fate: Fate, id_: int) -> None:
        if not self.times.is_past(fate) or (fate.lifted and not fate.excuses):
            raise InvariantBroken("G2", "an object expired before its deadline", id_)
        fate.expired = True
        self.count("expired")

    def _duplicate(self, fate: Fate, id_: int, what: str) -> None:
        if not fate.excuses:
            raise InvariantBroken("G3", f"{what} without a fault that allows it", id_)
        for reason in fate.excuses:
            key = f"{what}: {reason}"
            self.duplicates[key] = self.duplicates.get(key, 0) + 1

    # --- leases --------------------------------------------------------------------------------

    def _delivered(self, host: Host, event: object, effect: effects.Deliver) -> None:
        book = self.leases[host.index]
        held = self.held[host.index]
        for item in effect.objects:
            id_ = item.id
            fate = self.fates[id_]
            if id_ not in held:
                raise InvariantBroken("I6", f"node {host.index} leases what it has not", id_)
            size_bytes = len(item.payload)
            book.grant(
                *(id_, effect.stream, effect.subscription),
                attempt=item.attempt,
                size_bytes=size_bytes,
            )
            fate.deliveries += 1
            if (
                fate.settled
                or fate.discarded
                or (len(fate.holders) > 1 and self._leased_elsewhere(fate, id_, host.index))
            ):
                self._duplicate(fate, id_, "delivered twice")
            self._check_delivery(fate, id_, item)
            if fate.timed:
                self.times.check_delivery(host, event, fate, item)

    def _leased_elsewhere(self, fate: Fate, id_: int, index: int) -> bool:
        return any(id_ in self.leases[other].valid for other in fate.holders if other != index)

    def _check_delivery(self, fate: Fate, id_: int, item: Any) -> None:
        if fate.excuses:
            fate.attempt = item.attempt
            if item.payload not in fate.contents:
                raise InvariantBroken("I1", "delivered with the content of another", id_)
            return
        if item.attempt != fate.attempt:
            raise InvariantBroken("G5", f"attempt {item.attempt} is not {fate.attempt}", id_)
        if item.payload != fate.contents[-1]:
            text = f"delivered with {item.payload!r} instead of {fate.contents[-1]!r}"
            raise InvariantBroken("I1", text, id_)

    def _lost_leases(self, host: Host, _event: object, effect: effects.LoseLeases) -> None:
        book = self.leases[host.index]
        for id_, attempt in effect.leases:
            # At one tick it may end for two reasons: its consumer did not come back either.
            lease = book.end(id_, effect.stream, attempt) or book.ended.get(id_)
            if lease is None:
                raise InvariantBroken("I6", "a lease that was not valid is taken back", id_)
            if effect.reason != DEADLINE_PASSED:
                self.count("overdue")
                self._failed(lease)

    def _failed(self, lease: Lease) -> None:
        """G5: an attempt is used up; the last one of those that its consumer allows is the end."""
        if lease.attempt >= (lease.window.wishes.max_attempts or self._max_attempts):
            self._doomed.append(lease.id)
        else:
            self.fates[lease.id].attempt = lease.attempt + 1

    def _check_dead(self) -> None:
        for id_ in self._doomed:
            if not self.fates[id_].dead:
                raise InvariantBroken("G5", "failed for the last time, and is no dead letter", id_)
            self.count("failed for the last time")
        self._doomed.clear()

    def _settling(self, host: Host, event: events.Settled, out: list[Effect]) -> None:
        """I6: exactly the settles under a valid lease change something."""
        answers = [effect for effect in out if type(effect) is effects.AnswerSettle]
        refused = {(id_, attempt) for answer in answers for id_, attempt, _ in answer.refused}
        book = self.leases[host.index]
        attempts = event.attempts or [1] * len(event.ids)
        done = set()
        for index, (id_, attempt) in enumerate(zip(event.ids, attempts, strict=True)):
            lease = book.end(id_, event.stream, attempt)
            if (lease is None) != ((id_, attempt) in refused):
                word = "accepted" if lease is None else "refused"
                raise InvariantBroken("I6", f"a settle was {word} wrongly", id_)
            if lease is None:
                self.count("settles refused")
                continue
            done.add(index)
            fate = self.fates[id_]
            if event.action == "nack":
                self._failed(lease)
                self.times.nacked(fate, event.delay_s, lease.window.wishes)
            elif event.action == "replace":
                fate.attempt = 1
                fate.contents.append(event.payloads[index])
        if done:
            self.count(f"settles by {event.action}", len(done))
        if event.emitted:
            self._emitted(host, event, done, out)

    def _emitted(
        self, host: Host, event: events.Settled, done: set[int], out: list[Effect]
    ) -> None:
        for pushed, children in self._families.settled(host.index, event, done, out):
            self.count("steps with results")
            for child, payload in zip(children, pushed.payloads, strict=True):
                self.attempted(child, pushed.type, payload, {})

    def _offered(self, _host: Host, _event: object, effect: effects.SendOffer) -> None:
        for item in effect.objects:
            fate = self.fates[item.id]
            if fate.timed:
                self.times.offered(fate)
        self.count("offers")
        self.count("objects offered", len(effect.objects))
