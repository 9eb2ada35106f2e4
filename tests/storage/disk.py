"""A disk that can be full."""

import sqlite3
from contextlib import suppress
from typing import Any

import pytest


class Disk:
    """The disk under the databases that are opened while it exists: SQLite's own limit of pages stands for its size."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._connections: list[sqlite3.Connection] = []
        connect = sqlite3.connect

        def connect_and_remember(*arguments: Any, **named: Any) -> sqlite3.Connection:
            connection: sqlite3.Connection = connect(*arguments, **named)
            self._connections.append(connection)
            return connection

        monkeypatch.setattr(sqlite3, "connect", connect_and_remember)

    def fill(self) -> None:
        """Let no database grow any more; what is free within its pages can still be written."""
        self._set_pages(1)

    def free(self) -> None:
        """Let there be room again."""
        self._set_pages(1_000_000)

    def _set_pages(self, count: int) -> None:
        for connection in self._connections:
            # Of one that was closed, or whose file is no database any more, there is nothing to limit.
            with suppress(sqlite3.Error):
                connection.execute(f"PRAGMA max_page_count = {count}")
