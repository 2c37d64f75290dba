"""Log lines of a node: from any thread, through a bounded queue and one thread, to stderr.

Who logs never waits: where stderr is slow or blocked, lines beyond the queue are dropped, counted,
and the count is written once lines flow again. Until `start` was called, lines go to the standard
library's logger `trionode`, so that a program which uses the client decides what becomes of them.

Fields are called `node`, `peer`, `stream` and `object`. Payloads are never logged: of bytes, only
the length is written.
"""

from trionode.logs.lines import FORMATS
from trionode.logs.loggers import LEVELS, Logger, Logs, get_logger, start
from trionode.logs.writer import LogStatistics

__all__ = ["FORMATS", "LEVELS", "LogStatistics", "Logger", "Logs", "get_logger", "start"]
