"""Link credit (R4): what peers may offer us, and what we may offer them.

Every statement is absolute: counts since the advertisement (the epoch) that opened the account.
What is granted to one link is not granted to another: the grants of a key that are not yet drawn on
never exceed what its local subscriptions (or, at a relay, its window) have free. Nothing is granted
to a peer that has nothing to offer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.routing import effects
from trionode.routing.model import State

if TYPE_CHECKING:
    from trionode.routing import events
    from trionode.routing.context import Context
    from trionode.routing.interest import Interest
    from trionode.routing.links import GiveAccount, Link, TakeAccount

WISH_AHEAD = 1024
"""A peer that knows of this many more objects than it has granted needn't hear of others yet."""

RELAY_BYTES = 8 << 20
"""Byte allowance of a relay's grant: its window is in objects, this bounds large ones."""


class Credit:
    """Mutates the links' give and take accounts."""

    def __init__(self, context: Context, interest: Interest) -> None:
        self._context = context
        self._interest = interest
        self._turn = 0

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
                self._context.stale_grants[key] = None

    def received(self, link: Link, key: str, epoch: int, count: int, size_bytes: int) -> None:
        """Charge an offer to its account; one of an older account is charged to nobody."""
        account = link.take.get(key)
        if account is not None and account.epoch == epoch:
            account.received += count
            account.received_bytes += size_bytes
            self._context.stale_grants[key] = None

    def flush(self, now: float) -> None:
        """Recompute the grants of the keys whose free credit or wishes changed."""
        context = self._context
        stale = list(context.stale_grants)
        context.stale_grants.clear()
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
        hungry = [each for each in accounts if each.wanted > max(each.limit, each.received)]
        if not hungry or self._context.draining:
            return []
        room, room_bytes = self._room(key)
        room -= sum(each.outstanding for each in accounts)
        self._turn += 1
        at = self._turn % len(hungry)
        raised = []
        for index, account in enumerate((*hungry[at:], *hungry[:at])):
            if room <= 0:
                break
            share = -(-room // (len(hungry) - index))
            base = max(account.limit, account.received)
            more = min(share, account.wanted - base)
            account.limit = base + more
            account.byte_limit = account.received_bytes + room_bytes
            account.used = now
            room -= more
            self._time(account, now + self._context.options.credit_withdraw_after_s)
            raised.append(account)
        return raised

    def _room(self, key: str) -> tuple[int, int]:
        """Objects and bytes of a key that could be taken now, were nothing granted yet."""
        context = self._context
        table = context.custody.tables.get(key)
        demand = context.subscriptions.demands.get(key)
        if demand is not None:
            waiting = table.counts[State.READY] if table is not None else 0
            return demand.free - waiting, demand.free_bytes
        held = table.held if table is not None else 0
        return context.options.relay_window - held, RELAY_BYTES

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
            self._context.stale_plans[key] = None

    def wish(self, link: Link, key: str, surplus: int) -> None:
        """Tell a peer how many more objects we would like to offer, when that is news to it."""
        account = link.give.get(key)
        if account is None:
            return
        wanted = account.offered + surplus
        if surplus and account.wished - account.limit >= WISH_AHEAD:
            return
        if wanted > account.wished or (not surplus and account.wished > account.offered):
            account.wished = wanted
            self._context.out.append(
                effects.SendBacklog(link.handle, [(key, account.epoch, wanted)])
            )

    @staticmethod
    def spend(account: GiveAccount, count: int, size_bytes: int) -> None:
        """Charge an offer."""
        account.offered += count
        account.offered_bytes += size_bytes
