"""Pages of a SQLite database read without SQLite (sqlite.org/fileformat.html).

For what SQLite gives up on: a page whose header is damaged, a tree whose inner pages are. Records
found here are candidates only; their checksums say whether to believe them. Nothing raises for any
content. This reader knows the one page size and the three shapes of rows of `sqlite_schema`.
"""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import attrs

from trionode.store.sqlite_schema import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEAF = 0x0D
INNER = 0x05
FILE_HEADER_BYTES = 100

_LEAF_HEADER_BYTES = 8
_LOCAL_MAX = PAGE_BYTES - 35
_LOCAL_MIN = (PAGE_BYTES - 12) * 32 // 255 - 23
_CHAIN_BYTES = PAGE_BYTES - 4
_RECORD_BYTES_MAX = 1_000_000_000
_VARINT_BYTES_MAX = 9
_CELL_HEAD_BYTES_MAX = 2 * _VARINT_BYTES_MAX
_INTEGER_BYTES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_FLOAT = 7
_FIXED = {0: None, 8: 0, 9: 1}
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_F64 = struct.Struct(">d")

_START = re.compile(rb"[\x04-\x1c]\x00")
"""How a record of ours begins: few columns, the first of which is NULL for the row's number."""

Row = tuple[Any, ...]


class Unreadable(Exception):  # noqa: N818  # a verdict, caught in this module
    """There is no record at that place."""


@attrs.frozen
class Cell:
    """What stands at one place of a page.

    `number` is the row's number, None where it is not known; `row` is None where there is none.
    `raw` are the bytes of what is not believed.
    """

    number: int | None
    row: Row | None
    raw: bytes
    believed: bool = True


@attrs.frozen
class Record:
    """A record, and where its part on the page ends."""

    row: Row
    size_bytes: int
    end: int


class Reader:
    """Reads records out of pages.

    Args:
        page: gives a page by its number, from 1; empty where there is none.
        is_believed: whether a row, its number None, is as it was written.
    """

    def __init__(self, page: Callable[[int], bytes], is_believed: Callable[[Row], bool]) -> None:
        self._page = page
        self._is_believed = is_believed
        self._continued: set[int] = set()

    def cells(self, pages: Iterator[tuple[int, bytes]]) -> Iterator[Cell]:
        """Everything on numbered pages, which may be damaged or no leaves at all."""
        others = []
        for number, page in pages:
            places = _places(page)
            if places is None:
                others.append((number, page))
            else:
                yield from self._leaf(page, places)
        for number, page in others:
            # What a long record continues on is its producer's content, whatever it looks like.
            if number not in self._continued:
                yield from self._carved(page, [])

    def _leaf(self, page: bytes, places: list[int]) -> Iterator[Cell]:
        taken: list[tuple[int, int]] = []
        broken: list[Cell] = []
        for at in places:
            try:
                number, record = self._cell(page, at)
            except Unreadable:
                broken.append(Cell(None, None, page[at : at + _LOCAL_MIN]))
                continue
            if self._is_believed(record.row):
                taken.append((at, record.end))
                yield Cell(number, record.row, b"")
            else:
                broken.append(Cell(number, record.row, page[at : record.end]))
        free = _free_blocks(page)
        if broken or not _covers(page, taken + free):
            (content,) = _U16.unpack_from(page, 5)
            found = list(self._carved(page, [(0, content), *taken, *free]))
            yield from found
            # One that was carved is one whose place was damaged: as many others are lost.
            yield from (attrs.evolve(each, believed=False) for each in broken[len(found) :])

    def _cell(self, page: bytes, at: int) -> tuple[int, Record]:
        size_bytes, at = _varint(page, at)
        number, at = _varint(page, at)
        record = self._record(page, at)
        if record.size_bytes != size_bytes:
            raise Unreadable
        return number, record

    def _carved(self, page: bytes, taken: list[tuple[int, int]]) -> Iterator[Cell]:
        """Believable records anywhere on a page but in what is taken."""
        at = 0
        while match := _START.search(page, at):
            at = match.start() + 1
            inside = [end for start, end in taken if start <= match.start() < end]
            if inside:
                at = max(inside)
                continue
            try:
                record = self._record(page, match.start())
            except Unreadable:
                continue
            if self._is_believed(record.row):
                yield Cell(_number_before(page, match.start(), record), record.row, b"")
                at = record.end

    def _record(self, page: bytes, at: int) -> Record:
        header_end, columns_at = _varint(page, at)
        header_end += at
        if header_end > len(page):
            raise Unreadable
        kinds = []
        while columns_at < header_end:
            kind, columns_at = _varint(page, columns_at)
            kinds.append(kind)
        if columns_at != header_end:
            raise Unreadable
        size_bytes = header_end - at + sum(map(_column_bytes, kinds))
        if size_bytes > _RECORD_BYTES_MAX:
            raise Unreadable
        local = _local_bytes(size_bytes)
        end = at + local
        body = page[header_end:end]
        if local < size_bytes:
            body += self._chain(page[end : end + 4], size_bytes - local)
            end += 4
        if len(body) != size_bytes - (header_end - at):
            raise Unreadable
        return Record(_columns(kinds, body), size_bytes, end)

    def _chain(self, pointer: bytes, size_bytes: int) -> bytes:
        """The rest of a long record, on pages of its own."""
        parts = []
        while size_bytes > 0:
            if len(pointer) != _U32.size:
                raise Unreadable
            (number,) = _U32.unpack(pointer)
            page = self._page(number)
            if len(page) != PAGE_BYTES:
                raise Unreadable
            self._continued.add(number)
            parts.append(page[4 : 4 + min(size_bytes, _CHAIN_BYTES)])
            size_bytes -= _CHAIN_BYTES
            pointer = page[:4]
        return b"".join(parts)


def _places(page: bytes) -> list[int] | None:
    """Where a leaf's cells begin; None: its header cannot be believed."""
    if len(page) != PAGE_BYTES or page[0] != LEAF:
        return None
    (count,) = _U16.unpack_from(page, 3)
    (content,) = _U16.unpack_from(page, 5)
    pointers_end = _LEAF_HEADER_BYTES + 2 * count
    if pointers_end > PAGE_BYTES or (content or 65536) < pointers_end or content > PAGE_BYTES:
        return None
    places = [at for (at,) in _U16.iter_unpack(page[_LEAF_HEADER_BYTES:pointers_end])]
    if len(set(places)) < count:
        return None
    return places


def _free_blocks(page: bytes) -> list[tuple[int, int]]:
    """The parts of a leaf that deleted rows have left."""
    blocks: list[tuple[int, int]] = []
    (at,) = _U16.unpack_from(page, 1)
    while 0 < at <= PAGE_BYTES - 4 and (not blocks or at > blocks[-1][0]):
        following, size_bytes = struct.unpack_from(">HH", page, at)
        blocks.append((at, at + size_bytes))
        at = following
    return blocks


def _covers(page: bytes, parts: list[tuple[int, int]]) -> bool:
    """Whether a leaf has nothing beside these parts: if not, a cell is not pointed to."""
    (content,) = _U16.unpack_from(page, 5)
    fragments = page[7]
    return sum(end - start for start, end in parts) + fragments == PAGE_BYTES - (content or 65536)


def _varint(page: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(_VARINT_BYTES_MAX):
        if at >= len(page):
            raise Unreadable
        byte = page[at]
        at += 1
        if index == _VARINT_BYTES_MAX - 1:
            value = value << 8 | byte
        else:
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                break
    return value - (1 << 64) if value >= 1 << 63 else value, at


def _number_before(page: bytes, at: int, record: Record) -> int | None:
    """The number of the row whose record begins at `at`, if what precedes it is whole."""
    for start in range(max(0, at - _CELL_HEAD_BYTES_MAX), at - 1):
        try:
            size_bytes, middle = _varint(page, start)
            number, end = _varint(page, middle)
        except Unreadable:
            continue
        if size_bytes == record.size_bytes and end == at:
            return number
    return None


def _column_bytes(kind: int) -> int:
    if kind >= 12:
        return (kind - 12) // 2
    if kind == _FLOAT:
        return _F64.size
    if kind in _FIXED:
        return 0
    if kind not in _INTEGER_BYTES:
        raise Unreadable
    return _INTEGER_BYTES[kind]


def _local_bytes(size_bytes: int) -> int:
    """How much of a record of a leaf is on the page itself."""
    if size_bytes <= _LOCAL_MAX:
        return size_bytes
    local = _LOCAL_MIN + (size_bytes - _LOCAL_MIN) % _CHAIN_BYTES
    return local if local <= _LOCAL_MAX else _LOCAL_MIN


def _columns(kinds: list[int], body: bytes) -> Row:
    """The values of a record; text as bytes."""
    row: list[Any] = []
    at = 0
    for kind in kinds:
        width = _column_bytes(kind)
        part = body[at : at + width]
        at += width
        if kind >= 12:
            row.append(part)
        elif kind == _FLOAT:
            row.append(_F64.unpack(part)[0])
        elif kind in _FIXED:
            row.append(_FIXED[kind])
        else:
            row.append(int.from_bytes(part, "big", signed=True))
    return tuple(row)
