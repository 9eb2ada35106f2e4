import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Sandbox

pytestmark = pytest.mark.anyio

SEGMENTS = "/api/v4/customers/segments"
CONTROLS = [
    ("POST", "/_sandbox/faults"),
    ("DELETE", "/_sandbox/faults"),
    ("GET", "/_sandbox/requests"),
    ("DELETE", "/_sandbox/requests"),
    ("GET", "/_sandbox/state"),
    ("PUT", "/_sandbox/mode"),
]


@pytest.mark.parametrize(("method", "path"), CONTROLS)
async def test_the_control_endpoints_need_the_admin_token(
    nobody: AsyncClient, reader: AsyncClient, method: str, path: str
) -> None:
    assert (await nobody.request(method, path)).status_code == 401
    assert (await reader.request(method, path)).status_code == 403


async def test_faults_are_added_and_cleared_through_the_control_endpoint(admin: AsyncClient) -> None:
    added = await admin.post(
        "/_sandbox/faults", json={"status": 502, "times": 0, "delay": 0.0, "headers": {"X-A": "1"}}
    )
    failed = await admin.get(SEGMENTS)
    cleared = await admin.delete("/_sandbox/faults")
    answered = await admin.get(SEGMENTS)
    statuses = [answer.status_code for answer in (added, failed, cleared, answered)]
    assert (statuses, failed.headers["x-a"]) == ([204, 502, 204, 200], "1")


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"{", "Invalid JSON: EOF while parsing"),
        (b"[]", "Input should be an object"),
        (b'{"kind": "slow"}', "kind: Unexpected keyword argument"),
        (b'{"times": true}', "times: Input should be a valid integer"),
        (b'{"headers": {"a": 1}}', "headers.a: Input should be a valid string"),
        (b'{"headers": 5}', "headers: Input should be an object"),
        (b'{"times": -1}', "times: Input should be greater than or equal to 0"),
        (b'{"status": 100}', "status: Input should be greater than or equal to 200"),
        (b'{"drop": "now"}', "drop: Input should be 'before', 'after' or 'body'"),
        (b'{"delay": 1e999}', "delay: Input should be a finite number"),
        (
            b'{"times": -1, "status": "500"}',
            "times: Input should be greater than or equal to 0; status: Input should be",
        ),
    ],
)
async def test_an_invalid_fault_is_refused_with_the_reason(admin: AsyncClient, content: bytes, detail: str) -> None:
    answer = await admin.post("/_sandbox/faults", content=content)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
    assert "://" not in answer.json()["detail"]
    assert (await admin.get(SEGMENTS)).status_code == 200


async def test_faults_never_hit_the_control_endpoints(admin: AsyncClient) -> None:
    await admin.post("/_sandbox/faults", json={"status": 500, "times": 0})
    answers = [await admin.get("/_sandbox/state"), await admin.get("/_sandbox/requests")]
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_recorded_requests_are_listed_in_order_and_cleared_on_demand(shop: Sandbox, admin: AsyncClient) -> None:
    await admin.get(f"{SEGMENTS}?page=2&limit=10")
    await admin.post(SEGMENTS, json={"name": ""})
    await admin.get("/")
    listed = (await admin.get("/_sandbox/requests")).json()
    at = [entry.pop("at") for entry in listed]
    assert listed == [
        {"method": "GET", "path": f"{SEGMENTS}?page=2&limit=10", "status": 200, "body": None},
        {"method": "POST", "path": SEGMENTS, "status": 400, "body": {"name": ""}},
    ]
    assert at == sorted(at)
    assert at == [request.at for request in shop.requests]
    assert (await admin.delete("/_sandbox/requests")).status_code == 204
    assert (await admin.get("/_sandbox/requests")).json() == shop.requests == []


async def test_the_oldest_recorded_requests_are_dropped_above_the_maximum(
    shop: Sandbox, admin: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amo_mcp.sandbox.faults.recording.MAX_RECORDED", 3)
    for page in range(1, 6):
        await admin.get(SEGMENTS, params={"page": page})
    assert [request.path for request in shop.requests] == [f"{SEGMENTS}?page={page}" for page in (3, 4, 5)]


async def test_the_mode_is_switched_for_the_whole_account(shop: Sandbox, admin: AsyncClient) -> None:
    answer = await admin.put("/_sandbox/mode", json={"mode": "periodicity"})
    assert (answer.status_code, answer.json()) == (200, {"mode": "periodicity"})
    assert shop.account.mode == "periodicity"
    assert (await admin.get(SEGMENTS)).status_code == 422
    assert (await admin.get("/api/v4/account")).json()["customers_mode"] == "periodicity"


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"mode": "both"}', b'{"mode": ["segments"]}'])
async def test_an_invalid_mode_is_refused(shop: Sandbox, admin: AsyncClient, content: bytes) -> None:
    answer = await admin.put("/_sandbox/mode", content=content)
    assert (answer.status_code, shop.account.mode) == (400, "segments")


async def test_the_state_endpoint_returns_the_whole_account(shop: Sandbox, admin: AsyncClient) -> None:
    assert (await admin.get("/_sandbox/state")).json() == shop.account.document()
