"""The small worlds that are explored: the scenarios that broke earlier wordings of the rules.

Letters are those of the scenarios' second part. Every preset is small enough to be explored whole
in the check of a clean clone.
"""

from __future__ import annotations

import attrs

from trionode.routing import RoutingOptions

AT_ONCE = RoutingOptions(
    transfer_after_s=0.0, overflow_after_s=0.0, credit_withdraw_after_s=1e6, in_doubt_timeout_s=30.0
)
"""No waiting but for an offer in doubt: what may happen at some time may happen at once."""

WITHDRAWING = attrs.evolve(AT_ONCE, credit_withdraw_after_s=1.0, in_doubt_timeout_s=1e6)
"""The same, but credit is taken back."""


@attrs.frozen
class Preset:
    """One small world.

    Attributes:
        name: for the command.
        text: what it is about.
        nodes: how many.
        links: which of them are linked.
        homes: for each object the node it is pushed to.
        consumers: (node, credit) of the consumers there are at the start.
        budget: how often faults and changes of mind may happen, see `small_world.BUDGETS`.
        memory: nodes without a durable store.
        changing: nodes where a consumer may come and go.
        crashing: nodes that may crash.
        burning: nodes that may be lost with their disk, for good.
        draining: nodes that may drain.
        settles: what consumers may do besides acknowledging; by `emit` an object's ack brings forth
            another one, which emits none.
        key: if not empty, the idempotency key that all pushes carry.
        credit: of consumers that come.
        news_at_once: frames that move no custody arrive at once, which leaves fewer interleavings.
        last: the node where a consumer comes at the end, so that everything must be settled (I5).
        options: of the brains.
    """

    name: str
    text: str
    nodes: int = 2
    links: tuple[tuple[int, int], ...] = ((0, 1),)
    homes: tuple[int, ...] = (0,)
    consumers: tuple[tuple[int, int], ...] = ()
    budget: dict[str, int] = attrs.field(factory=dict)
    memory: tuple[int, ...] = ()
    changing: tuple[int, ...] = ()
    crashing: tuple[int, ...] = ()
    burning: tuple[int, ...] = ()
    draining: tuple[int, ...] = ()
    settles: tuple[str, ...] = ("nack",)
    key: str = ""
    credit: int = 1
    news_at_once: bool = False
    last: int = 0
    options: RoutingOptions = AT_ONCE


TRIANGLE = ((0, 1), (0, 2), (1, 2))
CHAIN = ((0, 1), (1, 2))

PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            "a-crossing",
            "an object is offered back before the first offer's answer; no fault at all",
            consumers=((1, 1),),
            changing=(0, 1),
            budget={"changes": 4},
        ),
        Preset(
            "a-crossing-crash",
            "the same, and the giver that took its object back crashes",
            consumers=((1, 1),),
            changing=(0, 1),
            crashing=(0,),
            budget={"changes": 2, "crashes": 1},
        ),
        Preset(
            "b-crossing-drop",
            "the same with links that are lost with all in flight",
            consumers=((1, 1),),
            changing=(0, 1),
            budget={"changes": 2, "drops": 1},
        ),
        Preset(
            "b-round-trip",
            "an object passes three nodes and returns legitimately",
            nodes=3,
            links=TRIANGLE,
            consumers=((1, 1),),
            changing=(1, 2),
            news_at_once=True,
            budget={"changes": 2},
        ),
        Preset(
            "c-commit",
            "crashes between taking an object, writing it, and answering",
            consumers=((1, 1),),
            crashing=(0, 1),
            budget={"crashes": 2, "repeats": 1},
        ),
        Preset(
            "c-restart",
            "a giver restarts and counts its offers from one again",
            consumers=((1, 2),),
            homes=(0, 0),
            crashing=(0,),
            budget={"crashes": 1},
        ),
        Preset(
            "d-link-loss",
            "nothing but lost links: an object is settled once",
            consumers=((1, 1),),
            homes=(0, 0),
            budget={"drops": 1},
        ),
        Preset(
            "d-link-loss-thrice",
            "the same with one object and a link that is lost three times",
            consumers=((1, 1),),
            budget={"drops": 3},
        ),
        Preset(
            "e-gone-for-good",
            "the receiver is lost with its disk; the giver gives its offer up and serves at home",
            consumers=((1, 1),),
            changing=(0,),
            burning=(1,),
            budget={"burns": 1, "changes": 2, "rings": 2},
        ),
        Preset(
            "f-memory",
            "a durable giver and a receiver in memory that crashes",
            consumers=((1, 1),),
            memory=(1,),
            changing=(0,),
            crashing=(1, 0),
            budget={"crashes": 2, "changes": 1, "rings": 1},
        ),
        Preset(
            "g-returns",
            "credit vanishes at the receiver and comes back at the giver",
            consumers=((1, 1),),
            changing=(0, 1),
            budget={"changes": 3, "rings": 1},
        ),
        Preset(
            "h-credit",
            "two givers and one place; offers are partly refused as consumers leave",
            nodes=3,
            links=((0, 2), (1, 2)),
            homes=(0, 1),
            consumers=((2, 1),),
            changing=(2,),
            last=2,
            budget={"changes": 1},
        ),
        Preset(
            "h-withdrawn",
            "credit that lay unused is taken back while objects come and go",
            consumers=((1, 1),),
            changing=(0,),
            budget={"changes": 2, "rings": 2, "nacks": 1},
            options=WITHDRAWING,
            last=1,
        ),
        Preset(
            "i-settle-first",
            "acknowledged by its consumer before the push is committed; crash anywhere",
            consumers=((0, 1),),
            homes=(0, 0),
            nodes=1,
            links=(),
            crashing=(0,),
            settles=("nack", "replace"),
            budget={"crashes": 2, "repeats": 2, "nacks": 1},
        ),
        Preset(
            "i-keys",
            "two pushes of one key, settled before they are committed; crash anywhere",
            consumers=((0, 1),),
            homes=(0, 0),
            nodes=1,
            links=(),
            crashing=(0,),
            key="k",
            budget={"crashes": 2, "repeats": 2, "nacks": 1},
        ),
        Preset(
            "i-results",
            "settled with a result before the push, or the result, is committed; crash anywhere",
            consumers=((0, 1),),
            nodes=1,
            links=(),
            crashing=(0,),
            settles=("emit",),
            budget={"crashes": 2, "repeats": 1, "nacks": 2},
        ),
        Preset(
            "i-results-given",
            "the same with the result on its way to another node",
            consumers=((0, 1),),
            changing=(0, 1),
            crashing=(0,),
            settles=("emit",),
            budget={"crashes": 1, "changes": 2, "nacks": 1},
        ),
        Preset(
            "relay",
            "a chain: custody moves hop by hop while links and the relay fail",
            nodes=3,
            links=CHAIN,
            consumers=((2, 1),),
            crashing=(1,),
            last=2,
            budget={"drops": 1},
        ),
        Preset(
            "relay-crash",
            "the same chain, and the relay crashes",
            nodes=3,
            links=CHAIN,
            consumers=((2, 1),),
            crashing=(1,),
            last=2,
            budget={"crashes": 1},
        ),
        Preset(
            "give-up",
            "offers in doubt are given up while the peer comes back with its store",
            consumers=((1, 1),),
            crashing=(0, 1),
            changing=(0,),
            budget={"crashes": 1, "rings": 1, "changes": 1},
        ),
        Preset(
            "drain",
            "a leaving node in memory hands over what it has, and the link is lost",
            memory=(0, 1),
            draining=(0,),
            homes=(0, 0),
            last=1,
            changing=(0,),
            budget={"drains": 1, "drops": 2, "changes": 1},
        ),
        Preset(
            "late-settle",
            "nacks, replacements and deaths of consumers while objects move",
            consumers=((0, 1), (1, 1)),
            changing=(0,),
            settles=("nack", "replace"),
            budget={"nacks": 2, "changes": 1},
        ),
    )
}
"""By name."""
