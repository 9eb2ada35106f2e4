"""A sign-in, and the protocol of what keeps it. Implementations are in `amo_mcp.storage`."""

from contextlib import AbstractAsyncContextManager
from typing import Annotated, Protocol

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr

Secret = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), when_used="json")]
"""Shown nowhere, and written to JSON as it is."""


class Credentials(BaseModel):
    """One account's sign-in.

    Attributes:
        base_url: the account's address; the first release called it `root`, and what it kept is still read.
        client_id: the integration; `client_secret` and `redirect_uri` are its own too.
        expires: the end of the access token, in Unix seconds.
    """

    model_config = ConfigDict(frozen=True)

    base_url: Annotated[str, Field(validation_alias=AliasChoices("base_url", "root"))]
    client_id: str
    client_secret: Secret
    redirect_uri: str
    access_token: Secret
    refresh_token: Secret
    expires: float


class CredentialStore(Protocol):
    """Keeps the sign-in of one account. What one process saves, the next `load` of any other finds.

    A store in a database raises `Unavailable` where another one raises `OSError`, and also when `exclusive` is entered.
    Whoever shares it with other processes loads, saves and deletes within `exclusive`: loading may move what is kept.
    """

    @property
    def place(self) -> str:
        """Where it is kept, in words for a person."""
        ...

    async def load(self) -> Credentials | None:
        """What was saved last; None when nothing is there, or nothing that makes sense.

        Raises:
            OSError: it cannot be read now, as in a keychain that is locked.
        """
        ...

    async def save(self, credentials: Credentials) -> None:
        """Replace what is kept, whole: when this returns, it survives a crash; when it raises, the old one is kept.

        Raises:
            OSError: it cannot be kept.
        """
        ...

    async def delete(self) -> bool:
        """Forget it; whether there was anything.

        Raises:
            OSError: it cannot be deleted.
        """
        ...

    def exclusive(self) -> AbstractAsyncContextManager[None]:
        """Within the context no other process is in its own; the death of a process ends its context."""
        ...
