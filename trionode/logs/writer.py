"""The bounded queue of log lines and the thread that writes them to a file descriptor."""

from __future__ import annotations

import os
import queue
import select
import threading

import attrs

from trionode.logs.lines import Line, make_line, renderer

BATCH_LINES = 100
"""Lines written at once: a system call for each would make bursts slow."""
WRITABLE_POLL_S = 1.0


@attrs.frozen
class LogStatistics:
    """A snapshot of the counters of log lines."""

    written: int
    dropped: int
    """Lines that the queue had no room for, or that stderr did not take."""
    waiting: int


class Writer:
    """The queue and the thread that empties it.

    Callers share only `put`, which takes no lock that the thread holds while it writes. The thread
    writes to the file descriptor itself: a daemon thread that holds the lock of `sys.stderr` when
    the interpreter ends would make it abort.
    """

    def __init__(self, fd: int | None, queue_size: int, form: str) -> None:
        self._fd = fd
        self._size = queue_size
        # SimpleQueue, because its put may be called from within itself, by a signal handler.
        self._queue: queue.SimpleQueue[Line | None] = queue.SimpleQueue()
        self._drop_lock = threading.RLock()
        self._dropped = 0
        self._reported = 0
        self._written = 0
        self._abandoned = False
        self._is_over = False
        self._render = renderer(form, fd)
        self._thread = threading.Thread(target=self._run, name="trionode-logs", daemon=True)
        self._thread.start()

    def put(self, line: Line) -> None:
        """Queue a line, or drop and count it; never waits."""
        if self._queue.qsize() >= self._size:
            self._drop(1)
        else:
            self._queue.put(line)

    def set_format(self, form: str) -> None:
        """From now on write lines in this format."""
        self._render = renderer(form, self._fd)

    def statistics(self) -> LogStatistics:
        """The counters as they are now."""
        return LogStatistics(self._written, self._dropped, self._queue.qsize())

    def stop(self, timeout_s: float) -> bool:
        """Write what is queued, for at most so long; whether no line was lost unreported."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        self._abandoned = self._thread.is_alive()
        return not self._abandoned and self._dropped == self._reported

    def _drop(self, lines: int) -> None:
        with self._drop_lock:
            self._dropped += lines

    def _run(self) -> None:
        while not (self._is_over or self._abandoned):
            batch = self._next_batch()
            text = "".join(self._text(line) for line in batch)
            if not self._write(text):
                self._drop(len(batch))
                continue
            self._written += len(batch)
            if self._dropped > self._reported:
                self._report_drops()

    def _next_batch(self) -> list[Line]:
        batch: list[Line] = []
        line = self._queue.get()
        while line is not None:
            batch.append(line)
            if len(batch) == BATCH_LINES:
                return batch
            try:
                line = self._queue.get_nowait()
            except queue.Empty:
                return batch
        self._is_over = True
        return batch

    def _report_drops(self) -> None:
        dropped = self._dropped
        fields = {"dropped": dropped - self._reported}
        if self._write(self._text(make_line("warning", "log lines were dropped", fields))):
            self._reported = dropped

    def _text(self, line: Line) -> str:
        try:
            return f"{self._render(line)}\n"
        except Exception as error:  # noqa: BLE001  # what cannot be shown must not end logging
            return f"a log line could not be rendered: {type(error).__name__}\n"

    def _write(self, text: str) -> bool:
        """Write all of it; False when nobody reads stderr any more."""
        if self._fd is None:
            return not text
        rest = memoryview(text.encode(errors="backslashreplace"))
        try:
            while rest and not self._abandoned:
                rest = rest[self._write_some(self._fd, rest) :]
        except (OSError, ValueError):
            return False
        return not rest

    def _write_some(self, fd: int, rest: memoryview) -> int:
        """Write once; how many bytes were taken."""
        try:
            return os.write(fd, rest)
        except BlockingIOError:
            # Another process made the terminal that we share non-blocking.
            select.select([], [fd], [], WRITABLE_POLL_S)
            return 0
