"""Asking a person before anything destructive, through whatever the client can show."""
