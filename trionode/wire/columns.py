"""What columns of frames are: object ids as runs, payloads, rare properties."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from trionode.ids import Run

Runs: TypeAlias = Annotated[list[Run], "ids"]
"""Object ids as runs of (first id, count)."""

Payloads: TypeAlias = Annotated[list[bytes], "payloads"]
"""One payload per object, in the order of the ids."""

Details: TypeAlias = Annotated[dict[int, dict[str, Any]], "details"]
"""Rare properties of single objects of a batch: index in the batch -> property -> value.

Known properties: `deadline_ms` and `delay_ms` (remaining), `keep_expired`, `priority`, `key`,
`ordering_key`, `path` (node ids that had custody), `hops`, `history`, `dead` (why it is a dead
letter), `parent` (id in text form), `trace`, `possibly_duplicate`, `failure` (last error text),
`version`. Unknown ones are kept and travel on.
"""

Shared: TypeAlias = Annotated[list[tuple[int, int, dict[str, Any]]], "shared"]
"""Rare properties that neighbours in a batch have in common: (first index, count, properties).

In ascending order, each object in one of them at most, and none that `Details` names.
"""

PRIORITY_MAX = 9
"""The highest priority; the lowest is 0."""
PRIORITY_USUAL = 5
"""That of objects whose producer names none."""
KEY_BYTES_MAX = 256
"""The longest key or ordering key, in UTF-8."""
