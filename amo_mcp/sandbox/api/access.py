"""Bearer tokens: the administrator's, a plain user's that may only read, and those that a sign-in has issued."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import HTTPConnection

from amo_mcp.sandbox.api.problems import ProblemError

ADMIN_TOKEN = "sandbox-admin"
USER_TOKEN = "sandbox-user"


def is_admin(connection: HTTPConnection, issued: Callable[[str], bool] | None = None) -> bool:
    """Whether the bearer token is the administrator's, rather than the plain user's.

    A token that `issued` accepts, because a sign-in has issued it, is the administrator's too.

    Raises:
        ProblemError: 401 when it is none of these.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() == "bearer":
        if token == ADMIN_TOKEN or (issued and issued(token)):
            return True
        if token == USER_TOKEN:
            return False
    raise ProblemError(HTTPStatus.UNAUTHORIZED)
