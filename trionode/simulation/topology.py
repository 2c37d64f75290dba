"""Who is linked to whom at the start: the edges of a mesh, by name of its shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trionode.simulation.generator import Generator

Edge = tuple[int, int]

SHAPES = ("mesh", "ring", "chain", "star", "random:DEGREE")


def edges(shape: str, count: int, generator: Generator) -> list[Edge]:
    """The links of `count` nodes, each once, the lower number first.

    Raises:
        ValueError: no such shape.
    """
    if shape == "mesh":
        return [(low, high) for low in range(count) for high in range(low + 1, count)]
    if shape == "chain":
        return [(low, low + 1) for low in range(count - 1)]
    if shape == "ring":
        return ring(count)
    if shape == "star":
        return [(0, other) for other in range(1, count)]
    name, _, degree = shape.partition(":")
    if name == "random" and degree.isdecimal() and int(degree) >= 2:
        return _random(count, int(degree), generator)
    raise ValueError(f"no topology {shape!r}; there are {', '.join(SHAPES)} (DEGREE at least 2)")


def ring(count: int) -> list[Edge]:
    """Each node linked to the next, the last to the first."""
    if count < 3:
        return [(low, low + 1) for low in range(count - 1)]
    return [*((low, low + 1) for low in range(count - 1)), (0, count - 1)]


def _random(count: int, degree: int, generator: Generator) -> list[Edge]:
    """A ring, so that all are connected, and random links until the mean degree is reached."""
    found = dict.fromkeys(ring(count))
    wanted = min(count * degree // 2, count * (count - 1) // 2)
    while len(found) < wanted:
        one, other = generator.below(count), generator.below(count)
        if one != other:
            found[min(one, other), max(one, other)] = None
    return list(found)
