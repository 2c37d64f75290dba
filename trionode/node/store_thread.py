"""A thread for the calls of one task that wait for a disk, one after the other.

A call into trio's own threads costs a commit at rest as much as its fsync: a limiter, a cache of
threads and a copy of the context, and three passes of the event loop on the way back. This thread
is kept, fed by a queue, and its task waits for a byte on a socket: one pass. It begins with the
first call: a node that keeps its objects in memory has none.
"""

from __future__ import annotations

import queue
import socket
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

_Job = tuple["Callable[[Any], Any]", Any]


class StoreThread:
    """To be entered, and used, by one task; the thread ends with the block.

    Args:
        name: of the thread, for people who look at the process.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._result: Any = None
        self._error: BaseException | None = None
        self._woken: socket.socket | None = None
        """Readable once a call is done; None: there is no thread yet."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._woken is not None:
            self._jobs.put(None)
            self._woken.close()

    async def run(self, call: Callable[[_Argument], _Result], argument: _Argument) -> _Result:
        """What `call` returns or raises there.

        Not to be cancelled half-way, since the thread would go on, its outcome unknown.
        """
        woken = self._woken or self._begin()
        self._jobs.put((call, argument))
        with trio.CancelScope(shield=True):
            await trio.lowlevel.wait_readable(woken)
        woken.recv(1)
        result, error = self._result, self._error
        self._result = self._error = None
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]  # as `call` gave it

    def _begin(self) -> socket.socket:
        self._woken, waker = socket.socketpair()
        self._woken.setblocking(False)
        # A daemon: a process that is aborted waits for no disk.
        threading.Thread(target=self._work, args=(waker,), name=self._name, daemon=True).start()
        return self._woken

    def _work(self, waker: socket.socket) -> None:
        with waker:
            while (job := self._jobs.get()) is not None:
                call, argument = job
                try:
                    self._result = call(argument)
                except BaseException as error:  # noqa: BLE001  # for the task to judge
                    self._error = error
                del job, call, argument  # not to keep a batch alive until the next one
                waker.send(b"\0")
