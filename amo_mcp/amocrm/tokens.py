"""The bearer token of a request: what a session wants of whoever has it, and the one that never changes."""

from typing import Protocol

from pydantic import SecretStr
from typing_extensions import override


class TokenSource(Protocol):
    """Where the bearer token comes from."""

    @property
    def hint(self) -> str:
        """What a person has to do when the API does not accept the token."""
        ...

    @property
    def base_url(self) -> str | None:
        """The account's address that was kept with the last token; None when none was."""
        return None

    async def token(self) -> SecretStr:
        """The token to send now.

        Raises:
            Unauthorized: there is none, and a person has to sign in.
            Unavailable: it had to be refreshed, and that failed.
        """
        ...

    async def refresh(self, refused: SecretStr) -> SecretStr | None:
        """Another token than the one that the API has just refused; None when there is none to be had."""
        return None

    async def relocated_to(self, base_url: str) -> str | None:
        """The account's address, when it is not `base_url` any more; None when that is not known.

        Raises:
            Unavailable: it is known, and cannot be kept.
        """
        return None


class LongLivedToken(TokenSource):
    """A token that the operator gave; it cannot be refreshed."""

    hint = (
        "Give the server a new AMO_ACCESS_TOKEN, or run `amo-mcp login`. "
        "If the account was renamed, its address (AMO_BASE_URL) has to be the new one."
    )

    def __init__(self, token: SecretStr) -> None:
        self._token = token

    @override
    async def token(self) -> SecretStr:
        return self._token
