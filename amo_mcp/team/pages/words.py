"""The audit in a person's words; it is kept as facts."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amo_mcp.changes.titles import shown_name
from amo_mcp.language import Message, Texts, message
from amo_mcp.team.audit import Entry, Kind, Touched
from amo_mcp.team.people import WRITE, Role
from amo_mcp.text import quote, sanitize

ROLE_WORDS: Mapping[Role, Message] = {
    "viewer": message("viewer: reads"),
    "editor": message("editor: also creates, plans and asks"),
    "approver": message("approver: also says yes"),
    "admin": message("admin: everything"),
}

ROLE_NAMES: Mapping[Role, Message] = {
    "viewer": message("viewer"),
    "editor": message("editor"),
    "approver": message("approver"),
    "admin": message("admin"),
}

KIND_WORDS: Mapping[Kind, Message] = {
    "sign_in": message("Sign-ins"),
    "refusal": message("Refusals"),
    "person": message("People and roles"),
    "token": message("Personal tokens"),
    "approval": message("Answers to questions"),
    "change": message("Changes in amoCRM"),
}

_WHAT: Mapping[str, Message] = {
    "signed_in": message("Signed in"),
    "signed_out": message("Signed out"),
    "ended": message("A sign-in was ended"),
    "reuse": message("A refresh token was used again: its sign-in was ended"),
    "role": message("Gave another role"),
    "removed": message("Removed somebody"),
    "let_in": message("Let somebody in again"),
    "made": message("Made a personal token"),
    "revoked": message("Revoked a personal token"),
    "yes": message("Said yes"),
    "no": message("Said no"),
    "stopped": message("Stopped a change"),
}

_OUTCOMES: Mapping[str, Message] = {
    "begun": message("begun"),
    "running": message("under way"),
    "done": message("done"),
    "failed": message("not done"),
    "interrupted": message("stopped part-way"),
    "undone": message("undone"),
    "withdrawn": message("withdrawn"),
    "late": message("found out later"),
    "ended": message("ended"),
    "removed": message("was removed from this server"),
    "forbidden": message("the role does not allow it"),
}

_ACTIONS: Mapping[tuple[str, str], str] = {
    ("create", "segment"): "Create segment {name}",
    ("update", "segment"): "Change segment {name}",
    ("delete", "segment"): "Delete segment {name}",
    ("create", "status"): "Create status {name}",
    ("update", "status"): "Change status {name}",
    ("delete", "status"): "Delete status {name}",
}
"""As the steps of a change are titled."""

_MOVE = message("Move customers")

_LABELS: Mapping[str, Message] = {
    "name": message("Name"),
    "color": message("Colour"),
    "sort": message("Position"),
    "role": message("Role"),
    "scope": message("Allowed"),
    "label": message("Name"),
    "person": message("Person"),
    "expires": message("Good until"),
}

_UNTOLD = {"id", "created_at", "updated_at", "created_by", "updated_by", "account_id", "customers_count", "is_default"}
"""What the account sets by itself."""

_MAX_VALUE = 160
_MAX_TOUCHED = 25


@dataclass(frozen=True)
class Told:
    """An entry in words.

    Attributes:
        headline: what was done.
        outcome: what came of it.
        things: what it was done to: each with its title, the settings before → after, and amoCRM's id of the request.
        more: that there are more, and how many; empty when there are none.
    """

    headline: str
    outcome: str
    things: list[tuple[str, list[tuple[str, str, str]], str]]
    more: str


def told(entry: Entry, texts: Texts, moment: Any) -> Told:
    """An entry in the words of a language; `moment` words Unix seconds."""
    what = _WHAT.get(entry.what)
    headline = texts.of(what) if what else sanitize(entry.what, 60)
    if entry.kind == "refusal":
        headline = texts("Refused: {what}", what=headline)
    outcome = _OUTCOMES.get(entry.outcome)
    things = [
        (_title(one, texts), [*_settings(one, texts, moment)], sanitize(one.request_id or "", 80))
        for one in entry.touched[:_MAX_TOUCHED]
    ]
    word = texts.of(outcome) if outcome else sanitize(entry.outcome, 60)
    count = len(entry.touched) - _MAX_TOUCHED
    more = texts.plural("and {count} more", "and {count} more", count) if count > 0 else ""
    return Told(headline, word, things, more)


def _title(one: Touched, texts: Texts) -> str:
    name = str((one.before or one.after).get("name", ""))
    if one.action == "move":
        return texts.of(_MOVE)
    if (text := _ACTIONS.get((one.action, one.kind))) is not None:
        return texts(text, name=shown_name(name))
    return quote(name) if name else ""


def _settings(one: Touched, texts: Texts, moment: Any) -> Iterator[tuple[str, str, str]]:
    """Each setting that differs: its label, what it was, what it is; an empty text for nothing."""
    for key in dict.fromkeys([*one.before, *one.after]):
        was, now = one.before.get(key), one.after.get(key)
        before, after = (_value(key, value, texts, moment) for value in (was, now))
        if key in _UNTOLD or before == after or (one.action == "delete" and key not in _LABELS):
            continue
        label = _LABELS.get(key)
        yield texts.of(label) if label else sanitize(key, 60), before, after


def _value(key: str, value: Any, texts: Texts, moment: Any) -> str:
    if value in (None, [], ()):
        return ""
    if key == "expires":
        return str(moment(value))
    if key == "scope":
        return texts("May read and change") if WRITE in str(value).split() else texts("May read")
    if key == "role" and value in ROLE_NAMES:
        return texts.of(ROLE_NAMES[value])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return sanitize(text, _MAX_VALUE)
