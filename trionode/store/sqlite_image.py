"""A database and its write-ahead log as they lie on disk, page by page, also where damaged.

SQLite ends reading a log at the first frame whose checksum differs, as after a torn write; what was
committed behind it would be lost without a word. This reader tells the two apart: frames are judged
one by one (sqlite.org/walformat.html), and a commit behind a damaged frame means damage.
"""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING

import attrs

from trionode.store.sqlite_pages import FILE_HEADER_BYTES, INNER
from trionode.store.sqlite_schema import PAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from mmap import mmap

_WAL_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_FRAME_BYTES = _FRAME_HEADER_BYTES + PAGE_BYTES
_BIG_ENDIAN_SUMS = 0x377F0683
_LITTLE_ENDIAN_SUMS = 0x377F0682
_STRAY_FRAMES_MAX = 8
"""After so many frames in a row that do not belong, the rest of the file is of earlier logs."""
_CORRECTIONS_MAX = 16
"""For so many damaged frames it is tried whether a bit of their page's number is wrong."""
_FREE_LIST_AT = 32
_INNER_HEADER_BYTES = 12
_ROOTS = range(2, 10)
"""Tables are made in one order in a new file, and so are their first pages."""

_Sums = tuple[int, int]


@attrs.frozen
class Frame:
    """A page in the log.

    `commit`: it ends a transaction. `sound`: its checksum fits. `current`: its salts are the log's.
    """

    page: int
    at: int
    commit: bool
    sound: bool
    current: bool


def loses_commits(wal: bytes) -> bool:
    """Whether SQLite would stop reading this log before the last transaction that is in it."""
    frames = frames_of(wal)
    if not frames:
        return False
    magic, salts, sums = struct.unpack_from(">I", wal)[0], wal[16:24], wal[24:32]
    order = ">" if magic == _BIG_ENDIAN_SUMS else "<"
    return (
        magic not in {_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS}
        or _wal_header(wal)[1] != salts
        or struct.pack(">II", *_sums(order, wal[:24], (0, 0))) != sums
        or not all(frame.sound and frame.current for frame in frames)
    )


def frames_of(wal: bytes) -> list[Frame]:
    """The frames of the current log, up to the last that ends a transaction."""
    if len(wal) < _WAL_HEADER_BYTES + _FRAME_BYTES:
        return []
    magic, salts, header_sums = _wal_header(wal)
    order = ">" if magic == _BIG_ENDIAN_SUMS else "<"
    seeds = [header_sums, _sums(order, wal[: _WAL_HEADER_BYTES - 8], (0, 0))]
    frames: list[Frame] = []
    strays = 0
    tries_left = _CORRECTIONS_MAX
    for at in range(_WAL_HEADER_BYTES, len(wal) - _FRAME_BYTES + 1, _FRAME_BYTES):
        page, commit = struct.unpack_from(">II", wal, at)
        own_salts = wal[at + 8 : at + 16]
        stored: _Sums = struct.unpack_from(">II", wal, at + 16)
        start = at + _FRAME_HEADER_BYTES
        content = wal[at : at + 8] + wal[start : start + PAGE_BYTES]
        seeds_before = list(dict.fromkeys(seeds))
        computed = [_sums(order, content, seed) for seed in seeds_before]
        sound = stored in computed
        seeds = [stored, *computed]
        if not sound and own_salts != salts:
            strays += 1
            if strays > _STRAY_FRAMES_MAX:
                break
            continue
        strays = 0
        if not sound and tries_left:
            tries_left -= 1
            page, commit = _corrected(order, content, seeds_before, stored)
        frames.append(Frame(page, start, commit != 0, sound, own_salts == salts))
    while frames and not frames[-1].commit:
        frames.pop()
    return frames


def _corrected(order: str, content: bytes, seeds: list[_Sums], stored: _Sums) -> tuple[int, int]:
    """A frame's page and commit mark, with the one bit righted that makes its checksum fit."""
    head = int.from_bytes(content[:8], "big")
    for bit in range(64):
        righted = (head ^ 1 << bit).to_bytes(8, "big")
        if any(_sums(order, righted + content[8:], seed) == stored for seed in seeds):
            head ^= 1 << bit
            break
    return head >> 32, head & 0xFFFFFFFF


def _wal_header(wal: bytes) -> tuple[int, bytes, _Sums]:
    (magic,) = struct.unpack_from(">I", wal)
    if magic not in {_BIG_ENDIAN_SUMS, _LITTLE_ENDIAN_SUMS}:
        magic = _BIG_ENDIAN_SUMS if sys.byteorder == "big" else _LITTLE_ENDIAN_SUMS
    salts = wal[16:24]
    firsts = [
        wal[at + 8 : at + 16]
        for at in range(_WAL_HEADER_BYTES, len(wal) - _FRAME_BYTES + 1, _FRAME_BYTES)[:2]
    ]
    if salts not in firsts:
        salts = firsts[0]
    sums: _Sums = struct.unpack_from(">II", wal, 24)
    return magic, salts, sums


def _sums(order: str, content: bytes, seed: _Sums) -> _Sums:
    """SQLite's checksum of a log: two running sums over 32-bit words."""
    first, second = seed
    for even, odd in struct.iter_unpack(f"{order}II", content):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second


class Image:
    """All pages of a database, those of its log over those of its file.

    Args:
        file: the database.
        wal: its log.
    """

    def __init__(self, file: mmap | bytes, wal: bytes) -> None:
        self._file = file
        self._wal = wal
        frames = frames_of(wal)
        in_file = -(-len(file) // PAGE_BYTES)
        self._count = max([in_file, *(frame.page for frame in frames if frame.sound)])
        # A damaged frame is still the newest of its page, and the records on it judge themselves.
        self._newest = {frame.page: frame.at for frame in frames if frame.page <= self._count}
        self._homeless = [frame.at for frame in frames if frame.page > self._count]

    def page(self, number: int) -> bytes:
        """A page by its number; shorter or empty where the file ends."""
        at = self._newest.get(number)
        if at is not None:
            return self._wal[at : at + PAGE_BYTES]
        start = (number - 1) * PAGE_BYTES
        return bytes(self._file[start : start + PAGE_BYTES]) if number > 0 else b""

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Every page that may hold rows of ours, by number; 0 where that is damaged."""
        unused = self._free() - self._reached()
        for number in range(2, self._count + 1):
            page = self.page(number)
            # Inner pages have no rows, but may have old ones in what they don't use.
            if number not in unused and not self._children(page):
                yield number, page
        for at in self._homeless:
            yield 0, self._wal[at : at + PAGE_BYTES]

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
        return children if all(1 < child <= self._count for child in children) else []
