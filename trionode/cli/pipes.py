"""Standard input and output in trio, without ever making them non-blocking.

A terminal or pipe is shared with whoever started us, and so is its O_NONBLOCK flag. Reads and
writes that can block are therefore done by threads; a thread that is still waiting when the
command ends is abandoned, and dies with the process.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import trio

from trionode.cli.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STDIN = 0
STDOUT = 1
READ_BYTES = 65_536
LINE_MAX_BYTES = 64 * 1024 * 1024
"""Sixteen times the default object limit: room for nodes with a higher one, and still a bound."""


async def read(fd: int = STDIN) -> bytes:
    """The next bytes of a file descriptor, b"" at its end.

    Not `sys.stdin`: a thread that blocks inside a buffered file holds its lock for ever, and the
    interpreter aborts over that at exit.
    """
    return await trio.to_thread.run_sync(_read_blocking, fd, abandon_on_cancel=True)


def _read_blocking(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, READ_BYTES)
        except BlockingIOError:  # somebody else made our pipe or terminal non-blocking
            select.select([fd], [], [])


async def read_lines(
    fd: int = STDIN, *, limit_bytes: int = LINE_MAX_BYTES
) -> AsyncIterator[tuple[list[bytes | None], bool]]:
    """Batches of lines as they arrive, and whether the last one ended without a line end.

    A line that is too long comes as None, in its place.
    """
    splitter = LineSplitter(limit_bytes)
    while chunk := await read(fd):
        if lines := splitter.feed(chunk):
            yield lines, False
    if (rest := splitter.finish()) is not None:
        yield [rest], True


class Writer:
    """Writes to a file descriptor; `write` returns once the operating system has the bytes."""

    def __init__(self, fd: int = STDOUT) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            BrokenPipeError: nobody reads any more.
            OSError: it could not be written, for instance because a disk is full.
        """
        # POSIX: a pipe that polls writable takes PIPE_BUF bytes at once. A thread costs 100 µs.
        if len(data) <= select.PIPE_BUF and self._poll.poll(0):
            _write_blocking(self._fd, data)
            await trio.lowlevel.checkpoint()
        else:
            await trio.to_thread.run_sync(_write_blocking, self._fd, data, abandon_on_cancel=True)


def _write_blocking(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
