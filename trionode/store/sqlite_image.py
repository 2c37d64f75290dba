"""A database and its write-ahead log as they lie on disk, page by page, also where damaged."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from trionode.store.sqlite_pages import FILE_HEADER_BYTES, INNER
from trionode.store.sqlite_schema import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

    from trionode.store.sqlite_wal import Frame

_PAGE_COUNT_AT = 28
_FREE_LIST_AT = 32
_INNER_HEADER_BYTES = 12
_ROOTS = range(2, 10)
"""Tables are made in one order in a new file, and so are their first pages."""


class Image:
    """All pages of a database, those of its log over those of its file.

    Args:
        file: the database.
        frames: of its log.
    """

    def __init__(self, file: mmap | bytes, frames: list[Frame]) -> None:
        self._file = file
        in_file = -(-len(file) // PAGE_BYTES)
        self._count = max([in_file, *(frame.page for frame in frames if frame.untouched)])
        # A damaged frame is still the newest of its page, and the records on it judge themselves.
        self._newest = {frame.page: frame.content for frame in frames if frame.page <= self._count}
        self._extent = max(self._count, self._stated_count())
        """How many pages there were, as far as that is known: the file's end may be missing."""
        self._homeless = [frame.content for frame in frames if frame.page > self._count]

    def page(self, number: int) -> bytes:
        """A page by its number; shorter or empty where the file ends."""
        newest = self._newest.get(number)
        if newest is not None:
            return newest
        start = (number - 1) * PAGE_BYTES
        return bytes(self._file[start : start + PAGE_BYTES]) if number > 0 else b""

    def _stated_count(self) -> int:
        header = self.page(1)
        if len(header) < FILE_HEADER_BYTES:
            return 0
        return int(struct.unpack_from(">I", header, _PAGE_COUNT_AT)[0])

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Every page that may hold rows of ours, by number; 0 where that is damaged."""
        unused = self._free() - self._reached()
        for number in range(2, self._count + 1):
            page = self.page(number)
            # Inner pages have no rows, but may have old ones in what they don't use.
            if number not in unused and not self._children(page):
                yield number, page
        for content in self._homeless:
            yield 0, content

    def _free(self) -> set[int]:
        """The pages on the free list; they hold what was deleted long ago."""
        free: set[int] = set()
        header = self.page(1)
        if len(header) < FILE_HEADER_BYTES:
            return free
        (trunk,) = struct.unpack_from(">I", header, _FREE_LIST_AT)
        while 0 < trunk <= self._count and trunk not in free:
            page = self.page(trunk)
            if len(page) < PAGE_BYTES:
                break
            free.add(trunk)
            trunk, count = struct.unpack_from(">II", page)
            if count > PAGE_BYTES // 4 - 2:
                break
            free.update(struct.unpack_from(f">{count}I", page, 8))
        return free

    def _reached(self) -> set[int]:
        """The pages that belong to a table by its tree, as far as that is whole."""
        reached: set[int] = set()
        left = [number for number in _ROOTS if number <= self._count]
        while left:
            number = left.pop()
            if number in reached or not 0 < number <= self._count:
                continue
            reached.add(number)
            left += self._children(self.page(number))
        return reached

    def _children(self, page: bytes) -> list[int]:
        """The pages below an inner page of a tree; empty where it is none, or damaged."""
        if len(page) < PAGE_BYTES or page[0] != INNER:
            return []
        (count,) = struct.unpack_from(">H", page, 3)
        pointers = page[_INNER_HEADER_BYTES:][: 2 * count]
        places = [8, *(at for (at,) in struct.iter_unpack(">H", pointers[: len(pointers) & ~1]))]
        if 2 * count > len(pointers) or max(places) > PAGE_BYTES - 4:
            return []
        children = [int(struct.unpack_from(">I", page, at)[0]) for at in places]
        return children if all(1 < child <= self._extent for child in children) else []
