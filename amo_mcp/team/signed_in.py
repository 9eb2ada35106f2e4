"""Who makes the request that is being answered, between the HTTP layer, which finds out, and all that wants to know.

The SDK carries it as the access token of the request: questions are sealed for that person, and are theirs alone.
"""

from mcp.server.auth.middleware.auth_context import AuthContextMiddleware, get_access_token
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.types import ASGIApp, Receive, Scope, Send

from amo_mcp.team.people import Person, Token


class _PersonToken(AccessToken):
    """What the SDK is told of a token: the secret stays behind, since nothing that is reached from here needs it."""

    person: Person
    may_write: bool


class AsPerson:
    """Serves an application to whoever a token belongs to."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = AuthContextMiddleware(app)

    async def __call__(self, token: Token, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI, with the token."""
        person = token.person
        # A client's access token changes by the hour, and what it has asked is still its own.
        client = token.sign_in or token.id
        known = _PersonToken(
            token=token.id,
            client_id=client,
            scopes=[person.role],
            subject=person.id,
            claims={"name": person.name},
            person=person,
            may_write=token.may_write,
        )
        await self._app({**scope, "user": AuthenticatedUser(known)}, receive, send)


def signed_in() -> Person | None:
    """Who makes the request; None outside of one, and where that could not be found out."""
    token = get_access_token()
    return token.person if isinstance(token, _PersonToken) else None


def may_write() -> bool:
    """Whether the token of the request allows more than to read."""
    token = get_access_token()
    return isinstance(token, _PersonToken) and token.may_write
