"""Who calls: a question and a plan belong to one caller."""

import hashlib
import json
from dataclasses import dataclass

from mcp.server.auth.middleware.auth_context import get_access_token

from amo_mcp.logs import on_one_line
from amo_mcp.protocol import STATELESS_SINCE, Ctx

_MAX_CLIENT = 80


@dataclass(frozen=True)
class Caller:
    """Who asked for a change or made a plan: as much as is known of who calls.

    - Over stdio a process has one client. Its name and version stand for it, so that it is the same caller after a
      restart; two windows of one client on one machine are one caller as well.
    - Over HTTP a client of 2025-11-25 has a session, whose id is a secret: another session is another caller.
    - A client of 2026-07-28 has none, so its name and version stand for it. Two of one name look alike: what tells
      them apart is what only the one who was asked holds, the approval's id or the sealed state of its dialog, and the
      plan's id.
    - Where people sign in, a person is one caller, with whatever client and in either era.

    Attributes:
        person: who is signed in.
        session: the id of the session.
        client: the name and version that the client gives itself.
    """

    person: str | None = None
    session: str | None = None
    client: str | None = None

    @property
    def digest(self) -> str:
        """Names the caller in what is kept on disk, where the session's id has no place."""
        return hashlib.sha256(json.dumps(vars(self)).encode()).hexdigest()


def name_of_caller() -> str | None:
    """The name under which others know who makes this call; None where nobody signs in."""
    token = get_access_token()
    return None if token is None or token.claims is None else token.claims.get("name")


def client_of_caller(ctx: Ctx) -> str:
    """The program that makes this call, in its own words; empty where it says nothing.

    It says so by the protocol, or in the older era, where that has no session, by HTTP.
    """
    if params := ctx.session.client_params:
        said = f"{params.client_info.name} {params.client_info.version}"
    else:
        said = (getattr(ctx.request, "headers", None) or {}).get("user-agent", "")
    return on_one_line(said, _MAX_CLIENT)


def digest_of_call(ctx: Ctx) -> str:
    """The tool of this call and its arguments, digested."""
    params = ctx.params or {}
    text = json.dumps([params.get("name"), params.get("arguments")], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def caller_of(ctx: Ctx) -> Caller:
    """Who makes this call."""
    if (token := get_access_token()) and token.subject:
        return Caller(person=token.subject)
    client = ctx.session.client_params.client_info if ctx.session.client_params else None
    headers = getattr(ctx.request, "headers", None) or {}
    return Caller(
        session=headers.get("mcp-session-id") if ctx.protocol_version < STATELESS_SINCE else None,
        client=f"{client.name} {client.version}" if client else None,
    )
