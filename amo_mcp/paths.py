"""The state directory (`AMO_STATE_DIR`), shared by all processes on this machine, and the files of an account in it."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

_ACCOUNTS = "accounts.json"


class StateDir:
    """The state directory; only its owner may open it.

    The files of an account are named by its host, or by its id where they have to survive a change of the host.

    Args:
        path: where it is; None for the platform's default, such as `~/.local/state/amo-mcp`.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = None if path is None else path.expanduser()

    @property
    def path(self) -> Path:
        """Where it is."""
        if self._path is None:
            from platformdirs import user_state_path

            self._path = user_state_path("amo-mcp", appauthor=False)
        return self._path

    def create(self) -> None:
        """Make it, with mode 0700, unless it exists.

        Raises:
            OSError: it cannot be made or written to.
        """
        make_private(self.path)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))

    def rate_limit_file(self, base_url: str) -> Path:
        """Where the processes on this machine share the rate limit of an account."""
        return self.path / f"rate-limit-{host_in_file_names(base_url)}.json"

    def journal_file(self, account_id: int) -> Path:
        """Where the changes of an account are recorded; by its id, so that a renamed account keeps its history."""
        return self.path / f"journal-{account_id}.sqlite"

    def account_id_file(self, base_url: str) -> Path:
        """Where the id of the account that was last behind an address is kept, to find its changes while it is away."""
        return self.path / f"account-id-{host_in_file_names(base_url)}"

    def legacy_journal_file(self, base_url: str) -> Path:
        """Where the first release recorded the changes of an account: by its host."""
        return self.path / f"journal-{host_in_file_names(base_url)}.sqlite"

    def legacy_journal_files(self) -> list[Path]:
        """Everything that the first release recorded, of whichever host; the latest first."""
        files = [file for file in self.path.glob("journal-*.sqlite") if not file.stem[len("journal-") :].isdigit()]
        return sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)

    def sign_in_file(self, base_url: str) -> Path:
        """Where the tokens of an account are kept on a machine without a keychain."""
        return self.path / f"sign-in-{host_in_file_names(base_url)}.json"

    def sign_in_lock(self, base_url: str) -> Path:
        """Held by the one process that refreshes the tokens of an account."""
        return self.path / f"sign-in-{host_in_file_names(base_url)}.lock"

    @property
    def sealing_key_file(self) -> Path:
        """Where the key is kept that seals questions while they are with a client."""
        return self.path / "sealing-key"

    def unsaved_sign_in_file(self, base_url: str) -> Path:
        """Where the tokens of an account are kept while the machine's keychain cannot be written."""
        return self.path / f"sign-in-{host_in_file_names(base_url)}.unsaved.json"

    def signed_in(self) -> list[str]:
        """The base URLs of the accounts that are signed in, the latest last.

        Raises:
            ValueError: the list is there and cannot be read; the text is a sentence for the operator.
        """
        try:
            base_urls = json.loads((self.path / _ACCOUNTS).read_text("utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError, RecursionError):
            base_urls = None
        if not isinstance(base_urls, list):
            raise ValueError(f"AMO_STATE_DIR: {_ACCOUNTS} in it cannot be read; run `amo-mcp login` to make it anew")
        return [base_url for base_url in base_urls if isinstance(base_url, str)]

    def remember(self, base_url: str) -> None:
        """Note that an account is signed in.

        Raises:
            OSError: the list cannot be written.
        """
        self._write([*self._others(base_url), base_url])

    def forget(self, base_url: str) -> None:
        """Note that an account is not signed in any more.

        Raises:
            OSError: the list cannot be written.
        """
        if (self.path / _ACCOUNTS).exists():
            self._write(self._others(base_url))

    def _others(self, base_url: str) -> list[str]:
        """Who else is signed in; nobody, when the list cannot be read, so that it is made anew."""
        with suppress(ValueError):
            return [other for other in self.signed_in() if other != base_url]
        return []

    def _write(self, base_urls: list[str]) -> None:
        beside = self.path / f"{_ACCOUNTS}.new"
        beside.touch(mode=0o600)
        with beside.open("w", encoding="utf-8") as file:
            json.dump(base_urls, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path / _ACCOUNTS)


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may open, unless it exists.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def host_in_file_names(base_url: str) -> str:
    """An account's host and port as a part of a file's name: `127.0.0.1_8901`."""
    return urlsplit(base_url).netloc.lower().replace(":", "_")
