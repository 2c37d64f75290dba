"""Keeping a subsystem's defects in it: it is started again, with back-off, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from trionode.net.dialler import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trionode.node.context import NodeContext

STEADY_S = 60.0
"""A subsystem that ran for so long begins with the shortest back-off again."""


async def supervise(name: str, run: Callable[[], Awaitable[None]], context: NodeContext) -> None:
    """Run a subsystem until it returns; a defect in it starts it again."""
    backoff = Backoff(context.random)
    while True:
        began = trio.current_time()
        try:
            await run()
        except Exception as error:  # whatever it is, the other subsystems go on
            context.counters.restarts += 1
            text = "a subsystem failed and starts again"
            context.log.error(text, subsystem=name, exc_info=error)  # noqa: TRY400  # see net.Log
        else:
            return
        if trio.current_time() - began > STEADY_S:
            backoff.reset()
        await trio.sleep(backoff.next_s())
