"""Which processes are alive: each holds a lock beside the file that they share, and the system frees it at its end."""

from pathlib import Path
from typing import Any


class ProcessLock:
    """One process, as the others see it.

    Args:
        file: the file that is shared.
        process: the name of this process.
    """

    def __init__(self, file: Path, process: str) -> None:
        self._file = file
        self._lock = self._lock_of(process)
        self._lock.acquire()

    def is_gone(self, process: str) -> bool:
        """Whether another process holds its lock no more."""
        from filelock import Timeout

        lock = self._lock_of(process)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        _let_go(lock)
        return True

    def end(self) -> None:
        """Be gone."""
        _let_go(self._lock)

    def _lock_of(self, process: str) -> Any:
        from filelock import FileLock

        return FileLock(self._file.with_name(f"{self._file.stem}-{process}.lock"), thread_local=False, mode=0o600)


def _let_go(lock: Any) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
