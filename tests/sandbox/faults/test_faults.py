from typing import Any, Literal

import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Fault, Sandbox
from tests.sandbox.bodies import Body, problem
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
NEW = {"name": "Новый"}


async def _statuses(client: AsyncClient, count: int, method: str = "GET", path: str = SEGMENTS) -> list[int]:
    return [(await client.request(method, path)).status_code for _ in range(count)]


async def test_a_fault_happens_once_by_default(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(status=500))
    assert await _statuses(admin, 2) == [500, 200]


async def test_a_fault_skips_and_repeats_as_configured(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(status=500, skip=1, times=2))
    assert await _statuses(admin, 4) == [200, 500, 500, 200]


async def test_a_fault_with_zero_times_stays_until_cleared(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(status=500, times=0))
    assert await _statuses(admin, 3) == [500, 500, 500]
    shop.faults.clear()
    assert await _statuses(admin, 1) == [200]


async def test_a_fault_matches_method_and_path_without_the_query(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(method="get", path=f"{SEGMENTS}/*", status=500))
    assert await _statuses(admin, 1) == [200]
    assert await _statuses(admin, 1, "DELETE", f"{SEGMENTS}/51") == [204]
    assert await _statuses(admin, 2, path=f"{SEGMENTS}/21?with=x") == [500, 200]


async def test_a_request_meets_one_fault_and_one_that_skips_it_leaves_it_to_the_next(
    shop: Sandbox, admin: AsyncClient
) -> None:
    shop.faults.add(Fault(status=500, skip=1))
    shop.faults.add(Fault(status=502))
    shop.faults.add(Fault(status=503))
    assert await _statuses(admin, 4) == [502, 500, 503, 200]


async def test_a_fault_applies_before_the_token_is_checked(shop: Sandbox) -> None:
    shop.faults.add(Fault(status=503))
    async with client_of(shop, token=None) as client:
        assert await _statuses(client, 2) == [503, 401]


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (401, problem(401, "Unauthorized", "Неверный логин или пароль")),
        (402, problem(402, "Payment Required", "Payment Required")),
        (403, problem(403, "Forbidden", "Invalid scope")),
        (429, problem(429, "Too Many Requests", "Too Many Requests")),
        (504, problem(504, "Gateway Timeout", "Gateway Timeout")),
        (520, problem(520, "Unknown Error", "Unknown Error")),
        (
            500,
            {
                "title": "ErrInternalServer",
                "status": 500,
                "detail": "Internal Server Error",
                "trace_id": "00000000000000000000000000000000",
            },
        ),
    ],
)
async def test_a_fault_with_only_a_status_responds_with_a_problem_document(
    shop: Sandbox, admin: AsyncClient, status: int, document: Body
) -> None:
    shop.faults.add(Fault(status=status))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.json()) == (status, document)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("status", [200, 202, 204, 304, 405])
async def test_a_fault_with_a_status_without_problem_has_an_empty_body(
    shop: Sandbox, admin: AsyncClient, status: int
) -> None:
    shop.faults.add(Fault(status=status))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.content) == (status, b"")
    assert "content-type" not in answer.headers


async def test_a_fault_with_status_204_never_has_a_body(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(status=204, body="лишнее", content_type="text/plain"))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.content, answer.headers["content-type"]) == (204, b"", "text/plain")


async def test_retry_after_is_given_in_the_body_of_a_429(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(retry_after=300))
    answer = await admin.get(SEGMENTS)
    expected = {**problem(429, "Too Many Requests", "Too Many Requests"), "retry_after": 300}
    assert (answer.status_code, answer.json()) == (429, expected)
    assert "retry-after" not in answer.headers


async def test_an_html_fault_responds_with_a_gateway_page(shop: Sandbox, admin: AsyncClient) -> None:
    shop.faults.add(Fault(status=502, html=True, headers={"Retry-After": "5"}))
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert answer.headers["retry-after"] == "5"
    assert answer.text == (
        "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
        "<center><h1>502 Bad Gateway</h1></center>\r\n"
        "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    )


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        (Fault(body="{"), 200, "application/hal+json"),
        (Fault(body="{", status=400), 400, "application/problem+json"),
        (Fault(body="{", html=True), 200, "text/html"),
        (Fault(body="{", content_type="text/plain", headers={"X-A": "1"}), 200, "text/plain"),
    ],
)
async def test_the_body_of_a_fault_is_sent_unchanged(
    shop: Sandbox, admin: AsyncClient, fault: Fault, status: int, content_type: str
) -> None:
    shop.faults.add(fault)
    answer = await admin.get(SEGMENTS)
    assert (answer.status_code, answer.text, answer.headers["content-type"]) == (status, "{", content_type)


async def test_a_fault_without_a_response_delays_the_real_one(
    shop: Sandbox, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append((seconds, len(shop.account.segments)))

    monkeypatch.setattr("amo_mcp.sandbox.faults.interference.sleep", sleep)
    shop.faults.add(Fault(delay=30, headers={"Content-Type": "text/plain", "X-A": "1"}))
    answer = await admin.post(SEGMENTS, json=NEW)
    assert (answer.status_code, answer.json()["id"]) == (200, 96)
    assert (answer.headers["content-type"], answer.headers["x-a"]) == ("text/plain", "1")
    assert (slept, len(shop.account.segments)) == ([(30, 15)], 16)


@pytest.mark.parametrize(("after_effect", "segments"), [(False, 15), (True, 16)])
async def test_a_fault_responds_instead_of_the_effect_or_after_it(
    shop: Sandbox, admin: AsyncClient, after_effect: bool, segments: int
) -> None:
    shop.faults.add(Fault(status=504, html=True, after_effect=after_effect))
    answer = await admin.post(SEGMENTS, json=NEW)
    assert (answer.status_code, len(shop.account.segments)) == (504, segments)
    assert [(request.status, request.body) for request in shop.requests] == [(504, NEW)]


@pytest.mark.parametrize(("drop", "segments"), [("before", 15), ("after", 16), ("body", 16)])
async def test_a_drop_in_process_raises_a_connection_reset(
    shop: Sandbox, admin: AsyncClient, drop: Literal["before", "after", "body"], segments: int
) -> None:
    shop.faults.add(Fault(drop=drop))
    with pytest.raises(ConnectionResetError):
        await admin.post(SEGMENTS, json=NEW)
    assert len(shop.account.segments) == segments
    assert [(request.method, request.status) for request in shop.requests] == [("POST", None)]


async def test_a_websocket_is_passed_on_without_a_fault(shop: Sandbox) -> None:
    sent = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    shop.faults.add(Fault(status=500))
    scope = {"type": "websocket", "path": SEGMENTS, "headers": [], "query_string": b"", "subprotocols": []}
    await shop.app(scope, receive, send)
    assert sent == ["websocket.close"]
