"""Deliberate bugs: each a small change to the routing code, put in by a context manager.

They are what the checkers must catch; `mutants.py` says what caught which, and how soon.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import attrs

from trionode.routing import (
    brain,
    context,
    effects,
    events,
    intake,
    interest,
    leases,
    links,
    offers,
    producers,
    rebalance,
    recovery,
)
from trionode.routing.model import State, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def replaced(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """Patch a function with what `make` makes of the old one."""
    return patch.object(owner, name, make(getattr(owner, name)))


def in_effects(change: Callable[[Any, list[Any]], list[Any]]) -> Any:
    """Change what a brain puts out: `change(event, effects)`."""

    def make(old: Any) -> Any:
        def handle(self: Any, event: Any, now: float) -> list[Any]:
            return change(event, old(self, event, now))

        return handle

    return replaced(brain.Brain, "handle", make)


def at_once(*kinds: type) -> Any:
    """Effects that don't wait for the commit any more."""

    def change(_event: Any, out: list[Any]) -> list[Any]:
        return [attrs.evolve(e, after_commit=False) if type(e) in kinds else e for e in out]

    return in_effects(change)


def without(*kinds: type) -> Any:
    """Effects that are never put out."""
    return in_effects(lambda _event, out: [e for e in out if type(e) not in kinds])


# --- interest and credit ----------------------------------------------------------------------


def interest_as_increments() -> Any:
    """A peer's news are counted up and down instead of replacing what it said before."""

    def make(old: Any) -> Any:
        def apply(self: Any, link: Any, update: Any) -> None:
            counts = self.__dict__.setdefault("counts", {})
            place = (link.handle, update.key)
            counts[place] = counts.get(place, 0) + (1 if update.path else -1)
            if update.path or counts[place] <= 0:
                old(self, link, update)

        return apply

    return replaced(interest.Interest, "_apply", make)


def no_snapshot() -> Any:
    """A new link is told news only."""

    def make(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            old(self, link)
            link.snapshot_due = False

        return link_up

    return replaced(interest.Interest, "link_up", make)


def old_incarnation_kept() -> Any:
    """What a peer's earlier life told counts for the next one."""

    def down(old: Any) -> Any:
        def link_down(self: Any, link: Any) -> None:
            kept = {k: r[link.handle] for k, r in self.routes.items() if link.handle in r}
            self.__dict__.setdefault("ghosts", {})[link.peer] = (kept, dict(link.give))
            old(self, link)

        return link_down

    def up(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            old(self, link)
            kept, give = self.__dict__.setdefault("ghosts", {}).pop(link.peer, ({}, {}))
            link.give.update(give)
            for key, route in kept.items():
                self.routes.setdefault(key, {})[link.handle] = route

        return link_up

    def told(old: Any) -> Any:
        return lambda self, event: old(self, attrs.evolve(event, full=False))

    return _all(
        replaced(interest.Interest, "link_down", down),
        replaced(interest.Interest, "link_up", up),
        replaced(interest.Interest, "told", told),
    )


def withdrawals_forgotten() -> Any:
    """Nobody is told that a subscription ended."""

    def change(_event: Any, out: list[Any]) -> list[Any]:
        return [
            attrs.evolve(e, updates=[u for u in e.updates if u.path])
            if type(e) is effects.SendInterest
            else e
            for e in out
        ]

    return in_effects(change)


def path_not_checked() -> Any:
    """Interest goes round in circles."""

    def make(_old: Any) -> Any:
        def way_on(self: Any, link: Any, key: str) -> Any:
            routes = [r for h, r in self.routes.get(key, {}).items() if h != link.handle]
            longest = self._context.options.max_hops
            routes = [route for route in routes if len(route.path) < longest]
            return min(routes, key=lambda route: len(route.path), default=None)

        return way_on

    def accept(old: Any) -> Any:
        def apply(self: Any, link: Any, update: Any) -> None:
            if self._context.node in update.path:
                path = tuple(f"{n}'" if n == self._context.node else n for n in update.path)
                update = attrs.evolve(update, path=path)
            old(self, link, update)

        return apply

    return _all(
        replaced(interest.Interest, "_way_on", make),
        replaced(interest.Interest, "_apply", accept),
    )


def credit_off_by_one() -> Any:
    """One more is offered than the peer accepts."""
    old = links.GiveAccount.credit
    more = property(lambda self: old.fget(self) + (1 if self.limit else 0))
    return patch.object(links.GiveAccount, "credit", more)


def credit_granted_twice() -> Any:
    """What is granted to one link is granted to another as well."""
    return patch.object(links.TakeAccount, "outstanding", property(lambda _self: 0))


def local_last() -> Any:
    """Objects are given away while a consumer here is free."""

    def make(old: Any) -> Any:
        def plan(self: Any, table: Any, now: float) -> None:
            demands = self._context.subscriptions.demands
            hidden = demands.pop(table.name, None)
            old(self, table, now)
            if hidden is not None:
                demands[table.name] = hidden

        return plan

    def never(_old: Any) -> Any:
        return lambda self, table: self._context.stale_plans.update({table.name: None})

    return _all(
        replaced(rebalance.Rebalancer, "plan", make), replaced(leases.Leases, "match", never)
    )


def no_backoff() -> Any:
    """Returns and moves beyond `max_hops` don't wait."""
    return patch.object(context.Context, "backoff_s", lambda _self, _item: 0.0)


# --- custody between nodes --------------------------------------------------------------------


def forget_before_accepted() -> Any:
    """The giver forgets when it offers."""

    def make(old: Any) -> Any:
        def give(self: Any, link: Any, key: str, epoch: int, objects: Any, **more: Any) -> None:
            old(self, link, key, epoch, objects, **more)
            copies = [attrs.evolve(item) for item in objects]
            self._context.out[-1] = attrs.evolve(self._context.out[-1], objects=copies)
            ids = self._context.custody.remove(objects, Step.GIVE, "transferred")
            self._context.out.append(effects.Forget(ids))

        return give

    return replaced(offers.Givings, "give", make)


def incarnation_dropped() -> Any:
    """Offers are recognised by their sequence alone."""

    def came(_old: Any) -> Any:
        def take(self: Any, event: Any, link: Any, room: int, now: float) -> int:
            number = (0, event.sequence)
            book = self.taken.setdefault(link.peer, {})
            if number not in book:
                taken = min(len(event.ids), max(0, room))
                book[number] = tuple(range(taken, len(event.ids)))
                if taken:
                    self._take(event, taken, link.peer, now)
                self._context.out.append(effects.RememberOffer(link.peer, *number, book[number]))
            self._answer(link.handle, (link.incarnation, event.sequence), book[number])
            return len(event.ids) - len(book[number])

        return take

    def plain(old: Any) -> Any:
        def run(self: Any, event: Any, link: Any) -> None:
            old(self, attrs.evolve(event, numbers=[(0, s) for _, s in event.numbers]), link)

        return run

    def asked(_old: Any) -> Any:
        def run(self: Any, event: Any, link: Any) -> None:
            book = self.taken.get(link.peer, {})
            for number in event.numbers:
                self._answer(link.handle, number, book.get((0, number[1])))

        return run

    return _all(
        replaced(offers.Takings, "came", came),
        replaced(offers.Takings, "asked", asked),
        replaced(offers.Takings, "closed", plain),
    )


def repeats_by_object_id() -> Any:
    """An offered object that is here already, even on its way out, counts as taken."""

    def make(_old: Any) -> Any:
        return lambda _self, held, _copy, _now: [held]

    return replaced(offers.Takings, "_merge", make)


def offer_again() -> Any:
    """After a reconnect the giver doesn't ask, it offers again."""

    def make(old: Any) -> Any:
        def link_up(self: Any, link: Any) -> None:
            for offer in list(self.open.get(link.peer, {}).values()):
                kept = [i for i in offer.objects if i is not None and i.holder is offer]
                self._forget(offer)
                self._context.keep(kept, 0.0)
            old(self, link)

        return link_up

    return replaced(offers.Givings, "link_up", make)


def _answered(change: Callable[[Any], Any]) -> Any:
    def make(old: Any) -> Any:
        return lambda self, event, link, now: old(self, change(event), link, now)

    return replaced(offers.Givings, "answered", make)


def never_seen_is_accepted() -> Any:
    """An offer that never came counts as taken."""
    return _answered(lambda event: attrs.evolve(event, known=True))


def refusals_ignored() -> Any:
    """What was refused counts as taken."""
    return _answered(lambda event: attrs.evolve(event, refused=()))


def in_doubt_for_ever() -> Any:
    """An offer is never given up."""
    return patch.object(offers.Givings, "doubt_due", lambda _self, _offer, _now: [])


def given_up_at_once() -> Any:
    """An offer is given up as soon as its peer is gone."""

    def make(old: Any) -> Any:
        def begin(self: Any, offer: Any, now: float) -> None:
            timeout_s = self._context.options.in_doubt_timeout_s
            old(self, offer, now - timeout_s)

        return begin

    return replaced(offers.Givings, "_begin_to_doubt", make)


def number_forgotten_with_answer() -> Any:
    """The receiver forgets an offer's number when it has answered."""

    def make(old: Any) -> Any:
        def came(self: Any, event: Any, link: Any, room: int, now: float) -> int:
            taken = old(self, event, link, room, now)
            self._forget(link.peer, [(link.incarnation, event.sequence)])
            return taken

        return came

    return replaced(offers.Takings, "came", make)


def superseded_not_stored() -> Any:
    """A copy that took the place of one on offer is not written."""

    def change(event: Any, out: list[Any]) -> list[Any]:
        keep = type(event) is not events.OfferCame
        return [e for e in out if keep or type(e) is not effects.Keep or e.fresh]

    return in_effects(change)


def volatile_peers_trusted() -> Any:
    """Durable nodes give to nodes in memory."""
    if hasattr(context.Context, "may_give_to"):
        return patch.object(context.Context, "may_give_to", lambda _self, _link: True)
    return patch.object(rebalance.Rebalancer, "_durable_enough", lambda _self, _link: True)


def _offer_came(change: Callable[[Any], Any]) -> Any:
    def make(old: Any) -> Any:
        return lambda self, event, *more: old(self, change(event), *more)

    return replaced(offers.Takings, "_take", make)


def attempts_reset() -> Any:
    """A transfer forgets the attempts."""
    return _offer_came(lambda event: attrs.evolve(event, attempts=None))


def deadline_reset() -> Any:
    """A transfer forgets the deadline."""

    def change(event: Any) -> Any:
        details = {
            index: {name: value for name, value in each.items() if name != "deadline"}
            for index, each in event.details.items()
        }
        return attrs.evolve(event, details=details)

    return _offer_came(change)


# --- clients ----------------------------------------------------------------------------------


def lease_token_ignored() -> Any:
    """A settle is taken from anybody who knows the object's id."""

    def make(old: Any) -> Any:
        def settle(self: Any, event: Any, now: float) -> None:
            held = [self._context.custody.objects.get(id_) for id_ in event.ids]
            leased = [item for item in held if item is not None and item.state == State.LEASED]
            streams = [item.holder.stream.handle for item in leased]
            attempts = [0 if item is None else item.attempt for item in held]
            stream = streams[0] if streams else event.stream
            mark = len(self._context.out)
            old(self, attrs.evolve(event, attempts=attempts, stream=stream), now)
            self._context.out[mark:] = [
                attrs.evolve(e, stream=event.stream) if type(e) is effects.AnswerSettle else e
                for e in self._context.out[mark:]
            ]

        return settle

    return replaced(leases.Leases, "settle", make)


def dead_consumers_keep_leases() -> Any:
    """The end of a stream gives nothing back."""
    return patch.object(leases.Leases, "gone", lambda _self, _event, _now: None)


def drain_forgets_leases() -> Any:
    """A leaving node drops what is leased."""

    def make(old: Any) -> Any:
        def drain(self: Any, event: Any, now: float) -> None:
            old(self, event, now)
            custody = self._context.custody
            leased = [i for i in custody.objects.values() if i.state == State.LEASED]
            if leased:
                self._leases._release(leased)
                self._context.out.append(
                    effects.Forget(custody.remove(leased, Step.SETTLE, "settled"))
                )

        return drain

    return replaced(brain.Brain, "_drain", make)


def repeats_taken_again() -> Any:
    """Pushes that are repeated are taken as new once they left."""

    def make(_old: Any) -> Any:
        return lambda self, first, count: [(first, count)] if first > self.floor else []

    return _all(
        replaced(producers.AcceptedSequences, "missing", make),
        patch.object(producers.AcceptedSequences, "add", lambda *_args: None),
    )


def floor_too_high() -> Any:
    """One sequence more than the producer said counts as resolved."""

    def make(old: Any) -> Any:
        def pushed(self: Any, event: Any, now: float) -> None:
            old(self, attrs.evolve(event, acknowledged=event.acknowledged + 1), now)

        return pushed

    return replaced(intake.Intake, "pushed", make)


def bytes_not_given_back() -> Any:
    """A settle frees the count of an object, not its bytes."""

    def make(old: Any) -> Any:
        def remove(self: Any, objects: Any, step: Any, door: str) -> list[int]:
            objects = list(objects)
            more = sum(len(item.payload) for item in objects) if door == "settled" else 0
            ids = old(self, objects, step, door)
            self.held_bytes += more
            return ids

        return remove

    from trionode.routing import custody  # noqa: PLC0415  # where it is needed, once

    return replaced(custody.Custody, "remove", make)


def recovered_delay_lost() -> Any:
    """What waited for a time before a restart is ready after it, and its attempts are gone."""

    def make(old: Any) -> Any:
        def restore(self: Any, record: Any, now: float) -> Any:
            return old(self, attrs.evolve(record, attempt=1), now)

        return restore

    return replaced(recovery.Recovery, "_object", make)


@contextlib.contextmanager
def _all(*patches: Any) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for each in patches:
            stack.enter_context(each)
        yield


BUGS: dict[str, Callable[[], Any]] = {
    "interest as increments": interest_as_increments,
    "no snapshot after a reconnect": no_snapshot,
    "an old incarnation's interest kept": old_incarnation_kept,
    "withdrawn interest not told": withdrawals_forgotten,
    "path of interest not checked": path_not_checked,
    "credit off by one": credit_off_by_one,
    "given away while a local consumer is free": local_last,
    "returned to the sender without back-off": no_backoff,
    "forgotten before accepted": forget_before_accepted,
    "incarnation dropped from offer numbers": incarnation_dropped,
    "repeats recognised by object id": repeats_by_object_id,
    "offered again instead of asked": offer_again,
    "never seen taken for accepted": never_seen_is_accepted,
    "refused objects taken for accepted": refusals_ignored,
    "in doubt for ever": in_doubt_for_ever,
    "given up as soon as the link is lost": given_up_at_once,
    "offer number forgotten with the answer": number_forgotten_with_answer,
    "superseding copy not stored": superseded_not_stored,
    "answered before the commit": lambda: at_once(effects.SendAnswer),
    "durable objects given to memory": volatile_peers_trusted,
    "attempts reset by a transfer": attempts_reset,
    "deadline reset by a transfer": deadline_reset,
    "push acknowledged before the store has it": lambda: at_once(effects.AcknowledgePush),
    "offers not forgotten on disk in order": lambda: without(effects.Forget),
    "lease token ignored": lease_token_ignored,
    "a dead consumer keeps its leases": dead_consumers_keep_leases,
    "drain forgets leases": drain_forgets_leases,
    "repeated pushes taken again": repeats_taken_again,
    "acknowledged floor one too high": floor_too_high,
    "bytes not given back": bytes_not_given_back,
    "attempts lost by a restart": recovered_delay_lost,
    "accepted sequences not stored": lambda: without(effects.RememberProducer),
    "taken offers not stored": lambda: without(effects.RememberOffer),
}
"""What it is called in the table -> how it is put in."""
