"""`amo-mcp doctor`: checks everything the server needs, one line each, ok or with what to do.

It changes nothing in the account.
"""

import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NoReturn

import anyio
import click
from pydantic import SecretStr

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.auth import UNLOCK_HINT
from amo_mcp.amocrm.claims import expiry
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.errors import AmoError, Forbidden, NotFound
from amo_mcp.amocrm.http import HttpTransport, TransportError
from amo_mcp.amocrm.limits import ALMOST_FULL, MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import Account, iso_utc
from amo_mcp.changes.journal import JournalUnusable
from amo_mcp.cli.wording import explained
from amo_mcp.compose import browser
from amo_mcp.compose.account import open_account, rate_limiter, sign_in_store
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, ServingSettings, Settings, load_settings
from amo_mcp.text import sanitize

TOLERATED_SKEW = 30.0
"""Seconds that this machine's clock may differ from amoCRM's before it is reported."""

EXPIRES_SOON = 7 * 86_400.0
"""Seconds of life below which a long-lived token has to be replaced."""


@dataclass(frozen=True)
class Line:
    """One check.

    Attributes:
        subject: what was checked, at most 13 characters.
        finding: what was found, without a full stop.
        advice: what to do, in sentences; empty when all is well.
    """

    subject: str
    finding: str
    advice: str = ""


@click.command("doctor")
@click.option("--sandbox", is_flag=True, default=None, help="Check the embedded sandbox instead of an account.")
def command(sandbox: bool | None) -> None:
    """Check settings, state directory, rate limit, host, clock, sign-in, rights, mode and limits."""
    log_to_stderr("ERROR")
    try:
        settings = load_settings(ServingSettings, sandbox=sandbox)
    except InvalidSettings as error:
        report_wrong(error)
    report(checks(settings))


def report_wrong(error: InvalidSettings) -> NoReturn:
    """Print what is wrong with the environment, and exit with 1: nothing else can be checked."""
    for problem in error.problems:
        _show(Line("settings", "wrong", problem))
    raise SystemExit(1) from None


def report(lines: AsyncIterator[Line]) -> None:
    """Print every line as it comes, and exit with 1 unless all is well."""

    async def run() -> bool:
        all_well = True
        async for line in lines:
            _show(line)
            all_well = all_well and not line.advice
        return all_well

    if not anyio.run(run):
        raise SystemExit(1)


def _show(line: Line) -> None:
    mark = click.style("!!", fg="red", bold=True) if line.advice else click.style("ok", fg="green")
    click.echo(f"{mark} {line.subject + ':':<14}{line.finding}{'. ' + line.advice if line.advice else ''}")


async def checks(settings: ServingSettings) -> AsyncIterator[Line]:
    """Every check, in an order in which each needs the ones before; ends early when the rest cannot be known."""
    yield Line("settings", settings.base_url)
    yield _confirmation(settings)
    if not settings.sandbox:
        yield _state_dir(settings)
        yield await _rate_limit(settings)
        lines, is_reached = await reached(settings)
        for line in lines:
            yield line
        if not is_reached:
            return
        yield await _sign_in(settings)
    async with open_account(settings) as account:
        line, profile = await account_of(account.client)
        yield line
        if profile is None:
            return
        if account.client.base_url != settings.base_url:
            yield Line("address", f"the account has moved to {account.client.base_url}, and is found there")
        if not settings.sandbox:
            yield await _journal(account)
        async for line in rights_and_limits(account.client, profile):
            yield line


def _confirmation(settings: ServingSettings) -> Line:
    """Which way a person is asked, and why."""
    why_not = browser.why_not() or ("" if browser.is_found() else "no graphical browser was found")
    page = f"no page, since {why_not}" if why_not else "a page in this machine's browser"
    match settings.confirm:
        case "auto" if why_not:
            ways = f"the client's dialog; else {page}, but the conversation over stdio, and nobody over HTTP"
        case "auto":
            ways = f"the client's dialog, else {page}"
        case "dialog":
            ways = "the client's dialog, and no other way"
        case "page" if why_not:
            advice = "Start the server where a browser opens, set BROWSER, or set AMO_CONFIRM=dialog or chat."
            return Line("confirmation", f"page: {page}", advice)
        case "page":
            ways = page
        case "chat":
            ways = "in the conversation, where a model could agree by itself"
    return Line("confirmation", f"{settings.confirm}: {ways}")


def _state_dir(settings: ServingSettings) -> Line:
    path = settings.state.path
    try:
        settings.state.create()
    except OSError as error:
        return Line("state dir", f"{path} cannot be used", f"Make it writable or set AMO_STATE_DIR ({error.strerror}).")
    if path.stat().st_mode & 0o077:
        return Line("state dir", f"{path} is open to other users", f"Run: chmod 700 {path}")
    return Line("state dir", str(path))


async def _rate_limit(settings: ServingSettings) -> Line:
    limiter = rate_limiter(settings)
    if (pause := await limiter.pause_left()) > 0:
        return Line("rate limit", f"amoCRM asked for a pause, {pause:.0f} s are left", "Wait until it is over.")
    limit = f"{settings.rate_limit} request{'' if settings.rate_limit == 1 else 's'} per second"
    if not limiter.shared:
        return Line("rate limit", f"{limit}, for this process only", "Make the state directory writable.")
    return Line("rate limit", f"{limit}, shared by all processes on this machine")


async def reached(settings: Settings) -> tuple[list[Line], bool]:
    """Whether the host answers at all, without a token, and what its clock says then."""
    assert settings.base_url is not None, "the account is named"
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(settings.base_url))
    through = http.proxy_to(settings.base_url)
    proxy = [Line("proxy", f"{through.address or 'an unknown one'} ({through.source})")] if through else []
    try:
        response = await http.send("GET", f"{settings.base_url}/api/v4/account", headers={})
    except TransportError as error:
        advice = "Check AMO_BASE_URL, the network, and that its certificate is valid."
        return [*proxy, Line("host", f"amoCRM {error.reason}", advice)], False
    finally:
        await http.aclose()
    secure = "TLS" if settings.base_url.startswith("https:") else "plain http, on this machine"
    return [*proxy, Line("host", f"answers ({secure})"), _clock(response.headers.get("date"))], True


def _clock(date: str | None) -> Line:
    try:
        skew = time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Line("clock", "amoCRM does not send the time")
    if abs(skew) > TOLERATED_SKEW:
        return Line("clock", f"differs from amoCRM's by {skew:+.0f} s", "Set this machine's clock.")
    return Line("clock", "right")


async def _sign_in(settings: ServingSettings) -> Line:
    if settings.access_token is not None:
        return long_lived(settings.access_token)
    store = sign_in_store(settings, settings.base_url)
    try:
        async with store.exclusive():
            kept = await store.load()
    except OSError as error:
        return Line("sign-in", f"{store.place} cannot be read ({error.strerror})", UNLOCK_HINT)
    if kept is None:
        return Line("sign-in", f"nothing readable in {store.place}", "Run amo-mcp login.")
    return Line("sign-in", f"OAuth, refreshed automatically, kept in {store.place}")


def long_lived(token: SecretStr) -> Line:
    """Until when a long-lived token is good, as far as it says so."""
    if (expires := expiry(token)) is not None:
        with suppress(ValueError, OverflowError, OSError):
            until = iso_utc(datetime.fromtimestamp(expires, UTC))
            advice = "Get a new AMO_ACCESS_TOKEN." if expires - time.time() < EXPIRES_SOON else ""
            return Line("sign-in", f"a long-lived token, until {until}", advice)
    return Line("sign-in", "a long-lived token, expiry unknown")


async def _journal(account: AmoAccount) -> Line:
    """Whether changes can be recorded; without that nothing is changed."""
    try:
        await account.journal.changes(1)
    except (AmoError, JournalUnusable) as error:
        return Line("journal", "cannot be used", explained(error))
    return Line("journal", "can be read and written")


async def account_of(client: AmoClient) -> tuple[Line, Account | None]:
    """Whether the account can be read; None when it cannot."""
    try:
        profile = await client.account()
    except AmoError as error:
        return Line("account", "cannot be read", explained(error)), None
    return Line("account", f"{sanitize(profile.name)} (id {profile.id})"), profile


async def rights_and_limits(client: AmoClient, profile: Account) -> AsyncIterator[Line]:
    """What the user may do, which mode the account is in, and how full it is."""
    yield await _rights(client, profile)
    async for line in _mode_and_limits(client, profile):
        yield line


async def _rights(client: AmoClient, profile: Account) -> Line:
    """Whether the user is an administrator: read from the user, not tried out."""
    not_admin = Line("rights", "not an administrator", "Only an account administrator can make changes.")
    if profile.current_user_id is None:
        return not_admin
    try:
        user = await client.user(profile.current_user_id)
    except (Forbidden, NotFound):
        return not_admin
    except AmoError as error:
        return Line("rights", "cannot be read", explained(error))
    return Line("rights", "administrator") if user.rights.is_admin else not_admin


async def _mode_and_limits(client: AmoClient, profile: Account) -> AsyncIterator[Line]:
    try:
        match profile.customers_mode:
            case "segments":
                yield Line("mode", "segments: the segment tools work")
                yield _limit("segments", (await client.segments()).size, MAX_SEGMENTS)
                yield _limit("fields", (await client.segment_fields()).size, MAX_SEGMENT_FIELDS)
            case "periodicity":
                yield Line("mode", "periodicity: the status tools work")
                yield _limit("statuses", (await client.statuses()).size, MAX_STATUSES)
            case mode:
                yield Line(
                    "mode", sanitize(mode) or "unknown", "Switch customers on in amoCRM: segments or periodicity."
                )
    except AmoError as error:
        yield Line("limits", "cannot be read", explained(error))


def _limit(kind: str, used: int, limit: int) -> Line:
    advice = f"Almost full: delete {kind} that are not needed." if used >= limit * ALMOST_FULL else ""
    return Line(kind, f"{used} of {limit}", advice)
