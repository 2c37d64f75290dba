"""What answers queries at a node, whether out of a database or out of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trionode.query.selection import Place, Selection
    from trionode.routing.records import ObjectRecord


@attrs.frozen
class Found:
    """An object that fulfils the conditions, and where it lies: numbers of the finder's own."""

    place: Place
    part: int
    number: int


@attrs.frozen
class Window:
    """What a look at some of the objects found, and how far it came.

    `upto` is the place up to which all has been looked at, where the order is the finder's own.
    """

    found: list[Found]
    upto: Place | None = None


@attrs.frozen
class Row:
    """An object as it was read, with Unix times; `left` says when and how it left custody."""

    record: ObjectRecord
    left: tuple[float, str] | None = None


class Finder(Protocol):
    """Looks for objects, some at a time; between two looks the caller may do something else."""

    def windows(self, selection: Selection) -> AsyncGenerator[Window]:
        """All that fulfils a selection and is behind its place.

        Without an order they come in the finder's own; with one, the first `limit` of each window
        do.

        Raises:
            StoreError: the store cannot be read.
        """

    async def rows(self, found: list[Found], bytes_max: int) -> list[Row | None]:
        """Objects by where they lie, as many of the first as fit; None for one that is gone."""

    async def aclose(self) -> None:
        """Nothing more will be looked for."""
