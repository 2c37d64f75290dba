"""Loggers, and what connects them and libraries' logging to the one writer of the process."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, TextIO

import structlog

from trionode.logs.lines import Line, as_text, make_line
from trionode.logs.writer import LogStatistics, Writer

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from types import TracebackType
    from typing import Any, Self

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

FLUSH_TIMEOUT_S = 2.0
"""How long the end of a process may wait for stderr."""

# HPACK and h2 log every header with its value at DEBUG: slow, and secrets have no place in logs.
_PINNED = ("hpack", "h2", "hyperframe")
_NAME = "trionode"


class Logger(structlog.BoundLoggerBase):
    """Writes events with fields, and keeps the fields that `bind` adds to each of them."""

    def debug(self, event: str, **fields: object) -> None:
        """Something that a developer may want to see."""
        self._write("debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """Something that an operator may want to see."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator should see."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """A defect or a loss; `exc_info` is the exception, or True for the one being handled."""
        self._write("error", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        if _is_enabled(LEVELS[level]):
            self._proxy_to_logger(level, event, **fields)


def get_logger(**fields: object) -> Logger:
    """A logger that adds these fields to each of its lines; may be called before `start`."""
    logger: Logger = structlog.wrap_logger(
        None, processors=[_finish], wrapper_class=Logger, context_class=dict
    ).bind(**fields)
    return logger


def start(
    *, level: str = "info", form: str = "auto", queue_size: int = 10_000, fd: int | None = None
) -> Logs:
    """Write this process's log lines, and those of libraries, to stderr; once per process.

    Args:
        level: a key of `LEVELS`; less important lines are not written.
        form: one of `FORMATS`; `auto` is human on a terminal, else JSON, an object per line.
        queue_size: how many lines may wait for stderr.
        fd: a file descriptor to write to in place of stderr.

    Returns:
        What ends it: a context manager, or its `stop`.
    """
    global _running  # noqa: PLW0603  # stderr is the process's one
    assert _running is None, "logs have been started already"
    _running = Logs(Writer(_stderr_fd() if fd is None else fd, queue_size, form), level)
    return _running


class Logs:
    """The running logs of the process, made by `start`."""

    def __init__(self, writer: Writer, level: str) -> None:
        self._writer = writer
        self._handler = _LibraryHandler()
        root = logging.getLogger()
        self._root_level = root.level
        self._pinned_levels = {name: logging.getLogger(name).level for name in _PINNED}
        self._threshold = 0
        self.set_level(level)
        for name in _PINNED:
            logging.getLogger(name).setLevel(logging.WARNING)
        root.addHandler(self._handler)
        logging.captureWarnings(capture=True)

    def set_level(self, level: str) -> None:
        """From now on write lines of at least this level, a key of `LEVELS`."""
        self._threshold = LEVELS[level]
        logging.getLogger().setLevel(self._threshold)

    def set_format(self, form: str) -> None:
        """From now on write lines in this one of `FORMATS`."""
        self._writer.set_format(form)

    def statistics(self) -> LogStatistics:
        """The counters as they are now."""
        return self._writer.statistics()

    def stop(self, timeout_s: float = FLUSH_TIMEOUT_S) -> bool:
        """Write what waits, for at most so long; whether all of it was written.

        Blocks the calling thread: for the end of a process, after its event loop.
        """
        global _running  # noqa: PLW0603  # see start
        if _running is not self:
            return True
        _running = None
        root = logging.getLogger()
        root.removeHandler(self._handler)
        root.setLevel(self._root_level)
        for name, level in self._pinned_levels.items():
            logging.getLogger(name).setLevel(level)
        logging.captureWarnings(capture=False)
        return self._writer.stop(timeout_s)

    def is_enabled(self, level: int) -> bool:
        """Whether lines of this level (of the standard library's numbers) are written."""
        return level >= self._threshold

    def put(self, line: Line) -> None:
        """Queue a line, or drop and count it."""
        self._writer.put(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.stop()


_running: Logs | None = None


class _LibraryHandler(logging.Handler):
    """Takes the lines that libraries log in the standard library's way."""

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line; the logging of a library never fails its caller."""
        if _running is None:
            return
        try:
            error = record.exc_info[1] if record.exc_info else None
            fields = {"logger": record.name, "exc_info": error}
            line = make_line(_level_name(record.levelno), record.getMessage(), fields)
        except Exception as error:  # noqa: BLE001  # a wrong format in a library
            line = make_line("error", f"a log call of {record.name} failed: {error!r}", {})
        _running.put(line)


def _is_enabled(level: int) -> bool:
    if _running is None:
        return logging.getLogger(_NAME).isEnabledFor(level)
    return _running.is_enabled(level)


def _finish(_logger: Any, level: str, fields: MutableMapping[str, Any]) -> str:
    """The one processor: make the line of plain values and hand it over."""
    text = str(fields.pop("event"))
    line = make_line(level, text, fields)
    if _running is None:
        logging.getLogger(_NAME).log(LEVELS[level], "%s", as_text(line))
    else:
        _running.put(line)
    raise structlog.DropEvent


def _level_name(number: int) -> str:
    """The level of `LEVELS` that a number of the standard library's counts as."""
    below = [name for name, value in LEVELS.items() if value <= number]
    return below[-1] if below else "debug"


def _stderr_fd() -> int | None:
    """Stderr's descriptor; None where it is closed, since 2 may then be anything, even a socket."""
    stream: TextIO | None = sys.stderr
    try:
        return None if stream is None else stream.fileno()
    except (OSError, ValueError):
        return None
