import pytest

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
async def test_the_controls_are_for_the_administrator_only(shop, connect, reader, method, path):
    async with connect(shop, token=None) as nobody:
        refused = await nobody.request(method, path)
    assert refused.status_code == 401
    assert (await reader.request(method, path)).status_code == 403


async def test_a_fault_is_added_and_all_are_forgotten_over_http(admin):
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
        (b"{", "not JSON"),
        (b"[]", "a fault is an object"),
        (b'{"kind": "slow"}', "a fault has no kind"),
        (b'{"times": true}', "times can not be True"),
        (b'{"headers": {"a": 1}}', "headers can not be {'a': 1}"),
        (b'{"headers": 5}', "headers can not be 5"),
        (b'{"times": -1}', "times, skip and delay can not be negative"),
        (b'{"status": 100}', "status 100 is not one from 200 to 599"),
        (b'{"drop": "now"}', "drop is 'now', not one of before, after, body"),
    ],
)
async def test_a_wrong_fault_is_refused(admin, content, detail):
    answer = await admin.post("/_sandbox/faults", content=content)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(detail)
    assert (await admin.get(SEGMENTS)).status_code == 200


async def test_faults_never_touch_the_controls(shop, admin):
    await admin.post("/_sandbox/faults", json={"status": 500, "times": 0})
    answers = [await admin.get("/_sandbox/state"), await admin.get("/_sandbox/requests")]
    assert [answer.status_code for answer in answers] == [200, 200]


async def test_requests_are_listed_as_they_came_and_forgotten_on_demand(shop, admin):
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


async def test_only_so_many_requests_are_remembered_and_the_oldest_go(shop, admin, monkeypatch):
    monkeypatch.setattr("amo_mcp.sandbox.faults.recording.MAX_RECORDED", 3)
    for page in range(1, 6):
        await admin.get(SEGMENTS, params={"page": page})
    assert [request.path for request in shop.requests] == [f"{SEGMENTS}?page={page}" for page in (3, 4, 5)]


async def test_the_mode_is_switched_for_the_whole_account(shop, admin):
    answer = await admin.put("/_sandbox/mode", json={"mode": "periodicity"})
    assert (answer.status_code, answer.json()) == (200, {"mode": "periodicity"})
    assert shop.account.mode == "periodicity"
    assert (await admin.get(SEGMENTS)).status_code == 422
    assert (await admin.get("/api/v4/account")).json()["customers_mode"] == "periodicity"


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b'{"mode": "both"}', b'{"mode": ["segments"]}'])
async def test_a_wrong_mode_is_refused(shop, admin, content):
    answer = await admin.put("/_sandbox/mode", content=content)
    assert (answer.status_code, shop.account.mode) == (400, "segments")


async def test_the_state_is_the_whole_account(shop, admin):
    assert (await admin.get("/_sandbox/state")).json() == shop.account.document()
