"""Any bytes are a frame that survives being sent on, or one kind of refusal, in every codec.

The refusal is a ProtocolError that a peer can be answered with: a status that says whose fault it
is, and an account that stays short whatever was sent.
"""

from __future__ import annotations

from fuzz import invariant
from trionode.errors import ProtocolError, Status
from trionode.wire.codec import CODECS, MAX_ERROR_CHARACTERS, Codec, UnknownFrame
from trionode.wire.kinds import FIRST_OPTIONAL_KIND, KINDS

MAX_BYTES = 1024


def check_codec(codec: Codec, data: bytes) -> None:
    """The invariant for one codec."""
    try:
        frame = codec.decode(data)
    except ProtocolError as error:
        assert error.grpc_status in (Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED)
        assert len(str(error)) <= MAX_ERROR_CHARACTERS
        return
    if isinstance(frame, UnknownFrame):
        assert frame.kind >= FIRST_OPTIONAL_KIND
        assert frame.kind not in KINDS
        return
    sent = codec.encode(frame)
    # Compared as bytes: a detail may be a float that is no number, which equals nothing.
    assert codec.encode(codec.decode(sent)) == sent


@invariant
def check(data: bytes) -> None:
    for codec in CODECS.values():
        check_codec(codec, data)
