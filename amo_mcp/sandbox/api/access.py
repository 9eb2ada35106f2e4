"""Bearer tokens: the administrator's, a plain user's that may only read, and those that a sign-in has issued."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import HTTPConnection

from amo_mcp.sandbox.account import Account
from amo_mcp.sandbox.api.problems import ProblemError

ADMIN_TOKEN = "sandbox-admin"
USER_TOKEN = "sandbox-user"


def user_id(
    connection: HTTPConnection, account: Account, granted_by: Callable[[str], int | None] = lambda _: None
) -> int:
    """The id of the user with whose rights the bearer token acts.

    Args:
        connection: has the token in its `authorization` header.
        account: whose users they are.
        granted_by: gives the user who has granted a token at a sign-in; None when it is not valid.

    Raises:
        ProblemError: 401 when it is nobody's.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer":
        if token in (ADMIN_TOKEN, USER_TOKEN):
            return account.user_id(admin=token == ADMIN_TOKEN)
        if (user := granted_by(token)) is not None:
            return user
    raise ProblemError(HTTPStatus.UNAUTHORIZED)
