"""The state of sign-in: the one integration, and the codes and tokens issued to it."""

import hmac
import json
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable
from http import HTTPStatus
from uuid import uuid4

from pydantic import BaseModel

from amo_mcp.sandbox.account import Account, JsonObject
from amo_mcp.sandbox.api.problems import sign_in_refused

CODE_LIFETIME = 20 * 60
ACCESS_LIFETIME = 24 * 60 * 60
REFRESH_LIFETIME = 90 * 24 * 60 * 60

_SIGNATURE_BYTES = 256
_OPAQUE_BYTES = 128


class OAuthState(BaseModel, strict=True):
    """What a state file keeps of sign-in; codes and tokens stand beside the Unix seconds at which they expire.

    In `granted_by` they stand beside the user who granted them; those that are not there are the first administrator's.
    """

    access_lifetime: float = ACCESS_LIFETIME
    moved_to: str | None = None
    codes: dict[str, float] = {}
    access_tokens: dict[str, float] = {}
    refresh_tokens: dict[str, float] = {}
    revoked: list[str] = []
    granted_by: dict[str, int] = {}


class OAuth:
    """Sign-in for one integration, whose tokens act as the user who has granted them.

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
        self._state = state

    @property
    def live_refresh_tokens(self) -> int:
        """How many refresh tokens are valid."""
        tokens = self._state.refresh_tokens
        return sum(self._lives(token, tokens) for token in tokens)

    def issue_code(self, user_id: int | None = None) -> str:
        """A new authorization code, as if a user, or the first administrator, had just granted access."""
        code = _opaque()
        self._state.codes[code] = self._clock() + CODE_LIFETIME
        self._state.granted_by[code] = self._user(user_id)
        self._changed()
        return code

    def issue_tokens(
        self, *, expired: bool = False, host: str = "127.0.0.1", user_id: int | None = None
    ) -> tuple[str, str]:
        """A new access token, already expired when `expired`, and a new, live refresh token, of a user.

        `host` is the `api_domain` claim of the access token.
        """
        time = self._clock()
        issued, expires = (time - self.access_lifetime, time) if expired else (time, time + self.access_lifetime)
        user = self._user(user_id)
        access, refresh = self._access_token(host, issued, expires, user), _opaque()
        self._state.access_tokens[access] = expires
        self._state.refresh_tokens[refresh] = time + REFRESH_LIFETIME
        self._state.granted_by |= dict.fromkeys((access, refresh), user)
        self._changed()
        return access, refresh

    def revoke(self, token: str) -> None:
        """Make one code, access token or refresh token unusable; the others stay as they are.

        Raises:
            ValueError: it was never issued.
        """
        state = self._state
        if not any(token in issued for issued in (state.codes, state.access_tokens, state.refresh_tokens)):
            raise ValueError("no such code or token was issued")
        state.revoked.append(token)
        self._changed()

    def disconnect(self) -> dict[str, str]:
        """Switch the integration off in the account: every code and token of it is revoked.

        Returns:
            The parameters with which amoCRM then calls the integration's hook (a GET): the account, the integration,
            and the HMAC-SHA256 of both under the integration's secret.
        """
        state = self._state
        state.revoked += [*state.codes, *state.access_tokens, *state.refresh_tokens]
        self._changed()
        account = str(self._account.id)
        signature = hmac.digest(self.client_secret.encode(), f"{self.client_id}|{account}".encode(), "sha256").hex()
        return {"account_id": account, "client_uuid": self.client_id, "signature": signature}

    def granted_by(self, access: str) -> int | None:
        """The user who has granted an access token; None when it is not valid now."""
        return (
            self._user(self._state.granted_by.get(access)) if self._lives(access, self._state.access_tokens) else None
        )

    def check_client(self, client_id: object) -> None:
        """Let only the integration through.

        Raises:
            ProblemError: 400.
        """
        if client_id != self.client_id:
            raise sign_in_refused(HTTPStatus.BAD_REQUEST, "Check the `client_id` parameter")

    def exchange(self, data: JsonObject, host: str) -> tuple[str, str]:
        """The access and refresh tokens that the body of a request for tokens is entitled to.

        Raises:
            ProblemError: 401 for a refresh token that is not live, 400 for anything else; which of the two it is,
                but for a refresh token used twice, and the order in which the parameters are looked at are assumed.
        """
        match data.get("grant_type"):
            case "authorization_code":
                parameter = "code"
            case "refresh_token":
                parameter = "refresh_token"
            case _:
                hint = "Check that all required parameters have been provided"
                raise sign_in_refused(HTTPStatus.BAD_REQUEST, hint)
        self.check_client(data.get("client_id"))
        if data.get("client_secret") != self.client_secret:
            raise sign_in_refused(HTTPStatus.BAD_REQUEST, "Check the `client_secret` parameter")
        if data.get("redirect_uri") != self.redirect_uri:
            raise sign_in_refused(HTTPStatus.BAD_REQUEST, "Redirect URI is not associated with client")
        token = data.get(parameter)
        if not isinstance(token, str) or not token:
            raise sign_in_refused(HTTPStatus.BAD_REQUEST, f"Check the `{parameter}` parameter")
        if parameter == "code":
            self._check(token, self._state.codes, HTTPStatus.BAD_REQUEST, "authorization code", "Authorization code")
        else:
            self.check_refresh_token(token)
            self.refreshes += 1
        self._state.revoked.append(token)
        return self.issue_tokens(host=host, user_id=self._state.granted_by.get(token))

    def check_refresh_token(self, token: str) -> None:
        """Let only a live refresh token through, and leave it alive.

        Raises:
            ProblemError: 401; the hints for a token unknown or expired are assumed.
        """
        self._check(token, self._state.refresh_tokens, HTTPStatus.UNAUTHORIZED, "refresh token", "Token")

    def state(self) -> OAuthState:
        """What a state file keeps."""
        return self._state.model_copy(update={"access_lifetime": self.access_lifetime, "moved_to": self.moved_to})

    def _user(self, user_id: int | None) -> int:
        return self._account.user_id(admin=True) if user_id is None else user_id

    def _check(self, token: str, issued: dict[str, float], status: int, name: str, subject: str) -> None:
        if token not in issued:
            raise sign_in_refused(status, f"Cannot decrypt the {name}")
        if token in self._state.revoked:
            raise sign_in_refused(status, f"{subject} has been revoked")
        if not self._lives(token, issued):
            raise sign_in_refused(status, f"{subject} has expired")

    def _lives(self, token: str, issued: dict[str, float]) -> bool:
        return token in issued and token not in self._state.revoked and self._clock() < issued[token]

    def _access_token(self, host: str, issued: float, expires: float, user_id: int) -> str:
        """A JWT whose signature is random, since there is no key.

        The claims beside `exp` and `api_domain`, `scopes` and an empty `grant_type` among them, are assumed.
        """
        header = {"typ": "JWT", "alg": "RS256"}
        claims = {
            "aud": self.client_id,
            "jti": uuid4().hex,
            "iat": int(issued),
            "nbf": int(issued),
            "exp": int(expires),
            "sub": str(user_id),
            "grant_type": "",
            "account_id": self._account.id,
            "base_domain": "amocrm.ru",
            "api_domain": host,
            "scopes": ["push_notifications", "files", "crm", "files_delete", "notifications"],
        }
        parts = [json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
        parts.append(secrets.token_bytes(_SIGNATURE_BYTES))
        return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def _opaque() -> str:
    """A new authorization code or refresh token."""
    return f"def50200{secrets.token_hex(_OPAQUE_BYTES)}"
