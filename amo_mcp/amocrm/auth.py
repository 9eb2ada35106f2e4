"""Sign-in by OAuth: tokens exchanged, kept, and refreshed by one process at a time.

A refresh token works once: using it twice is answered with 401 and ends the sign-in. So a refresh happens under a lock
that all processes share; a process that waited for it finds the new pair and uses that. The new pair is kept durably
before it is used. A renamed account refuses a refresh at its old address; the host that the token names then knows the
new one. The one gap that cannot be closed is a process that dies between the API's answer and the write: the
old token is then dead, the new one was never kept, and a person has to sign in again.
"""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode, urlsplit

import anyio
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PlainSerializer, SecretStr
from typing_extensions import override

from amo_mcp.amocrm.claims import claim_of
from amo_mcp.amocrm.errors import Blocked, Unauthorized, Unavailable
from amo_mcp.amocrm.http import HttpTransport, TransportError
from amo_mcp.amocrm.responses import MOVED_HINT
from amo_mcp.amocrm.session import TokenSource

logger = logging.getLogger(__name__)

LOGIN_HINT = "Run `amo-mcp login` on the machine of this server."

_TOKEN_PATH = "/oauth2/access_token"
_SUBDOMAIN_PATH = "/oauth2/account/current/subdomain"
_EARLY = 60.0
"""Seconds before its end from which an access token is not used any more."""

_ASK_AGAIN = 60.0
"""Seconds after which it is asked again where an account is that does not answer at its address."""

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
    """Keeps the sign-in of one account. What one process saves, the next `load` of any other finds."""

    @property
    def place(self) -> str:
        """Where it is kept, in words for a person."""
        ...

    async def load(self) -> Credentials | None:
        """What was saved last; None when nothing that can be read is there."""
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


class SignInFailed(Exception):
    """A code could not be exchanged; the text is a sentence for the operator, without secrets.

    Attributes:
        status: of the token endpoint's response; None when there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class OAuthTokenSource(TokenSource):
    """The sign-in of one account, shared by all processes that use the same store.

    Args:
        store: where the tokens are kept.
        http: how the token endpoint is reached.
        allowed: gives back an address that a token may be sent to, and raises ValueError for any other.
        clock: gives Unix seconds.
    """

    hint = LOGIN_HINT

    def __init__(
        self,
        store: CredentialStore,
        http: HttpTransport,
        *,
        allowed: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._http = http
        self._allowed = allowed
        self._clock = clock
        self._refreshing = anyio.Lock()
        self._current: Credentials | None = None
        self._unsaved: Credentials | None = None
        self._asked_at: float | None = None

    @property
    @override
    def base_url(self) -> str | None:
        return self._current.base_url if self._current else None

    @override
    async def token(self) -> SecretStr:
        current = self._current
        if current is None or current.expires - _EARLY <= self._clock():
            current = await self._usable(None)
        return current.access_token

    @override
    async def refresh(self, refused: SecretStr) -> SecretStr | None:
        return (await self._usable(refused)).access_token

    @override
    async def relocated_to(self, base_url: str) -> str | None:
        async with self._refreshing, self._store.exclusive():
            kept = await self._kept()
            if kept is not None and kept.base_url == base_url:
                kept = await self._relocated(kept)
            if kept is None:
                return None
            self._current = kept
            return kept.base_url

    async def _usable(self, refused: SecretStr | None) -> Credentials:
        """Credentials whose access token is alive and not `refused`: saved by another process meanwhile, or refreshed.

        Raises:
            Unauthorized: a person has to sign in again.
            Unavailable: the token endpoint gave no usable answer, or what it gave cannot be saved.
        """
        async with self._refreshing, self._store.exclusive():
            kept = await self._kept()
            if kept is None:
                raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=LOGIN_HINT)
            if kept.expires - _EARLY > self._clock() and kept.access_token != refused:
                self._current = kept
                return kept
            with anyio.CancelScope(shield=True):
                # The old refresh token is dead from here on: nobody uses the new pair before it is saved.
                fresh = await self._refreshed_anywhere(kept)
                await self._save(fresh)
            return fresh

    async def _kept(self) -> Credentials | None:
        """What is kept, if it is for an address that a token may be sent to.

        Raises:
            Unavailable: there is something newer that still cannot be saved.
        """
        if self._unsaved is not None:
            await self._save(self._unsaved)
        kept = await self._store.load()
        try:
            return kept and kept.model_copy(update={"base_url": self._allowed(kept.base_url)})
        except ValueError:
            logger.warning("What is kept of the sign-in is for an address that no token may be sent to")
            return None

    async def _refreshed_anywhere(self, kept: Credentials) -> Credentials:
        """`kept`, refreshed at its address or, after the account was renamed, at the new one."""
        try:
            return await self._refreshed(kept)
        except (Unauthorized, Unavailable) as error:
            if isinstance(error, Unavailable) and not error.hint:
                raise
            relocated = await self._relocated(kept)
            if relocated is None:
                raise
        return await self._refreshed(relocated)

    async def _refreshed(self, kept: Credentials) -> Credentials:
        try:
            tokens = await _request_tokens(
                self._http,
                kept.base_url,
                kept.model_dump(mode="json", include={"client_id", "client_secret", "redirect_uri", "refresh_token"})
                | {"grant_type": "refresh_token"},
                self._clock,
            )
        except SignInFailed as error:
            logger.warning("The sign-in could not be refreshed: %s", error)
            raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=LOGIN_HINT) from error
        return kept.model_copy(update=tokens)

    async def _relocated(self, kept: Credentials) -> Credentials | None:
        """`kept` with the account's new address, saved; None when there is none, or it was asked for a moment ago.

        Raises:
            Unavailable: it cannot be saved.
        """
        now = self._clock()
        if self._asked_at is not None and 0 <= now - self._asked_at < _ASK_AGAIN:
            return None
        self._asked_at = now
        found = await self._current_address(kept)
        if found in (None, kept.base_url):
            return None
        logger.warning("The account has moved to %s", found)
        relocated = kept.model_copy(update={"base_url": found})
        await self._save(relocated)
        return relocated

    async def _current_address(self, kept: Credentials) -> str | None:
        """Ask the host that the token names for the account's address; nothing of a response is trusted unchecked."""
        api_domain = claim_of(kept.access_token, "api_domain")
        try:
            host = self._allowed(f"https://{api_domain}") if api_domain else kept.base_url
            headers = {"X-Refresh-Token": kept.refresh_token.get_secret_value()}
            response = await self._http.send("GET", host + _SUBDOMAIN_PATH, headers=headers)
            return self._allowed(f"https://{response.json_object()['domain']}")
        except (TransportError, ValueError, KeyError):
            return None

    async def _save(self, credentials: Credentials) -> None:
        """Save durably, and only then use it; what cannot be saved now is saved at the next try.

        Raises:
            Unavailable: it cannot be saved.
        """
        self._unsaved = credentials
        try:
            await self._store.save(credentials)
        except OSError as error:
            logger.error("The sign-in cannot be kept in %s: %s", self._store.place, type(error).__name__)
            reason = "was not asked, because the new sign-in cannot be kept; check the state directory (AMO_STATE_DIR)"
            raise Unavailable(reason) from error
        self._unsaved = None
        self._current = credentials


async def exchange_code(
    http: HttpTransport,
    base_url: str,
    *,
    client_id: str,
    client_secret: str,
    redirect_uri: str,
    code: str,
    clock: Callable[[], float] = time.time,
) -> Credentials:
    """The sign-in for an authorization code (it lives 20 minutes).

    Raises:
        SignInFailed: the account does not accept it.
        Blocked: the gateway refuses it.
        Unavailable: there was no usable answer.
    """
    integration = {"client_id": client_id, "client_secret": client_secret, "redirect_uri": redirect_uri}
    body = {**integration, "grant_type": "authorization_code", "code": code}
    tokens = await _request_tokens(http, base_url, body, clock)
    return Credentials.model_validate({"base_url": base_url, **integration, **tokens})


def consent_page(base_url: str, client_id: str, state: str) -> str:
    """The address where a person grants access to the integration."""
    domain = ".".join((urlsplit(base_url).hostname or "").split(".")[-2:])
    site = f"https://www.{domain}" if domain in ("amocrm.ru", "amocrm.com", "kommo.com") else base_url
    return f"{site}/oauth?{urlencode({'client_id': client_id, 'state': state, 'mode': 'popup'})}"


async def _request_tokens(
    http: HttpTransport, base_url: str, body: dict[str, str], clock: Callable[[], float]
) -> dict[str, Any]:
    """The fields of `Credentials` that the token endpoint answers with.

    Raises:
        SignInFailed: 400 or 401.
        Blocked: 403, the gateway's.
        Unavailable: no usable answer.
    """
    try:
        response = await http.send("POST", base_url + _TOKEN_PATH, headers={}, body=body)
    except TransportError as lost:
        raise Unavailable(lost.reason) from lost
    if response.status == HTTPStatus.FORBIDDEN:
        raise Blocked(response.status)
    if response.status in (400, 401):
        raise SignInFailed(f"{urlsplit(base_url).netloc} refused it (status {response.status})", response.status)
    tokens = response.json_object()
    if not response.is_success or not all(
        isinstance(tokens.get(name), kind)
        for name, kind in (("access_token", str), ("refresh_token", str), ("expires_in", int))
    ):
        reason = f"answered the sign-in with the status {response.status} and no tokens"
        is_elsewhere = response.is_redirect or response.status == HTTPStatus.NOT_FOUND
        raise Unavailable(reason, response.status, hint=MOVED_HINT if is_elsewhere else "")
    return {
        "access_token": SecretStr(tokens["access_token"]),
        "refresh_token": SecretStr(tokens["refresh_token"]),
        "expires": clock() + tokens["expires_in"],
    }
