"""The programs that people connect: known by a document at an address of theirs (CIMD), or registered here (DCR)."""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

import anyio
from mcp.server.auth.provider import RegistrationError
from mcp.shared.auth import InvalidRedirectUriError, InvalidScopeError, OAuthClientInformationFull, OAuthClientMetadata
from pydantic import AnyUrl, ValidationError
from typing_extensions import override

from amo_mcp.team.authorization import addresses
from amo_mcp.team.authorization.fetch import SECONDS, CannotFetch, fetch, is_fetchable
from amo_mcp.team.authorization.store import AuthorizationStore, TooManyClients
from amo_mcp.team.people import READ, SCOPES
from amo_mcp.text import sanitize

FRESH_SECONDS = 3600.0
"""Seconds for which a document that was fetched is used without being fetched again."""

STALE_SECONDS = 7 * 86_400.0
"""Seconds for which it is used while it cannot be fetched."""

_RETRY_SECONDS = 60.0
"""Seconds after which a document is asked for again that could not be fetched."""

_BRIEFLY = 0.1
"""Seconds that a document waits for its turn to be fetched, where there is one that can be used meanwhile."""

_MAX_FAILED = 1000
MAX_FETCHES = 32
"""Documents that one replica fetches at a time: whoever names slow addresses makes only clients wait that are new."""

_MAX_REDIRECTS = 10
_PUBLIC = {"token_endpoint_auth_method": "none", "client_secret": None, "client_secret_expires_at": None}

logger = logging.getLogger(__name__)

Fetch = Callable[[str], Awaitable[bytes]]


class Client(OAuthClientInformationFull):
    """A client: public, since a program on somebody's machine keeps no secret; it proves itself by PKCE."""

    @override
    def validate_redirect_uri(self, redirect_uri: AnyUrl | None) -> AnyUrl:
        """The address where it is answered; on the person's own machine any port may be asked for."""
        if redirect_uri is None:
            return super().validate_redirect_uri(None)
        if not any(addresses.matches(str(redirect_uri), str(known)) for known in self.redirect_uris or ()):
            raise InvalidRedirectUriError("it is not registered")
        return redirect_uri

    @override
    def validate_scope(self, requested_scope: str | None) -> list[str]:
        """What it asks for, or to read, when it does not say."""
        asked = dict.fromkeys((requested_scope or READ).split())
        if unknown := [scope for scope in asked if scope not in SCOPES]:
            raise InvalidScopeError(f"there is no scope {sanitize(unknown[0])}")
        # To read is a part of everything else.
        return [scope for scope in SCOPES if scope in asked or scope == READ]

    @property
    def shown_name(self) -> str:
        """What it calls itself, as it is shown to a person."""
        return sanitize(self.client_name or "") or sanitize(self.client_id)


class Clients:
    """The clients that are known here.

    Args:
        store: where they are kept.
        fetch: fetches a client's document.
        clock: gives monotonic seconds.
    """

    def __init__(
        self, store: AuthorizationStore, fetch: Fetch = fetch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._fetch = fetch
        self._clock = clock
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._fetching = anyio.Semaphore(MAX_FETCHES)

    async def get(self, client_id: str) -> Client | None:
        """A client by its id; None when it is not known, and cannot be."""
        if len(client_id) > addresses.MAX_CHARACTERS:
            return None
        kept = await self._store.client(client_id)
        known = None if kept is None else Client.model_validate_json(kept.document)
        if not client_id.startswith("https:"):
            return known
        if kept and kept.age < FRESH_SECONDS:
            return known
        usable = known if kept and kept.age < STALE_SECONDS else None
        return await self._fetched(client_id, SECONDS if usable is None else _BRIEFLY) or usable

    async def register(self, client: OAuthClientInformationFull) -> None:
        """Keep a client that registers itself; what it asked for is made what it gets.

        Raises:
            RegistrationError: it asks to be answered where no client may be, or there are too many clients.
        """
        redirects = [str(address) for address in client.redirect_uris or ()]
        if len(redirects) > _MAX_REDIRECTS or not all(map(addresses.is_allowed, redirects)):
            raise RegistrationError(
                "invalid_redirect_uri",
                "redirect_uris must be https, http on a loopback address, or the scheme of a known program",
            )
        for name, value in {**_PUBLIC, "scope": " ".join(SCOPES)}.items():
            setattr(client, name, value)
        try:
            await self._store.register_client(client.client_id, _document(client))
        except TooManyClients:
            raise RegistrationError("invalid_client_metadata", "too many clients: try again in a minute") from None

    async def _fetched(self, client_id: str, wait: float) -> Client | None:
        """The client of a document, which waits so many seconds for its turn; None when it cannot be had now."""
        now = self._clock()
        if not is_fetchable(client_id) or now < self._failed.get(client_id, -math.inf) + _RETRY_SECONDS:
            return None
        with anyio.move_on_after(wait) as turn:
            await self._fetching.acquire()
        if turn.cancelled_caught:
            return None
        try:
            client = _parse(client_id, await self._fetch(client_id))
        except (CannotFetch, ValidationError) as error:
            reason = str(error) if isinstance(error, CannotFetch) else "it is no document of a client"
            logger.warning("the document of the client %s cannot be used: %s", sanitize(client_id), reason)
            self._failed[client_id] = now
            if len(self._failed) > _MAX_FAILED:
                self._failed.popitem(last=False)
            return None
        finally:
            self._fetching.release()
        self._failed.pop(client_id, None)
        await self._store.keep_client(client_id, _document(client))
        return client


def _parse(client_id: str, document: bytes) -> Client:
    """The client of a document.

    Raises:
        ValidationError: it is none.
        CannotFetch: it is not for this client, or asks for what no client gets.
    """
    said = Client.model_validate_json(document)
    metadata = OAuthClientMetadata.model_validate_json(document)
    if said.client_id != client_id or said.client_secret:
        raise CannotFetch("it is another client's")
    if metadata.token_endpoint_auth_method not in (None, "none"):
        raise CannotFetch("it wants to be authenticated otherwise than as a public client")
    redirects = [str(address) for address in said.redirect_uris or ()]
    if not redirects or len(redirects) > _MAX_REDIRECTS or not all(map(addresses.is_allowed, redirects)):
        raise CannotFetch("it wants to be answered where no client may be")
    return said.model_copy(update={**_PUBLIC, "scope": " ".join(SCOPES)})


def _document(client: OAuthClientInformationFull) -> str:
    """What is kept of a client: what is used of it."""
    used = {"client_id", "client_name", "redirect_uris", "grant_types", "scope", "token_endpoint_auth_method"}
    return client.model_dump_json(include=used)
