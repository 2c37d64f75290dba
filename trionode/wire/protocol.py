"""The versions of trionode's protocol, and the paths of its calls."""

from __future__ import annotations

PROTOCOL = 1
"""The version of the protocol that this code speaks."""
PROTOCOL_MIN = 1
"""The oldest version of the protocol that this code still speaks."""

PRODUCE = "/trionode.v1.Trionode/Produce"
CONSUME = "/trionode.v1.Trionode/Consume"
PUSH = "/trionode.v1.Trionode/Push"
DEFINE = "/trionode.v1.Trionode/Define"
TYPES = "/trionode.v1.Trionode/Types"
STATUS = "/trionode.v1.Trionode/Status"
QUERY = "/trionode.v1.Trionode/Query"
PING = "/trionode.v1.Trionode/Ping"
OBJECTS = "/trionode.v1.Trionode/Objects"
DEAD_LETTERS = "/trionode.v1.Trionode/DeadLetters"
EXPLAIN = "/trionode.v1.Trionode/Explain"
FORGET = "/trionode.v1.Trionode/Forget"
LINK = "/trionode.v1.Mesh/Link"
