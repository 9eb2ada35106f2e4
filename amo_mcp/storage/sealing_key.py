"""The key that seals the state of a question while it is with a client (2026-07-28), shared by all processes."""

import logging
import os
import secrets
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

_BYTES = 32


def sealing_key(file: Path) -> bytes:
    """The key in `file`, which is made when there is none; 32 random bytes, for their owner alone.

    A key that is kept lets the next process read the answers to the questions of this one. Where it cannot be kept, it
    is a key of this process alone.
    """
    try:
        return _read(file) or _make(file)
    except OSError as error:
        logger.info("the sealing key cannot be kept: %s", error.strerror)
        return secrets.token_bytes(_BYTES)


def _read(file: Path) -> bytes | None:
    """The key; None when there is none, or something else."""
    with suppress(FileNotFoundError):
        key = file.read_bytes()
        # After a power failure a file may have its length and nothing in it.
        if len(key) == _BYTES and any(key):
            return key
        file.unlink()
    return None


def _make(file: Path) -> bytes:
    """Put a whole key in place; of several processes that do so at once, the first one's counts.

    Raises:
        OSError: it cannot be written or read.
    """
    beside = file.with_name(f"{file.name}.{secrets.token_hex(6)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as written:
            written.write(secrets.token_bytes(_BYTES))
        with suppress(FileExistsError):
            os.link(beside, file)
    finally:
        beside.unlink()
    return file.read_bytes()
