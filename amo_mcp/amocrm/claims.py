"""What a token says of itself: the claims of a JWT. Nothing proves them, so they are hints."""

import base64
from typing import Any

from pydantic import SecretStr

from amo_mcp.amocrm.http import parse_json


def expiry(token: SecretStr) -> float | None:
    """When a token says that it ends, in Unix seconds; None when it does not say so."""
    value = claim_of(token, "exp")
    try:
        return float(value) if isinstance(value, int | float) else None
    except OverflowError:
        return None


def claim_of(token: SecretStr, name: str) -> Any:
    """A claim of a JWT; None when there is none."""
    try:
        payload = token.get_secret_value().split(".")[1]
        claims = parse_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return None
    return claims.get(name) if isinstance(claims, dict) else None
