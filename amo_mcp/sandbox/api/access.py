"""Who asks: an administrator, a user who only reads, or nobody the account knows."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import HTTPConnection

from amo_mcp.sandbox.api.problems import ProblemError

ADMIN_TOKEN = "sandbox-admin"  # noqa: S105 - opens nothing but a sandbox
USER_TOKEN = "sandbox-user"  # noqa: S105 - opens nothing but a sandbox


def is_admin(connection: HTTPConnection, issued: Callable[[str], bool] | None = None) -> bool:
    """Whether the bearer token is the administrator's, rather than the plain user's.

    A token that was `issued` by a sign-in is the administrator's too.

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


def require_admin(connection: HTTPConnection, issued: Callable[[str], bool] | None = None) -> None:
    """Let only the administrator through.

    Raises:
        ProblemError: 401 for nobody, 403 for the plain user.
    """
    if not is_admin(connection, issued):
        raise ProblemError(HTTPStatus.FORBIDDEN)
