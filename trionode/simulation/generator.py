"""Random numbers that are the same on every machine and Python: SplitMix64 in plain integers.

Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014). No function
of a platform's mathematical library is used, since those differ in the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_MASK = (1 << 64) - 1
_GAMMA = 0x9E3779B97F4A7C15
_TO_UNIT = 2.0**-53


class Generator:
    """A stream of random numbers; `fork` gives independent ones to the parts of a simulation."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def bits(self) -> int:
        """64 random bits."""
        self._state = state = (self._state + _GAMMA) & _MASK
        x = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        return x ^ (x >> 31)

    def fork(self, label: int) -> Generator:
        """An independent stream; draws nothing from this one."""
        return Generator(Generator(self._state ^ (label * 0xD1342543DE82EF95)).bits())

    def unit(self) -> float:
        """A number in [0, 1)."""
        return (self.bits() >> 11) * _TO_UNIT

    def below(self, end: int) -> int:
        """An integer in [0, end)."""
        return (self.bits() * end) >> 64

    def between(self, low: float, high: float) -> float:
        """A number in [low, high)."""
        return low + (high - low) * self.unit()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.unit() < probability

    def wait(self, mean: float) -> float:
        """A positive time of this mean, with a long tail, as of events that are independent."""
        # A square root is the one root that IEEE 754 rounds the same everywhere.
        return mean * 0.5 / math.sqrt(1.0 - 0.9817 * self.unit())

    def pick(self, choices: Sequence[T]) -> T:
        """One of these."""
        return choices[self.below(len(choices))]

    def shuffle(self, items: list[T]) -> None:
        """Put a list into a random order."""
        for index in range(len(items) - 1, 0, -1):
            other = self.below(index + 1)
            items[index], items[other] = items[other], items[index]
