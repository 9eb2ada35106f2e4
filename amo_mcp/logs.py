"""Logs to stderr: one line an event, never a traceback, and never blocking.

Many clients start a stdio server with a pipe for stderr that they do not read. A pipe holds 64 KiB; a process that
writes more blocks for ever. So a line that does not fit is dropped, and counted.
"""

import logging
import select
import sys
from typing import TextIO

from typing_extensions import override

_MAX_CHARACTERS = 1000
"""A line of that many, UTF-8 encoded, is within what a pipe takes whole or not at all (4096 bytes)."""

_QUIET = ("httpcore2", "httpx2", "sse_starlette", "mcp.server.streamable_http", "mcp.server.streamable_http_manager")
"""Loggers whose lines below WARNING contain headers, whole responses or session ids."""


class OneLineFormatter(logging.Formatter):
    """Formats an event as one line of printable characters; of an exception only its type is shown."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        exception = f" ({name})" if (name := exception_name(record)) else ""
        text = f"{record.levelname.lower()}: {record.name}: {record.getMessage()}"
        return on_one_line(text, _MAX_CHARACTERS - len(exception)) + exception


def exception_name(record: logging.LogRecord) -> str:
    """The type of the exception that is logged; empty when there is none."""
    return record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""


def on_one_line(text: str, limit: int) -> str:
    """A text as one line of at most `limit` printable characters."""
    printable = "".join(character if character.isprintable() else " " for character in text[: 2 * limit])
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class NonBlockingHandler(logging.StreamHandler[TextIO]):
    """Writes a line when that can be done at once, and drops it otherwise.

    The next line that can be written is preceded by one that says how many were dropped.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._dropped = 0

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._dropped and _is_writable(self.stream):
            message = f"{self._dropped} line{' was' if self._dropped == 1 else 's were'} dropped, unread"
            self._dropped = 0
            super().emit(logging.makeLogRecord({"levelname": "WARNING", "name": __name__, "msg": message}))
        if _is_writable(self.stream):
            super().emit(record)
        else:
            self._dropped += 1

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Count a line that cannot be written; logging would print a traceback."""
        self._dropped += 1


def _is_writable(stream: TextIO) -> bool:
    """Whether a line can be written without blocking; True where the system cannot tell (Windows)."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError):
        return True
    return bool(poll.poll(0))


def log_to_stderr(level: str, formatter: logging.Formatter | None = None) -> None:
    """Send every log record of `level` and above, and every Python warning, to stderr, if the process has one."""
    handler = NonBlockingHandler(sys.stderr) if sys.stderr else logging.NullHandler()
    handler.setFormatter(formatter or OneLineFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
