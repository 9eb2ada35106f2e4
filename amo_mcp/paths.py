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

    def pace_file(self, root: str) -> Path:
        """Where the turns of an account are kept."""
        return self.path / f"pace-{_host(root)}.sqlite"

    def journal_file(self, account_id: int) -> Path:
        """Where the changes of an account are recorded."""
        return self.path / f"journal-{account_id}.sqlite"

    def legacy_journal_file(self, base_url: str) -> Path:
        """Where the first release recorded the changes of the account at an address."""
        return self.path / f"journal-{_host(base_url)}.sqlite"

    def refresh_lock(self, root: str) -> Path:
        """The lock of whoever refreshes an account's sign-in."""
        return self.path / f"sign-in-{_host(root)}.lock"

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


def _host(root: str) -> str:
    """The host and port, fit for a file's name."""
    return urlsplit(root).netloc.lower().replace(":", "_")
