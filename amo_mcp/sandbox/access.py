"""Who asks: an administrator, a user who only reads, or nobody the account knows."""

from http import HTTPStatus

from starlette.requests import HTTPConnection

from amo_mcp.sandbox.problems import ProblemError

ADMIN_TOKEN = "sandbox-admin"  # noqa: S105 - opens nothing but a sandbox
USER_TOKEN = "sandbox-user"  # noqa: S105 - opens nothing but a sandbox


def is_admin(connection: HTTPConnection) -> bool:
    """Whether the bearer token is the administrator's, rather than the plain user's.

    Raises:
        ProblemError: 401 when it is neither.
    """
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or token.strip() not in (ADMIN_TOKEN, USER_TOKEN):
        raise ProblemError(HTTPStatus.UNAUTHORIZED)
    return token.strip() == ADMIN_TOKEN


def require_admin(connection: HTTPConnection) -> None:
    """Let only the administrator through.

    Raises:
        ProblemError: 401 for nobody, 403 for the plain user.
    """
    if not is_admin(connection):
        raise ProblemError(HTTPStatus.FORBIDDEN)
