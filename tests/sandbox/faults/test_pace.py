import pytest
from httpx2 import AsyncClient

from amo_mcp.sandbox import Fault, Request, Sandbox
from tests.clock import Clock
from tests.sandbox.bodies import problem
from tests.sandbox.conftest import client_of

pytestmark = pytest.mark.anyio

ACCOUNT = "/api/v4/account"
TOO_MANY = {**problem(429, "Too Many Requests", "Too Many Requests"), "retry_after": 1}


@pytest.fixture
def arriving(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets when the next requests arrive."""
    clock = Clock()
    monkeypatch.setattr("amo_mcp.sandbox.faults.recording.monotonic", clock)
    return clock


async def _statuses_at(client: AsyncClient, arriving: Clock, *times: float) -> list[int]:
    statuses = []
    for arriving.now in times:
        statuses.append((await client.get(ACCOUNT)).status_code)
    return statuses


async def test_requests_above_the_rate_limit_are_refused(arriving: Clock) -> None:
    sandbox = Sandbox(rate_limit=2)
    async with client_of(sandbox) as client:
        assert await _statuses_at(client, arriving, 10.0, 10.5, 10.9) == [200, 200, 429]
        answer = await client.get(ACCOUNT)
    assert (answer.status_code, answer.json()) == (429, TOO_MANY)
    assert answer.headers["content-type"] == "application/problem+json"
    assert "retry-after" not in answer.headers
    assert [request.status for request in sandbox.requests] == [200, 200, 429, 429]
    assert (sandbox.over_limit, sandbox.busiest_second()) == (2, 4)


async def test_requests_a_second_apart_do_not_count_together(arriving: Clock) -> None:
    sandbox = Sandbox(rate_limit=2)
    async with client_of(sandbox) as client:
        statuses = await _statuses_at(client, arriving, 10.0, 10.5, 11.0, 11.5, 12.5, 12.5)
    assert statuses == [200] * 6
    assert (sandbox.over_limit, sandbox.busiest_second()) == (0, 2)


async def test_a_request_refused_for_the_rate_limit_still_counts(arriving: Clock) -> None:
    sandbox = Sandbox(rate_limit=1)
    async with client_of(sandbox) as client:
        assert await _statuses_at(client, arriving, 10.0, 10.6, 11.2, 12.2) == [200, 429, 429, 200]
    assert sandbox.over_limit == 2


async def test_a_request_refused_for_the_rate_limit_has_no_effect_and_meets_no_fault(arriving: Clock) -> None:
    sandbox = Sandbox(rate_limit=1)
    sandbox.faults.add(Fault(status=503, skip=1))
    async with client_of(sandbox) as client:
        answers = [await client.post("/api/v4/customers/segments", json={"name": f"{n}"}) for n in range(2)]
        arriving.now += 5.0
        answers.append(await client.post("/api/v4/customers/segments", json={"name": "2"}))
    assert [answer.status_code for answer in answers] == [200, 429, 503]
    assert (len(sandbox.account.segments), [request.body["name"] for request in sandbox.requests]) == (
        16,
        ["0", "1", "2"],
    )


async def test_only_requests_to_the_api_are_rate_limited(arriving: Clock) -> None:
    sandbox = Sandbox(rate_limit=1)
    async with client_of(sandbox) as client:
        for path in ("/oauth2/account/current/subdomain", "/oauth", "/_sandbox/requests", "/"):
            assert [(await client.get(path)).status_code for _ in range(2)].count(429) == 0
        assert (await client.get(ACCOUNT)).status_code == 200
    assert (sandbox.over_limit, sandbox.busiest_second()) == (0, 1)


async def test_the_rate_is_reported_and_nothing_is_refused_without_a_limit(admin: AsyncClient, arriving: Clock) -> None:
    assert (await admin.get("/_sandbox/pace")).json() == {"busiest_second": 0, "over_limit": 0}
    assert await _statuses_at(admin, arriving, *[1.0] * 20) == [200] * 20
    assert (await admin.get("/_sandbox/pace")).json() == {"busiest_second": 20, "over_limit": 0}
    await admin.delete("/_sandbox/requests")
    assert (await admin.get("/_sandbox/pace")).json() == {"busiest_second": 0, "over_limit": 0}


async def test_a_request_is_recorded_with_the_time_of_its_arrival(
    shop: Sandbox, admin: AsyncClient, arriving: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("amo_mcp.sandbox.faults.interference.sleep", arriving.sleep)
    shop.faults.add(Fault(delay=30))
    assert await _statuses_at(admin, arriving, 7.0) == [200]
    assert ([request.at for request in shop.requests], arriving.now) == ([7.0], 37.0)


@pytest.mark.parametrize(
    ("times", "busiest"),
    [
        ([], 0),
        ([5.0], 1),
        ([0.0, 1.0, 2.0], 1),
        ([0.0, 0.5, 1.0, 1.25], 3),
        ([2.25, 0.0, 2.0, 2.5, 0.5], 3),
        ([0.0, 0.75, 1.5, 2.25], 2),
    ],
)
async def test_the_busiest_second_is_half_open_and_may_begin_at_any_time(
    shop: Sandbox, times: list[float], busiest: int
) -> None:
    shop.requests += [Request(at, "GET", f"{ACCOUNT}?a=b") for at in times]
    shop.requests += [Request(at, "POST", "/oauth2/access_token") for at in times]
    assert shop.busiest_second() == busiest


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_rate_limit_below_one_is_an_error(limit: int) -> None:
    with pytest.raises(ValueError, match=f"rate_limit is {limit}, not at least 1"):
        Sandbox(rate_limit=limit)
