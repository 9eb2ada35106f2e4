"""Bytes over HTTP: one exchange, bounded in time and size. The only module that imports an HTTP library.

Redirects are never followed, so that a token goes to the host that it was meant for and to no other.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import anyio
import httpx2
from pydantic_core import from_json

from amo_mcp import __version__
from amo_mcp.storage.sqlite.rate_limit import UNLIMITED, Slot

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""A larger answer is not read to its end: 250 full segments are well under one megabyte."""

_MAX_CONNECTIONS = 20
_LONGEST_IDLE = 3.0
"""Seconds that a connection is kept for the next request, which may wait for its turn on it: many servers close idle
connections after five."""

_DRIPPING = 3
"""An answer that comes byte by byte is given up after so many times the timeout."""


class TransportError(Exception):
    """There is no whole answer.

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
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def is_html(self) -> bool:
        """Whether it comes from a web server and not from the API."""
        return "html" in self.headers.get("content-type", "") or self.content.lstrip().startswith(b"<")

    def problem(self) -> dict[str, Any]:
        """The JSON object in it; empty when there is none."""
        try:
            body = parse_json(self.content)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class HttpTransport:
    """Exchanges with one host or with an application in process.

    Args:
        timeout: seconds for each of connecting, sending and waiting for bytes.
        app: an ASGI application to call in process instead of the network (the sandbox).
        direct: whether the proxies of the environment are left aside, as they have to be for loopback.
    """

    def __init__(self, *, timeout: float, app: Any = None, direct: bool = False) -> None:
        self._timeout = timeout
        self._app = app
        self._direct = direct

    @cached_property
    def _client(self) -> httpx2.AsyncClient:
        """Made with the first exchange: certificates take long to load, and many a server is never called."""
        return httpx2.AsyncClient(
            headers={"User-Agent": f"amo-mcp/{__version__}", "Accept": "application/hal+json, application/json"},
            timeout=httpx2.Timeout(self._timeout, pool=None),
            limits=httpx2.Limits(
                max_connections=_MAX_CONNECTIONS,
                max_keepalive_connections=_MAX_CONNECTIONS,
                keepalive_expiry=_LONGEST_IDLE,
            ),
            follow_redirects=False,
            trust_env=not self._direct and self._app is None,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            transport=None if self._app is None else httpx2.ASGITransport(app=self._app),
        )

    async def aclose(self) -> None:
        """Close the connections."""
        if "_client" in vars(self):
            await self._client.aclose()

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        turn: Slot = UNLIMITED,
    ) -> Answer:
        """Send one request and read its answer whole.

        `turn` is taken when the connection stands and before the first byte: the time that connecting takes would
        otherwise push requests together that were let go apart.

        Raises:
            Lost: there is no whole answer.
        """
        sent = self._app is not None
        whole = anyio.CancelScope()

        async def trace(event: str, info: Mapping[str, Any]) -> None:
            nonlocal sent
            if event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                await turn.take()
                sent = True
                whole.deadline = anyio.current_time() + self._timeout * _DRIPPING
            elif event.endswith("receive_response_headers.complete") and sent:
                turn.answered()

        try:
            request = self._client.build_request(
                method, _parsed(url, *(params or {}).items()), json=body, headers=headers, extensions={"trace": trace}
            )
            with whole:
                return await self._read(request)
        except httpx2.TimeoutException as error:
            _log(method, url, error)
            reason = f"did not answer within {self._timeout:g} s" if sent else _UNREACHABLE
            raise TransportError(reason, sent=sent, settled=False) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            _log(method, url, error)
            reason = "broke the connection off before it had answered" if sent else _UNREACHABLE
            raise TransportError(reason, sent=sent, settled=True) from error
        raise TransportError("took too long over its answer", sent=True, settled=False)

    async def _read(self, request: httpx2.Request) -> Answer:
        """The answer, up to `MAX_ANSWER_BYTES`."""
        response = await self._client.send(request, stream=True)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER_BYTES:
                    raise TransportError("sent an answer that is too large to be right", sent=True, settled=True)
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, bytes(content))


_UNREACHABLE = "could not be reached; check the address and the network"


def _log(method: str, url: str, error: Exception) -> None:
    logger.warning("%s %s: %s", method, url.partition("?")[0], type(error).__name__)


@lru_cache
def _parsed(url: str, *params: tuple[str, Any]) -> httpx2.URL:
    return httpx2.URL(url, params=dict(params)) if params else httpx2.URL(url)


def parse_json(content: bytes) -> Any:
    """Parse JSON in UTF-8; what could not be passed on as text, in bytes or as half of a pair, becomes U+FFFD.

    Raises:
        ValueError: it is not JSON, or nested deeper than can be parsed.
    """
    try:
        return from_json(content, allow_inf_nan=False)
    except ValueError:
        return _mended(content)


def _mended(content: bytes) -> Any:
    """What `parse_json` makes of what a strict parser refuses."""
    try:
        parsed = json.loads(content.decode("utf-8", "replace"), parse_constant=_no_number)
        text = json.dumps(parsed, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    return from_json(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
