"""Who somebody is, as amoCRM says."""

import hmac
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from amo_mcp.amocrm.client import AmoClient
from amo_mcp.amocrm.credentials import Credentials
from amo_mcp.amocrm.errors import AmoError
from amo_mcp.amocrm.http import HttpTransport
from amo_mcp.amocrm.oauth import consent_page, exchange_code
from amo_mcp.amocrm.ratelimit import RateLimiter
from amo_mcp.amocrm.session import Session
from amo_mcp.amocrm.tokens import LongLivedToken
from amo_mcp.text import sanitize


@dataclass(frozen=True)
class Identity:
    """Somebody whom amoCRM knows.

    Attributes:
        account_id: the account that they are of.
        user_id: who they are there.
        name: their name in amoCRM where their own token can read it, which only an administrator's can; else made up.
        credentials: what they have allowed this server.
    """

    account_id: int
    user_id: int
    name: str
    credentials: Credentials

    @property
    def id(self) -> str:
        """By which they are known here."""
        return f"{self.account_id}:{self.user_id}"


@dataclass(frozen=True)
class Integration:
    """The integration that people allow to know who they are.

    Attributes:
        base_url: the account that they have to be of.
        redirect_uri: where amoCRM sends their browsers back to.
        exchanging: lets one code at a time be exchanged: anybody can come with one that is none, and the pace is for
            those who work.
    """

    base_url: str
    client_id: str
    client_secret: SecretStr
    redirect_uri: str
    http: HttpTransport
    limiter: RateLimiter
    exchanging: anyio.Semaphore = field(init=False, default_factory=lambda: anyio.Semaphore(1))

    def consent_page(self, state: str) -> str:
        """Where amoCRM asks them."""
        return consent_page(self.base_url, self.client_id, state)

    def is_account(self, referer: str) -> bool:
        """Whether the account that amoCRM names is the one that this server is for."""
        return referer.lower() == urlsplit(self.base_url).netloc.lower()

    async def identify(self, code: str) -> Identity:
        """Who has got a code from amoCRM, which is used up by that.

        Raises:
            SignInFailed: amoCRM does not accept it.
            AmoError: amoCRM cannot be asked, or does not say.
        """
        async with self.exchanging, self.limiter.reserve() as slot:
            await slot.acquire()
            credentials = await exchange_code(
                self.http,
                self.base_url,
                client_id=self.client_id,
                client_secret=self.client_secret.get_secret_value(),
                redirect_uri=self.redirect_uri,
                code=code,
            )
        session = Session(self.base_url, LongLivedToken(credentials.access_token), self.http, self.limiter)
        client = AmoClient(session)
        account = await client.account()
        user_id = account.current_user_id
        if user_id is None:
            raise AmoError("amoCRM does not say who they are")
        try:
            name = sanitize((await client.user(user_id)).name)
        except AmoError:
            name = ""
        return Identity(account.id, user_id, name or f"user {user_id}", credentials)

    def is_hook(self, account_id: str, client_uuid: str, signature: str) -> bool:
        """Whether amoCRM itself says that the integration was switched off in an account."""
        text = f"{client_uuid}|{account_id}".encode("utf-8", "surrogatepass")
        right = hmac.digest(self.client_secret.get_secret_value().encode(), text, "sha256").hex()
        is_right = hmac.compare_digest(right.encode(), signature.encode("utf-8", "surrogatepass"))
        return is_right and client_uuid == self.client_id
