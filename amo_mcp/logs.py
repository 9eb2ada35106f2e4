"""Logs: to stderr, one line an event, never a traceback, and never waiting for somebody to read them.

Many clients start a stdio server with a pipe for stderr that they do not read. A pipe holds 64 KiB; who writes more
into it waits for ever. So a line that does not fit is dropped, and counted.
"""

import logging
import select
import sys
from typing import TextIO

_MOST_CHARACTERS = 1000
"""A line of that many, UTF-8 encoded, is within what a pipe takes whole or not at all (4096 bytes)."""

_QUIET = ("httpcore2", "httpx2", "sse_starlette", "mcp.server.streamable_http", "mcp.server.streamable_http_manager")
"""Their lower lines hold whole headers, whole answers, or the ids of sessions."""


class OneLine(logging.Formatter):
    """An event on one line, of what can be printed; of an exception only its type."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        failed = f" ({record.exc_info[0].__name__})" if record.exc_info and record.exc_info[0] else ""
        text = f"{record.levelname.lower()}: {record.name}: {record.getMessage()}"
        seen = "".join(character if character.isprintable() else " " for character in text[: 2 * _MOST_CHARACTERS])
        line = " ".join(seen.split())
        most = _MOST_CHARACTERS - len(failed)
        return (line if len(line) <= most else line[: most - 1] + "…") + failed


class Unread(logging.StreamHandler[TextIO]):
    """Writes to a stream that perhaps nobody reads."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line, if that can be done at once; before it, how many could not be."""
        if self._dropped and _takes_more(self.stream):
            told = {"levelname": "WARNING", "name": __name__, "msg": f"{self._dropped} lines were dropped, unread"}
            self._dropped = 0
            super().emit(logging.makeLogRecord(told))
        if _takes_more(self.stream):
            super().emit(record)
        else:
            self._dropped += 1

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's
        """Count a line that cannot be written; logging's own way is a traceback."""
        self._dropped += 1


def _takes_more(stream: TextIO) -> bool:
    """Whether a line can be written without waiting; where the system cannot tell (Windows), yes."""
    try:
        poll = select.poll()
        poll.register(stream.fileno(), select.POLLOUT)
    except (AttributeError, OSError):
        return True
    return bool(poll.poll(0))


def log_to_stderr(level: str) -> None:
    """Send every log record of `level` and above, and every warning of Python, to stderr."""
    handler = Unread(sys.stderr) if sys.stderr else logging.NullHandler()
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for library in _QUIET:
        logging.getLogger(library).setLevel(logging.WARNING)
