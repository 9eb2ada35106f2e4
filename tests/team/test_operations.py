"""What a replica tells its operator: that it runs, whether it can do anything, and its figures."""

import json
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from amo_mcp.amocrm.http import HttpTransport, Response, TransportError
from amo_mcp.amocrm.ratelimit import Slot
from amo_mcp.changes.journal import StorageUnavailable
from amo_mcp.storage.memory.rate_limit import Unlimited
from amo_mcp.team import metrics as figures
from amo_mcp.team.metrics import MeasuredRateLimiter, MeasuredTransport, Metrics
from amo_mcp.team.operations import Operations, Readiness
from amo_mcp.tools.runtime.catalog import catalog
from tests.clock import Clock
from tests.transports.asgi import Exchange

pytestmark = pytest.mark.anyio


async def got(operations: Operations, path: str) -> tuple[int, Any]:
    answer = await Exchange("GET", path, {}).run(operations)
    is_json = "json" in answer.headers.get("content-type", "")
    return answer.status, json.loads(answer.body) if is_json else answer.body.decode()


async def ready() -> str:
    return ""


async def written() -> bytes:
    return b"amo_holds_total 0\n"


@pytest.mark.requirement("TEAM-9")
async def test_the_figures_are_there_where_something_keeps_them() -> None:
    assert await got(Operations(ready, written), "/metrics") == (200, "amo_holds_total 0\n")
    assert await got(Operations(ready, None), "/metrics") == (404, "")


@pytest.mark.requirement("TEAM-6")
async def test_the_operator_hears_of_health_and_readiness_by_any_name() -> None:
    assert (await got(Operations(ready, None), "/healthz"))[0] == 200
    assert await got(Operations(ready, None), "/readyz") == (200, {"status": "ok"})
    assert (await got(Operations(ready, None), "/mcp"))[0] == 404


class TestReadiness:
    @pytest.mark.requirement("TEAM-6")
    async def test_it_says_why_nothing_can_be_done(self) -> None:
        away, ending = [False], [False]

        async def ping() -> int:
            if away[0]:
                raise StorageUnavailable("away")
            return 1

        clock = Clock()
        asked = Readiness(ping, lambda: ending[0], clock)
        assert await asked() == ""
        away[0] = True
        clock.now += 0.9
        assert await asked() == ""
        clock.now += 0.1
        assert await asked() == "the database cannot be used"
        away[0] = False
        assert await asked() == ""
        ending[0] = True
        assert await asked() == "the replica is ending"


class TestMetrics:
    def measured(self) -> tuple[Metrics, InMemoryMetricReader]:
        reader = InMemoryMetricReader()
        return Metrics(MeterProvider([reader]).get_meter("tests"), catalog()), reader

    def told(self, reader: InMemoryMetricReader) -> dict[str, list[dict[str, Any]]]:
        """The attributes of every point, by the name of the instrument."""
        data = reader.get_metrics_data()
        return {
            metric.name: [dict(point.attributes or {}) for point in metric.data.data_points]
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    @pytest.mark.requirement("TEAM-9")
    async def test_a_request_is_measured_by_method_tool_and_error(self) -> None:
        metrics, reader = self.measured()

        async def done(_: Any) -> dict[str, Any]:
            return {"isError": False}

        async def failed(_: Any) -> dict[str, Any]:
            return {"isError": True, "structuredContent": {"error": {"code": "not_found"}}}

        async def failed_otherwise(_: Any) -> dict[str, Any]:
            return {"isError": True, "content": []}

        async def refused(_: Any) -> dict[str, Any]:
            raise MCPError(-32602, "wrong")

        await metrics.observe(context("tools/call", name="get_segment"), done)
        await metrics.observe(context("tools/call", name="get_segment"), failed)
        await metrics.observe(context("tools/call", name="get_segment"), failed_otherwise)
        await metrics.observe(context("tools/call", name="made up by a client"), done)
        with pytest.raises(MCPError):
            await metrics.observe(context("made/up"), refused)
        for notification in ("notifications/cancelled", "notifications/made up"):
            await metrics.observe(context(notification), done)
        call = {"mcp.method.name": "tools/call", "mcp.protocol.version": "2026-07-28"}
        assert self.told(reader)["mcp.server.operation.duration"] == [
            {**call, "gen_ai.tool.name": "get_segment"},
            {**call, "gen_ai.tool.name": "get_segment", "error.type": "not_found"},
            {**call, "gen_ai.tool.name": "get_segment", "error.type": "tool_error"},
            call,
            {"mcp.method.name": "other", "mcp.protocol.version": "2026-07-28", "error.type": "-32602"},
            {"mcp.method.name": "notifications/cancelled", "mcp.protocol.version": "2026-07-28"},
            {"mcp.method.name": "other", "mcp.protocol.version": "2026-07-28"},
        ]

    @pytest.mark.requirement("TEAM-9")
    async def test_a_request_to_amocrm_is_measured_by_its_status(self, monkeypatch: pytest.MonkeyPatch) -> None:
        metrics, reader = self.measured()
        answers: list[Response | Exception] = [
            Response(200, {}, b""),
            Response(429, {}, b""),
            TransportError("is away", sent=False, settled=False),
        ]

        async def send(*_: Any, **__: Any) -> Response:
            match answers.pop(0):
                case Response() as response:
                    return response
                case error:
                    raise error

        monkeypatch.setattr(HttpTransport, "send", send)
        transport = MeasuredTransport(metrics.exchanges, timeout=1.0)
        for _ in range(2):
            await transport.send("GET", "https://example.amocrm.ru", headers={})
        with pytest.raises(TransportError):
            await transport.send("GET", "https://example.amocrm.ru", headers={})
        method = {"http.request.method": "GET"}
        assert self.told(reader)["http.client.request.duration"] == [
            {**method, "http.response.status_code": "200"},
            {**method, "http.response.status_code": "429"},
            {**method, "error.type": "TransportError"},
        ]

    @pytest.mark.requirement("TEAM-9")
    async def test_waiting_for_the_pace_and_pauses_are_counted(self) -> None:
        metrics, reader = self.measured()
        limiter = MeasuredRateLimiter(Unlimited(), metrics)
        async with limiter.reserve() as slot:
            assert isinstance(slot, Slot)
            await slot.acquire()
            await slot.release()
        await limiter.pause(60.0)
        assert self.told(reader) == {"amo.slot.wait.duration": [{}], "amo.holds": [{}], "amo.sign_ins.ended": [{}]}

    @pytest.mark.requirement("TEAM-9")
    def test_without_the_extra_nothing_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.prometheus", None)
        assert figures.collect() is None


def context(method: str, **params: Any) -> Any:
    class Context:
        protocol_version = "2026-07-28"

    made = Context()
    vars(made).update(method=method, params=params)
    return made
