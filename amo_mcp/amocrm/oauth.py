"""The vendor's OAuth, an endpoint a function."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode, urlsplit

from pydantic import SecretStr

from amo_mcp.amocrm.claims import claim_of
from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.errors import Blocked, Unavailable
from amo_mcp.amocrm.http import HttpTransport, TransportError
from amo_mcp.amocrm.responses import MOVED_HINT

_TOKEN_PATH = "/oauth2/access_token"
_SUBDOMAIN_PATH = "/oauth2/account/current/subdomain"


class SignInFailed(Exception):
    """A code could not be exchanged; the text is a sentence for the operator, without secrets.

    Attributes:
        status: of the token endpoint's response; None when there was none.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


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
    tokens = await request_tokens(http, base_url, body, clock)
    return Credentials.model_validate({"base_url": base_url, **integration, **tokens})


def consent_page(base_url: str, client_id: str, state: str) -> str:
    """The address where a person grants access to the integration."""
    domain = ".".join((urlsplit(base_url).hostname or "").split(".")[-2:])
    site = f"https://www.{domain}" if domain in ("amocrm.ru", "amocrm.com", "kommo.com") else base_url
    return f"{site}/oauth?{urlencode({'client_id': client_id, 'state': state, 'mode': 'popup'})}"


async def current_address(http: HttpTransport, credentials: Credentials, allowed: Callable[[str], str]) -> str | None:
    """Ask the host that the token names for the account's address; nothing of a response is trusted unchecked."""
    api_domain = claim_of(credentials.access_token, "api_domain")
    try:
        host = allowed(f"https://{api_domain}") if api_domain else credentials.base_url
        headers = {"X-Refresh-Token": credentials.refresh_token.get_secret_value()}
        response = await http.send("GET", host + _SUBDOMAIN_PATH, headers=headers)
        return allowed(f"https://{response.json_object()['domain']}")
    except (TransportError, ValueError, KeyError):
        return None


async def request_tokens(
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
