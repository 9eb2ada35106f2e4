"""Logs: to stderr, one line an event, never a traceback (a client that does not read stderr would stall)."""

import logging
import sys


class OneLine(logging.Formatter):
    """An event on one line; of an exception only its type."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        message = " ".join(record.getMessage().split())
        failed = f" ({record.exc_info[0].__name__})" if record.exc_info and record.exc_info[0] else ""
        return f"{record.levelname.lower()}: {record.name}: {message}{failed}"


def log_to_stderr(level: str) -> None:
    """Send every log record of `level` and above to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for library in ("httpcore2", "httpx2"):
        # Their debug lines hold whole headers.
        logging.getLogger(library).setLevel(logging.WARNING)
