"""Sign-in by OAuth: tokens exchanged, kept, and rotated by one process at a time.

A refresh token works once: using it twice is answered with 401 and ends the sign-in. So a refresh happens under a lock
that all processes of the machine share; who waited for it finds the new pair and uses that. The new pair is kept
durably before it is used. The one gap that cannot be closed is a process that dies between the API's answer and the
write: the old token is then dead, the new one was never kept, and a person has to sign in again.
"""

import base64
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import anyio
import anyio.to_thread
from pydantic import SecretStr

from amo_mcp.amocrm.errors import Blocked, Unauthorized, Unavailable
from amo_mcp.amocrm.http import HttpTransport, TransportError, parse_json
from amo_mcp.storage.credentials import Credentials, CredentialStore

logger = logging.getLogger(__name__)

LOGIN = "Run `amo-mcp login` on the machine of this server."

_TOKEN = "/oauth2/access_token"  # noqa: S105 - a path
_SUBDOMAIN = "/oauth2/account/current/subdomain"
_FORBIDDEN = 403
_EARLY = 60.0
"""Seconds before its end from which an access token is not used any more."""

_LOCK_POLL = 0.05


class SignInFailed(Exception):
    """A code could not be exchanged; the text is a sentence for the operator, without secrets.

    Attributes:
        status: of the token endpoint's answer; None when there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class OAuthTokenSource:
    """The sign-in of one account, kept in a store and shared by all processes of the machine.

    Args:
        store: where the tokens are kept.
        http: how the token endpoint is reached.
        lock: the file whose lock makes one process at a time the refresher.
        allowed: gives back an address that a token may be sent to, and raises ValueError for any other.
        clock: gives Unix seconds.
    """

    remedy = LOGIN

    def __init__(
        self,
        store: CredentialStore,
        http: HttpTransport,
        lock: Path,
        *,
        allowed: Callable[[str], str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._http = http
        self._lock_file = lock
        self._allowed = allowed
        self._clock = clock
        self._refreshing = anyio.Lock()
        self._current: Credentials | None = None
        self._unkept: Credentials | None = None

    async def token(self) -> SecretStr:
        """The access token to send now; a new one when the kept one is about to end.

        Raises:
            Unauthorized: a person has to sign in again.
            Unavailable: a new token is needed, and the token endpoint gave no usable answer.
        """
        current = self._current
        if current is None or current.expires - _EARLY <= self._clock():
            current = await self._renewed(None)
        return current.access_token

    async def renew(self, refused: SecretStr) -> SecretStr | None:
        """Another token than the one that the API has just refused.

        Raises:
            Unauthorized: a person has to sign in again.
            Unavailable: the token endpoint gave no usable answer.
        """
        return (await self._renewed(refused)).access_token

    async def moved(self, root: str) -> str | None:
        """Where the account is now, when it is not at `root` any more; the sign-in moves along."""
        async with self._refreshing, _locked(self._lock_file):
            kept = await self._load()
            if kept is not None and kept.root != root:
                return kept.root
            found = await self._found(kept) if kept else None
            if kept is None or found is None or found == kept.root:
                return None
            await self._keep(kept.model_copy(update={"root": found}))
            logger.warning("The account has moved to %s", found)
            return found

    async def _renewed(self, refused: SecretStr | None) -> Credentials:
        """A sign-in whose access token is alive and is not `refused`: kept by somebody else meanwhile, or refreshed."""
        async with self._refreshing, _locked(self._lock_file):
            if self._unkept is not None:
                await self._keep(self._unkept)
            kept = await self._load()
            if kept is None:
                raise Unauthorized(401, remedy=LOGIN)
            if kept.expires - _EARLY > self._clock() and kept.access_token != refused:
                self._current = kept
                return kept
            return await self._refreshed(kept)

    async def _refreshed(self, kept: Credentials) -> Credentials:
        """Use the refresh token, and keep what it brings before anybody uses it; no cancellation comes between."""
        with anyio.CancelScope(shield=True):
            tokens = await self._exchanged(kept)
            fresh = kept.model_copy(update=_lasting(tokens, self._clock()))
            await self._keep(fresh)
        return fresh

    async def _exchanged(self, kept: Credentials) -> dict[str, Any]:
        try:
            return await _tokens(
                self._http,
                kept.root,
                {
                    "client_id": kept.client_id,
                    "client_secret": kept.client_secret.get_secret_value(),
                    "grant_type": "refresh_token",
                    "refresh_token": kept.refresh_token.get_secret_value(),
                    "redirect_uri": kept.redirect_uri,
                },
            )
        except SignInFailed as error:
            logger.warning("The sign-in could not be renewed: %s", error)
            raise Unauthorized(401, remedy=LOGIN) from error

    async def _found(self, kept: Credentials) -> str | None:
        """Ask the host that the token names for the account's address; nothing of an answer is trusted unchecked."""
        api_domain = _claim(kept.access_token, "api_domain")
        try:
            host = self._allowed(f"https://{api_domain}") if api_domain else kept.root
            answer = await self._http.exchange(
                "GET", host + _SUBDOMAIN, headers={"X-Refresh-Token": kept.refresh_token.get_secret_value()}
            )
            return self._allowed(f"https://{answer.problem()['domain']}")
        except (TransportError, ValueError, KeyError):
            return None

    async def _load(self) -> Credentials | None:
        return await anyio.to_thread.run_sync(self._store.load)

    async def _keep(self, signed_in: Credentials) -> None:
        """Keep it durably, and only then use it; what cannot be kept now is kept at the next try.

        Raises:
            Unavailable: it cannot be kept.
        """
        self._unkept = signed_in
        try:
            await anyio.to_thread.run_sync(self._store.save, signed_in)
        except OSError as error:
            logger.error("The sign-in cannot be kept in %s: %s", self._store.place, type(error).__name__)  # noqa: TRY400 - one line
            raise Unavailable(
                "was not asked, because the new sign-in cannot be kept; check the state folder"
            ) from error
        self._unkept = None
        self._current = signed_in


async def exchange_code(
    http: HttpTransport, root: str, *, client_id: str, client_secret: str, redirect_uri: str, code: str
) -> Credentials:
    """The sign-in for an authorization code (it lives 20 minutes).

    Raises:
        SignInFailed: the account does not accept it.
        Blocked: 403, the gateway's.
        Unavailable: there was no usable answer.
    """
    named = {"client_id": client_id, "client_secret": client_secret, "redirect_uri": redirect_uri}
    tokens = await _tokens(http, root, {**named, "grant_type": "authorization_code", "code": code})
    return Credentials.model_validate({"root": root, **named, **_lasting(tokens, time.time())})


def consent_page(root: str, client_id: str, state: str) -> str:
    """The address where a person lets the integration in."""
    domain = ".".join((urlsplit(root).hostname or "").split(".")[-2:])
    site = f"https://www.{domain}" if domain in ("amocrm.ru", "amocrm.com", "kommo.com") else root
    return f"{site}/oauth?{urlencode({'client_id': client_id, 'state': state, 'mode': 'popup'})}"


def expiry(token: SecretStr) -> float | None:
    """When a token that looks like a JWT says it ends, in Unix seconds; a hint, since nothing proves it."""
    value = _claim(token, "exp")
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


async def _tokens(http: HttpTransport, root: str, asked: dict[str, str]) -> dict[str, Any]:
    """What the token endpoint answers.

    Raises:
        SignInFailed: 400 or 401.
        Blocked: 403, the gateway's.
        Unavailable: no usable answer.
    """
    try:
        answer = await http.exchange("POST", root + _TOKEN, headers={}, body=asked)
    except TransportError as lost:
        raise Unavailable(lost.reason) from lost
    if answer.status == _FORBIDDEN:
        raise Blocked(_FORBIDDEN)
    if answer.status in (400, 401):
        raise SignInFailed(f"{urlsplit(root).netloc} refused it (status {answer.status})", answer.status)
    tokens = answer.problem()
    if not 200 <= answer.status < 300 or not all(  # noqa: PLR2004 - any success
        isinstance(tokens.get(name), kind)
        for name, kind in (("access_token", str), ("refresh_token", str), ("expires_in", int))
    ):
        raise Unavailable(f"answered the sign-in with the status {answer.status} and no tokens", answer.status)
    return tokens


def _lasting(tokens: dict[str, Any], now: float) -> dict[str, Any]:
    return {
        "access_token": SecretStr(tokens["access_token"]),
        "refresh_token": SecretStr(tokens["refresh_token"]),
        "expires": now + tokens["expires_in"],
    }


def _claim(token: SecretStr, name: str) -> Any:
    """A claim of a JWT, unproven; None when there is none."""
    try:
        payload = token.get_secret_value().split(".")[1]
        claims = parse_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return None
    return claims.get(name) if isinstance(claims, dict) else None


@asynccontextmanager
async def _locked(file: Path) -> AsyncIterator[None]:
    """The lock between processes; it ends with the process that holds it."""
    from filelock import FileLock, Timeout

    lock = FileLock(file, thread_local=False, mode=0o600)
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            await anyio.sleep(_LOCK_POLL)
    try:
        yield
    finally:
        lock.release()
