"""Header blocks and lists that come again: most calls begin and end like the one before.

Theory of operation. HPACK's state is its table of headers. A block that leaves the table as it was
means the same until the table or its size changes, so what it stands for is looked up instead of
worked out again; one that says the size is no such block. Which header lists h2's rules allow
depends on nothing but the list, so that is remembered for all connections of the process.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import hpack
from h2.utilities import HeaderValidationFlags, normalize_inbound_headers, validate_headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trionode.wire.grpc import Headers

BLOCKS_KEPT = 8
"""Blocks remembered of one connection, each way."""
BLOCK_BYTES_MAX = 128
"""Longer blocks spell headers out, which is seldom done twice with the same bytes."""
LISTS_KEPT = 128
"""Header lists remembered as allowed; the longest are as long as `max_header_list_bytes`."""
_SIZE_UPDATE_MASK, _SIZE_UPDATE = 0xE0, 0x20

REQUEST = HeaderValidationFlags(False, False, False, False)
"""The flags of h2 for what opens a stream, at the server."""
REQUEST_TRAILERS = HeaderValidationFlags(False, True, False, False)
RESPONSE = HeaderValidationFlags(True, False, True, False)
"""What answers it, at the client."""
RESPONSE_TRAILERS = HeaderValidationFlags(True, True, False, False)


class _Memory:
    """What blocks stand for, or lists become, while a table is as it is."""

    def __init__(self, table: hpack.table.HeaderTable) -> None:
        self._table = table
        self._known: dict[Any, Any] = {}
        self._count = self._maxsize = 0
        self._newest: object = None

    def find(self, key: object) -> Any:
        """What the key stands for; None if that is not known, or the table has changed."""
        if self._is_same():
            return self._known.get(key)
        entries = self._table.dynamic_entries
        self._known.clear()
        self._count, self._newest = len(entries), entries[0] if entries else None
        self._maxsize = self._table.maxsize
        return None

    def learn(self, key: object, value: object) -> None:
        """Remember what was worked out after `find`, unless that has changed the table."""
        if self._is_same():
            if len(self._known) >= BLOCKS_KEPT:
                self._known.clear()
            self._known[key] = value

    def _is_same(self) -> bool:
        # Each new entry is an object of its own at the front, and those that go do so at the end.
        entries = self._table.dynamic_entries
        # An entry too large for the table is not taken in, but may be once that has grown.
        return (
            (entries[0] if entries else None) is self._newest
            and len(entries) == self._count
            and self._table.maxsize == self._maxsize
        )


class BlockDecoder(hpack.Decoder):
    """HPACK's decoder, which looks up blocks that came before."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = _Memory(self.header_table)

    def decode(self, data: bytes, raw: bool = False) -> Iterable[hpack.HeaderTuple]:  # noqa: FBT001, FBT002  # hpack's signature
        """The headers of a block; see hpack.Decoder."""
        known: Iterable[hpack.HeaderTuple] | None = self._memory.find(data)
        if known is not None:
            return known
        headers = super().decode(data, raw)
        says_size = data[:1] and data[0] & _SIZE_UPDATE_MASK == _SIZE_UPDATE
        if len(data) <= BLOCK_BYTES_MAX and not says_size:
            self._memory.learn(data, headers)
        return headers


class BlockEncoder(hpack.Encoder):
    """HPACK's encoder, which looks up lists that went out before."""

    def __init__(self) -> None:
        super().__init__()
        self._memory = _Memory(self.header_table)

    @property
    def header_table_size(self) -> int:
        """The most that the table may hold, in bytes as HPACK counts them."""
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        # hpack forgets to say a size that is set once more before the next block.
        if value != self.header_table.maxsize:
            self.header_table.maxsize = value
            self.table_size_changes.append(value)

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002  # hpack's signature
        """The block of a header list; see hpack.Encoder."""
        key = tuple(headers)
        if self.header_table.resized:
            return super().encode(key, huffman)
        known: bytes | None = self._memory.find(key)
        if known is not None:
            return known
        block = super().encode(key, huffman)
        if len(block) <= BLOCK_BYTES_MAX:
            self._memory.learn(key, block)
        return block


def allowed(headers: Headers, flags: HeaderValidationFlags) -> Headers:
    """A header list that came, by HTTP/2's rules (RFC 9113 section 8.2), cookies joined.

    Raises:
        h2.exceptions.ProtocolError: it breaks them.
    """
    return list(_allowed(tuple(headers), flags))


@lru_cache(LISTS_KEPT)
def _allowed(headers: tuple[Any, ...], flags: HeaderValidationFlags) -> tuple[Any, ...]:
    return tuple(validate_headers(normalize_inbound_headers(headers, flags), flags))
