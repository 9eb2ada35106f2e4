"""Where a sign-in is kept: the system's keychain where there is one, else a file that only its owner can read.

A refresh token is single-use, so a new pair is on disk, durably, before it is used: written beside, synced, renamed.
A process that dies between the two leaves the new pair beside, and the next one finds it there.
"""

import errno
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Protocol
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, PlainSerializer, SecretStr, ValidationError

logger = logging.getLogger(__name__)

SERVICE = "amo-mcp"
"""The name under which the keychain keeps our entries."""

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]


class Credentials(BaseModel):
    """One account's sign-in.

    `root` is the account's address, `expires` the end of the access token in Unix seconds.
    """

    model_config = ConfigDict(frozen=True)

    root: str
    client_id: str
    client_secret: Secret
    redirect_uri: str
    access_token: Secret
    refresh_token: Secret
    expires: float


class CredentialStore(Protocol):
    """Keeps the sign-in of one account."""

    place: str

    def load(self) -> Credentials | None:
        """What is kept, if anything readable is."""
        ...

    def save(self, signed_in: Credentials) -> None:
        """Keep it; when this returns, it survives a crash."""
        ...

    def delete(self) -> bool:
        """Forget it; whether there was anything."""
        ...


class FileStore:
    """A file of mode 0600.

    Args:
        file: where; its folder must exist.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._beside = file.with_name(file.name + ".new")
        self.place = str(file)

    def load(self) -> Credentials | None:
        """What is kept; a newer pair that was written beside and not renamed is taken first."""
        with suppress(OSError):
            if _read(self._beside) is not None:
                self._beside.replace(self._file)
        return _read(self._file)

    def save(self, signed_in: Credentials) -> None:
        """Write beside, sync, rename, sync the folder."""
        self._beside.unlink(missing_ok=True)
        descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as beside:
            beside.write(signed_in.model_dump_json())
            beside.flush()
            os.fsync(beside.fileno())
        self._beside.replace(self._file)
        _sync_folder(self._file.parent)

    def delete(self) -> bool:
        """Remove the file."""
        there = [file for file in (self._file, self._beside) if file.exists()]
        for file in there:
            file.unlink(missing_ok=True)
        return bool(there)


class KeychainStore:
    """An entry of the system's keychain.

    Args:
        name: the entry.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.place = "the system's keychain"

    def load(self) -> Credentials | None:
        """What is kept; nothing, when the keychain stays locked."""
        import keyring
        from keyring.errors import KeyringError

        try:
            return _parsed(keyring.get_password(SERVICE, self._name))
        except KeyringError:
            logger.warning("The system's keychain cannot be read")
            return None

    def save(self, signed_in: Credentials) -> None:
        """Keep it.

        Raises:
            PermissionError: the keychain stays locked.
        """
        import keyring
        from keyring.errors import KeyringError

        try:
            keyring.set_password(SERVICE, self._name, signed_in.model_dump_json())
        except KeyringError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.place) from error

    def delete(self) -> bool:
        """Remove the entry.

        Raises:
            PermissionError: the keychain stays locked.
        """
        import keyring
        from keyring.errors import KeyringError, PasswordDeleteError

        try:
            keyring.delete_password(SERVICE, self._name)
        except PasswordDeleteError:
            return False
        except KeyringError as error:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self.place) from error
        return True


def credential_store(root: str, folder: Path) -> CredentialStore:
    """Where the sign-in for `root` is, or is to be kept.

    A file that is there already wins over the keychain, so that a machine whose keychain comes and goes finds it.
    """
    host = urlsplit(root).netloc.replace(":", "_")
    file = folder / f"sign-in-{host}.json"
    if file.exists() or file.with_name(file.name + ".new").exists() or not _has_keychain():
        return FileStore(file)
    return KeychainStore(host)


def _has_keychain() -> bool:
    import keyring
    from keyring.core import recommended

    return recommended(keyring.get_keyring())


def _read(file: Path) -> Credentials | None:
    try:
        return _parsed(file.read_text("utf-8"))
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
