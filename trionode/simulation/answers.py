"""Judges what people are told of objects (G9), by the ledger and the links and not by brains.

An answer changes nothing. Each node's own is true at its moment, and says of each object that is
held there why it waits (`waits.py`). All together they leave nobody out: who did not answer is
named, and nobody else. What a node lists is what it holds, in the states that were asked for.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs

from trionode.ids import parse_id
from trionode.inspection.explaining import ENDED
from trionode.inspection.views import STATES
from trionode.simulation.fates import InvariantBroken
from trionode.simulation.snapshot import snapshot
from trionode.simulation.waits import Waits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.inspection.pages import Selection
    from trionode.simulation.fates import Fate
    from trionode.simulation.invariants import Invariants
    from trionode.simulation.node import SimulatedNode
    from trionode.wire.link_frames import Reply

UNDER_WAY_S = 0.2
"""Within this an answer comes back where links are not slow."""
UNDISTURBED = frozenset({"clocks", "consumers", "producers", "churn", "people"})
"""Faults that keep no question and no answer from where it is to come."""
SMALL = 32
"""A brain that holds no more is compared at every look, unless only samples are checked."""
SAMPLE = 16
"""With sampling, the events between two comparisons for each object held, instead of one."""


@attrs.define(eq=False)
class _Answer:
    """What one node said, and who was linked to it then."""

    index: int
    known: dict[str, Any]
    linked: tuple[str, ...]
    when: float


@attrs.define(eq=False)
class _Asked:
    """One question to every node."""

    node: SimulatedNode
    id: int
    there: bool
    """It was in custody when somebody asked."""
    hearers: dict[int, None] = attrs.field(factory=dict)
    answers: dict[str, _Answer] = attrs.field(factory=dict)


class Answers:
    """Sees every answer at the moment at which it is given.

    Args:
        invariants: the books of what was sent to nodes and what they put out.
        nodes: all by index.
        by_name: whose every node id is or was.
        every: compare small brains at every look, and larger ones more often.
        calm: nodes and links stay as they are, so that everybody must answer.
    """

    def __init__(
        self,
        invariants: Invariants,
        nodes: list[SimulatedNode],
        by_name: dict[str, SimulatedNode],
        *,
        every: bool,
        calm: bool,
    ) -> None:
        self._ledger = invariants.ledger
        self._nodes = nodes
        self._by_name = by_name
        self._every = every
        self._calm = calm
        self._asked: dict[bytes, _Asked] = {}
        self._waits = Waits(invariants)
        self._compare_from = 0

    @contextlib.contextmanager
    def untouched(self, node: SimulatedNode) -> Iterator[None]:
        """While somebody looks: the brain is the same afterwards.

        A comparison costs as much as the node holds, so that many events must come before the next.
        """
        held, done = len(self._ledger.held[node.index]), node.world.scheduler.done
        always = self._every and held <= SMALL
        if not always and done < self._compare_from:
            yield
            return
        if not always:
            self._compare_from = done + (1 if self._every else SAMPLE) * max(held, SMALL)
        before = snapshot(node.host.brain)
        yield
        if snapshot(node.host.brain) != before:
            raise InvariantBroken("G9", f"looking changed node {node.index}")

    # --- one object ----------------------------------------------------------------------------

    def asked(self, name: bytes, node: SimulatedNode, id_: int) -> None:
        """Somebody asks at a node where an object is."""
        fate = self._ledger.fates.get(id_)
        there = fate is not None and fate.acknowledged and bool(fate.holders)
        self._asked[name] = _Asked(node, id_, there)
        self._ledger.count("questions where an object is")

    def heard(self, name: bytes, node: SimulatedNode) -> None:
        """A node hears of the question for the first time."""
        asked = self._asked.get(name)
        if asked is not None:
            if node.index in asked.hearers and self._calm:
                raise InvariantBroken("G9", f"node {node.index} is asked twice", asked.id)
            asked.hearers[node.index] = None

    def answered(self, name: bytes, node: SimulatedNode, id_: int, known: dict[str, Any]) -> None:
        """A node says what it knows of an object."""
        asked = self._asked.get(name)
        if asked is not None:
            linked = tuple(peer for peer, _, _ in node.links.values())
            asked.answers[node.host.node] = _Answer(
                node.index, known, linked, self._ledger.times.time
            )
        fate = self._ledger.fates.get(id_)
        if (known["held"] is not None) != (id_ in self._ledger.held[node.index]):
            word = "denies what it holds" if known["held"] is None else "claims what it has not"
            raise InvariantBroken("G9", f"node {node.index} {word}", id_)
        if fate is None:
            if known["given"] or known["accepted"]:
                raise InvariantBroken("G9", "claims to have met what was never pushed", id_)
            return
        if known["held"] is not None:
            self._check_view(node, id_, fate, known["held"])
        given = known["given"]
        if given is not None:
            to = self._by_name.get(given["to"]["id"])
            if to is None or to is node or not fate.been >> to.index & 1:
                raise InvariantBroken("G9", f"never went to {given['to']}", id_)
        # One that repeats a key is accepted as well, and not stored.
        if known["accepted"] and not (fate.been >> node.index & 1 or fate.keyed):
            raise InvariantBroken("G9", f"node {node.index} never accepted it", id_)

    def _check_view(self, node: SimulatedNode, id_: int, fate: Fate, view: dict[str, Any]) -> None:
        lease = self._ledger.leases[node.index].valid.get(id_)
        leased = view["state"] == "leased"
        # Who drains without a store hands over dead letters as well.
        states = ("dead", "transferring") if fate.dead else tuple(STATES.keys() - {"dead"})
        wrong = (
            view["type"] != fate.type
            or leased != (lease is not None)
            or (lease is not None and lease.attempt != view["attempt"])
            or (view["state"] not in states and not fate.excuses)
        )
        if wrong:
            raise InvariantBroken("G9", f"node {node.index} shows {view['state']} wrongly", id_)
        self._waits.check(node, id_, fate, view)

    def gathered(
        self, name: bytes, node: SimulatedNode, said: dict[str, Any], replies: list[Reply]
    ) -> None:
        """Who asked is told what all answers together say."""
        asked = self._asked.pop(name)
        heard = {reply.node: asked.answers[reply.node] for reply in replies}
        places = {place["id"] for place in said["places"]}
        if places != {id_ for id_, each in heard.items() if each.known["held"] is not None}:
            raise InvariantBroken("G9", f"said to be at {sorted(places)}", asked.id)
        self._check_silent(node, heard, said, asked)
        self._check_end(node, said, asked)
        if self._calm:
            self._check_all(heard, asked)

    def _check_all(self, heard: dict[str, _Answer], asked: _Asked) -> None:
        """Where nodes and links stay, all are asked, every answer comes, nobody waits in vain."""
        time = self._ledger.times.time
        if len(asked.hearers) != len(self._by_name):
            text = f"{len(asked.hearers)} of {len(self._by_name)} nodes were asked"
            raise InvariantBroken("G9", text, asked.id)
        for id_, answer in asked.answers.items():
            if id_ not in heard and answer.when < time - UNDER_WAY_S:
                raise InvariantBroken("G9", f"the answer of {id_} was lost", asked.id)
        last = max(answer.when for answer in asked.answers.values())
        if len(asked.answers) == len(asked.hearers) and time > last + UNDER_WAY_S:
            raise InvariantBroken("G9", f"waited {time - last:.1f} s for nobody", asked.id)

    def _check_silent(
        self,
        node: SimulatedNode,
        heard: dict[str, _Answer],
        said: dict[str, Any],
        asked: _Asked,
    ) -> None:
        """Who is linked to somebody who answered, and has not, is named; nobody who has is."""
        present = {answer.index for answer in heard.values()}
        named = {each["id"] for each in said["silent"]}
        linked = [peer for answer in heard.values() for peer in answer.linked]
        for peer in (node.host.node, *linked):
            if self._by_name[peer].index not in present and peer not in named:
                raise InvariantBroken("G9", f"{peer} did not answer and is not named", asked.id)
        for each in said["silent"]:
            index = int(each["address"][1:].split(":")[0])
            other = self._by_name.get(each["id"])
            if index in present or (other is None and each["id"]):
                raise InvariantBroken("G9", f"{each} answered and is named as silent", asked.id)
        where = [each["address"] for each in said["silent"]]
        if any(not each["id"] and where.count(each["address"]) > 1 for each in said["silent"]):
            raise InvariantBroken("G9", f"named as silent twice: {where}", asked.id)

    def _check_end(self, node: SimulatedNode, said: dict[str, Any], asked: _Asked) -> None:
        """What is said to have ended has; what nobody is said to know, nobody has."""
        fate = self._ledger.fates.get(asked.id)
        if fate is None or said["places"] or fate.over or fate.dead or not asked.there:
            return
        # Of who has left for good with its disk nobody may know, nor of who no line leads to.
        near = _connected(node)
        holders = [
            index
            for index in fate.holders
            if not self._nodes[index].leaving and self._nodes[index] in near
        ]
        text = said["summary"]
        claimed = (ENDED in text and "did not answer" not in text) or "no node knows it" in text
        if holders and claimed:
            raise InvariantBroken("G9", f"held by nodes {holders}, but: {text}", asked.id)

    # --- many ----------------------------------------------------------------------------------

    def still_held(
        self, node: SimulatedNode, selection: Selection, before: dict[int, None] | None
    ) -> dict[int, None]:
        """Of what a listing must show, what is held in one of its states now.

        Args:
            node: where it is asked for.
            selection: what.
            before: the same when the page before was asked for.
        """
        if before is None:
            self._ledger.count("listings of objects")
        assert node.host.brain is not None
        held, objects = self._ledger.held[node.index], node.host.brain.context.custody.objects
        found: dict[int, None] = {}
        for id_ in held if before is None else before:
            item = objects.get(id_)
            if id_ not in held or item is None or self._ledger.fates[id_].type != selection.type:
                continue
            if item.state in selection.states:
                found[id_] = None
        return found

    def shown(
        self, node: SimulatedNode, selection: Selection, limit: int, views: list[dict[str, Any]]
    ) -> None:
        """A page was shown."""
        if len(views) > limit:
            raise InvariantBroken("G9", f"{len(views)} objects in a page of {limit}")
        words = [word for word, state in STATES.items() if state in selection.states]
        for view in views:
            id_ = parse_id(view["id"])
            if id_ not in self._ledger.held[node.index] or view["type"] != selection.type:
                raise InvariantBroken("G9", "shown, and is not held there", id_)
            if view["state"] not in words:
                raise InvariantBroken("G9", f"shown though {view['state']}", id_)
            self._check_view(node, id_, self._ledger.fates[id_], view)

    @staticmethod
    def all_shown(shown: list[int], stayed: dict[int, None], *, exactly: bool) -> None:
        """A listing has come to its end.

        Args:
            shown: what it showed.
            stayed: what was to be shown at each of its pages.
            exactly: nothing happened meanwhile, so that nothing else was to be shown, nor twice.
        """
        for id_ in stayed:
            if id_ not in shown:
                raise InvariantBroken("G9", "held all along and not shown", id_)
        if exactly and len(shown) != len(stayed):
            twice = next((id_ for id_ in shown if id_ not in stayed), shown[0])
            raise InvariantBroken("G9", f"{len(shown)} shown, {len(stayed)} held", twice)


def _connected(node: SimulatedNode) -> dict[SimulatedNode, None]:
    """Who lines lead to, one after the other: a mesh that many left may fall into parts."""
    found, last = {node: None}, [node]
    while last:
        last = [
            other
            for here in last
            for line in here.lines
            for other in line.nodes
            if other not in found
        ]
        found.update(dict.fromkeys(last))
    return found
