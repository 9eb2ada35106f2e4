"""What a replica says of itself in figures, by the API of OpenTelemetry.

What becomes of them is the operator's choice. With the extra `otel` they are at /metrics in the form of Prometheus;
with an agent of OpenTelemetry they go wherever it is told to send them; else they are not kept.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from opentelemetry.metrics import Histogram, Meter, set_meter_provider
from typing_extensions import override

from amo_mcp.amocrm.http import HttpTransport, Response
from amo_mcp.amocrm.ratelimit import OnWait, RateLimiter, Slot
from amo_mcp.protocol import Ctx
from amo_mcp.team.rights import METHODS
from amo_mcp.tools.runtime.catalog import CatalogEntry

_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds: what the histograms tell apart."""

_NOTIFICATIONS = frozenset(
    f"notifications/{name}" for name in ("cancelled", "initialized", "progress", "roots/list_changed")
)
"""What a client can notify; any other name is one that it has made up."""


class Metrics:
    """The instruments. Names that are in the conventions of OpenTelemetry are from there; ours begin with `amo`.

    No attribute has a value that a client could choose freely: each value is a series of its own for ever.

    Args:
        tools: every tool by name.

    Attributes:
        exchanges: how long requests to amoCRM took, by their status.
        slots: how long they waited for the pace.
        holds: how often amoCRM asked for a pause.
        sign_ins_ended: how often it did not honour a person's sign-in any more.
        pending: how many questions wait for an answer, at all replicas together.
        running: how many changes are being carried out, at all replicas together.
    """

    def __init__(self, meter: Meter, tools: Mapping[str, CatalogEntry]) -> None:
        self._tools = tools
        self._operations = _duration(meter, "mcp.server.operation.duration", "Requests of MCP clients")
        self.exchanges = _duration(meter, "http.client.request.duration", "Requests to amoCRM")
        self.slots = _duration(meter, "amo.slot.wait.duration", "How long requests to amoCRM waited for the pace")
        self.holds = meter.create_counter("amo.holds", description="Pauses that amoCRM asked for")
        # Else it would only be there after the first pause, and no alarm can be set on what is not there.
        self.holds.add(0)
        self.sign_ins_ended = meter.create_counter(
            "amo.sign_ins.ended", description="Sign-ins that amoCRM did not honour any more"
        )
        self.sign_ins_ended.add(0)
        self.pending = meter.create_gauge("amo.approvals.pending", description="Questions that wait for an answer")
        self.running = meter.create_gauge("amo.runs", description="Changes that are being carried out")

    async def observe(self, ctx: Ctx, call_next: CallNext) -> HandlerResult:
        """As middleware: measure a request."""
        began, attributes = time.perf_counter(), self._attributes(ctx)
        try:
            result = await call_next(ctx)
            if isinstance(result, dict) and result.get("isError"):
                structured = result.get("structuredContent") or {}
                attributes["error.type"] = structured.get("error", {}).get("code", "tool_error")
        except BaseException as error:
            attributes["error.type"] = str(error.error.code) if isinstance(error, MCPError) else type(error).__name__
            raise
        finally:
            self._operations.record(time.perf_counter() - began, attributes)
        return result

    def _attributes(self, ctx: Ctx) -> dict[str, str]:
        known = ctx.method in METHODS or ctx.method in _NOTIFICATIONS
        attributes = {
            "mcp.method.name": ctx.method if known else "other",
            "mcp.protocol.version": ctx.protocol_version,
        }
        name = (ctx.params or {}).get("name")
        if ctx.method == "tools/call" and isinstance(name, str) and name in self._tools:
            attributes["gen_ai.tool.name"] = name
        return attributes


class MeasuredTransport(HttpTransport):
    """Requests to amoCRM, each measured from before its wait for a slot to the end of its response."""

    def __init__(self, exchanges: Histogram, **options: Any) -> None:
        super().__init__(**options)
        self._exchanges = exchanges

    @override
    async def send(self, method: str, url: str, **options: Any) -> Response:
        began, attributes = time.perf_counter(), {"http.request.method": method}
        try:
            response = await super().send(method, url, **options)
            attributes["http.response.status_code"] = str(response.status)
        except BaseException as error:
            attributes["error.type"] = type(error).__name__
            raise
        finally:
            self._exchanges.record(time.perf_counter() - began, attributes)
        return response


class MeasuredRateLimiter(RateLimiter):
    """Another rate limiter, with what it makes requests wait."""

    def __init__(self, limiter: RateLimiter, metrics: Metrics) -> None:
        self._limiter = limiter
        self._metrics = metrics

    @override
    @asynccontextmanager
    async def reserve(self, on_wait: OnWait | None = None) -> AsyncIterator[Slot]:
        began = time.perf_counter()
        async with self._limiter.reserve(on_wait) as slot:

            async def acquire() -> None:
                await slot.acquire()
                self._metrics.slots.record(time.perf_counter() - began)

            yield Slot(acquire, slot.release)

    @override
    async def pause(self, seconds: float) -> None:
        self._metrics.holds.add(1)
        await self._limiter.pause(seconds)


def _duration(meter: Meter, name: str, description: str) -> Histogram:
    return meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=_BOUNDS)


def collect() -> Callable[[], bytes] | None:
    """Keep the figures of this process, and give what writes them for Prometheus; None without the extra `otel`."""
    try:
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
        from prometheus_client import generate_latest
    except ImportError:
        return None
    set_meter_provider(MeterProvider([PrometheusMetricReader()]))
    return generate_latest
