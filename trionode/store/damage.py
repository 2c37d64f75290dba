"""What a store found damaged: for the log, for people, and for the accounts of custody (I8)."""

from __future__ import annotations

import attrs


@attrs.frozen
class Damage:
    """Records of one table that could not be read.

    Args:
        table: what kind of record it was, `objects` for example.
        number: the record's number in its table; 0 where it is not known.
        reason: why it is not believed.
        type: of an object, its type as far as it could be read.
        size_bytes: of an object, its payload's size as far as it could be read.
        count: how many records this stands for.
        kept: the bytes that remain are set aside in the store, for a person to look at.
    """

    table: str
    number: int
    reason: str
    type: str = ""
    size_bytes: int = 0
    count: int = 1
    kept: bool = True

    def __str__(self) -> str:
        if self.number:
            what = f"record {self.number} of {self.table}"
        elif self.table == "structure":
            what = "the file's structure, which was made anew"
        else:
            what = f"{self.count} record(s) of {self.table}"
        typed = f" (type {self.type})" if self.type else ""
        return f"{what}{typed}: {self.reason}"
