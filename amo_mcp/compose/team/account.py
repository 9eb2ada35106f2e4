"""The account of a team's server, as every replica of it holds it."""

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import urlsplit

from amo_mcp.accounts.account import AmoAccount
from amo_mcp.accounts.profile import AccountProfile
from amo_mcp.addresses import is_loopback
from amo_mcp.amocrm.auth import OAuthTokenSource
from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.ratelimit import RateLimiter
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken, TokenSource
from amo_mcp.changes.runs import Runs
from amo_mcp.storage.postgres.accounts import PeopleOfAccount
from amo_mcp.storage.postgres.database import Database
from amo_mcp.storage.postgres.events import PostgresChangeEvents
from amo_mcp.storage.postgres.journal import PostgresJournal
from amo_mcp.storage.postgres.plans import PostgresPlanStore
from amo_mcp.storage.postgres.rate_limit import PostgresRateLimiter
from amo_mcp.storage.postgres.runs import PostgresRunStore
from amo_mcp.team.accounts import Accounts, Nobody, PersonalAccounts, PersonTokens
from amo_mcp.team.browser import SIGN_IN_PATH
from amo_mcp.team.metrics import MeasuredRateLimiter, MeasuredTransport, Metrics
from amo_mcp.team.settings import TeamSettings


@dataclass(frozen=True)
class TeamAccount:
    """The account of a team's server.

    Attributes:
        accounts: the account as everybody works on it.
        runs: its changes that outlive their calls, while they are served.
        events: tell of changes, those of other replicas too, while they are heard.
        people: what amoCRM has given to its people, where they work with their own rights.
        http: how amoCRM is reached.
        limiter: the pace of all replicas together.
    """

    accounts: Accounts
    runs: Runs
    events: PostgresChangeEvents
    people: PeopleOfAccount
    http: HttpTransport
    limiter: RateLimiter


def build_account(settings: TeamSettings, database: Database, metrics: Metrics, stack: AsyncExitStack) -> TeamAccount:
    """The account of `settings`; what it opens when it is used is closed with `stack`."""
    base_url, hint = settings.base_url, f"Open {settings.public_url}{SIGN_IN_PATH} in a browser, and sign in there."
    http = MeasuredTransport(metrics.exchanges, timeout=settings.timeout, direct=is_loopback(base_url))
    stack.push_async_callback(http.aclose)
    pace = PostgresRateLimiter(database, base_url, settings.rate_limit, timeout=settings.timeout)
    limiter = MeasuredRateLimiter(pace, metrics)
    people = PeopleOfAccount(database, settings.keys, urlsplit(base_url).netloc)

    def client_with(tokens: TokenSource) -> AmoClient:
        return AmoClient(Session(base_url, tokens, http, limiter))

    def client_of(person_id: str) -> AmoClient:
        tokens = OAuthTokenSource(people.store(person_id), http, allowed=settings.checked_base_url, hint=hint)

        async def ended() -> None:
            metrics.sign_ins_ended.add(1)
            await people.ended(person_id)

        return client_with(PersonTokens(tokens, partial(people.may_work, person_id), ended))

    token = settings.access_token
    client = client_with(Nobody(hint) if token is None else LongLivedToken(token))
    profile = AccountProfile(client, settings.language)
    account_id = people.account_id if token is None else profile.account_id
    store = PostgresRunStore(database, account_id, seconds=settings.lease)
    events = PostgresChangeEvents(database)
    account = AmoAccount.of(
        client,
        PostgresJournal(database, account_id, store),
        PostgresPlanStore(database, account_id),
        events,
        profile,
        requests_per_second=settings.rate_limit,
        names_customers=settings.customers == "names",
    )
    runs = Runs(store, events, lambda lease: accounts.executor(lease), account.stop)
    shared = replace(account, runs=runs)
    accounts = Accounts(shared) if token is not None else PersonalAccounts(shared, client_of, settings.language)
    return TeamAccount(accounts, runs, events, people, http, limiter)
