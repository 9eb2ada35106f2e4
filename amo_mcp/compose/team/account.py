"""The account of a team's server, as every replica of it holds it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.ratelimit import RateLimiter
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.changes.runs import Runs
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.events import PostgresChangeEvents
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from amo_mcp.storage.postgres.runs import PostgresRunStore
from amo_mcp.team.metrics import MeasuredRateLimiter, MeasuredTransport, Metrics
from amo_mcp.team.settings import TeamSettings


@dataclass(frozen=True)
class TeamAccount:
    """The account of a team's server.

    Attributes:
        account: what its calls work on.
        runs: its changes that outlive their calls, while they are served.
        events: tell of changes, those of other replicas too, while they are heard.
        http: how amoCRM is reached.
        limiter: the pace of all replicas together.
    """

    account: AmoAccount
    runs: Runs
    events: PostgresChangeEvents
    http: HttpTransport
    limiter: RateLimiter


def build_account(settings: TeamSettings, database: Database, metrics: Metrics, stack: AsyncExitStack) -> TeamAccount:
    """The account of `settings`, whose work is done with one token, whoever asks for it.

    What it opens when it is used is closed with `stack`.
    """
    assert settings.access_token is not None, "without it there are no settings"
    http = MeasuredTransport(metrics.exchanges, timeout=settings.timeout, direct=is_loopback(settings.base_url))
    stack.push_async_callback(http.aclose)
    pace = PostgresRateLimiter(database, settings.base_url, settings.rate_limit, timeout=settings.timeout)
    limiter = MeasuredRateLimiter(pace, metrics)
    client = AmoClient(Session(settings.base_url, LongLivedToken(settings.access_token), http, limiter))
    profile = AccountProfile(client, settings.language)
    store = PostgresRunStore(database, profile.account_id, seconds=settings.lease)
    events = PostgresChangeEvents(database)
    account = AmoAccount.of(
        client,
        PostgresJournal(database, profile.account_id, store),
        PostgresPlanStore(database, profile.account_id),
        events,
        profile,
        requests_per_second=settings.rate_limit,
        names_customers=settings.customers == "names",
    )
    runs = Runs(store, events, account.executor, account.stop)
    return TeamAccount(replace(account, runs=runs), runs, events, http, limiter)
