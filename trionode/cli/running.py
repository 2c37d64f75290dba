"""Running an async command: signals end it in order, and errors come out as themselves."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, TypeVar

import trio

from trionode.cli.root import Interrupted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def run(main: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run an async function to its end.

    The first SIGINT or SIGTERM cancels it, so that it leaves its blocks in order (deliveries
    return, processes are ended); a second SIGINT interrupts wherever it is.

    Raises:
        Interrupted: a signal ended it.
        BaseException: what the function raised, the first of it if tasks failed together.
    """
    try:
        return trio.run(_with_signals, main, args, strict_exception_groups=True)
    except BaseExceptionGroup as group:
        raise _foremost(group) from None


async def _with_signals(main: Callable[..., Awaitable[T]], args: tuple[object, ...]) -> T:
    caught: list[int] = []
    results: list[T] = []
    async with trio.open_nursery() as nursery:

        async def watch(
            task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
        ) -> None:
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                task_status.started()
                async for signum in signals:
                    caught.append(signum)
                    break
            # The receiver is gone: another SIGINT is a KeyboardInterrupt, another SIGTERM death.
            nursery.cancel_scope.cancel()

        await nursery.start(watch)
        results.append(await main(*args))
        nursery.cancel_scope.cancel()
    if results:
        return results[0]
    raise Interrupted(caught[0])


def _foremost(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error of a group to speak of: an interruption before all, else the first."""
    leaves = list(_leaves(group))
    for error in leaves:
        if not isinstance(error, Exception):
            return error
    return leaves[0]


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
