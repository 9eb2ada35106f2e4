"""What the account knows of sign-in: the one integration, and the codes and tokens that it was given."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any, TypeGuard

from amo_mcp.sandbox.account import Model
from amo_mcp.sandbox.api.problems import OAuthProblemError
from amo_mcp.sandbox.oauth import tokens

CODE_LIFETIME = 20 * 60
ACCESS_LIFETIME = 24 * 60 * 60
REFRESH_LIFETIME = 90 * 24 * 60 * 60

_UNTOUCHED: Model = {
    "access_lifetime": ACCESS_LIFETIME,
    "moved_to": None,
    "codes": {},
    "access_tokens": {},
    "refresh_tokens": {},
    "revoked": [],
}


class OAuth:
    """Sign-in for one integration, whose tokens act as the account's first administrator.

    Lifetimes are counted by the sandbox's clock: codes live 20 minutes, refresh tokens 3 months (assumed: 90 days).
    A code or refresh token is dead from its first use. An access token lives on until it expires, also when the
    refresh token that came with it has been used (assumed).

    Codes, tokens, `access_lifetime` and `moved_to` are kept in the sandbox's state file; a value set by hand is
    written together with the next change.

    Attributes:
        client_id: the integration's id.
        client_secret: the integration's secret.
        redirect_uri: the one redirect URI of the integration; whoever asks for tokens must repeat it exactly.
        access_lifetime: for how many seconds an access token lives that is issued from now on.
        moved_to: the host that the account has moved to; every `/api/` request that comes to another host is
            answered 301 to it. None: the account has not moved.
        refreshes: how many refreshes have succeeded since the sandbox was started.
    """

    def __init__(
        self, clock: Callable[[], float], owner: Callable[[], tuple[int, int]], changed: Callable[[], None]
    ) -> None:
        """`owner` gives the ids of the account and its administrator; `changed` is called after every change."""
        self.client_id = "sandbox-integration"
        self.client_secret = "sandbox-secret"  # noqa: S105 - opens nothing but a sandbox
        self.redirect_uri = "http://127.0.0.1:8919/callback"
        self.access_lifetime: float = ACCESS_LIFETIME
        self.moved_to: str | None = None
        self.refreshes = 0
        self._clock = clock
        self._owner = owner
        self._changed = changed
        # Each with the time that it expires at.
        self._codes: dict[str, float] = {}
        self._access: dict[str, float] = {}
        self._refresh: dict[str, float] = {}
        self._revoked: set[str] = set()

    @property
    def live_refresh_tokens(self) -> int:
        """How many refresh tokens could be used now."""
        return sum(self._lives(token, self._refresh) for token in self._refresh)

    def issue_code(self) -> str:
        """A new authorization code, as if somebody had just allowed the integration."""
        code = tokens.opaque()
        self._codes[code] = self._clock() + CODE_LIFETIME
        self._changed()
        return code

    def issue_tokens(self, *, expired: bool = False, host: str = "127.0.0.1") -> tuple[str, str]:
        """A new access token, which is past its time already when `expired`, and a new, live refresh token.

        `host` is what the access token says about the host to call.
        """
        now = self._clock()
        issued = now - self.access_lifetime if expired else now
        expires = issued + self.access_lifetime
        account_id, user_id = self._owner()
        access = tokens.access_token(
            client_id=self.client_id,
            account_id=account_id,
            user_id=user_id,
            api_domain=host,
            issued=issued,
            expires=expires,
        )
        refresh = tokens.opaque()
        # Adding and subtracting the lifetime can leave a rounding error, and an expired token that still lives.
        self._access[access] = min(expires, now) if expired else expires
        self._refresh[refresh] = now + REFRESH_LIFETIME
        self._changed()
        return access, refresh

    def revoke(self, token: str) -> None:
        """Let a code, an access token or a refresh token be dead from now on; nothing else dies with it.

        Raises:
            ValueError: it was never issued.
        """
        if not any(token in issued for issued in (self._codes, self._access, self._refresh)):
            raise ValueError("no such code or token was issued")
        self._revoked.add(token)
        self._changed()

    def accepts(self, access: str) -> bool:
        """Whether an access token opens the API now."""
        return self._lives(access, self._access)

    def check_client(self, client_id: object) -> None:
        """Let only the integration through.

        Raises:
            OAuthProblemError: 400.
        """
        if client_id != self.client_id:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Check the `client_id` parameter")

    def check_integration(self, data: Model) -> None:
        """Let only a request through that has the integration's id, secret and redirect URI.

        Raises:
            OAuthProblemError: 400; the order in which the three are looked at is assumed.
        """
        self.check_client(data.get("client_id"))
        if data.get("client_secret") != self.client_secret:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Check the `client_secret` parameter")
        if data.get("redirect_uri") != self.redirect_uri:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Redirect URI is not associated with client")

    def use_code(self, code: object, host: str) -> tuple[str, str]:
        """The tokens that an authorization code is exchanged for.

        Raises:
            OAuthProblemError: 400.
        """
        if not isinstance(code, str) or not code:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Check the `code` parameter")
        if code not in self._codes:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Cannot decrypt the authorization code")
        if code in self._revoked:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Authorization code has been revoked")
        if not self._lives(code, self._codes):
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Authorization code has expired")
        self._revoked.add(code)
        return self.issue_tokens(host=host)

    def use_refresh_token(self, token: object, host: str) -> tuple[str, str]:
        """The tokens that a refresh token is exchanged for.

        Raises:
            OAuthProblemError: 400 without a token, 401 for one that is not live.
        """
        if not isinstance(token, str) or not token:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Check the `refresh_token` parameter")
        self.check_refresh_token(token)
        self._revoked.add(token)
        self.refreshes += 1
        return self.issue_tokens(host=host)

    def check_refresh_token(self, token: str) -> None:
        """Let only a live refresh token through, and leave it alive.

        Raises:
            OAuthProblemError: 401; the hints for a token unknown or expired are assumed.
        """
        if token not in self._refresh:
            raise OAuthProblemError(HTTPStatus.UNAUTHORIZED, "Cannot decrypt the refresh token")
        if token in self._revoked:
            raise OAuthProblemError(HTTPStatus.UNAUTHORIZED, "Token has been revoked")
        if not self._lives(token, self._refresh):
            raise OAuthProblemError(HTTPStatus.UNAUTHORIZED, "Token has expired")

    def document(self) -> Model:
        """What is to be kept, as JSON data; empty as long as there is nothing."""
        document = {
            "access_lifetime": self.access_lifetime,
            "moved_to": self.moved_to,
            "codes": self._codes,
            "access_tokens": self._access,
            "refresh_tokens": self._refresh,
            "revoked": sorted(self._revoked),
        }
        return {} if document == _UNTOUCHED else document

    def restore(self, document: object) -> None:
        """Take over what `document` had kept.

        Raises:
            ValueError: the document is not one that `document` could have made.
        """
        if not isinstance(document, dict):
            raise ValueError("oauth is not an object")  # noqa: TRY004 - the caller is promised a ValueError
        lifetime, moved_to, revoked = (document.get(key) for key in ("access_lifetime", "moved_to", "revoked"))
        if not _is_number(lifetime):
            raise ValueError("oauth.access_lifetime is not a number")
        if not isinstance(moved_to, str | None):
            raise ValueError("oauth.moved_to is not a host")  # noqa: TRY004 - as above
        if not isinstance(revoked, list) or not all(isinstance(token, str) for token in revoked):
            raise ValueError("oauth.revoked is not a list of tokens")
        codes, access, refresh = (_expiries(document, key) for key in ("codes", "access_tokens", "refresh_tokens"))
        self.access_lifetime, self.moved_to, self._revoked = lifetime, moved_to, set(revoked)
        self._codes, self._access, self._refresh = codes, access, refresh

    def _lives(self, token: str, issued: dict[str, float]) -> bool:
        return token in issued and token not in self._revoked and self._clock() < issued[token]


def _expiries(document: Model, key: str) -> dict[str, float]:
    expiries = document.get(key)
    if not isinstance(expiries, dict) or not all(_is_number(expires) for expires in expiries.values()):
        raise ValueError(f"oauth.{key} does not tell when they expire")
    return expiries


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)
