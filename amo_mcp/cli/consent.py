"""The consent page of OAuth, opened in the browser, and its redirect, caught on this machine."""

import os
import secrets
import socket
import webbrowser
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import anyio
import anyio.to_thread
import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.oauth import SignInFailed, consent_page
from amo_mcp.listen import NotLoopback, listen
from amo_mcp.settings import InvalidSettings, LoginSettings, Settings

WAIT_FOR_CONSENT = 600.0
"""Seconds that the person has for the consent page."""

_ANY_ACCOUNT = "https://www.amocrm.ru"
_NOT_LOOPBACK = (
    "AMO_REDIRECT_URI is not on this machine (http://127.0.0.1:8919/callback would be), so that the redirect "
    "cannot be caught; use --code"
)
_NO_CODE = "--code needs the authorization code, or the whole address that the consent page redirected to"


async def ask_for_consent(settings: LoginSettings) -> tuple[str, str]:
    """Open the consent page and wait for its redirect.

    Returns:
        The authorization code and the account's base URL.

    Raises:
        InvalidSettings: the redirect does not come to this machine, or its port cannot be used.
        SignInFailed: access was not granted.
    """
    with _listener(settings.redirect_uri) as listener:
        state = secrets.token_urlsafe(24)
        if settings.base_url is None:
            click.echo("AMO_BASE_URL is not set, so this is amoCRM's page; for Kommo set it: https://example.kommo.com")
        page = consent_page(settings.base_url or _ANY_ACCOUNT, settings.client_id, state)
        click.echo(f"Grant access on this page:\n  {page}")
        parameters = await _redirected(listener, urlsplit(settings.redirect_uri).path or "/", state, page)
    return _granted(parameters, settings)


def pasted_code(text: str, settings: Settings) -> tuple[str, str]:
    """What `--code` was given: a code, or the whole address that the consent page redirected to.

    Returns:
        The authorization code and the account's base URL.

    Raises:
        InvalidSettings: there is no code in it, or it is not known whose code it is.
        SignInFailed: the address says that access was not granted, or granted by another account.
    """
    pasted = "".join(text.split()).strip("\"'<>")
    parameters: Mapping[str, str] = {"code": pasted}
    if set(pasted) & set("?=:/"):
        parameters = {name: values[0] for name, values in parse_qs(pasted.rpartition("?")[2]).items()}
    if not parameters.get("code") and "error" not in parameters:
        raise InvalidSettings([_NO_CODE])
    if "error" in parameters or "referer" in parameters:
        return _granted(parameters, settings)
    if settings.base_url is None:
        raise InvalidSettings(["AMO_BASE_URL or AMO_SUBDOMAIN is needed with --code: it says whose code it is"])
    return parameters["code"], settings.base_url


def _granted(parameters: Mapping[str, str], settings: Settings) -> tuple[str, str]:
    """The code and the base URL of the account, from the parameters of a redirect."""
    if "error" in parameters:
        raise SignInFailed("access was denied on the consent page")
    host = parameters.get("referer", "")
    try:
        base_url = settings.checked_base_url(f"http://{host}" if is_loopback(f"http://{host}") else f"https://{host}")
    except ValueError:
        raise SignInFailed("the redirect named an account outside of amocrm.ru, amocrm.com and kommo.com") from None
    if settings.base_url not in (None, base_url):
        raise SignInFailed(f"access was granted by {base_url}, not by {settings.base_url}")
    return parameters["code"], base_url


def _listener(redirect_uri: str) -> socket.socket:
    """A socket where the redirect arrives."""
    try:
        redirect = urlsplit(redirect_uri)
        if redirect.scheme != "http" or not redirect.hostname or not redirect.port:
            raise NotLoopback(redirect_uri)
        return listen(redirect.hostname, redirect.port)
    except (NotLoopback, ValueError):
        raise InvalidSettings([_NOT_LOOPBACK]) from None
    except OSError as error:
        raise InvalidSettings([f"AMO_REDIRECT_URI cannot be used: {os.strerror(error.errno or 0)}"]) from None


async def _redirected(listener: socket.socket, path: str, state: str, page: str) -> Mapping[str, str]:
    """Open `page`, and give the parameters of the redirect that comes with our `state`.

    Raises:
        SignInFailed: it does not come in time.
    """
    arrived = anyio.Event()
    parameters: dict[str, str] = {}

    async def callback(request: Request) -> Response:
        query = request.query_params
        ours = secrets.compare_digest(query.get("state", "").encode(), state.encode())
        if not ours or not ("error" in query or query.get("code")):
            return PlainTextResponse("This is not the redirect that amo-mcp waits for.", status_code=400)
        parameters.update(query)
        arrived.set()
        return PlainTextResponse("amo-mcp is done here. You can close this page and go back to the terminal.")

    app = Starlette(routes=[Route(path, callback)])
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, log_level="critical", lifespan="off", ws="none"))
    async with anyio.create_task_group() as group:

        async def serve() -> None:
            await server.serve([listener])
            group.cancel_scope.cancel()

        group.start_soon(serve)
        await anyio.to_thread.run_sync(webbrowser.open, page)
        with anyio.move_on_after(WAIT_FOR_CONSENT):
            await arrived.wait()
        server.should_exit = True
        # Until the server has ended, which cancels this.
        await anyio.sleep_forever()
    if not arrived.is_set():
        raise SignInFailed("nobody answered the consent page in time; if it shows an error, check AMO_CLIENT_ID")
    return parameters
