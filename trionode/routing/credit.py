"""Link credit (R4): what peers may offer us, and what we may offer them.

Every statement is absolute: counts since the advertisement (the epoch) that opened the account.
What is granted to one link is not granted to another: the grants of a key that are not yet drawn on
never exceed what its local subscriptions have free (or, where they have nothing and others behind
this node want the key, its window as a relay). Nothing is granted to a peer that has nothing to
offer.

Space (G7). What is granted is promised: it is taken even if the node is full by then, so that all
grants together stay within what is free, and each takes only a part of that. A node with no space
left still asks for one object at a time for a consumer here that has nothing to do: two nodes that
are full of what the other's consumers want would else wait for each other for ever. So there is at
most one object beyond the limit for each subscription. What is on its way to others has no claim to
the last part of the space, and passes it one object at a time. Two relays that are full of what
must go through the other would wait for each other as well: so a full relay takes one object at a
time of a key of which it has nothing that could move on, until such objects take `TRANSIT` of the
space beyond the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects
from trionode.routing.model import State
from trionode.routing.weights import OBJECT_OVERHEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.custody import TypeTable
    from trionode.routing.interest import Interest
    from trionode.routing.links import GiveAccount, Link, TakeAccount

WISH_AHEAD = 1024
"""A peer that knows of this many more objects than it has granted needn't hear of others yet."""

UNRESERVED = 0.85
"""Part of the space for objects that a relay may fill; the rest is for what can be leased here."""

TRANSIT = 1 / 16
"""Part of the space that a relay fills beyond its limit with what is on its way."""

GRANT_PART = 16
"""A grant takes at most one part in so many of the free space, so that many keys find some."""

RELAY_BYTES = 8 << 20
"""Byte allowance of a relay's grant: its window is in objects, this bounds large ones."""


class Credit:
    """Mutates the links' give and take accounts."""

    def __init__(self, context: Context, interest: Interest) -> None:
        self._context = context
        self._interest = interest
        self._turn = 0
        self._promised: dict[TakeAccount, None] = {}
        """The accounts with grants not drawn on, and maybe some without."""
        self._starved: dict[str, None] = {}
        """Keys that nothing was granted for since there was no space; looked at in each flush."""

    # --- as receiver ---------------------------------------------------------------------------

    def backlog_told(self, event: events.BacklogTold) -> None:
        """A peer would like to offer more, or no longer."""
        link = self._interest.links.get(event.link)
        if link is None:
            return
        for key, epoch, wanted in event.wishes:
            account = link.take.get(key)
            if account is not None and account.epoch == epoch:
                account.wanted = wanted
                self._context.hungry[key] = None
                self._context.stale_grants[key] = None

    def room(self, event: events.OfferCame, link: Link) -> int:
        """How many objects of an offer are taken.

        Credit is not checked again: an offer that crosses the withdrawal of its credit is still
        taken while there is space. Interest is: what nobody here or behind here wants, stays.
        """
        context = self._context
        account = link.take.get(event.key)
        if context.draining or (account is None and not event.draining):
            return 0
        if context.custody.memory_bytes < context.options.max_held_bytes:
            return len(event.ids)
        if account is None or account.epoch != event.epoch:
            return 0
        return min(len(event.ids), account.outstanding)

    def received(self, event: events.OfferCame, link: Link, now: float) -> None:
        """Charge an offer to its account; one of an older account is charged to nobody."""
        account = link.take.get(event.key)
        if account is not None and account.epoch == event.epoch:
            account.received += len(event.ids)
            account.received_bytes += sum(map(len, event.payloads))
            account.used = now
            self._context.stale_grants[event.key] = None

    def flush(self, now: float) -> None:
        """Recompute the grants of the keys whose free credit or wishes changed."""
        context = self._context
        stale = list(self._starved | context.stale_grants)
        context.stale_grants.clear()
        self._starved.clear()
        changed: dict[Link, list[TakeAccount]] = {}
        for key in stale:
            for account in self._grant(key, now):
                changed.setdefault(account.link, []).append(account)
        for link, accounts in changed.items():
            self._tell(link, accounts)

    def withdraw(self, account: TakeAccount, now: float) -> None:
        """Take unspent credit back once it has lain unused for long enough."""
        account.timed = False
        link = account.link
        if link.take.get(account.key) is not account or link.handle not in self._interest.links:
            return
        if not account.outstanding:
            return
        due = account.used + self._context.options.credit_withdraw_after_s
        if now < due:
            self._time(account, due)
            return
        account.limit = account.wanted = account.received
        self._context.stale_grants[account.key] = None
        self._tell(link, [account])

    def _grant(self, key: str, now: float) -> list[TakeAccount]:
        accounts = [link.take[key] for link in self._interest.links.values() if key in link.take]
        hungry = [each for each in accounts if each.wanted > each.received + each.outstanding]
        if not hungry:
            self._context.hungry.pop(key, None)
            return []
        if self._context.draining:
            return []
        room, room_bytes = self._local_room(key)
        room -= sum(each.outstanding for each in accounts)
        room_bytes -= sum(each.outstanding_bytes for each in accounts)
        limit_bytes = self._context.options.max_held_bytes
        if room > 0 and room_bytes > 0:
            spare_bytes = self._spare_bytes(limit_bytes)
            one_fits = spare_bytes > 0 or self._somebody_is_idle(key)
        else:
            hungry = [each for each in hungry if self._interest.leads_on(each.link, key)]
            if not hungry:
                return []
            room, room_bytes = self._relay_room(key)
            room -= sum(each.outstanding for each in accounts)
            room_bytes -= sum(each.outstanding_bytes for each in accounts)
            spare_bytes = self._spare_bytes(int(limit_bytes * UNRESERVED))
            one_fits = self._passes(key, limit_bytes)
            if room <= 0 and self._context.custody.patterns.open_ones:
                # What takes this room may leave under another key of its type.
                self._starved[key] = None
        if spare_bytes > 0:
            room = min(room, 1 + spare_bytes // (GRANT_PART * OBJECT_OVERHEAD_BYTES))
            room_bytes = min(room_bytes, 1 + spare_bytes // GRANT_PART)
        elif not self._promised and one_fits:
            room, room_bytes = min(room, 1), min(room_bytes, 1)
        else:
            self._starved[key] = None
            return []
        return self._share(hungry, room, room_bytes, now)

    def _spare_bytes(self, limit_bytes: int) -> int:
        """What of the space up to a limit is neither taken nor promised."""
        promised_bytes = 0
        for account in list(self._promised):
            count = account.outstanding
            current = account.link.take.get(account.key) is account
            if not count or not current or account.link.handle not in self._interest.links:
                del self._promised[account]
                continue
            promised_bytes += account.outstanding_bytes + count * OBJECT_OVERHEAD_BYTES
        return limit_bytes - self._context.custody.memory_bytes - promised_bytes

    def _share(
        self, hungry: list[TakeAccount], room: int, room_bytes: int, now: float
    ) -> list[TakeAccount]:
        """Grant a room evenly, beginning with another one each time; returns who got some."""
        self._turn += 1
        at = self._turn % max(1, len(hungry))
        raised = []
        for index, account in enumerate((*hungry[at:], *hungry[:at])):
            if room <= 0 or room_bytes <= 0:
                break
            base, base_bytes = account.outstanding, account.outstanding_bytes
            share = -(-room // (len(hungry) - index))
            more = min(share, account.wanted - account.received - base)
            more_bytes = -(-room_bytes * more // room)
            account.limit = account.received + base + more
            account.byte_limit = account.received_bytes + base_bytes + more_bytes
            account.used = now
            room -= more
            room_bytes -= more_bytes
            self._time(account, now + self._context.options.credit_withdraw_after_s)
            self._promised[account] = None
            raised.append(account)
        return raised

    def _passes(self, key: str, limit_bytes: int) -> bool:
        """Whether a relay without spare room takes one object of a key that goes on."""
        beyond_bytes = self._context.custody.memory_bytes - limit_bytes
        if beyond_bytes < 0:
            return True
        tables = self._context.custody.patterns.holders_of(key)
        going_on = (State.READY, State.TRANSFERRING)
        return beyond_bytes <= limit_bytes * TRANSIT and _rest(1, tables, going_on) > 0

    def _somebody_is_idle(self, key: str) -> bool:
        """Whether a local subscription for a key has credit and leases nothing."""
        wanting = self._context.subscriptions.demands[key].subscriptions
        return any(each.free and not each.leases for each in wanting)

    def _local_room(self, key: str) -> tuple[int, int]:
        """Objects and bytes of a key that local subscriptions could take, were nothing granted."""
        demand = self._context.subscriptions.demands.get(key)
        if demand is None or not demand.free:
            return 0, 0
        tables = self._context.custody.patterns.backlog_of(key)
        return _rest(demand.free, tables, (State.READY,)), demand.free_bytes

    def _relay_room(self, key: str) -> tuple[int, int]:
        """Objects and bytes of a key that could be held for others, were nothing granted.

        What does not move on, as dead letters, takes no part of the window.
        """
        moving = (State.READY, State.BLOCKED, State.LEASED, State.TRANSFERRING)
        tables = self._context.custody.patterns.holders_of(key)
        return _rest(self._context.options.relay_window, tables, moving), RELAY_BYTES

    def _time(self, account: TakeAccount, when: float) -> None:
        if not account.timed:
            account.timed = True
            self._context.timers.set(when, "credit", account)

    def _tell(self, link: Link, accounts: list[TakeAccount]) -> None:
        grants = [(each.key, each.epoch, each.limit, each.byte_limit) for each in accounts]
        self._context.out.append(effects.SendCredit(link.handle, grants))

    # --- as giver ------------------------------------------------------------------------------

    def granted(self, event: events.CreditGranted) -> None:
        """A peer stated what it accepts."""
        link = self._interest.links.get(event.link)
        if link is None:
            return
        for key, epoch, limit, byte_limit in event.grants:
            account = link.give.get(key)
            if account is None or account.epoch != epoch:
                continue
            if limit < account.limit:
                account.wished = 0  # the peer has forgotten our wish with the credit it withdrew
            account.limit = limit
            account.byte_limit = byte_limit
            if key in self._context.custody.patterns.open_ones:
                self._context.fresh_credit[link.handle, key] = None
            else:
                self._context.replan(self._context.custody.patterns.backlog_of(key))

    def wish(self, link: Link, key: str, table: TypeTable, surplus: int) -> None:
        """Tell a peer how many more objects we would like to offer, when that is news to it."""
        account = link.give.get(key)
        if account is None:
            return
        surplus = account.set_surplus(table.name, surplus)
        wanted = account.offered + surplus
        if surplus:
            known = account.wished - account.limit >= WISH_AHEAD
            news = wanted > account.wished and not known
        else:
            news = account.wished > account.offered
        if news:
            account.wished = wanted
            self._context.out.append(
                effects.SendBacklog(link.handle, [(key, account.epoch, wanted)])
            )

    @staticmethod
    def spend(account: GiveAccount, count: int, size_bytes: int) -> None:
        """Charge an offer."""
        account.offered += count
        account.offered_bytes += size_bytes


def _rest(window: int, tables: Iterable[TypeTable], states: tuple[State, ...]) -> int:
    """What the objects in these states leave of a window; 0 or less: nothing, however many more."""
    for table in tables:
        for state in states:
            window -= table.counts[state]
        if window <= 0:
            break
    return window
