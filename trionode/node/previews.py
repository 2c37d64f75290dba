"""Payloads for people to look at: as much of each as is asked for, also of those only on disk."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from trionode.errors import Refused, Status
from trionode.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trionode.node.engine import Engine
    from trionode.routing.model import HeldObject

READ_BYTES_MAX = 8 << 20
"""About how much is read from the store at a time, since payloads are cut only then."""


async def previews_of(
    engine: Engine, items: list[HeldObject], limit_bytes: int
) -> dict[int, dict[str, Any]]:
    """What to add to the views of objects, by id; nothing for one that the store has not any more.

    Args:
        engine: reads what is not in memory.
        items: the objects; what they are in memory is looked at before anything is waited for.
        limit_bytes: of each payload; 0 shows nothing.

    Raises:
        Refused: UNAVAILABLE: the store cannot be read now.
    """
    found: dict[int, dict[str, Any]] = {}
    if not limit_bytes:
        return found
    absent: list[HeldObject] = []
    for item in items:
        if isinstance(item.payload, bytes):
            found[item.id] = _preview(item, item.payload, limit_bytes)
        else:
            absent.append(item)
    for part in _parts(absent):
        try:
            payloads = await engine.read([item.id for item in part])
        except StoreError as error:
            text = f"payloads cannot be read now: {error}"
            raise Refused(Status.UNAVAILABLE, text, "ask again, or without payloads") from None
        for item, payload in zip(part, payloads, strict=True):
            if payload is not None:
                found[item.id] = _preview(item, payload, limit_bytes)
    return found


def _parts(items: list[HeldObject]) -> Iterator[list[HeldObject]]:
    part: list[HeldObject] = []
    size_bytes = 0
    for item in items:
        part.append(item)
        size_bytes += len(item.payload)
        if size_bytes >= READ_BYTES_MAX:
            yield part
            part, size_bytes = [], 0
    if part:
        yield part


def _preview(item: HeldObject, payload: bytes, limit_bytes: int) -> dict[str, Any]:
    """The payload, cut where it is too long: text of JSON, base64 of all else."""
    part = payload[:limit_bytes]
    if item.shape.encoding == "json":
        text = part.decode(errors="ignore")
    else:
        text = base64.b64encode(part).decode()
    return {"payload": text, "payload_cut": len(part) < len(payload)}
