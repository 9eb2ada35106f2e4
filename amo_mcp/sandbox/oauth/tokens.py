"""Makes access tokens in the form of a JWT, and opaque codes and refresh tokens."""

import json
import secrets
from base64 import urlsafe_b64encode
from uuid import uuid4

from amo_mcp.sandbox.account import JsonObject

_HEADER = {"typ": "JWT", "alg": "RS256"}
_SCOPES = ("push_notifications", "files", "crm", "files_delete", "notifications")
_SIGNATURE_BYTES = 256
_OPAQUE_BYTES = 128


def access_token(
    *, client_id: str, account_id: int, user_id: int, api_domain: str, issued: float, expires: float
) -> str:
    """A new token with these claims, times in Unix seconds; its signature is random, since there is no key.

    The claims beside `exp` and `api_domain`, `scopes` and an empty `grant_type` among them, are assumed.
    """
    claims = {
        "aud": client_id,
        "jti": uuid4().hex,
        "iat": int(issued),
        "nbf": int(issued),
        "exp": int(expires),
        "sub": str(user_id),
        "grant_type": "",
        "account_id": account_id,
        "base_domain": "amocrm.ru",
        "api_domain": api_domain,
        "scopes": list(_SCOPES),
    }
    parts = (_json(_HEADER), _json(claims), secrets.token_bytes(_SIGNATURE_BYTES))
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def opaque() -> str:
    """A new authorization code or refresh token."""
    return f"def50200{secrets.token_hex(_OPAQUE_BYTES)}"


def _json(value: JsonObject) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
