"""The tables in the database of an account, and how those of an earlier release are brought up to date."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.storage.records import dump

VERSION = 2
"""`PRAGMA user_version` of a database as it is described here; those of the first release have 0."""

_OPEN_INDEX = "CREATE INDEX changes_open ON changes (number) WHERE status IN ('running', 'interrupted')"

_TABLES = (
    """
    CREATE TABLE changes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        at REAL NOT NULL,
        tool TEXT NOT NULL,
        status TEXT NOT NULL,
        undoes TEXT,
        process TEXT NOT NULL,
        noted REAL NOT NULL,
        uptime REAL NOT NULL,
        plan TEXT,
        noted_after INTEGER NOT NULL
    )
    """,
    "CREATE INDEX changes_undoes ON changes (undoes)",
    _OPEN_INDEX,
    """
    CREATE TABLE steps (
        change TEXT NOT NULL REFERENCES changes (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        record TEXT NOT NULL,
        PRIMARY KEY (change, position)
    )
    """,
    """
    CREATE TABLE plans (
        id TEXT PRIMARY KEY,
        made REAL NOT NULL,
        owner TEXT NOT NULL,
        steps TEXT NOT NULL,
        applied INTEGER NOT NULL DEFAULT 0,
        fields TEXT NOT NULL DEFAULT '[]'
    )
    """,
    "CREATE TABLE dropped (undoable INTEGER NOT NULL)",
    "INSERT INTO dropped VALUES (0)",
)

_FROM_0 = (
    "ALTER TABLE changes ADD COLUMN noted_after INTEGER NOT NULL DEFAULT 0",
    # The first release compared times; what was begun before something was noted has a lower number.
    """
    UPDATE changes SET noted_after = max(
        number, (SELECT coalesce(max(number), 0) FROM changes AS other WHERE other.at < changes.noted)
    )
    """,
    "ALTER TABLE plans ADD COLUMN fields TEXT NOT NULL DEFAULT '[]'",
    "CREATE TABLE counted AS SELECT count(*) AS undoable FROM dropped",
    "DELETE FROM dropped",
    "INSERT INTO dropped SELECT undoable FROM counted",
    "DROP TABLE counted",
    _OPEN_INDEX,
)

_FROM_1 = ("ALTER TABLE changes ADD COLUMN uptime REAL NOT NULL DEFAULT 0",)


def upgrade(connection: sqlite3.Connection) -> None:
    """Make the tables, or bring those of an earlier release up to date; within the caller's transaction.

    Raises:
        JournalUnusable: a later release has written it.
    """
    [version] = connection.execute("PRAGMA user_version").fetchone()
    if version == VERSION:
        return
    if version > VERSION:
        raise JournalUnusable("a later version of amo-mcp has written it; update amo-mcp")
    is_new = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'changes'").fetchone() is None
    is_of_first_release = version == 0 and not is_new
    for statement in _TABLES if is_new else (*(_FROM_0 if is_of_first_release else ()), *_FROM_1):
        connection.execute(statement)
    if is_of_first_release:
        _rewrite(connection, "steps", "record", _from_0)
        _rewrite(connection, "plans", "steps", lambda steps: [_from_0(step) for step in steps])
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _rewrite(connection: sqlite3.Connection, table: str, column: str, convert: Callable[[Any], object]) -> None:
    """Give the steps of the first release the keys of this one."""
    rows = connection.execute(f"SELECT rowid, {column} FROM {table}").fetchall()
    connection.executemany(
        f"UPDATE {table} SET {column} = ? WHERE rowid = ?",
        [(dump(convert(json.loads(text))), row) for row, text in rows],
    )


def _from_0(step: dict[str, Any]) -> dict[str, Any]:
    """A step of the first release, which had every key for every action, as `to_record` would make it."""
    action, outcome = step["action"], step["outcome"]
    record = {
        "action": action,
        "kind": step["kind"],
        "outcome": "pending" if outcome == "intent" else outcome,
        "undoes": step["undoes"],
    }
    if action != "create":
        record["before"] = step["before"]
    if action != "delete":
        record["after"] = step["after"]
        record["payload"] = step["sent"]
    if action == "create":
        record["existing_ids"] = step["known"]
    return record
