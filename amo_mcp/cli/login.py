"""`amo-mcp login`: OAuth, with the redirect caught on loopback or the code typed in."""

import os
import secrets
import socket
import webbrowser
from collections.abc import Mapping
from urllib.parse import urlsplit

import anyio
import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from amo_mcp.amocrm.auth import Credentials, SignInFailed, consent_page, exchange_code
from amo_mcp.amocrm.errors import Unavailable
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, Settings, is_loopback, load_settings
from amo_mcp.storage.credentials import credential_store

WAIT_FOR_CONSENT = 600.0
"""Seconds that the person has for the consent page."""

_ANY_ACCOUNT = "https://www.amocrm.ru"
_NOT_CATCHABLE = (
    "AMO_REDIRECT_URI is not on this machine (http://127.0.0.1:8919/callback would be), so that the redirect "
    "cannot be caught; use --code"
)


class Integration:
    """The integration's keys, as its card shows them."""

    def __init__(self, settings: Settings) -> None:
        wanted = {
            "AMO_CLIENT_ID": settings.client_id,
            "AMO_CLIENT_SECRET": settings.client_secret,
            "AMO_REDIRECT_URI": settings.redirect_uri,
        }
        missing = [f"{name} is needed: the integration's card shows it" for name, value in wanted.items() if not value]
        if missing:
            raise InvalidSettings(missing)
        self.client_id = settings.client_id or ""
        self.client_secret = settings.client_secret.get_secret_value() if settings.client_secret else ""
        self.redirect_uri = settings.redirect_uri or ""


@click.command("login")
@click.option("--code", help="The authorization code that the integration's card shows.")
def command(code: str | None) -> None:
    """Sign in to an account by OAuth.

    Needs AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI of the integration. Without --code the consent page is
    opened in the browser, and its redirect to AMO_REDIRECT_URI is caught on this machine.
    """
    log_to_stderr("ERROR")
    try:
        settings = load_settings(Settings)
        integration = Integration(settings)
        settings.state.create()
        signed_in = anyio.run(_sign_in, settings, integration, code)
    except InvalidSettings as error:
        raise click.ClickException("\n  ".join(["cannot sign in:", *error.problems])) from None
    except SignInFailed as error:
        raise click.ClickException(f"cannot sign in: {error}") from None
    except Unavailable as error:
        raise click.ClickException(f"amoCRM {error.reason}") from None
    except OSError as error:
        raise click.ClickException(f"{error.filename or 'AMO_REDIRECT_URI'}: {os.strerror(error.errno or 0)}") from None
    store = credential_store(signed_in.base_url, settings.state.path)
    try:
        anyio.run(store.save, signed_in)
    except OSError as error:
        raise click.ClickException(f"the tokens cannot be kept in {store.place}: {error.strerror}") from None
    settings.state.remember(signed_in.base_url)
    click.echo(f"Signed in to {signed_in.base_url}; the tokens are kept in {store.place}.")


async def _sign_in(settings: Settings, integration: Integration, code: str | None) -> Credentials:
    root = settings.root
    if code is None:
        code, root = await _consent(settings, integration)
    elif root is None:
        raise InvalidSettings(["AMO_BASE_URL or AMO_SUBDOMAIN is needed with --code: it says whose code it is"])
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(root))
    try:
        return await exchange_code(
            http,
            root,
            client_id=integration.client_id,
            client_secret=integration.client_secret,
            redirect_uri=integration.redirect_uri,
            code=code,
        )
    finally:
        await http.aclose()


async def _consent(settings: Settings, integration: Integration) -> tuple[str, str]:
    """The code and the account's address that the redirect from the consent page brings."""
    host, port, path = _catchable(integration.redirect_uri)
    state = secrets.token_urlsafe(24)
    page = consent_page(settings.root or _ANY_ACCOUNT, integration.client_id, state)
    click.echo(f"Let the integration in on this page:\n  {page}")
    brought = await _caught(host, port, path, state, page)
    if "error" in brought:
        raise SignInFailed("access was denied on the consent page")
    return brought["code"], _root_of(brought.get("referer", ""), settings)


def _catchable(redirect_uri: str) -> tuple[str, int, str]:
    """The host, port and path on which the redirect comes to this machine.

    Raises:
        InvalidSettings: it does not come to this machine.
    """
    try:
        redirect = urlsplit(redirect_uri)
        host, port = redirect.hostname, redirect.port
    except ValueError:
        raise InvalidSettings([_NOT_CATCHABLE]) from None
    if redirect.scheme != "http" or not host or not port or not is_loopback(f"http://{redirect.netloc}"):
        raise InvalidSettings([_NOT_CATCHABLE])
    return host, port, redirect.path or "/"


def _root_of(referer: str, settings: Settings) -> str:
    """The account's address, if a token may be sent there."""
    try:
        root = settings.allowed(f"http://{referer}" if is_loopback(f"http://{referer}") else f"https://{referer}")
    except ValueError:
        raise SignInFailed("the redirect named an account outside of amocrm.ru, amocrm.com and kommo.com") from None
    if settings.root not in (None, root):
        raise SignInFailed(f"it was {root} that let the integration in, and not {settings.root}")
    return root


async def _caught(host: str, port: int, path: str, state: str, page: str) -> Mapping[str, str]:
    """What the redirect brings, once it comes with our `state`."""
    done = anyio.Event()
    brought: dict[str, str] = {}

    async def caught(request: Request) -> Response:
        query = request.query_params
        known = secrets.compare_digest(query.get("state", "").encode(), state.encode())
        if not known or not ("error" in query or query.get("code")):
            return PlainTextResponse("This is not the answer that amo-mcp waits for.", status_code=400)
        brought.update(query)
        done.set()
        return PlainTextResponse("amo-mcp has the answer. You can close this page and go back to the terminal.")

    app = Starlette(routes=[Route(path, caught)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="critical", lifespan="off", ws="none"))
    with socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        async with anyio.create_task_group() as group:

            async def serve() -> None:
                await server.serve([listener])
                group.cancel_scope.cancel()

            group.start_soon(serve)
            await anyio.to_thread.run_sync(webbrowser.open, page)
            with anyio.move_on_after(WAIT_FOR_CONSENT):
                await done.wait()
            server.should_exit = True
            await anyio.sleep_forever()
    if not done.is_set():
        raise SignInFailed("nobody answered the consent page in time")
    return brought
