"""Why an object waits, in words for people. Reads the brain's books and never changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.ids import format_id
from trionode.routing.model import HeldObject, State
from trionode.routing.offers import Offer
from trionode.routing.subscriptions import Subscription

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trionode.inspection.known import KnownNodes
    from trionode.routing import Brain
    from trionode.routing.links import Link

REASONS_MAX = 20
"""Of one object: a type may have thousands of subscriptions, and all may be busy."""


class Reasons:
    """Says of an object in custody what it waits for.

    Args:
        brain: of the node.
        known: what nodes are called.
    """

    def __init__(self, brain: Brain, known: KnownNodes) -> None:
        self._brain = brain
        self._known = known
        self._of_state: dict[State, Callable[[HeldObject, float], Iterator[str]]] = {
            State.READY: self._ready,
            State.BLOCKED: self._blocked,
            State.DELAYED: self._delayed,
            State.LEASED: self._leased,
            State.TRANSFERRING: self._transferring,
            State.DEAD: self._dead,
        }

    def of(self, item: HeldObject, now: float) -> list[str]:
        """Why an object waits; the weightiest first, at least one."""
        found: list[str] = []
        for reason in self._of_state[item.state](item, now):
            if len(found) == REASONS_MAX:
                found.append("and for more of the same kind")
                break
            found.append(reason)
        return found

    # --- by state ---------------------------------------------------------------------------------

    def _ready(self, item: HeldObject, now: float) -> Iterator[str]:
        brain, context = self._brain, self._brain.context
        if context.draining:
            yield "this node is draining: it leases nothing any more"
        subscriptions = self._subscriptions(item)
        ways = brain.interest.ways(item.table)
        if not subscriptions and not ways:
            yield (
                f"no subscription for {item.table.name} at this node,"
                " and no node that it is linked to knows of one"
            )
        for subscription in [] if context.draining else subscriptions:
            yield self._why_not_leased(item, subscription)
        told: set[str] = set()
        for key, handle, _route in ways:
            link = brain.interest.links[handle]
            if link.peer not in told:
                told.add(link.peer)
                yield self._why_not_given(item, key, link, now, local=bool(subscriptions))

    def _blocked(self, item: HeldObject, _now: float) -> Iterator[str]:
        custody = self._brain.context.custody
        key = item.detail("ordering_key")
        ahead = custody.ordering.ahead_of(item)
        if ahead is None:
            yield f"it is next of its ordering key {key!r}"
            return
        id_, peer = ahead
        if peer is not None:
            where = f"at {self._known.word_for(peer)}, which has not reported it settled"
        else:
            other = custody.objects.get(id_)
            where = f"{other.state.name.lower()} here" if other is not None else "here"
        yield f"behind {format_id(id_)} of the same ordering key {key!r}, {where}"

    def _delayed(self, item: HeldObject, now: float) -> Iterator[str]:
        yield f"delayed for another {_seconds(item.detail('due', now) - now)}"
        failure = item.detail("failure")
        if failure:
            yield f"its last attempt failed: {failure}"

    def _leased(self, item: HeldObject, now: float) -> Iterator[str]:
        holder = item.holder
        assert isinstance(holder, Subscription)
        begun = "has begun with it" if item.mark < holder.started else "has not begun with it yet"
        yield (
            f"leased to consumer {holder.stream.label} for {_seconds(now - item.since)}, which"
            f" {begun} (attempt {item.attempt})"
        )

    def _transferring(self, item: HeldObject, now: float) -> Iterator[str]:
        offer = item.holder
        assert isinstance(offer, Offer)
        who = self._known.word_for(offer.peer)
        if offer.doubt is None:
            waited = _seconds(now - item.since)
            yield f"in transfer to {who} for {waited}, which has not answered yet"
            return
        left = offer.doubt + self._brain.context.doubt_s - now
        yield (
            f"in doubt: it was offered to {who}, whose link ended"
            f" {_seconds(now - offer.doubt)} ago before it answered;"
            f" ready again here in {_seconds(left)} unless that node comes back"
        )

    @staticmethod
    def _dead(item: HeldObject, _now: float) -> Iterator[str]:
        yield f"dead letter: {item.detail('dead', 'the reason is not known')}"
        failure = item.detail("failure")
        if failure:
            yield f"its last attempt failed: {failure}"

    # --- ready ------------------------------------------------------------------------------------

    def _subscriptions(self, item: HeldObject) -> list[Subscription]:
        demands = self._brain.context.subscriptions.demands
        found = [demands[key].subscriptions for key in item.table.keys if key in demands]
        return list(dict.fromkeys(each for subscriptions in found for each in subscriptions))

    def _why_not_leased(self, item: HeldObject, subscription: Subscription) -> str:
        who = f"consumer {subscription.stream.label}"
        if not subscription.credit:
            return f"{who} is paused: its credit is 0"
        unsettled = len(subscription.leases)
        if unsettled >= subscription.credit:
            return f"{who} has used up its credit: {unsettled} of {subscription.credit} unsettled"
        stream = subscription.stream
        if stream.full:
            return (
                f"{who} has used up what its subscriptions may have in bytes together:"
                f" {stream.limit_bytes - stream.free_bytes} of {stream.limit_bytes} unsettled"
            )
        if not subscription.free:
            return (
                f"{who} has used up its credit in bytes:"
                f" {subscription.leased_bytes} of {subscription.credit_bytes} unsettled"
            )
        if item.suspect and subscription.stream.suspects:
            return (
                "its last consumer died with it, so it is leased as the only such object, and"
                f" {who} has another one"
            )
        return f"{who} has credit: it is leased there when its turn comes"

    def _why_not_given(
        self, item: HeldObject, key: str, link: Link, now: float, *, local: bool
    ) -> str:
        context = self._brain.context
        who = self._known.word_for(link.peer)
        never = self._why_never_given(item, link, who)
        if never:
            return never
        account = link.give.get(key)
        if account is None or not account.credit:
            return f"{who} leads to subscriptions for it, and has granted no more credit"
        backed_off = item.since + context.backoff_s(item)
        if local and backed_off > now:
            return f"it may overflow to {who} in {_seconds(backed_off - now)}"
        since_gone = item.table.local_gone + context.options.transfer_after_s
        if since_gone > now and not local:
            return (
                "its last subscription at this node has just gone: it may move to"
                f" {who} in {_seconds(since_gone - now)}"
            )
        if link.peer in item.detail("path", ()) and backed_off > now:
            return f"it was at {who} before, and may return in {_seconds(backed_off - now)}"
        return f"{who} has granted credit: it moves there when its turn comes"

    def _why_never_given(self, item: HeldObject, link: Link, who: str) -> str:
        if not self._brain.context.may_give_to(link):
            return f"{who} keeps objects in memory only, and is not given durable ones"
        if not link.fits(item):
            return f"{who} takes objects of up to {link.max_object_bytes} bytes, and this is larger"
        return ""


def _seconds(duration_s: float) -> str:
    return f"{max(0.0, duration_s):.1f} s"
