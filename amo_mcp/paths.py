"""The folder that the processes of one machine share (`AMO_STATE_DIR`): pace, locks, sign-ins; its owner's alone."""

import errno
import json
import os
from pathlib import Path
from urllib.parse import urlsplit

_ACCOUNTS = "accounts.json"


class StateDir:
    """The shared folder.

    Args:
        path: where; None for the platform's user state folder.
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
        """Make it, for its owner alone.

        Raises:
            OSError: it cannot be made or written to.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))

    def rate_limit_file(self, base_url: str) -> Path:
        """Where the processes on this machine share the rate limit of an account."""
        return self.path / f"rate-limit-{host_in_file_names(base_url)}.sqlite"

    def journal_file(self, root: str) -> Path:
        """Where the changes of an account are recorded."""
        return self.path / f"journal-{host_in_file_names(root)}.sqlite"

    def sign_in_file(self, base_url: str) -> Path:
        """Where the tokens of an account are kept on a machine without a keychain."""
        return self.path / f"sign-in-{host_in_file_names(base_url)}.json"

    def sign_in_lock(self, base_url: str) -> Path:
        """Held by the one process that refreshes the tokens of an account."""
        return self.path / f"sign-in-{host_in_file_names(base_url)}.lock"

    def signed_in(self) -> list[str]:
        """The addresses of the accounts that are signed in, the latest last; no secrets."""
        try:
            roots = json.loads((self.path / _ACCOUNTS).read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return []
        return [root for root in roots if isinstance(root, str)] if isinstance(roots, list) else []

    def remember(self, root: str) -> None:
        """Note that `root` is signed in."""
        self._write([*(other for other in self.signed_in() if other != root), root])

    def forget(self, root: str) -> None:
        """Note that `root` is not signed in any more."""
        self._write([other for other in self.signed_in() if other != root])

    def _write(self, roots: list[str]) -> None:
        beside = self.path / f"{_ACCOUNTS}.new"
        beside.touch(mode=0o600)
        beside.write_text(json.dumps(roots), "utf-8")
        beside.replace(self.path / _ACCOUNTS)


def host_in_file_names(base_url: str) -> str:
    """An account's host and port as a part of a file's name: `127.0.0.1_8901`."""
    return urlsplit(base_url).netloc.lower().replace(":", "_")
