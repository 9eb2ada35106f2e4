"""One amoCRM account as the server holds it."""

FRESH_SECONDS = 5.0
"""Seconds for which a response is shared by everybody who wants the same."""
