"""Where a sign-in is kept: the system's keychain where there is one, else a file that only its owner can read.

A refresh token is single-use, so a new pair is on disk, durably, before it is used: written beside, synced, renamed.
A process that dies between the two leaves the new pair beside, and the next one finds it there.
"""

import errno
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import anyio.to_thread
from filelock import FileLock, Timeout
from pydantic import ValidationError
from typing_extensions import override

from amo_mcp.amocrm.credentials import Credentials, CredentialStore
from amo_mcp.paths import StateDir, host_in_file_names, make_private

logger = logging.getLogger(__name__)

SERVICE = "amo-mcp"
"""The name under which the keychain keeps our entries."""

_LOCK_POLL = 0.05
"""Seconds between two looks at a lock that another process holds."""


class FileCredentialStore(CredentialStore):
    """A file of mode 0600; processes exclude each other by a lock on another file of their machine.

    Args:
        path: where; its folder must exist.
        lock: the file to lock, which is made and stays; None for one beside, with the suffix `.lock`.
    """

    def __init__(self, path: Path, lock: Path | None = None) -> None:
        self._path = path
        self._beside = path.with_name(path.name + ".new")
        self._lock = lock or path.with_suffix(".lock")

    @property
    def exists(self) -> bool:
        """Whether there is a file, or what a crash has left beside it."""
        return self._path.exists() or self._beside.exists()

    @property
    @override
    def place(self) -> str:
        return str(self._path)

    @override
    async def load(self) -> Credentials | None:
        return await anyio.to_thread.run_sync(self.load_sync)

    @override
    async def save(self, credentials: Credentials) -> None:
        await anyio.to_thread.run_sync(self.save_sync, credentials)

    @override
    async def delete(self) -> bool:
        return await anyio.to_thread.run_sync(self.delete_sync)

    @override
    @asynccontextmanager
    async def exclusive(self) -> AsyncIterator[None]:
        make_private(self._lock.parent)
        lock = FileLock(self._lock, thread_local=False, mode=0o600)
        while True:
            try:
                lock.acquire(blocking=False)
                break
            except Timeout:
                await anyio.sleep(_LOCK_POLL)
        try:
            yield
        finally:
            lock.release()

    def load_sync(self) -> Credentials | None:
        """What is kept, read in this thread; a newer pair that was written beside and not renamed is taken first."""
        with suppress(OSError):
            if _read(self._beside) is not None:
                self._beside.replace(self._path)
        return _read(self._path)

    def save_sync(self, credentials: Credentials) -> None:
        """Write in this thread: beside, sync, rename, sync the folder."""
        self._beside.unlink(missing_ok=True)
        descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as beside:
            beside.write(credentials.model_dump_json())
            beside.flush()
            os.fsync(beside.fileno())
        self._beside.replace(self._path)
        _sync_folder(self._path.parent)

    def delete_sync(self) -> bool:
        """Delete in this thread what is kept, and say whether anything was."""
        existed = self.exists
        for path in (self._path, self._beside):
            path.unlink(missing_ok=True)
        return existed


class KeychainCredentialStore(FileCredentialStore):
    """An entry of the system's keychain, and a file for the time in which the keychain cannot be written.

    The file is never older than the entry: what is saved while there is a file is written to it first. So whatever is
    in it is what counts, and it moves to the keychain as soon as that works again.

    Args:
        entry: the name of the entry.
        spill: the file.
        lock: the file whose lock makes processes exclude each other.
    """

    def __init__(self, entry: str, spill: Path, lock: Path) -> None:
        super().__init__(spill, lock)
        self._entry = entry

    @property
    @override
    def place(self) -> str:
        return super().place if self.exists else "the system's keychain"

    @override
    def load_sync(self) -> Credentials | None:
        """What was saved last.

        Raises:
            PermissionError: the keychain stays locked, or does not work.
        """
        import keyring

        spilled = super().load_sync()
        if spilled is not None:
            if self._write(spilled):
                super().delete_sync()
            return spilled
        try:
            return _parsed(keyring.get_password(SERVICE, self._entry))
        except Exception as error:  # backends are plugins, and not all their errors are keyring's
            raise _cannot_be_used(self.place) from error

    @override
    def save_sync(self, credentials: Credentials) -> None:
        if self.exists:
            super().save_sync(credentials)
        if self._write(credentials):
            super().delete_sync()
        else:
            super().save_sync(credentials)

    @override
    def delete_sync(self) -> bool:
        import keyring
        from keyring.errors import PasswordDeleteError

        had_spilled = super().delete_sync()
        try:
            keyring.delete_password(SERVICE, self._entry)
        except PasswordDeleteError:
            return had_spilled
        except Exception as error:  # as above
            raise _cannot_be_used(self.place) from error
        return True

    def _write(self, credentials: Credentials) -> bool:
        """Write the entry of the keychain, if that is possible."""
        import keyring

        try:
            keyring.set_password(SERVICE, self._entry, credentials.model_dump_json())
        except Exception as error:  # as above; Windows, for one, refuses long entries in its own way
            logger.warning(
                "The system's keychain cannot be written: %s; until it can, the sign-in is kept in %s",
                type(error).__name__,
                self._path,
            )
            return False
        return True


def credential_store(base_url: str, state: StateDir) -> CredentialStore:
    """Where the sign-in for `base_url` is, or is to be kept, in the state directory where it is not the keychain.

    A file that is there already wins over the keychain, so that a machine whose keychain comes and goes finds it.
    """
    path, lock = state.sign_in_file(base_url), state.sign_in_lock(base_url)
    spill = state.unsaved_sign_in_file(base_url)
    kept, spilled = FileCredentialStore(path, lock), FileCredentialStore(spill, lock)
    if kept.exists:
        return kept
    if _has_keychain():
        return KeychainCredentialStore(host_in_file_names(base_url), spill, lock)
    return spilled if spilled.exists else kept


def _cannot_be_used(place: str) -> PermissionError:
    return PermissionError(errno.EACCES, os.strerror(errno.EACCES), place)


def _has_keychain() -> bool:
    """Whether this machine has a keychain that its owner would use."""
    import keyring

    try:
        # The library's own line between what it recommends and what it only falls back on.
        return bool(keyring.get_keyring().priority >= 1)
    except Exception:  # a backend that was chosen by name and cannot work here
        return False


def _read(path: Path) -> Credentials | None:
    try:
        return _parsed(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def _parsed(text: str | None) -> Credentials | None:
    try:
        return None if text is None else Credentials.model_validate_json(text)
    except ValidationError:
        logger.warning("What is kept of the sign-in cannot be read")
        return None


def _sync_folder(folder: Path) -> None:
    """Make the renaming durable, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
