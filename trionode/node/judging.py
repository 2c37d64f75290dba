"""Whether what clients bring can be taken: the content of objects, their size, their properties."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trionode.errors import Refused, Status
from trionode.node import properties

if TYPE_CHECKING:
    from trionode.node.context import NodeContext
    from trionode.wire import frames


def first_bad(
    context: NodeContext, said: frames.Push | frames.Emission, start: int, payloads: list[bytes]
) -> tuple[int, Refused] | None:
    """The first of `payloads`, which begin at `start` of what was said, that cannot be taken.

    Returns its index among them, and why.
    """
    found = context.types.check_many(said.type, payloads, said.encoding, said.fingerprint)
    limit_bytes = context.config.limits.max_object_bytes
    if max(map(len, payloads)) > limit_bytes:
        index = next(i for i, payload in enumerate(payloads) if len(payload) > limit_bytes)
        found = _earlier(found, index, too_large(len(payloads[index]), limit_bytes))
    if said.details:
        bad = properties.first_bad(said.details, start, len(payloads))
        if bad is not None:
            found = _earlier(found, *bad)
    return found


def too_large(size_bytes: int, limit_bytes: int) -> Refused:
    """Why an object is not taken."""
    return Refused(
        Status.INVALID_ARGUMENT,
        f"an object of {size_bytes} bytes; this node takes at most {limit_bytes}",
        "keep large content elsewhere and push a reference, or raise limits.max_object_bytes",
    )


def _earlier(
    found: tuple[int, Refused] | None, index: int, refusal: Refused
) -> tuple[int, Refused]:
    return found if found is not None and found[0] <= index else (index, refusal)
