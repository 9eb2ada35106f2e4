"""`amo-mcp logout`: forget the sign-in of an account."""

import anyio
import click

from amo_mcp.amocrm.credentials import CredentialStore
from amo_mcp.cli.wording import wrong_environment
from amo_mcp.compose.account import sign_in_store
from amo_mcp.settings import InvalidSettings, Settings, load_settings


@click.command("logout")
def command() -> None:
    """Forget the tokens of the account that AMO_BASE_URL names, or of the one that was signed in to last.

    The integration itself is switched off in amoCRM.
    """
    try:
        settings = load_settings(Settings)
    except InvalidSettings as error:
        raise wrong_environment("cannot sign out", error) from None
    try:
        base_url = settings.base_url or next(reversed(settings.state.signed_in()), None)
    except ValueError as error:
        raise wrong_environment("cannot sign out", InvalidSettings([str(error)])) from None
    if base_url is None:
        raise click.ClickException("nobody is signed in")
    store = sign_in_store(settings, base_url)
    try:
        deleted = anyio.run(_delete, store)
    except OSError as error:
        raise click.ClickException(f"the tokens cannot be removed from {store.place}: {error.strerror}") from None
    try:
        settings.state.forget(base_url)
    except OSError as error:
        raise click.ClickException(f"the list of accounts cannot be written: {error.strerror}") from None
    if not deleted:
        raise click.ClickException(f"nobody is signed in to {base_url}")
    click.echo(f"Signed out of {base_url}.")


async def _delete(store: CredentialStore) -> bool:
    """Forget what is kept, whether there was anything; after a refresh that is under way, which would bring it back."""
    async with store.exclusive():
        return await store.delete()
