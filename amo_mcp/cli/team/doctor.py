"""`amo-mcp team doctor`: checks everything that a team's server needs, one line each, ok or with what to do.

It changes nothing, neither in the database nor in the account.
"""

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.cli import doctor
from amo_mcp.cli.doctor import Line
from amo_mcp.cli.team.desk import why_not
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, load_settings

if TYPE_CHECKING:
    from amo_mcp.compose.team import Office, State, TeamSettings, Token


@click.command("doctor")
def command() -> None:
    """Check settings, database, schema, keys, tokens, clocks, host, sign-in, rights, mode and limits."""
    log_to_stderr("ERROR")
    if reason := why_not():
        raise click.ClickException(reason)
    from amo_mcp.compose.team import TeamSettings

    try:
        settings = load_settings(TeamSettings)
    except InvalidSettings as error:
        doctor.report_wrong(error)
    doctor.report(checks(settings))


async def checks(settings: "TeamSettings") -> AsyncIterator[Line]:
    """Every check, in an order in which each needs the ones before; what cannot be known is left out."""
    from amo_mcp.compose.team import look_at, open_office

    yield Line("settings", f"{settings.public_url} for {settings.base_url}")
    yield _confirmation(settings)
    yield _figures(settings)
    lines, is_reached = await doctor.reached(settings)
    for line in lines:
        yield line
    for line in _sign_in(settings):
        yield line
    try:
        state = await look_at(settings)
    except JournalUnusable as error:
        yield _unusable(error)
        return
    for line in _database(state):
        yield line
    if state.pending:
        return
    try:
        async with open_office(settings) as office:
            await office.database.check_writable()
            yield await _keys(office)
            yield _tokens(await office.people.tokens(), settings)
            if is_reached and not settings.is_per_person:
                async for line in _account(office.account.client):
                    yield line
    except JournalUnusable as error:
        yield _unusable(error)


def _unusable(error: JournalUnusable) -> Line:
    return Line("database", f"cannot be used ({error.reason})", "Check AMO_DATABASE_URL, and that PostgreSQL runs.")


async def _account(client: AmoClient) -> AsyncIterator[Line]:
    line, account = await doctor.account_of(client)
    yield line
    if account is not None:
        async for line in doctor.rights_and_limits(client, account):
            yield line


def _sign_in(settings: "TeamSettings") -> Iterator[Line]:
    """Whose rights count in amoCRM, and how people are known here."""
    if settings.access_token is None:
        yield Line("rights", "each works with their own in amoCRM")
    else:
        yield doctor.long_lived(settings.access_token)
    if settings.has_sign_in:
        yield Line("sign-in", f"with amoCRM; the integration's card has to name {settings.callback}")


def _confirmation(settings: "TeamSettings") -> Line:
    if settings.confirm == "dialog":
        return Line("confirmation", "dialog: asks who calls, an approver whose client speaks 2026-07-28")
    if settings.has_sign_in:
        return Line("confirmation", f"page: an approver or an admin answers on it (AMO_APPROVAL={settings.approval})")
    advice = "Set AMO_CLIENT_ID and AMO_CLIENT_SECRET, so that people can sign in to the page, or AMO_CONFIRM=dialog."
    return Line("confirmation", "page: nothing can be changed or deleted", advice)


def _figures(settings: "TeamSettings") -> Line:
    if find_spec("opentelemetry.sdk") is None:
        return Line("figures", "not kept, and /metrics is 404: amo-mcp[otel] is not installed")
    return Line("figures", f"http://{settings.metrics}/metrics")


def _database(state: "State") -> list[Line]:
    left = ", ".join(state.pending)
    schema = f"the next replica or command applies {left}" if left else "up to date"
    rights = ""
    if left and not state.may_apply:
        schema, rights = f"{left} cannot be applied", "GRANT CREATE ON SCHEMA public TO the user of AMO_DATABASE_URL."
    far = abs(state.ahead) > doctor.TOLERATED_SKEW
    clock = f"the database's is {state.ahead:+.0f} s from this machine's" if far else "the database's is right"
    return [
        Line("database", f"PostgreSQL {state.version}"),
        Line("schema", schema, rights),
        Line("db clock", clock, "Set the clocks: leases and tokens end by the database's." if far else ""),
    ]


async def _keys(office: "Office") -> Line:
    ids, missing = ", ".join(office.keys.ids), [key for key, _, state in await office.key_use() if state == "missing"]
    if missing:
        advice = "Put it back into AMO_SECRET_KEY, behind the newest, and run amo-mcp team keys rotate."
        return Line("keys", f"{ids}, and what {', '.join(missing)} has encrypted cannot be read", advice)
    return Line("keys", f"{ids}, and everything that is encrypted can be read")


def _tokens(tokens: Sequence["Token"], settings: "TeamSettings") -> Line:
    now = time.time()
    good = [token for token in tokens if token.state(now) == "good"]
    if not good and settings.has_sign_in:
        return Line("tokens", "no personal ones: people sign in with amoCRM")
    if not good:
        return Line("tokens", "nobody can sign in", "Make one: amo-mcp team token --name NAME --role ROLE")
    ending = [token for token in good if token.expires is not None and token.expires - now < doctor.EXPIRES_SOON]
    people = len({token.person.id for token in good})
    found = f"{len(good)} good, of {people} {'person' if people == 1 else 'people'}"
    if ending:
        names = ", ".join(sorted({token.person.name for token in ending}))
        return Line("tokens", f"{found}, and within a week no more: {names}", "Make new ones: amo-mcp team token")
    return Line("tokens", found)
