"""People who call the replicas, each with a client of their own, and go on elsewhere when one is gone."""

import itertools
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
import httpx2
from mcp import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, ElicitResult

from tests.replicas.fleet import Fleet

Json = dict[str, Any]

PATIENCE = 60.0
"""Seconds after which somebody who still does not know what came of their change gives up: it was lost."""

_CALL_SECONDS = 20.0
_PAUSE = 0.05


@dataclass
class Person:
    """Somebody who plans, applies and takes back; who says yes to every question.

    Args:
        host: by which name the replicas are called.
        chance: chooses the replica of each call.

    Attributes:
        said: every answer, for who looks for a reason.
    """

    fleet: Fleet
    token: str
    host: str
    chance: random.Random
    said: list[str] = field(default_factory=list)

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Json | None:
        """Call a tool of any replica; None when the replica is gone, or the answer was lost."""
        callable_now = self.fleet.callable()
        if not callable_now:
            await anyio.sleep(_PAUSE)
            return None
        url = self.chance.choice(callable_now).url
        headers = {"Authorization": f"Bearer {self.token}", "Host": self.host}
        result: CallToolResult | None = None
        try:
            with anyio.fail_after(_CALL_SECONDS):
                async with (
                    httpx2.AsyncClient(headers=headers, timeout=_CALL_SECONDS, trust_env=False) as http,
                    Client(
                        streamable_http_client(url, http_client=http),
                        mode="2026-07-28",
                        elicitation_callback=cast("ElicitationFnT", _yes),
                        cache=None,
                    ) as client,
                ):
                    result = await client.call_tool(tool, dict(arguments))
        except Exception as error:
            # What a client makes of a server that dies under it is many things.
            self.said.append(f"{tool}: {type(error).__name__}")
            if result is None:
                await anyio.sleep(_PAUSE)
                return None
        assert result is not None
        answer = dict(result.structured_content or {})
        self.said.append(f"{tool}: {answer}")
        return answer

    async def until_told(self, tool: str, arguments: Mapping[str, Any], expected: str) -> Json:
        """Call again and again until the answer has a key, or an error says that it will never have it."""
        deadline = time.monotonic() + PATIENCE
        for _ in itertools.count():
            answer = await self.call(tool, arguments)
            match answer:
                case {"status": "running"} | None:
                    pass
                case {"error": {"code": "unavailable" | "rate_limited"}}:
                    await anyio.sleep(_PAUSE)
                case {"error": {"code": "confirmation_expired"}}:
                    # Its question was answered, and the answer to that was lost.
                    pass
                case _ if expected in answer or "error" in answer:
                    return answer
            assert time.monotonic() < deadline, self.said[-20:]
        raise AssertionError


async def _yes(_: Any, __: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"confirm": True})
