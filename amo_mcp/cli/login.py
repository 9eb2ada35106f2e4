"""`amo-mcp login`: OAuth, with the redirect caught on loopback or the code typed in."""

from contextlib import aclosing

import anyio
import click

from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.oauth import SignInFailed, exchange_code
from amo_mcp.cli.consent import ask_for_consent, pasted_code
from amo_mcp.cli.wording import explained, wrong_environment
from amo_mcp.compose.account import sign_in_store
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, LoginSettings, load_settings

_REFUSED = {
    400: "Check that AMO_REDIRECT_URI is the redirect address on the integration's card, to the letter; "
    "a code lives 20 minutes and works once. If both are right, check AMO_CLIENT_ID and AMO_CLIENT_SECRET too",
    401: "Check AMO_CLIENT_ID and AMO_CLIENT_SECRET against the integration's card",
}
"""What to do about a status of the token endpoint (which status means what is assumed)."""


@click.command("login")
@click.option("--code", help="The authorization code that the integration's card shows, or the whole redirect address.")
def command(code: str | None) -> None:
    """Sign in to an account by OAuth.

    Needs AMO_CLIENT_ID, AMO_CLIENT_SECRET and AMO_REDIRECT_URI of the integration. Without --code the consent page is
    opened in the browser, and its redirect to AMO_REDIRECT_URI is caught on this machine.
    """
    log_to_stderr("ERROR")
    try:
        settings = load_settings(LoginSettings)
        settings.state.create()
        anyio.run(_sign_in, settings, code)
    except InvalidSettings as error:
        raise wrong_environment("cannot sign in", error) from None
    except SignInFailed as error:
        hint = _REFUSED.get(error.status or 0)
        raise click.ClickException(f"cannot sign in: {error}" + (f". {hint}" if hint else "")) from None
    except AmoError as error:
        raise click.ClickException(f"cannot sign in. {explained(error)}") from None
    except BrokenPipeError:
        raise
    except OSError as error:
        raise click.ClickException(f"{error.filename}: {error.strerror}") from None


async def _sign_in(settings: LoginSettings, pasted: str | None) -> None:
    if pasted is None:
        code, base_url = await ask_for_consent(settings)
    else:
        code, base_url = pasted_code(pasted, settings)
    async with aclosing(HttpTransport(timeout=settings.timeout, direct=is_loopback(base_url))) as http:
        credentials = await exchange_code(
            http,
            base_url,
            client_id=settings.client_id,
            client_secret=settings.client_secret.get_secret_value(),
            redirect_uri=settings.redirect_uri,
            code=code,
        )
    store = sign_in_store(settings, base_url)
    try:
        async with store.exclusive():
            await store.save(credentials)
    except OSError as error:
        raise click.ClickException(f"the tokens cannot be kept in {store.place}: {error.strerror}") from None
    settings.state.remember(base_url)
    click.echo(f"Signed in to {base_url}; the tokens are kept in {store.place}.")
