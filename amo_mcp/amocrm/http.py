"""One exchange over HTTP, bounded in time and size. The only module that imports an HTTP library.

Redirects are never followed, so that a token goes to the host that it was meant for and to no other.
"""

import json
import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import httpx2
from pydantic_core import from_json

from amo_mcp import __version__
from amo_mcp.amocrm.ratelimit import UNLIMITED, Slot
from amo_mcp.network import Proxy, problems, proxy_to

logger = logging.getLogger(__name__)

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
"""A larger response is not read to its end: 250 full segments are well under one megabyte."""

_MAX_CONNECTIONS = 20
_MAX_IDLE = 3.0
"""Seconds that a connection is kept for the next request."""

_MAX_WAIT_ON_CONNECTION = 1.5
"""Seconds that a request may wait for its slot on a connection; after more of them it takes another one. Many servers
close a connection after five seconds without a request, and do not say so in time."""

_MAX_TIMEOUTS = 3
"""A response that comes byte by byte is given up after so many times the timeout."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class TransportError(Exception):
    """There is no whole response.

    Attributes:
        reason: what was seen, in our own words, fit to follow "amoCRM".
        sent: whether the request, or a part of it, has left.
        settled: whether the server has surely finished with it (assumed of a connection that it closed); after a
            timeout it may still be at work.
    """

    def __init__(self, reason: str, *, sent: bool, settled: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.settled = settled


@dataclass(frozen=True)
class Response:
    """A whole response.

    Attributes:
        status: the HTTP status.
        headers: case does not matter in their names.
        content: the body, decompressed.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is any 2xx: the documentation names several."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def is_redirect(self) -> bool:
        """Whether the status is any 3xx."""
        return HTTPStatus.MULTIPLE_CHOICES <= self.status < HTTPStatus.BAD_REQUEST

    @property
    def is_foreign(self) -> bool:
        """Whether it is a page of a gateway, a proxy or a sign-in form: the API answers with JSON or with nothing."""
        if "html" in self.headers.get("content-type", "").lower():
            return True
        try:
            _ = self.json
        except ValueError:
            return True
        return False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not self.content.strip()

    @cached_property
    def json(self) -> Any:
        """The JSON in it; None when nothing is. Raises ValueError as `parse_json` does."""
        return None if self.is_empty else parse_json(self.content)

    def json_object(self) -> dict[str, Any]:
        """The JSON object in it; empty when there is none."""
        with suppress(ValueError):
            if isinstance(self.json, dict):
                return self.json
        return {}


class HttpTransport:
    """Exchanges with one host, or with an application in process.

    Args:
        timeout: seconds for connecting, and for the time between sending and the first of the response.
        app: an ASGI application to call in process instead of the network (the sandbox).
        direct: whether the proxies of the environment are ignored, as they have to be for loopback.

    Attributes:
        timeout: the same.
    """

    def __init__(self, *, timeout: float, app: Any = None, direct: bool = False) -> None:
        self.timeout = timeout
        self._late = f"did not answer within {timeout:g} s"
        self._app = app
        self._direct = direct

    def proxy_to(self, url: str) -> Proxy | None:
        """The proxy that requests to `url` go through; None when they go directly."""
        return None if self._direct or self._app is not None else proxy_to(url)

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        """Made with the first exchange: certificates take long to load, and many a server is never called."""
        return httpx2.AsyncClient(
            headers={"User-Agent": f"amo-mcp/{__version__}", "Accept": "application/hal+json, application/json"},
            timeout=httpx2.Timeout(self.timeout, pool=None),
            limits=httpx2.Limits(
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_CONNECTIONS,
                keepalive_expiry=_MAX_IDLE,
            ),
            follow_redirects=False,
            trust_env=not self._direct and self._app is None,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=None if self._app is None else httpx2.ASGITransport(app=self._app),
        )

    def prepare(self) -> None:
        """Load what the first exchange needs, the certificates above all."""
        _ = self._client

    async def aclose(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.aclose()

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        slot: Slot = UNLIMITED,
    ) -> Response:
        """Send one request and read its response whole.

        Over the network the rate limiter's `slot` is acquired in the middle of this (see `_Progress`): when the
        connection stands and before the first byte. It is released when the response begins.

        Raises:
            TransportError: there is no whole response.
            RateLimited: of `slot`; nothing was sent.
        """
        progress = _Progress(slot, self.timeout, sent=self._app is not None)
        try:
            request = self._client.build_request(
                method,
                _parsed_url(url, *(params or {}).items()),
                json=body,
                headers=headers,
                extensions={"trace": progress.trace},
            )
            with progress.scope:
                try:
                    return await self._read(request)
                except _ConnectionTooOld:
                    return await self._read(request)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            logger.warning("%s %s: %s", method, url.partition("?")[0], type(error).__name__)
            is_late = isinstance(error, httpx2.TimeoutException)
            reason = self._late if is_late else "closed the connection before responding"
            raise self._lost(progress, url, reason, settled=not is_late) from error
        reason = "took too long to send its response" if progress.answered else self._late
        raise self._lost(progress, url, reason, settled=False)

    def _lost(self, progress: "_Progress", url: str, reason: str, *, settled: bool) -> TransportError:
        """What there is instead of a response; before anything was sent, the only reason is the network."""
        if not progress.sent:
            proxy = self.proxy_to(url)
            via = f" through the proxy {proxy.address} ({proxy.source})" if proxy else ""
            wrong = "; ".join(problems()) if not self._direct else ""
            reason = f"could not be reached{via}; {wrong or 'check the address and the network'}"
        return TransportError(reason, sent=progress.sent, settled=settled)

    async def _read(self, request: httpx2.Request) -> Response:
        """The response, up to `MAX_RESPONSE_BYTES`."""
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_RESPONSE_BYTES:
                    raise TransportError("sent a response that is too large to be right", sent=True, settled=True)
        finally:
            await response.aclose()
        return Response(response.status_code, response.headers, bytes(content))


class _ConnectionTooOld(Exception):
    """The request has its slot now, and nothing was sent on a connection that the server may be about to close."""


class _Progress:
    """How far one exchange is, as the HTTP library's `trace` extension says.

    This is where a request takes its slot of the rate limiter: between the connecting and the first byte. Taken
    earlier, the time that connecting takes would push requests together that were let go apart; and there is no other
    moment at which a caller of the library can act. The waiting counts against no timeout.

    Attributes:
        scope: ends the exchange: a timeout after the slot when no response has begun, else after three of them.
        has_slot: whether the slot was acquired.
        sent: whether the request, or a part of it, has left.
        answered: whether the response has begun.
    """

    def __init__(self, slot: Slot, timeout: float, *, sent: bool) -> None:
        self.scope = anyio.CancelScope()
        self.has_slot = False
        self.sent = sent
        self.answered = False
        self._slot = slot
        self._timeout = timeout

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Called by the library at every stage of a request, and waited for."""
        if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            if not self.has_slot:
                began = anyio.current_time()
                await self._slot.acquire()
                self.has_slot = True
                self.scope.deadline = anyio.current_time() + self._timeout
                if anyio.current_time() - began > _MAX_WAIT_ON_CONNECTION:
                    raise _ConnectionTooOld
            self.sent = True
        elif event.endswith("receive_response_headers.complete") and self.sent:
            self.answered = True
            self.scope.deadline += (_MAX_TIMEOUTS - 1) * self._timeout
            await self._slot.release()


@lru_cache
def _parsed_url(url: str, *params: tuple[str, Any]) -> httpx2.URL:
    return httpx2.URL(url, params=dict(params)) if params else httpx2.URL(url)


def parse_json(content: bytes) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark.

    What could not be passed on as text, in bytes or as half of a surrogate pair, becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, or nested deeper than can be parsed.
    """
    content = content.removeprefix(_BYTE_ORDER_MARK)
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError:
        return _parse_repaired(content)


def _parse_repaired(content: bytes) -> Any:
    """What `parse_json` makes of what a strict parser refuses."""
    try:
        parsed = json.loads(content.decode("utf-8", "replace"), parse_constant=_refuse_constant)
        text = json.dumps(parsed, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return from_json(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
