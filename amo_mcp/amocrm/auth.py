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
from http import HTTPStatus

import anyio
from pydantic import SecretStr
from typing_extensions import override

from amo_mcp.amocrm.credentials import Credentials, CredentialStore
from amo_mcp.amocrm.errors import Unauthorized, Unavailable
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.oauth import SignInFailed, current_address, request_tokens
from amo_mcp.amocrm.tokens import TokenSource

logger = logging.getLogger(__name__)

LOGIN_HINT = "Run `amo-mcp login` on the machine of this server."
UNLOCK_HINT = "Unlock it on the machine of this server, or run `amo-mcp login` there again."

_EARLY = 60.0
"""Seconds before its end from which an access token is not used any more."""

_ASK_AGAIN = 60.0
"""Seconds after which it is asked again where an account is that does not answer at its address."""


class OAuthTokenSource(TokenSource):
    """The sign-in of one account, shared by all processes that use the same store.

    Args:
        store: where the tokens are kept.
        http: how the token endpoint is reached.
        allowed: gives back an address that a token may be sent to, and raises ValueError for any other.
        hint: what a person has to do to sign in again.
        clock: gives Unix seconds.
    """

    def __init__(
        self,
        store: CredentialStore,
        http: HttpTransport,
        *,
        allowed: Callable[[str], str],
        hint: str = LOGIN_HINT,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._http = http
        self._allowed = allowed
        self._hint = hint
        self._clock = clock
        self._refreshing = anyio.Lock()
        self._current: Credentials | None = None
        self._unsaved: Credentials | None = None
        self._asked_at: float | None = None

    @property
    @override
    def hint(self) -> str:
        return self._hint

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
                raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=self._hint)
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
            Unavailable: it cannot be read; or there is something newer that still cannot be saved.
        """
        if self._unsaved is not None:
            await self._save(self._unsaved)
        try:
            kept = await self._store.load()
        except OSError as error:
            logger.error("The sign-in in %s cannot be read: %s", self._store.place, type(error).__name__)
            reason = f"was not asked, because the sign-in in {self._store.place} cannot be read"
            raise Unavailable(reason, hint=UNLOCK_HINT) from error
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
            tokens = await request_tokens(
                self._http,
                kept.base_url,
                kept.model_dump(mode="json", include={"client_id", "client_secret", "redirect_uri", "refresh_token"})
                | {"grant_type": "refresh_token"},
                self._clock,
            )
        except SignInFailed as error:
            logger.warning("The sign-in could not be refreshed: %s", error)
            raise Unauthorized(HTTPStatus.UNAUTHORIZED, hint=self._hint) from error
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
        found = await current_address(self._http, kept, self._allowed)
        if found in (None, kept.base_url):
            return None
        logger.warning("The account has moved to %s", found)
        relocated = kept.model_copy(update={"base_url": found})
        await self._save(relocated)
        return relocated

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
