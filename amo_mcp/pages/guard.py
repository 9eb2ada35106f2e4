"""What all pages have in common: the headers of their answers, and their secrets."""

import secrets

HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    # With no-referrer a browser would not say where a form was sent from.
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every answer; each page has a content security policy of its own beside them."""


def new_secret() -> str:
    """256 random bits, as a URL has them."""
    return secrets.token_urlsafe(32)


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that does not tell where they differ."""
    return secrets.compare_digest(one.encode(), other.encode())
