"""Keeps an account and its sign-ins in a JSON file, so that a sandbox survives a restart."""

import json
import os
import tempfile
from pathlib import Path

from pydantic import BaseModel

from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.documents import read
from amo_mcp.sandbox.oauth.oauth import OAuthState


class _SignIns(BaseModel):
    oauth: OAuthState = OAuthState()


class StateFile:
    """One account's file, replaced whole at every change: a reader sees the old state or the new one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> tuple[Account, OAuthState] | None:
        """The account and the sign-ins kept, or None when there is no file yet.

        Raises:
            ValueError: there is a file and it does not hold a sandbox's state.
        """
        try:
            text = self.path.read_bytes()
            return Account.read(text), read(_SignIns, text).oauth
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(
                f"{self.path} does not hold a sandbox's state ({error}). "
                "Nothing was changed; move the file away to start from the example."
            ) from error

    def save(self, account: Account, oauth: OAuthState) -> None:
        """Write the account, and the sign-ins once there are any; both are durable when this returns.

        Raises:
            OSError: the file could not be written; it is as it was.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        document = account.document()
        if oauth != OAuthState():
            document["oauth"] = oauth.model_dump()
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".tmp")
        fresh = Path(name)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(json.dumps(document, ensure_ascii=False, indent=1))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise
