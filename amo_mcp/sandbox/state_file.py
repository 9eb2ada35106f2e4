"""Keeps an account and its sign-ins in a JSON file, so that a sandbox survives a restart."""

import json
import os
import tempfile
from pathlib import Path

from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.oauth.oauth import OAuth


class StateFile:
    """One account's file, replaced whole at every change: a reader sees the old state or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self, oauth: OAuth) -> Account | None:
        """The account kept, with what was kept of `oauth` restored, or None when there is no file yet.

        Raises:
            ValueError: there is a file and it does not hold a sandbox's state.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise self._broken(error) from error
        try:
            document = json.loads(text)
            account = Account.read(document)
            if "oauth" in document:
                oauth.restore(document["oauth"])
        except (ValueError, RecursionError) as error:
            raise self._broken(error) from error
        return account

    def save(self, account: Account, oauth: OAuth | None = None) -> None:
        """Write the account, and what `oauth` has to keep, durably before anyone is told that it changed."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        signed_in = oauth.document() if oauth else {}
        document = {**account.document(), "oauth": signed_in} if signed_in else account.document()
        text = json.dumps(document, ensure_ascii=False, indent=1)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".tmp")
        fresh = Path(name)
        try:
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor, not a path
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def _broken(self, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path} does not hold a sandbox's state ({error}). "
            "Nothing was changed; move the file away to start from the example."
        )
