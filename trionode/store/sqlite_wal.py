"""The frames of SQLite's write-ahead log, judged one by one (sqlite.org/walformat.html).

SQLite ends reading a log at the first frame whose checksum differs. That is right for a transaction
that was torn by a loss of power, and would drop without a word all that was committed behind a bit
that flipped later. This reader tells the two apart:

1. The checksum of a frame goes on from that of the frame before it, which is stored there. So each
   frame can be judged by itself.
2. A frame that does not fit but for one flipped bit is damaged, and that bit is put right: the
   checksum is linear, so the difference says which bit it was.
3. Any other frame that does not fit is torn if it belongs to the last transaction, since each was
   on disk before the next began; else it is damaged.
"""

from __future__ import annotations

import struct
import sys

import attrs

from trionode.store.sqlite_schema import PAGE_BYTES

_HEADER_BYTES = 32
_HEADER_SUMMED_BYTES = 24
_FRAME_HEADER_BYTES = 24
_FRAME_BYTES = _FRAME_HEADER_BYTES + PAGE_BYTES
_MAGICS = {0x377F0682: "<", 0x377F0683: ">"}
"""How a log begins, by the order of bytes of the words that are summed."""
_STRAY_FRAMES_MAX = 8
"""After so many frames in a row that do not belong, the rest of the file is of earlier logs."""
_MASK = 0xFFFFFFFF

Sums = tuple[int, int]


@attrs.frozen
class Frame:
    """A page in the log, with its flipped bit put right if there was one.

    `commit`: it ends a transaction. `whole`: its checksum fits. `untouched`: it always did.
    """

    page: int
    commit: bool
    content: bytes
    whole: bool
    untouched: bool


@attrs.frozen
class Log:
    """The frames of all transactions that were not torn; `damaged`: SQLite would lose some."""

    frames: list[Frame]
    damaged: bool


def read_log(wal: bytes) -> Log:
    """Judge the file of a log."""
    starts = range(_HEADER_BYTES, len(wal) - _FRAME_BYTES + 1, _FRAME_BYTES)
    if not starts:
        return Log([], damaged=False)
    magic, salts, stored = wal[:4], wal[16:24], _sums_at(wal, 24)
    order = _MAGICS.get(int.from_bytes(magic, "big"), ">" if sys.byteorder == "big" else "<")
    computed = sums(order, wal[:_HEADER_SUMMED_BYTES], (0, 0))
    header_fits = int.from_bytes(magic, "big") in _MAGICS and computed == stored
    firsts = [wal[at + 8 : at + 16] for at in starts[:2]]
    if not header_fits and salts not in firsts:
        salts = firsts[0]
    reader = _Frames(order, salts, [stored, computed])
    for at in starts:
        if not reader.read(wal[at : at + _FRAME_BYTES]):
            break
    frames = reader.confirmed()
    touched = not all(frame.untouched for frame in frames)
    return Log(frames, damaged=bool(frames) and (touched or not header_fits))


class _Frames:
    """Frames as they are read one after the other."""

    def __init__(self, order: str, salts: bytes, seeds: list[Sums]) -> None:
        self._order = order
        self._salts = salts
        self._seeds = seeds
        self._frames: list[Frame] = []
        self._gaps: set[int] = set()
        """Before which frames, by their index, there are some that were never written."""
        self._strays = 0
        self._fitted = True
        """Whether the last frame belongs here and fits."""

    def read(self, frame: bytes) -> bool:
        """Judge one; False where the log has ended."""
        page, commit = struct.unpack_from(">II", frame)
        current = frame[8:16] == self._salts
        stored = _sums_at(frame, 16)
        summed = frame[:8] + frame[_FRAME_HEADER_BYTES:]
        seeds = list(dict.fromkeys(self._seeds))
        computed = [sums(self._order, summed, seed) for seed in seeds]
        self._seeds = [stored, *computed]
        fits = stored in computed
        # Salts may be damaged too; but frames of earlier logs fit one another as well.
        follows, self._fitted = self._fitted, fits and (current or self._fitted)
        if not current and not (fits and follows):
            self._strays += 1
            return self._strays <= _STRAY_FRAMES_MAX
        if self._strays:
            self._gaps.add(len(self._frames))
            self._strays = 0
        whole = fits
        if not fits:
            righted = _righted(self._order, summed, seeds, stored)
            if righted is not None:
                whole, summed = True, righted
                page, commit = struct.unpack_from(">II", summed)
        content = summed[8:]
        self._frames.append(Frame(page, commit != 0, content, whole, fits and current))
        return True

    def confirmed(self) -> list[Frame]:
        """Those of transactions that were on disk as a whole."""
        frames = self._frames
        while frames and not frames[-1].commit:
            frames.pop()
        last = next((at for at in range(len(frames) - 1, 0, -1) if frames[at - 1].commit), 0)
        torn = any(last <= gap < len(frames) for gap in self._gaps)
        if torn or not all(frame.whole for frame in frames[last:]):
            del frames[last:]
        return frames


def sums(order: str, content: bytes, seed: Sums) -> Sums:
    """SQLite's checksum of a log: two running sums over 32-bit words."""
    first, second = seed
    for even, odd in struct.iter_unpack(f"{order}II", content):
        first = (first + even + second) & _MASK
        second = (second + odd + first) & _MASK
    return first, second


def _sums_at(data: bytes, at: int) -> Sums:
    first, second = struct.unpack_from(">II", data, at)
    return first, second


def _righted(order: str, content: bytes, seeds: list[Sums], stored: Sums) -> bytes | None:
    """The content with the one bit changed back that makes its checksum fit; None: there is none.

    The content as it is where the bit is one of the stored checksum, or where several would do: the
    sums say less of high bits.
    """
    for seed in seeds:
        found = sums(order, content, seed)
        if sum((a ^ b).bit_count() for a, b in zip(found, stored, strict=True)) == 1:
            return content
        missing = ((stored[0] - found[0]) & _MASK, (stored[1] - found[1]) & _MASK)
        places = _flipped(order, content, missing)
        if len(places) == 1:
            at, bit = places[0]
            return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        if places:
            return content
    return None


def _flipped(order: str, content: bytes, missing: Sums) -> list[tuple[int, int]]:
    """Which (byte, bit of it) would change the sums by what is missing."""
    places = []
    even, odd = (1, 1), (0, 1)
    for pair in range(len(content) - 8, -1, -8):
        for at, (first, second) in ((pair, even), (pair + 4, odd)):
            word = int.from_bytes(content[at : at + 4], "little" if order == "<" else "big")
            for bit in range(32):
                change = -(1 << bit) if word >> bit & 1 else 1 << bit
                if (first * change & _MASK, second * change & _MASK) == missing:
                    index = bit // 8 if order == "<" else 3 - bit // 8
                    places.append((at + index, 1 << bit % 8))
        # One pair further from the end, a word goes through both sums once more.
        even, odd = _through(even), _through(odd)
    return places


def _through(share: Sums) -> Sums:
    first = (share[0] + share[1]) & _MASK
    return first, (share[1] + first) & _MASK
