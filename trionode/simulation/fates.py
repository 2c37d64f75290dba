"""What became of one object, as the ledger sees it; and how a checker says that it objects."""

from __future__ import annotations

import attrs


class InvariantBroken(Exception):  # noqa: N818  # says what happened
    """An invariant of design section 5 does not hold; `object_id` is the object concerned, or 0."""

    def __init__(self, name: str, text: str, object_id: int = 0) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text
        self.object_id = object_id


@attrs.define(eq=False)
class Fate:
    """What became of one object.

    `holders` are the nodes that have custody of it, in memory or, of those that are down, on disk;
    `been` has a bit for each that ever had.
    `excuses` say why a duplicate of it would be no defect. `attempt` is the one that its next
    delivery must carry. `contents` are what its payload may be, by version; the last is current.
    `began` is when it was pushed first; `lifted`: a person retried it after its deadline.
    `destroyed` says with what a copy of it was lost beyond what a node can prevent, `lost` that it
    was the last one. `not_before` and `deadline` are the producer's, `due` is the last failure's,
    in simulated time; `early_s` is how much nearer jumping clocks have brought them, `late_s` how
    long they stood still on the way between nodes, the last time since `sent`; `timed`: it has any.
    `keeps`: at its deadline it is to become a dead letter. `keyed`: it was pushed with a key;
    `repeats` is the object whose key it repeated, so that it was not stored.
    """

    type: str
    contents: list[bytes]
    began: float = 0.0
    acknowledged: bool = False
    holders: list[int] = attrs.field(factory=list)
    been: int = 0
    deliveries: int = 0
    settled: int = 0
    expired: bool = False
    discarded: bool = False
    lifted: bool = False
    dead: bool = False
    destroyed: str = ""
    lost: str = ""
    attempt: int = 1
    not_before: float = 0.0
    deadline: float | None = None
    due: float = 0.0
    early_s: float = 0.0
    late_s: float = 0.0
    sent: float = 0.0
    timed: bool = False
    keeps: bool = False
    keyed: bool = False
    repeats: int = 0
    excuses: list[str] = attrs.field(factory=list)

    def excuse(self, reason: str) -> None:
        """Allow a duplicate from now on."""
        if reason not in self.excuses:
            self.excuses.append(reason)

    @property
    def over(self) -> bool:
        """Whether custody of it has come to an end that a user may see."""
        return bool(self.settled or self.expired or self.discarded or self.lost)
