"""`amo-mcp logout`: forget the sign-in of an account."""

import anyio
import click

from amo_mcp.settings import InvalidSettings, Settings, load_settings
from amo_mcp.storage.credentials import credential_store


@click.command("logout")
def command() -> None:
    """Forget the tokens of the account that AMO_BASE_URL names, or of the one that was signed in to last.

    The integration itself is switched off in amoCRM.
    """
    try:
        settings = load_settings(Settings)
    except InvalidSettings as error:
        raise click.ClickException("\n  ".join(["cannot sign out:", *error.problems])) from None
    root = settings.root or next(reversed(settings.state.signed_in()), None)
    known = root in settings.state.signed_in()
    deleted = root is not None and anyio.run(credential_store(root, settings.state.path).delete)
    if root is not None and known:
        settings.state.forget(root)
    if not deleted:
        raise click.ClickException("nobody is signed in" + (f" to {root}" if root else ""))
    click.echo(f"Signed out of {root}.")
