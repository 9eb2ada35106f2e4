"""`amo-mcp doctor`: whether serving would work, a line a thing, each ok or with what to do. It never writes."""

import gc
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import anyio
import click

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.amocrm.claims import expiry
from amo_mcp.amocrm.errors import AmoError, Forbidden, NotFound
from amo_mcp.amocrm.http import HttpTransport, TransportError
from amo_mcp.amocrm.limits import MAX_SEGMENT_FIELDS, MAX_SEGMENTS, MAX_STATUSES
from amo_mcp.amocrm.models import Account, iso_utc
from amo_mcp.compose.local import open_account
from amo_mcp.failures import explain
from amo_mcp.logs import log_to_stderr
from amo_mcp.settings import InvalidSettings, ServingSettings, is_loopback, load_settings
from amo_mcp.storage.credentials import credential_store
from amo_mcp.storage.sqlite.rate_limit import SqliteRateLimiter
from amo_mcp.text import sanitize

_SKEW = 30.0
"""Seconds that this machine's clock may differ from amoCRM's before it is worth saying."""

_SOON = 7 * 86_400.0
_ALMOST_FULL = 0.9


@dataclass(frozen=True)
class Line:
    """One finding; `todo` is one sentence on what to do, empty when all is well."""

    what: str
    found: str
    todo: str = ""


@click.command("doctor")
@click.option("--sandbox", is_flag=True, default=None, help="Look at the embedded sandbox instead of an account.")
def command(sandbox: bool | None) -> None:  # noqa: FBT001 - click's way
    """Check settings, reachability, sign-in, mode, rights, limits, clock and the shared folder."""
    gc.enable()
    log_to_stderr("ERROR")
    try:
        settings = load_settings(ServingSettings, sandbox=sandbox)
    except InvalidSettings as error:
        for problem in error.problems:
            _show(Line("settings", "wrong", problem))
        raise SystemExit(1) from None
    if not anyio.run(_examine, settings):
        raise SystemExit(1)


async def _examine(settings: ServingSettings) -> bool:
    well = True
    async for line in findings(settings):
        _show(line)
        well = well and not line.todo
    return well


def _show(line: Line) -> None:
    mark = click.style("ok", fg="green") if not line.todo else click.style("!!", fg="red", bold=True)
    click.echo(f"{mark} {line.what + ':':<14}{line.found}{'. ' + line.todo if line.todo else ''}")


async def findings(settings: ServingSettings) -> AsyncIterator[Line]:
    """Everything, in the order in which things stand on each other; ends early when the rest cannot be known."""
    yield Line("settings", f"{settings.account}, confirmation {settings.confirm}")
    if not settings.sandbox:
        for line in (_folder(settings), await _pace(settings)):
            yield line
        reached, skew = await _reached(settings)
        yield reached
        if reached.todo:
            return
        yield skew
        yield await _sign_in(settings)
    async with open_account(settings) as account:
        try:
            told = await account.client.account()
        except AmoError as error:
            yield Line("account", "cannot be read", _todo(error))
            return
        yield Line("account", f"{sanitize(told.name)} (id {told.id})")
        yield await _rights(account, told)
        async for line in _mode(account, told):
            yield line


def _folder(settings: ServingSettings) -> Line:
    path = settings.state.path
    try:
        settings.state.create()
    except OSError as error:
        return Line(
            "state folder", f"{path} cannot be used", f"Make it writable or set AMO_STATE_DIR ({error.strerror})."
        )
    if path.stat().st_mode & 0o077:
        return Line("state folder", f"{path} is open to other users", f"Run: chmod 700 {path}")
    return Line("state folder", str(path))


async def _pace(settings: ServingSettings) -> Line:
    limiter = SqliteRateLimiter(settings.state.rate_limit_file(settings.account), settings.rate_limit)
    await limiter.pause_left()
    shared = limiter.shared
    limiter.close()
    told = f"{settings.rate_limit} requests a second"
    if not shared:
        return Line("pace", f"{told}, of this process alone", "Make the state folder writable.")
    return Line("pace", f"{told}, shared by all processes of this machine")


async def _reached(settings: ServingSettings) -> tuple[Line, Line]:
    """Whether the host answers at all, without a token, and what its clock says."""
    http = HttpTransport(timeout=settings.timeout, direct=is_loopback(settings.account))
    try:
        answer = await http.send("GET", f"{settings.account}/api/v4/account", headers={})
    except TransportError as lost:
        line = Line(
            "host", f"amoCRM {lost.reason}", "Check AMO_BASE_URL, the network, and that its certificate is valid."
        )
        return line, line
    finally:
        await http.aclose()
    secure = "TLS" if settings.account.startswith("https:") else "plain http, on this machine"
    return Line("host", f"answers ({secure})"), _clock(answer.headers.get("date"))


def _clock(date: str | None) -> Line:
    try:
        skew = time.time() - parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return Line("clock", "amoCRM does not tell the time")
    if abs(skew) > _SKEW:
        return Line("clock", f"differs from amoCRM's by {skew:+.0f} s", "Set this machine's clock.")
    return Line("clock", "right")


async def _sign_in(settings: ServingSettings) -> Line:
    if settings.access_token is not None:
        return _token_line("a long-lived token", expiry(settings.access_token), "Get a new AMO_ACCESS_TOKEN.")
    store = credential_store(settings.account, settings.state.path)
    if await store.load() is None:
        return Line("sign-in", f"nothing that can be read in {store.place}", "Run amo-mcp login.")
    return Line("sign-in", f"OAuth, renewed by itself, kept in {store.place}")


def _token_line(what: str, expires: float | None, todo: str) -> Line:
    if expires is None:
        return Line("sign-in", f"{what}; its end is not known")
    try:
        told = f"{what}, until {iso_utc(datetime.fromtimestamp(expires, UTC))}"
    except (ValueError, OverflowError, OSError):
        return Line("sign-in", f"{what}; its end is not known")
    return Line("sign-in", told, todo if expires - time.time() < _SOON else "")


async def _rights(account: AmoAccount, told: Account) -> Line:
    """Whether the user is an administrator: read from the user, not tried out."""
    try:
        user = await account.client.user(told.current_user_id)
    except (Forbidden, NotFound):
        return Line("rights", "not an administrator's", "Writing needs a token of an administrator.")
    except AmoError as error:
        return Line("rights", "cannot be read", _todo(error))
    if not user.rights.is_admin:
        return Line("rights", "not an administrator's", "Writing needs a token of an administrator.")
    return Line("rights", "an administrator's")


async def _mode(account: AmoAccount, told: Account) -> AsyncIterator[Line]:
    mode = sanitize(told.customers_mode)
    try:
        match told.customers_mode:
            case "segments":
                yield Line("mode", "segments: the segment tools work")
                yield _used("segments", len(await account.client.segments()), MAX_SEGMENTS)
                yield _used("fields", len(await account.client.segment_fields()), MAX_SEGMENT_FIELDS)
            case "periodicity":
                yield Line("mode", "periodicity: the status tools work")
                yield _used("statuses", len(await account.client.statuses()), MAX_STATUSES)
            case _:
                yield Line("mode", f"{mode or 'unknown'}", "Switch customers on in amoCRM: segments or periodicity.")
    except AmoError as error:
        yield Line("limits", "cannot be read", _todo(error))


def _used(what: str, held: int, limit: int) -> Line:
    todo = f"Little room is left: delete {what} that are not needed." if held >= limit * _ALMOST_FULL else ""
    return Line(what, f"{held} of {limit}", todo)


def _todo(error: AmoError) -> str:
    failure = explain(error)
    assert failure is not None  # noqa: S101 - every AmoError is foreseen
    told = failure.answer["error"]
    return f"{told['message'].removesuffix(' Nothing was changed.')} {told.get('hint', '')}".strip()
