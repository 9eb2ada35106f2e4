"""What the commands say of a failed request, in the words of the tools, and of a wrong environment."""

import click

from amo_mcp.amocrm.errors import AmoError
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.failures.explain import explain
from amo_mcp.settings import InvalidSettings


def explained(error: AmoError | JournalUnusable) -> str:
    """What happened, and what to do: "amoCRM answered with the status 500. Try again in a minute."."""
    failure = explain(error)
    assert failure is not None, "both are explained"
    return f"{failure.what} {failure.answer['error'].get('hint', '')}".strip()


def wrong_environment(summary: str, error: InvalidSettings) -> click.ClickException:
    """The end of a command, with `summary` and a line for each wrong variable."""
    return click.ClickException("\n  ".join([f"{summary}:", *error.problems]))
