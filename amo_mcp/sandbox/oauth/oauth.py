"""The state of sign-in: the one integration, and the codes and tokens issued to it."""

from collections.abc import Callable
from http import HTTPStatus

from pydantic import BaseModel

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api.problems import OAuthProblemError
from amo_mcp.sandbox.oauth import tokens

CODE_LIFETIME = 20 * 60
ACCESS_LIFETIME = 24 * 60 * 60
REFRESH_LIFETIME = 90 * 24 * 60 * 60


class OAuthState(BaseModel, strict=True):
    """What a state file keeps of sign-in; codes and tokens stand beside the Unix seconds at which they expire."""

    access_lifetime: float = ACCESS_LIFETIME
    moved_to: str | None = None
    codes: dict[str, float] = {}
    access_tokens: dict[str, float] = {}
    refresh_tokens: dict[str, float] = {}
    revoked: list[str] = []


class OAuth:
    """Sign-in for one integration, whose tokens act as the account's first administrator.

    Lifetimes are counted by the sandbox's clock: codes live 20 minutes, refresh tokens 3 months (assumed: 90 days).
    A code or refresh token can be used once. An access token lives on until it expires, also when the
    refresh token that came with it has been used (assumed).

    Codes, tokens, `access_lifetime` and `moved_to` are kept in the sandbox's state file; a value set by hand is
    written together with the next change.

    Attributes:
        client_id: the integration's id.
        client_secret: the integration's secret.
        redirect_uri: the one redirect URI of the integration; a request for tokens must repeat it exactly.
        access_lifetime: lifetime, in seconds, of the access tokens that are issued next.
        moved_to: the host that the account has moved to; every `/api/` request that comes to another host is
            redirected (301) to it. None: the account has not moved.
        refreshes: how many refreshes have succeeded since the sandbox was started.
    """

    def __init__(
        self, account: Account, state: OAuthState, clock: Callable[[], float], changed: Callable[[], None]
    ) -> None:
        """Continue from `state`; `changed` is called after every change."""
        self.client_id = "sandbox-integration"
        self.client_secret = "sandbox-secret"
        self.redirect_uri = "http://127.0.0.1:8919/callback"
        self.access_lifetime = state.access_lifetime
        self.moved_to = state.moved_to
        self.refreshes = 0
        self._account = account
        self._clock = clock
        self._changed = changed
        self._codes = dict(state.codes)
        self._access = dict(state.access_tokens)
        self._refresh = dict(state.refresh_tokens)
        self._revoked = set(state.revoked)

    @property
    def live_refresh_tokens(self) -> int:
        """How many refresh tokens are valid."""
        return sum(self._lives(token, self._refresh) for token in self._refresh)

    def issue_code(self) -> str:
        """A new authorization code, as if a person had just granted access."""
        code = tokens.opaque()
        self._codes[code] = self._clock() + CODE_LIFETIME
        self._changed()
        return code

    def issue_tokens(self, *, expired: bool = False, host: str = "127.0.0.1") -> tuple[str, str]:
        """A new access token, already expired when `expired`, and a new, live refresh token.

        `host` is the `api_domain` claim of the access token.
        """
        time = self._clock()
        issued = time - self.access_lifetime if expired else time
        expires = issued + self.access_lifetime
        access = tokens.access_token(
            client_id=self.client_id,
            account_id=self._account.id,
            user_id=self._account.user_id(admin=True),
            api_domain=host,
            issued=issued,
            expires=expires,
        )
        refresh = tokens.opaque()
        # Adding and subtracting the lifetime can leave a rounding error, and an expired token that still lives.
        self._access[access] = min(expires, time) if expired else expires
        self._refresh[refresh] = time + REFRESH_LIFETIME
        self._changed()
        return access, refresh

    def revoke(self, token: str) -> None:
        """Make one code, access token or refresh token unusable; the others stay as they are.

        Raises:
            ValueError: it was never issued.
        """
        if not any(token in issued for issued in (self._codes, self._access, self._refresh)):
            raise ValueError("no such code or token was issued")
        self._revoked.add(token)
        self._changed()

    def accepts(self, access: str) -> bool:
        """Whether an access token is valid now."""
        return self._lives(access, self._access)

    def check_client(self, client_id: object) -> None:
        """Let only the integration through.

        Raises:
            OAuthProblemError: 400.
        """
        if client_id != self.client_id:
            raise OAuthProblemError(HTTPStatus.BAD_REQUEST, "Check the `client_id` parameter")

    def check_integration(self, data: JsonObject) -> None:
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
        self._check(code, self._codes, HTTPStatus.BAD_REQUEST, "authorization code", "Authorization code")
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
        self._check(token, self._refresh, HTTPStatus.UNAUTHORIZED, "refresh token", "Token")

    def state(self) -> OAuthState:
        """What a state file keeps."""
        return OAuthState(
            access_lifetime=self.access_lifetime,
            moved_to=self.moved_to,
            codes=self._codes,
            access_tokens=self._access,
            refresh_tokens=self._refresh,
            revoked=sorted(self._revoked),
        )

    def _check(self, token: str, issued: dict[str, float], status: int, name: str, subject: str) -> None:
        if token not in issued:
            raise OAuthProblemError(status, f"Cannot decrypt the {name}")
        if token in self._revoked:
            raise OAuthProblemError(status, f"{subject} has been revoked")
        if not self._lives(token, issued):
            raise OAuthProblemError(status, f"{subject} has expired")

    def _lives(self, token: str, issued: dict[str, float]) -> bool:
        return token in issued and token not in self._revoked and self._clock() < issued[token]
