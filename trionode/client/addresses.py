"""Which addresses a client tries, and in which order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LEARNED_MAX = 64
"""Addresses kept beside those given: a mesh may be large, and a few ways back into it suffice."""


class AddressBook:
    """The addresses given by the user, and those that nodes told.

    After a loss the same address goes first: that node recognises what is pushed again (R11). After
    a node has asked its clients to leave it goes last.
    """

    def __init__(self, given: Iterable[str]) -> None:
        self._given = list(dict.fromkeys(given))
        self._learned: list[str] = []
        self._last = ""
        self._avoided = ""

    def learn(self, addresses: Iterable[str]) -> None:
        """A node told these; the newest replace the oldest."""
        for address in addresses:
            if address and address not in self._given:
                if address in self._learned:
                    self._learned.remove(address)
                self._learned.append(address)
        del self._learned[:-LEARNED_MAX]

    def connected(self, address: str) -> None:
        """This one answered."""
        self._last = address
        self._avoided = ""

    def avoid(self, address: str) -> None:
        """This one wants to be left."""
        self._avoided = address

    def round(self) -> list[str]:
        """All addresses, each once, in the order to try them."""
        known = [*self._given, *self._learned]
        start = known.index(self._last) if self._last in known else 0
        ordered = known[start:] + known[:start]
        if self._avoided in ordered:
            ordered.remove(self._avoided)
            ordered.append(self._avoided)
        return ordered
