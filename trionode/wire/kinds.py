"""The one table of frame kinds: which small integer names which frame on the wire.

A number, once published, never changes its meaning and is never used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from trionode.wire import frames

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST_OPTIONAL_KIND = 64
"""Kinds from here on may be ignored by a receiver that does not know them; those below may not."""

Frame: TypeAlias = (
    frames.ClientHello
    | frames.NodeHello
    | frames.Push
    | frames.Pushed
    | frames.PushRefused
    | frames.Subscribe
    | frames.Unsubscribe
    | frames.Deliver
    | frames.Started
    | frames.Settle
    | frames.Answered
    | frames.Lost
    | frames.Heard
    | frames.Watch
    | frames.Copies
    | frames.LinkHello
    | frames.Interest
    | frames.LinkCredit
    | frames.Offer
    | frames.OfferAnswer
    | frames.CloseOffers
    | frames.AskOffers
    | frames.PushRequest
    | frames.PushReply
    | frames.DefineRequest
    | frames.DefineReply
    | frames.TypesRequest
    | frames.TypesReply
    | frames.StatusRequest
    | frames.StatusReply
    | frames.PingRequest
    | frames.QueryRequest
    | frames.QueryReply
    | frames.ObjectsRequest
    | frames.ObjectsReply
    | frames.DeadLettersRequest
    | frames.DeadLettersReply
    | frames.ExplainRequest
    | frames.ExplainReply
    | frames.ForgetRequest
    | frames.ForgetReply
    | frames.Draining
    | frames.Backlog
    | frames.Peers
    | frames.KeysSettled
    | frames.AskKeys
    | frames.Question
    | frames.Reply
    | frames.RepliesEnd
)

KINDS: Mapping[int, type[Frame]] = {
    1: frames.ClientHello,
    2: frames.NodeHello,
    3: frames.Push,
    4: frames.Pushed,
    5: frames.PushRefused,
    6: frames.Subscribe,
    7: frames.Unsubscribe,
    8: frames.Deliver,
    9: frames.Started,
    10: frames.Settle,
    11: frames.Answered,
    12: frames.Lost,
    13: frames.Watch,
    14: frames.Copies,
    16: frames.LinkHello,
    17: frames.Interest,
    18: frames.LinkCredit,
    19: frames.Offer,
    20: frames.OfferAnswer,
    21: frames.CloseOffers,
    22: frames.AskOffers,
    32: frames.PushRequest,
    33: frames.PushReply,
    34: frames.DefineRequest,
    35: frames.DefineReply,
    36: frames.TypesRequest,
    37: frames.TypesReply,
    38: frames.StatusRequest,
    39: frames.StatusReply,
    40: frames.PingRequest,
    41: frames.QueryRequest,
    42: frames.QueryReply,
    48: frames.ObjectsRequest,
    49: frames.ObjectsReply,
    50: frames.DeadLettersRequest,
    51: frames.DeadLettersReply,
    52: frames.ExplainRequest,
    53: frames.ExplainReply,
    54: frames.ForgetRequest,
    55: frames.ForgetReply,
    # Hints: who does not know them loses comfort or speed, never an object.
    64: frames.Draining,
    65: frames.Backlog,
    66: frames.Peers,
    80: frames.KeysSettled,
    81: frames.AskKeys,
    67: frames.Question,
    68: frames.Reply,
    69: frames.RepliesEnd,
    72: frames.Heard,
}

KIND_OF: Mapping[type[Frame], int] = {frame: kind for kind, frame in KINDS.items()}
