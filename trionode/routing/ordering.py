"""Order by key: objects of one type and ordering key are leased one after another.

Theory of operation
-------------------
Every ordering key of a type that has objects here, or had some that other nodes hold now, has a
`KeyLine`: what is *in play* (its head: ready, delayed, leased or on offer), what is *away* (given
to another node and not yet reported settled), and the *followers* in order. Only what is in play
may stand in the ready queue; followers are BLOCKED (or still DELAYED) and wait in their line, so
that the queue never meets them. A line goes on, by one object, when nothing of it is in play or
away. It then joins the *back* of the ready queue: keys take turns, and a long line holds up no
other key.

Order is that of one node: the one where objects were pushed. What came from another node is a
*guest* here. It belongs to that node's order, which waits for it. A guest is leased while nothing
else of the key is, and waits for nothing more: were it to wait for what this node has given away,
two nodes that gave each other an object of one key would wait for each other for ever. Guests and
followers take turns.

Order beats progress: a head that waits for a time (a nack with a delay, a push with one) is still
the head. A head that leaves for good, by whatever door, or becomes a dead letter, lets its key go
on. What comes back (its lease ended, its offer was refused, its receiver gave it back) is at the
head of its key again.

A transfer takes a prefix of a key: its head. The receiver puts it in its own line and reports to
the node that gave it when it has ended there; a node that passed it on reports further on what is
reported to it. So each node knows only its neighbours, whatever the way. A report that is lost with
its link is asked for when the link is back. If the link stays away for `in_doubt_timeout_s`, the
key goes on: the object may then be processed late, out of order, or twice.

Over a crash of the giver: the first follower remembers in its properties behind what it waits
(`behind`), so that it finds its line as it was. Over a crash of the receiver: the object is in its
store, and says by its path who gave it. A crashed relay has forgotten what it had passed on; asked,
it reports that as ended. All of that changes order only: never what is kept, and where.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import attrs

from trionode.routing.model import HeldObject, State, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trionode.routing.custody import TypeTable


@attrs.define(eq=False)
class Away:
    """An object that another node has. `line` waits for it; None: it was a guest here.

    `givers` wait for this node's report of its end. `doubt` is since when the node that has it is
    gone, if it is.
    """

    line: KeyLine | None
    id: int
    peer: str
    givers: tuple[str, ...]
    doubt: float | None = None


@attrs.define(eq=False)
class KeyLine:
    """All that a node knows of one ordering key of a type; see the theory above.

    `away` are those of this node's own order. `guests_turn`: of guests and followers, who is next.
    """

    table: TypeTable
    key: str
    play: dict[int, HeldObject] = attrs.field(factory=dict)
    away: dict[int, Away] = attrs.field(factory=dict)
    followers: OrderedDict[int, HeldObject] = attrs.field(factory=OrderedDict)
    guests: OrderedDict[int, HeldObject] = attrs.field(factory=OrderedDict)
    guests_turn: bool = True

    def pop_next(self) -> HeldObject | None:
        """Remove and return the one whose turn it is, if one may go on now."""
        can_follow = self.followers and not self.away
        if self.play or not (self.guests or can_follow):
            return None
        guest = bool(self.guests) and (self.guests_turn or not can_follow)
        self.guests_turn = not guest
        return (self.guests if guest else self.followers).popitem(last=False)[1]

    def remove(self, id_: int) -> HeldObject | None:
        """Take an object out, wherever it stands."""
        for place in (self.play, self.followers, self.guests):
            item = place.pop(id_, None)
            if item is not None:
                return item
        return None


class Ordering:
    """All lines of keys. Mutated by `Custody`, the ready queues and the owners of offers.

    Args:
        move: changes the state of objects, as `Custody.move`.
    """

    def __init__(self, move: Callable[[list[HeldObject], Step], None]) -> None:
        self._move = move
        self.node = ""
        """This node's id."""
        self.lines: dict[tuple[str, str], KeyLine] = {}
        self.away: dict[str, dict[int, Away]] = {}
        """By the peer that has them."""
        self._by_id: dict[int, Away] = {}
        self._open: dict[KeyLine, None] = {}
        """Lines with followers that may go on at the end of this turn."""
        self._owed: dict[int, tuple[str, ...]] = {}
        """Who waits for a report of an object that came back, or that a copy superseded, beside
        the one who gave it last."""
        self._reports: dict[str, list[int]] = {}
        """Peer -> objects it gave to this node, and that have ended here."""

    @property
    def at_work(self) -> bool:
        """Whether something is to be done at the end of this turn."""
        return bool(self._open or self._reports)

    # --- standing in line ----------------------------------------------------------------------

    def join(self, item: HeldObject, *, front: bool) -> bool:
        """A ready object with an ordering key is about to join the ready queue; may it?

        Else it is blocked, and stands in the line of its key.
        """
        line = self._line(item)
        if item.id in line.followers or item.id in line.guests:
            # Its delay is over before its turn has come.
            self._move([item], Step.BLOCK)
            return False
        front |= line.play.pop(item.id, None) is not None
        back = self._by_id.get(item.id)
        if back is not None:
            front = True
            self._remove(back)
            if back.givers:
                self._owed[item.id] = back.givers
        if not line.play and (
            self._is_guest(item) or (not line.away and (front or not line.followers))
        ):
            self._play(line, item)
            return True
        self._wait(line, item, front=front)
        self._move([item], Step.BLOCK)
        return False

    def stand(self, item: HeldObject) -> None:
        """An object new in custody is not ready: it takes its place in the line of its key."""
        if item.state == State.DEAD or item.detail("ordering_key") is None:
            return
        line = self._line(item)
        if item.state == State.TRANSFERRING or not (line.play or line.away or line.followers):
            self._play(line, item)
        else:
            self._wait(line, item, front=False)

    def offered(self, items: Iterable[HeldObject]) -> None:
        """These are on offer: in play, wherever they stood before."""
        for item in items:
            line = self._found(item)
            if line is not None and item.state != State.DEAD:
                line.remove(item.id)
                self._play(line, item)

    def given(self, items: Iterable[HeldObject], peer: str) -> list[HeldObject]:
        """A peer has taken these; to be said before they leave custody.

        Returns the followers that now remember behind what they wait, and must be kept so.
        """
        changed: dict[int, HeldObject] = {}
        for item in items:
            line = self._found(item)
            if line is None or item.id not in line.play:
                continue
            own = not self._is_guest(item)
            self._send_away(Away(line if own else None, item.id, peer, self._givers(item)))
            follower = next(iter(line.followers.values()), None)
            if follower is not None and own:
                self._remember(line, follower)
                changed[follower.id] = follower
        return list(changed.values())

    def superseded(self, item: HeldObject) -> None:
        """A copy's properties are about to take the place of an object's, and hide who gave it."""
        givers = self._givers(item) if item.detail("ordering_key") is not None else ()
        if givers:
            self._owed[item.id] = givers

    def left(self, items: Iterable[HeldObject], step: Step) -> None:
        """These have left custody, or are dead letters now; their keys go on."""
        for item in items:
            line = self._found(item)
            if line is None:
                continue
            stood = line.remove(item.id)
            if stood is not None and step != Step.GIVE:
                for giver in self._givers(item):
                    self.report(giver, item.id)
            self._look(line)

    def _play(self, line: KeyLine, item: HeldObject) -> None:
        line.play[item.id] = item
        if item.detail("behind") is not None:
            item.amend(behind=None)

    def _is_guest(self, item: HeldObject) -> bool:
        """Whether an object is of another node's order: it was not pushed here."""
        path = item.detail("path")
        return bool(path) and path[0] != self.node

    def _wait(self, line: KeyLine, item: HeldObject, *, front: bool) -> None:
        guest = self._is_guest(item)
        waiting = line.guests if guest else line.followers
        waiting[item.id] = item
        if front:
            waiting.move_to_end(item.id, last=False)
        if not guest and line.away and next(iter(line.followers)) == item.id:
            self._remember(line, item)

    @staticmethod
    def _remember(line: KeyLine, follower: HeldObject) -> None:
        """Write down for a restart what the first follower waits for."""
        follower.amend(behind=[[away.peer, f"{id_:x}"] for id_, away in line.away.items()])

    def _line(self, item: HeldObject) -> KeyLine:
        key: str = item.detail("ordering_key")
        name = (item.table.name, key)
        line = self.lines.get(name)
        if line is None:
            line = self.lines[name] = KeyLine(item.table, key)
        return line

    def _found(self, item: HeldObject) -> KeyLine | None:
        key = item.detail("ordering_key")
        return None if key is None else self.lines.get((item.table.name, key))

    def _look(self, line: KeyLine) -> None:
        """See whether a line may go on, or is not needed any more."""
        if line.play:
            return
        if line.guests or (line.followers and not line.away):
            self._open[line] = None
        elif not line.away:
            self._open.pop(line, None)
            self.lines.pop((line.table.name, line.key), None)

    # --- going on ------------------------------------------------------------------------------

    def next(self) -> list[HeldObject]:
        """The objects whose turn has come, ready now; the caller queues them."""
        lines, self._open = self._open, {}
        ready = []
        for line in lines:
            item = line.pop_next()
            if item is None:
                continue
            self._play(line, item)
            if item.state == State.BLOCKED:
                self._move([item], Step.UNBLOCK)
                ready.append(item)
        return ready

    def ahead_of(self, item: HeldObject) -> tuple[int, str | None] | None:
        """For what an object of an ordering key waits: an object's id, and the peer that has it.

        The peer is None for one that is here. None: it waits for no other object.
        """
        line = self._found(item)
        if line is None or item.id in line.play:
            return None
        if item.id in line.followers:
            for away in line.away.values():
                return away.id, away.peer
        for id_ in (*line.play, *line.guests, *line.followers):
            return (id_, None) if id_ != item.id else None
        return None

    def in_order(self, item: HeldObject) -> list[HeldObject]:
        """All that stands in an object's line, in order; just the object if it is in none."""
        line = self._found(item)
        if line is None:
            return [item]
        found = {**line.play, **line.guests, **line.followers}
        return list(found.values()) if item.id in found else [item]

    # --- between nodes -------------------------------------------------------------------------

    def report(self, peer: str, id_: int) -> None:
        """Let a peer that gave this node an object know that its key need not wait for it."""
        self._reports.setdefault(peer, []).append(id_)

    def take_reports(self) -> dict[str, list[int]]:
        """What is to be reported now, by peer."""
        reports, self._reports = self._reports, {}
        return reports

    def reported(self, peer: str, ids: Iterable[int]) -> None:
        """A peer reports that objects it was given have ended there."""
        held = self.away.get(peer, {})
        for away in [held[id_] for id_ in ids if id_ in held]:
            self._end(away)

    def asked(self, peer: str, ids: Iterable[int], objects: dict[int, HeldObject]) -> None:
        """A peer asks about objects that it gave; those that have ended are reported again."""
        for id_ in ids:
            item, away = objects.get(id_), self._by_id.get(id_)
            here = item is not None and item.state != State.DEAD and self._owes(item, peer)
            if not here and (away is None or peer not in away.givers):
                self.report(peer, id_)

    def link_up(self, peer: str) -> list[int]:
        """A peer is back; returns what to ask it about."""
        held = self.away.get(peer, {})
        for away in held.values():
            away.doubt = None
        return list(held)

    def link_down(self, peer: str, now: float) -> bool:
        """A peer is gone; whether anything waits for it."""
        held = self.away.get(peer, {})
        for away in held.values():
            away.doubt = now
        return bool(held)

    def give_up(self, peer: str, timeout_s: float, now: float) -> None:
        """Wait no longer for what a peer has that has been gone for so long."""
        for away in list(self.away.get(peer, {}).values()):
            if away.doubt is not None and away.doubt + timeout_s <= now:
                self._end(away)

    def recovered(self, item: HeldObject, now: float) -> list[str]:
        """An object came back from the store; returns the peers that its key waits for."""
        behind: list[Any] = item.detail("behind") or []
        for peer, id_ in behind:
            away = Away(self._line(item), int(id_, 16), peer, (), doubt=now)
            self._send_away(away)
        return [peer for peer, _ in behind]

    def _send_away(self, away: Away) -> None:
        self._by_id[away.id] = away
        self.away.setdefault(away.peer, {})[away.id] = away
        if away.line is not None:
            away.line.away[away.id] = away

    def _end(self, away: Away) -> None:
        """An object that was away needs no more waiting for."""
        self._remove(away)
        for giver in away.givers:
            self.report(giver, away.id)
        if away.line is not None:
            self._look(away.line)

    def _remove(self, away: Away) -> None:
        if away.line is not None:
            del away.line.away[away.id]
        del self._by_id[away.id]
        held = self.away[away.peer]
        del held[away.id]
        if not held:
            del self.away[away.peer]

    def _givers(self, item: HeldObject) -> tuple[str, ...]:
        """Who must be told of an object's end; it is asked once, when the object leaves."""
        giver = giver_of(item)
        givers = self._owed.pop(item.id, ())
        return givers if giver is None else tuple(dict.fromkeys((*givers, giver)))

    def _owes(self, item: HeldObject, peer: str) -> bool:
        return giver_of(item) == peer or peer in self._owed.get(item.id, ())


def giver_of(item: HeldObject) -> str | None:
    """The node that gave an object to this one."""
    path = item.detail("path")
    return path[-1] if path else None
