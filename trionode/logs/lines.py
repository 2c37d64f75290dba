"""One log line: plain, bounded values made where it is logged, text made where it is written.

Payloads are never shown: of bytes, only the length.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias

import orjson
import structlog

from trionode.ids import format_id

FORMATS = ("auto", "human", "json")

TEXT_MAX_CHARACTERS = 2_000
"""What one field may hold: the queue is bounded in lines, and a line must be bounded too."""
TRACEBACK_MAX_CHARACTERS = 20_000

Line: TypeAlias = dict[str, Any]
"""`time`, `level`, `event`, then the fields, and maybe `exception`."""
Renderer: TypeAlias = Callable[[Line], str]

_LEADING = ("time", "level", "event")


def make_line(level: str, text: str, fields: Mapping[str, object]) -> Line:
    """A line as plain, bounded values: nothing in the queue refers to what it was made from.

    Of the fields, `exc_info` is an exception, or True for the one being handled.
    """
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    line: Line = {"time": now, "level": level, "event": _shorten(text, TEXT_MAX_CHARACTERS)}
    for key, value in fields.items():
        if key != "exc_info":
            line[f"{key}_" if key in _LEADING else key] = _plain(key, value)
    error = fields.get("exc_info")
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        trace = "".join(traceback.format_exception(error)).rstrip()
        printable = "\n".join(_printable(part) for part in trace.splitlines())
        line["exception"] = _shorten(printable, TRACEBACK_MAX_CHARACTERS)
    return line


def _plain(key: str, value: object) -> str | int | float | bool | None:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return format_id(value) if key == "object" else value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value):d} bytes>"
    try:
        return _shorten(str(value), TEXT_MAX_CHARACTERS)
    except Exception as error:  # noqa: BLE001  # a broken __str__ must not fail who logs
        return f"<{type(value).__name__}: {type(error).__name__}>"


def _shorten(text: str, max_characters: int) -> str:
    """Drop the middle of a text that is too long: a traceback's end says what went wrong."""
    if len(text) <= max_characters:
        return text
    half = max_characters // 2
    return f"{text[:half]} … {text[-half:]}"


def renderer(form: str, fd: int | None) -> Renderer:
    """What turns lines to text in one of `FORMATS`, for that file descriptor."""
    is_terminal = fd is not None and _is_terminal(fd)
    if form == "json" or (form == "auto" and not is_terminal):
        return _render_json
    # https://no-color.org
    has_colors = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    console = structlog.dev.ConsoleRenderer(
        colors=has_colors,
        timestamp_key="time",
        sort_keys=False,
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(line: Line) -> str:
        # A peer's text must not move the cursor, or make one line look like two.
        safe = {
            key: _printable(value) if isinstance(value, str) and key != "exception" else value
            for key, value in line.items()
        }
        return console(None, "", safe)

    return render


def as_text(line: Line) -> str:
    """A line for the standard library's logger, which adds time and level itself."""
    fields = [f"{key}={value}" for key, value in line.items() if key not in _LEADING]
    return " ".join([line["event"], *fields])


def _render_json(line: Line) -> str:
    try:
        return orjson.dumps(line).decode()
    except TypeError:
        # A lone surrogate (a file name, a peer's text) or an integer beyond 64 bits.
        return orjson.dumps({key: _printable(str(value)) for key, value in line.items()}).decode()


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(part if part.isprintable() else ascii(part)[1:-1] for part in text)


def _is_terminal(fd: int) -> bool:
    with contextlib.suppress(OSError):
        return os.isatty(fd)
    return False
