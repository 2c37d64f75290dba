"""Space for pushes: who asks waits until there is enough, in the order of asking (G7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionode.node.context import Phase
from trionode.routing.keys import ENTRY_BYTES

if TYPE_CHECKING:
    from trionode.node.context import NodeContext


class Room:
    """What of the node's memory pushes may take.

    Only the first in line looks whether there is room: a large push is not overtaken for ever by
    small ones, and a thousand that wait cost each turn of the brain as much as one.
    """

    def __init__(self, context: NodeContext) -> None:
        limits = context.config.limits
        self._context = context
        self._timeout_s = limits.push_timeout_s
        self._high_water_bytes = int(limits.memory_bytes * limits.push_high_water)
        self._line = trio.StrictFIFOLock()

    async def wait_for(self, size_bytes: int) -> bool:
        """Wait for so much room; False when there was none for `limits.push_timeout_s`.

        In a node that drains nobody waits: who asked is to look.
        """
        if not self._line.locked() and self._has(size_bytes):
            return True
        with trio.move_on_after(self._timeout_s):
            async with self._line:
                await self._context.engine.until(lambda: self._leaving or self._has(size_bytes))
            return True
        return False

    @property
    def _leaving(self) -> bool:
        return self._context.phase is Phase.DRAINING

    def _has(self, size_bytes: int) -> bool:
        """Whether so much more stays below the mark; what is larger than it fits an empty node."""
        brain = self._context.engine.brain
        held_bytes = brain.context.custody.memory_bytes
        also_bytes = ENTRY_BYTES * len(brain.intake.keys)
        return not held_bytes or held_bytes + also_bytes + size_bytes <= self._high_water_bytes
