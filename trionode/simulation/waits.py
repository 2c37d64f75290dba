"""Judges what people are told about why an object waits: each reason must hold at that moment.

Reads the sentence and looks for what it says in the books of the checkers: windows and leases, what
peers told of interest and credit, links, draining. A sentence that nobody can judge is a fault too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from trionode.ids import parse_id
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.moves import wants

if TYPE_CHECKING:
    from collections.abc import Callable

    from trionode.simulation.fates import Fate
    from trionode.simulation.invariants import Invariants
    from trionode.simulation.leases import Window
    from trionode.simulation.moves import Account
    from trionode.simulation.node import SimulatedNode


@attrs.frozen
class _Object:
    """What is judged: an object at a node, and how it was shown."""

    node: SimulatedNode
    id: int
    fate: Fate
    view: dict[str, Any]


class Waits:
    """See the module.

    Args:
        invariants: the books of all checkers.
    """

    def __init__(self, invariants: Invariants) -> None:
        self._ledger = invariants.ledger
        self._moves = invariants.moves
        self._judges: list[tuple[str, re.Pattern[str], Callable[..., bool]]] = [
            (state, re.compile(pattern), judge)
            for state, pattern, judge in (
                ("ready", "this node is draining", lambda item: item.node.draining),
                ("ready", r"no subscription for (\S+) at this node, and no node", self._nobody),
                ("ready", r"consumer c(\d+) is paused: its credit is 0", self._paused),
                (
                    "ready",
                    r"consumer c(\d+) has used up its credit: (\d+) of (\d+) unsettled",
                    self._used_up,
                ),
                (
                    "ready",
                    r"consumer c(\d+) has used up its credit in bytes: (\d+) of (\d+) unsettled",
                    self._used_up_bytes,
                ),
                ("ready", r"its last consumer died with it, .* consumer c(\d+) has", self._suspect),
                ("ready", r"consumer c(\d+) has credit: it is leased", self._free),
                (
                    "ready",
                    r"node n(\d+)\S* leads to .* has granted no more credit",
                    self._no_credit,
                ),
                ("ready", r"it may overflow to node n(\d+)\S* in ", self._may_overflow),
                (
                    "ready",
                    r"its last subscription .* may move to node n(\d+)\S* in",
                    self._just_gone,
                ),
                ("ready", r"it was at node n(\d+)\S* before, and may return in ", self._was_at),
                ("ready", r"node n(\d+)\S* has granted credit: it moves there", self._credit),
                ("ready", r"node n(\d+)\S* keeps objects in memory only", self._memory_only),
                ("blocked", "it is next of its ordering key ", lambda _item: True),
                ("blocked", r"behind (\S+) of the same ordering key '(.*)', (.*)", self._behind),
                ("delayed", "delayed for another ", lambda item: item.view["due_in_s"] is not None),
                (
                    "leased",
                    r"leased to consumer c(\d+) .* has (begun|not begun) .*\(attempt (\d+)\)",
                    self._leased,
                ),
                ("transferring", r"in transfer to node n(\d+)\S* for ", self._in_transfer),
                (
                    "transferring",
                    r"in doubt: it was offered to node n(\d+)\S*, whose",
                    self._in_doubt,
                ),
                ("dead", "dead letter: (.*)", lambda item, why: item.view["dead"] == why),
                ("", "its last attempt failed: ", self._has_failed),
                ("ready", "and for more of the same kind", lambda item: _count(item) > 20),
            )
        ]

    def check(self, node: SimulatedNode, id_: int, fate: Fate, view: dict[str, Any]) -> None:
        """Judge all reasons of an object that a node has shown."""
        item = _Object(node, id_, fate, view)
        if not view["waits_for"]:
            raise InvariantBroken("G9", f"{view['state']}, and nobody says why", id_)
        for text in view["waits_for"]:
            if not self._holds(item, text):
                raise InvariantBroken("G9", f"{view['state']}, but not so: {text}", id_)

    def _holds(self, item: _Object, text: str) -> bool:
        for state, pattern, judge in self._judges:
            match = pattern.match(text)
            if match is not None:
                return state in ("", item.view["state"]) and judge(item, *match.groups())
        return False

    # --- consumers -----------------------------------------------------------------------------

    def _windows(self, item: _Object) -> list[tuple[int, Window]]:
        book = self._ledger.leases[item.node.index]
        return book.windows(lambda key: wants(key, item.fate.type))

    def _any_window(self, item: _Object, stream: str, holds: Callable[[Window], bool]) -> bool:
        return any(each == int(stream) and holds(window) for each, window in self._windows(item))

    def _nobody(self, item: _Object, type_: str) -> bool:
        # What is known to be gone by its name is so on every way: the frames do not show that.
        brain = item.node.host.brain
        assert brain is not None
        ways = [key for key in brain.interest.routes if wants(key, type_)]
        return type_ == item.fate.type and not ways and not self._windows(item)

    def _paused(self, item: _Object, stream: str) -> bool:
        return self._any_window(item, stream, lambda window: window.credit == 0)

    def _used_up(self, item: _Object, stream: str, unsettled: str, credit: str) -> bool:
        return int(unsettled) >= int(credit) and self._any_window(
            item,
            stream,
            lambda window: (window.leased, window.credit) == (int(unsettled), int(credit)),
        )

    def _used_up_bytes(self, item: _Object, stream: str, unsettled: str, credit: str) -> bool:
        said = (int(unsettled), int(credit))
        return said[0] >= said[1] and self._any_window(
            item, stream, lambda window: (window.leased_bytes, window.credit_bytes) == said
        )

    def _suspect(self, item: _Object, stream: str) -> bool:
        return self._any_window(item, stream, lambda window: window.leased > 0)

    def _free(self, item: _Object, stream: str) -> bool:
        return self._any_window(
            item,
            stream,
            lambda window: (
                window.leased < window.credit and window.leased_bytes < window.credit_bytes
            ),
        )

    def _leased(self, item: _Object, stream: str, begun: str, attempt: str) -> bool:
        book = self._ledger.leases[item.node.index]
        lease = book.valid.get(item.id)
        return (
            lease is not None
            and (lease.stream, lease.attempt) == (int(stream), int(attempt))
            and book.begun(lease) == (begun == "begun")
        )

    # --- peers ---------------------------------------------------------------------------------

    def _accounts(self, item: _Object, index: str) -> list[Account]:
        """What a peer by that name has told of keys that the object belongs to."""
        by_name = item.node.world.by_name
        return [
            account
            for peer, account in self._moves.ways(item.node.host, item.fate.type)
            if by_name[peer.node].index == int(index)
        ]

    def _credit(self, item: _Object, index: str) -> bool:
        return any(account.left for account in self._accounts(item, index))

    def _no_credit(self, item: _Object, index: str) -> bool:
        return any(not account.left for account in self._accounts(item, index))

    def _may_overflow(self, item: _Object, index: str) -> bool:
        return self._credit(item, index) and bool(self._windows(item))

    def _just_gone(self, item: _Object, index: str) -> bool:
        return self._credit(item, index) and not self._windows(item)

    def _was_at(self, item: _Object, index: str) -> bool:
        return self._credit(item, index) and bool(item.fate.been >> int(index) & 1)

    def _memory_only(self, item: _Object, index: str) -> bool:
        durable = item.node.host.disk is not None
        return durable and any(
            not peer.durable and item.node.world.by_name[peer.node].index == int(index)
            for peer, _ in self._moves.ways(item.node.host, item.fate.type)
        )

    @staticmethod
    def _offered_to(item: _Object) -> str:
        """The id of the peer that has the object on offer, as the object's own history says."""
        return str(item.view["history"][-1]["why"].removeprefix("to "))

    def _linked(self, item: _Object, index: str) -> bool:
        peer = self._offered_to(item)
        if item.node.world.by_name[peer].index != int(index):
            raise InvariantBroken("G9", f"on offer to {peer}, not to n{index}", item.id)
        return any(peer == each for each, _, _ in item.node.links.values())

    def _in_transfer(self, item: _Object, index: str) -> bool:
        return self._linked(item, index)

    def _in_doubt(self, item: _Object, index: str) -> bool:
        return not self._linked(item, index)

    # --- other objects, and times past ---------------------------------------------------------

    def _behind(self, item: _Object, id_: str, key: str, where: str) -> bool:
        ahead = parse_id(id_)
        fate = self._ledger.fates.get(ahead)
        if fate is None or fate.type != item.fate.type or ahead == item.id:
            return False
        if item.view["properties"].get("ordering_key") != key:
            return False
        at = re.match(r"at node n(\d+)\S*, which has not reported it settled", where)
        if at is not None:
            return bool(fate.been >> int(at[1]) & 1)
        book = self._ledger.leases[item.node.index]
        here = ahead in self._ledger.held[item.node.index]
        return here and (where == "leased here") == (ahead in book.valid)

    def _has_failed(self, item: _Object) -> bool:
        # Its attempts begin anew when it is replaced, or a person has revived it.
        fate = item.fate
        return fate.attempt > 1 or fate.dead or bool(fate.excuses) or len(fate.contents) > 1


def _count(item: _Object) -> int:
    return len(item.view["waits_for"])
