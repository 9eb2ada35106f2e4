"""Which processes are alive: each holds a lock beside the file that they share, and the system frees it at its end."""

import re
from contextlib import suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout


class ProcessLock:
    """The lock of this process, by which the others see that it is alive.

    Args:
        file: the file that is shared.
        process: the name of this process, hexadecimal.

    Raises:
        OSError: the lock cannot be made.
    """

    def __init__(self, file: Path, process: str) -> None:
        self._lock = _lock(_path(file, process))
        self._lock.acquire()

    def release(self) -> None:
        """Say that this process does not use the file any more."""
        _remove(self._lock)


def is_gone(file: Path, process: str) -> bool:
    """Whether a process that had `file` open holds its lock no more; its lock file is removed then."""
    return _remove_dead(_path(file, process))


def remove_dead_locks(file: Path) -> bool:
    """Remove the lock files that processes left behind which were killed; whether any process is alive.

    A process that is just making its lock must not do so at the same time.
    """
    mine = re.compile(re.escape(file.stem) + "-[0-9a-f]+")
    alive = [path for path in file.parent.glob("*.lock") if mine.fullmatch(path.stem) and not _remove_dead(path)]
    return bool(alive)


def _path(file: Path, process: str) -> Path:
    return file.with_name(f"{file.stem}-{process}.lock")


def _lock(path: Path) -> BaseFileLock:
    return FileLock(path, thread_local=False, mode=0o600)


def _remove_dead(path: Path) -> bool:
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    _remove(lock)
    return True


def _remove(lock: BaseFileLock) -> None:
    lock.release()
    with suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)
